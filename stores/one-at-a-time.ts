/**
 * Work that would wait for the same lock of the database waits here first, so that a crowd of it holds one connection of
 * the pool and not all: leases are renewed on the same pool.
 */
export function createOneAtATime() {
  let last: Promise<unknown> = Promise.resolve();
  return function oneAtATime<Result>(work: () => Promise<Result>): Promise<Result> {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };
}
