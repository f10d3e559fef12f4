import { useSyncExternalStore } from 'react';
import { ago, dateTime } from '../format.ts';

/** One clock for all that says how long ago something was. */
const tickMs = 15_000;
let now = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function listen(heard: () => void): () => void {
  if (listeners.size === 0) now = Date.now();
  listeners.add(heard);
  timer ??= setInterval(() => {
    now = Date.now();
    for (const each of listeners) each();
  }, tickMs);
  return () => {
    listeners.delete(heard);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** How long ago, and the time itself for who points at it. */
export function Time({ at }: { at: string }) {
  const shown = useSyncExternalStore(listen, () => now);
  const instant = Date.parse(at);
  // What has come since the last tick is of now, not of the future.
  const from = instant > shown && instant - shown < 2 * tickMs ? instant : shown;
  return (
    <time dateTime={at} title={dateTime(at)}>
      {ago(at, from)}
    </time>
  );
}
