import fc from 'fast-check';
import { expect, test } from 'vitest';
import { defaultSaleWeights, shareOut, splitByWeights, splitRefund, splitSale } from '../../domain/shares.ts';

const sum = (parts: readonly number[]) => Number(parts.reduce((all, part) => all + BigInt(part), 0n));
const weights = [70, 20, 10];

test('a sale is split by largest remainder, and nothing is lost where rounding each share loses', () => {
  expect(splitByWeights(99, weights)).toEqual([69, 20, 10]);
  expect(splitByWeights(15, weights)).toEqual([11, 3, 1]);
  expect(splitByWeights(1, weights)).toEqual([1, 0, 0]);
  let roundedWrong = 0;
  for (let amount = 1; amount <= 1000; amount += 1) {
    expect(sum(splitByWeights(amount, weights))).toBe(amount);
    if (sum(weights.map((weight) => Math.round((amount * weight) / 100))) !== amount) roundedWrong += 1;
  }
  // What a split by rounding would have got wrong: this test would see it.
  expect(roundedWrong).toBe(300);
});

test('ties go to the part that stands first', () => {
  expect(splitByWeights(1, [1, 1])).toEqual([1, 0]);
  expect(splitByWeights(5, [1, 1, 1])).toEqual([2, 2, 1]);
  expect(splitByWeights(3, [0, 5, 5])).toEqual([0, 2, 1]);
});

test('any amount and any weights add up, and each part is its share rounded down or up', () => {
  fc.assert(
    fc.property(
      fc.maxSafeNat(),
      fc.array(fc.maxSafeNat(), { minLength: 1, maxLength: 8 }).filter((some) => some.some((weight) => weight > 0)),
      (amount, some) => {
        const parts = splitByWeights(amount, some);
        expect(sum(parts)).toBe(amount);
        const total = some.reduce((all, weight) => all + BigInt(weight), 0n);
        for (const [i, part] of parts.entries()) {
          const low = (BigInt(amount) * BigInt(some[i]!)) / total;
          expect(BigInt(part) === low || (BigInt(part) === low + 1n && some[i]! > 0)).toBe(true);
        }
      },
    ),
    { numRuns: 5_000 },
  );
});

test('what is no amount or no weight is refused by name', () => {
  expect(() => splitByWeights(1.5, [1])).toThrow('amount must be a whole number of minor units');
  expect(() => splitByWeights(-1, [1])).toThrow('at least 0');
  expect(() => splitByWeights(1, [1, -2])).toThrow('weights.1');
  expect(() => splitByWeights(1, [0, 0])).toThrow('must not all be zero');
  expect(splitByWeights(0, [0, 0])).toEqual([0, 0]);
  const terms = { weights: defaultSaleWeights, creators: [{ userId: 'a', weight: 1 }] };
  expect(() => splitSale(10, 11, terms)).toThrow('tax must be at most what was paid');
  expect(() => splitSale(10, 0, { ...terms, creators: [] })).toThrow('at least one creator');
  expect(() => splitSale(10, 0, { ...terms, creators: [...terms.creators, ...terms.creators] })).toThrow(
    'each creator once',
  );
});

test('a sale is split net of tax, the creator part by the creators’ shares', () => {
  const creators = [
    { userId: 'ada', weight: 2 },
    { userId: 'bea', weight: 1 },
  ];
  expect(splitSale(1190, 190, { weights: defaultSaleWeights, creators })).toEqual({
    creators: [
      { userId: 'ada', amount: 467 },
      { userId: 'bea', amount: 233 },
    ],
    platform: 200,
    blessings: 100,
    tax: 190,
  });
});

test('three refunds of 333 take back all of 999, where percentages of each would strand three', () => {
  let held = splitByWeights(999, weights);
  expect(held).toEqual([699, 200, 100]);
  for (let i = 0; i < 3; i += 1) {
    const taken = splitRefund(333, held);
    expect(sum(taken)).toBe(333);
    held = held.map((each, party) => each - taken[party]!);
  }
  expect(held).toEqual([0, 0, 0]);
});

test('refunds of any sizes, over any weights, take from nobody what it has not, and the last takes exactly the rest', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 5_000 }),
      fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 6 }).filter((some) => sum(some) > 0),
      fc.array(fc.integer({ min: 1, max: 700 }), { maxLength: 12 }),
      (paid, some, wanted) => {
        let held = splitByWeights(paid, some);
        for (const refund of [...wanted, Number.MAX_SAFE_INTEGER]) {
          const taken = splitRefund(Math.min(refund, sum(held)), held);
          held = held.map((each, party) => each - taken[party]!);
          expect(Math.min(...held)).toBeGreaterThanOrEqual(0);
        }
        expect(sum(held)).toBe(0);
      },
    ),
    { numRuns: 5_000 },
  );
  // The case that turns negative by difference of cumulative splits.
  const held = splitByWeights(6, [45, 45, 10]);
  const five = splitRefund(5, held);
  expect(
    splitRefund(
      1,
      held.map((each, i) => each - five[i]!),
    ).every((part) => part >= 0),
  ).toBe(true);
  expect(() => splitRefund(7, held)).toThrow('7 is more than the 6');
});

test('the pool is shared out by blessings, the same for each; the rest stays in it', () => {
  expect(shareOut(100, [1, 1, 1])).toEqual([33, 33, 33]);
  expect(shareOut(100, [3, 0, 1])).toEqual([75, 0, 25]);
  expect(shareOut(2, [1, 1, 1])).toEqual([0, 0, 0]);
  expect(shareOut(100, [0, 0])).toEqual([0, 0]);
});
