import { useCallback, useState } from 'react';
import { useToasts } from './toasts.tsx';

/**
 * A part that no first view needs, loaded when it is asked for. Where it does not load, a toast says so, and has the way out: it can be
 * asked for again, but Chromium keeps an import that failed for the life of the page, and a new build has no more what an old page asks for.
 * @param load the same function at each call
 */
export function useLater<Part>(load: () => Promise<Part>): [part: Part | undefined, ask: () => void] {
  const [part, setPart] = useState<{ loaded: Part }>();
  const { missing } = useToasts();
  const ask = useCallback(() => {
    load().then(
      (loaded) => setPart({ loaded }),
      (err: unknown) => {
        reportError(err);
        missing();
      },
    );
  }, [load, missing]);
  return [part?.loaded, ask];
}

const signs = ['pointermove', 'pointerdown', 'keydown'] as const;

/** As somebody begins to act, and once only: the time to load what their presses open. */
export function asSomebodyActs(act: () => void): () => void {
  const until = new AbortController();
  const once = () => {
    until.abort();
    act();
  };
  for (const sign of signs) addEventListener(sign, once, { signal: until.signal, passive: true });
  return () => until.abort();
}
