import type { Query, QueryClient } from '@tanstack/react-query';
import { isTouched } from './touched.ts';

/** However much happens, what is shown is read again at most once in this time. */
export const gatherMs = 3_000;

/**
 * Has what events made old read again, gathered over a while.
 * @returns to be called with the paths that an event touched
 */
export function gatherTouched(queries: QueryClient, signal: AbortSignal): (paths: readonly string[]) => void {
  const cache = queries.getQueryCache();
  const gathered = new Set<string>();
  /** By hash; what was under way at an event may be older than it. */
  const underWay = new Set<string>();
  const ended = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  const readAgain = () => {
    timer = undefined;
    const paths = [...gathered];
    const again = new Set(ended);
    gathered.clear();
    ended.clear();
    const isOld = ({ queryKey: [operation] }: Query) =>
      typeof operation === 'string' && paths.some((path) => isTouched(operation, path));
    // A reading that is under way is not cut off, or on a busy machine none would ever end: it alone is read once more when it has
    // ended. One that hangs holds up none of the others, and has none of them read again.
    for (const { queryHash } of cache.findAll({ predicate: isOld, fetchStatus: 'fetching' })) underWay.add(queryHash);
    const predicate = (query: Query) => again.has(query.queryHash) || isOld(query);
    void queries.invalidateQueries({ predicate }, { cancelRefetch: false });
  };
  const readLater = () => {
    if (!signal.aborted) timer ??= setTimeout(readAgain, gatherMs);
  };
  const stop = cache.subscribe(({ type, query }) => {
    if (!underWay.has(query.queryHash)) return;
    if (type !== 'removed' && query.state.fetchStatus === 'fetching') return;
    underWay.delete(query.queryHash);
    if (type === 'removed') return;
    ended.add(query.queryHash);
    readLater();
  });
  signal.addEventListener('abort', () => {
    stop();
    clearTimeout(timer);
  });
  return (paths) => {
    for (const path of paths) gathered.add(path);
    readLater();
  };
}
