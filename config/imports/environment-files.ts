import { posix } from 'node:path';
import type { Lookup } from '../../domain/variables.ts';
import { pathFrom, type Tree } from './tree.ts';

/** `NAME=value` lines as compose and systemd read them; nothing in them is run. */
function parseEnvironment(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const found = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)$/s.exec(line);
    if (!found) continue;
    const name = found[1]!;
    const raw = found[2]!.trim();
    const quoted = /^(["'])(.*?)\1(?:\s+#.*)?$/s.exec(raw);
    values.set(name, quoted ? quoted[2]! : raw.replace(/(^|\s)#.*$/s, '').trimEnd());
  }
  return values;
}

/**
 * Variables of a service: its own, then the files that it names, then `.env.<machine>`, `<machine>.env` and `.env` of its
 * file's folder, and of each folder above that.
 */
export function createVariables(tree: Tree) {
  const parsed = new Map<string, ReadonlyMap<string, string>>();
  const valuesOf = (name: string): ReadonlyMap<string, string> | undefined => {
    if (!tree.has(name)) return undefined;
    let values = parsed.get(name);
    if (values === undefined) {
      values = parseEnvironment(tree.read(name) ?? '');
      parsed.set(name, values);
    }
    return values;
  };
  return function variables(
    file: string,
    {
      machine,
      own,
      files = [],
    }: { machine: string | undefined; own?: ReadonlyMap<string, string>; files?: readonly string[] },
  ): Lookup {
    const named = files.flatMap((path) => pathFrom(file, path) ?? []);
    const above: string[] = [];
    for (let folder = posix.dirname(file); ; folder = posix.dirname(folder)) {
      const kinds = [...(machine === undefined ? [] : [`.env.${machine}`, `${machine}.env`]), '.env'];
      above.push(...kinds.map((kind) => (folder === '.' ? kind : `${folder}/${kind}`)));
      if (folder === '.') break;
    }
    return (name) => {
      const mine = own?.get(name);
      // `PORT: ${PORT}` hands on what stands outside; it is not its own value.
      if (mine !== undefined && !mine.includes(`$${name}`) && !mine.includes(`\${${name}`)) return mine;
      // Of several files that a service names, the last one wins.
      for (const path of [...named.toReversed(), ...above]) {
        const value = valuesOf(path)?.get(name);
        if (value !== undefined) return value;
      }
      return mine === undefined ? undefined : /^\$\{\w+:?-([^${}]*)\}$/.exec(mine)?.[1];
    };
  };
}
