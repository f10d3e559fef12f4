import { expect, test } from 'vitest';
import { createSharedReadings } from '../../api/shared-readings.ts';

/** A reading that ends when it is told to. */
function openReading() {
  const ends: Array<PromiseWithResolvers<number>> = [];
  const read = () => {
    const end = Promise.withResolvers<number>();
    ends.push(end);
    return end.promise;
  };
  return { read, ends };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('one reading of a key runs at a time, and who asks meanwhile gets the next one', async () => {
  const shared = createSharedReadings<number>();
  const { read, ends } = openReading();
  const first = shared('a', read);
  const later = [shared('a', read), shared('a', read), shared('a', read)];
  const other = shared('b', read);
  await turn();
  expect(ends).toHaveLength(2);
  ends[0]!.resolve(1);
  ends[1]!.resolve(7);
  expect([await first, await other]).toEqual([1, 7]);
  await turn();
  expect(ends).toHaveLength(3);
  ends[2]!.resolve(2);
  expect(await Promise.all(later)).toEqual([2, 2, 2]);
  const alone = shared('a', read);
  ends[3]!.resolve(3);
  expect(await alone).toBe(3);
});

test('a reading that fails is no matter of those who wait for the next', async () => {
  const shared = createSharedReadings<number>();
  const { read, ends } = openReading();
  const first = shared('a', read);
  const second = shared('a', read);
  ends[0]!.reject(new Error('the connection broke'));
  await expect(first).rejects.toThrow('the connection broke');
  await turn();
  ends[1]!.resolve(2);
  expect(await second).toBe(2);
});
