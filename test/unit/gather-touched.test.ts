import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { gatherMs, gatherTouched } from '../../ui/gather-touched.ts';

let queries: QueryClient;
let over: AbortController;
let reads: string[];

beforeEach(() => {
  vi.useFakeTimers();
  queries = new QueryClient({ defaultOptions: { queries: { retry: false, staleTime: Infinity } } });
  over = new AbortController();
  reads = [];
});
afterEach(() => {
  over.abort();
  queries.clear();
  vi.useRealTimers();
});

/** A reading that somebody looks at; it takes so long. */
function shown(operation: string, of: string, takesMs: number): void {
  const queryFn = async () => {
    reads.push(of);
    await new Promise((resolve) => setTimeout(resolve, takesMs));
    return of;
  };
  new QueryObserver(queries, { queryKey: [operation, { of }], queryFn }).subscribe(() => undefined);
}
const timesOf = (name: string) => reads.filter((each) => each === name).length;

test('on a machine that takes long to answer one event has what was under way read once more, and no more', async () => {
  const touched = gatherTouched(queries, over.signal);
  // Out of step, so that at each look one of them is under way.
  shown('GET /v1/agents/{id}', 'one', gatherMs * 1.5);
  await vi.advanceTimersByTimeAsync(gatherMs / 2);
  shown('GET /v1/agents/{id}', 'two', gatherMs * 1.5);
  await vi.advanceTimersByTimeAsync(gatherMs / 4);
  touched(['/v1/agents']);
  await vi.advanceTimersByTimeAsync(gatherMs * 40);
  expect([timesOf('one'), timesOf('two')]).toEqual([2, 2]);
});

test('what was under way as an event came is read once more after it has ended, alone', async () => {
  const touched = gatherTouched(queries, over.signal);
  shown('GET /v1/runs', 'quick', 10);
  await vi.advanceTimersByTimeAsync(100);
  shown('GET /v1/runs', 'hangs', gatherMs * 20);
  touched(['/v1/runs']);
  await vi.advanceTimersByTimeAsync(gatherMs * 19);
  expect([timesOf('quick'), timesOf('hangs')]).toEqual([2, 1]);
  await vi.advanceTimersByTimeAsync(gatherMs * 3);
  expect([timesOf('quick'), timesOf('hangs')]).toEqual([2, 2]);
  await vi.advanceTimersByTimeAsync(gatherMs * 40);
  expect([timesOf('quick'), timesOf('hangs')]).toEqual([2, 2]);
});

test('however many events come, a reading is made at most once a while; of another path, or after the end, none is', async () => {
  const touched = gatherTouched(queries, over.signal);
  shown('GET /v1/me', 'me', 10);
  shown('GET /v1/memories', 'memories', 10);
  await vi.advanceTimersByTimeAsync(100);
  for (let i = 0; i < 90; i += 1) {
    touched(['/v1/me']);
    await vi.advanceTimersByTimeAsync(gatherMs / 10);
  }
  expect(timesOf('me')).toBeLessThanOrEqual(11);
  expect(timesOf('me')).toBeGreaterThan(8);
  expect(timesOf('memories')).toBe(1);
  over.abort();
  const before = reads.length;
  touched(['/v1/me']);
  await vi.advanceTimersByTimeAsync(gatherMs * 4);
  expect(reads.length).toBe(before);
});
