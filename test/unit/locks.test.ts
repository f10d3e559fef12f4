import { expect, test } from 'vitest';
import { lockNumbers } from '../../stores/locks.ts';

test('each advisory lock has a number of its own: two that share one would wait for each other', () => {
  const numbers = Object.values(lockNumbers);
  expect(numbers.filter((number, i) => numbers.indexOf(number) !== i)).toEqual([]);
});
