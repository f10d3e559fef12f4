import type { Api } from '../types.ts';

/** Which methods a path takes, for requests that come with another one. */
export function createMethodsByPath(app: Api) {
  const methods = new Map<string, { matches: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? { matches: patternOf(url), methods: new Set() };
    for (const one of [method].flat()) known.methods.add(one);
    methods.set(url, known);
  });
  return {
    of(url: string): string[] {
      const path = url.split('?')[0]!;
      const found = [...methods.values()].filter(({ matches }) => matches.test(path));
      return [...new Set(found.flatMap((route) => [...route.methods]))].sort();
    },
  };
}

function patternOf(url: string): RegExp {
  const escaped = url.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/:[A-Za-z]+/g, '[^/]+');
  return new RegExp(`^${escaped.replaceAll('\\*', '.*')}$`);
}
