import { DomainError } from './errors.ts';
import { fieldError } from './field-errors.ts';
import { requireAmount, sumOf } from './money.ts';

/** The parts of a sale's price net of tax; any whole numbers, since only their ratio counts. */
export interface SaleWeights {
  creator: number;
  platform: number;
  blessings: number;
}

/** 70 % creator, 20 % platform, 10 % blessing pool, where fleet.yaml names no others. */
export const defaultSaleWeights: SaleWeights = { creator: 70, platform: 20, blessings: 10 };

/** How a sale is split; frozen on the purchase, so that a change of the listing never touches what was sold. */
export interface SaleTerms {
  weights: SaleWeights;
  /** Who shares the creator part, in the order of the listing. */
  creators: ReadonlyArray<{ userId: string; weight: number }>;
}

export interface SaleSplit {
  creators: Array<{ userId: string; amount: number }>;
  platform: number;
  blessings: number;
  tax: number;
}

/**
 * Splits an amount by whole-number weights: each part rounded down, what is left goes one by one to the largest
 * remainders, ties to the earlier part (the method of Hamilton). The parts always add up to the amount.
 * Counted in BigInt: an amount times a weight may be no safe integer.
 * @throws INVALID_INPUT for a negative or broken number, or where there is something to split and no weight
 */
export function splitByWeights(amount: number, weights: readonly number[]): number[] {
  requireAmount(amount, 0);
  for (const [i, weight] of weights.entries()) requireAmount(weight, 0, `weights.${i}`);
  const total = weights.reduce((sum, weight) => sum + BigInt(weight), 0n);
  if (total === 0n) {
    if (amount === 0) return weights.map(() => 0);
    throw fieldError('weights', 'must not all be zero', 'Give at least one part a weight.');
  }
  const exact = weights.map((weight) => BigInt(amount) * BigInt(weight));
  const parts = exact.map((share) => Number(share / total));
  const remainders = exact.map((share) => share % total);
  const left = amount - sumOf(parts);
  const byRemainder = remainders
    .map((remainder, i) => ({ remainder, i }))
    .sort((a, b) => (a.remainder === b.remainder ? a.i - b.i : a.remainder < b.remainder ? 1 : -1));
  for (const { i } of byRemainder.slice(0, left)) parts[i]! += 1;
  return parts;
}

/**
 * What each party gets of a sale. The split is of the price net of tax; ties go to the creators, then to the platform, then
 * to the pool. The provider's fee is no part of it: it comes out of the platform's revenue (`feeTaken`).
 * @param paid what the buyer paid, tax within it
 * @throws INVALID_INPUT where the tax is more than was paid, or nobody shares the creator part
 */
export function splitSale(paid: number, tax: number, { weights, creators }: SaleTerms): SaleSplit {
  requireAmount(paid, 0, 'paid');
  requireAmount(tax, 0, 'tax');
  if (tax > paid) throw fieldError('tax', 'must be at most what was paid', `Write ${paid} or less.`);
  if (creators.length === 0 && weights.creator > 0) {
    throw fieldError('creators', 'must name at least one creator', 'Add who shares the creator part.');
  }
  if (new Set(creators.map(({ userId }) => userId)).size < creators.length) {
    throw fieldError(
      'creators',
      'must name each creator once',
      'Add up the weights of the one who stands there twice.',
    );
  }
  const [creator, platform, blessings] = splitByWeights(paid - tax, [
    weights.creator,
    weights.platform,
    weights.blessings,
  ]) as [number, number, number];
  const parts = splitByWeights(
    creator,
    creators.map(({ weight }) => weight),
  );
  return {
    creators: creators.map(({ userId }, i) => ({ userId, amount: parts[i]! })),
    platform,
    blessings,
    tax,
  };
}

/**
 * Splits what is given back over what each party still holds of that sale. No part is more than what its party holds, so
 * nobody is ever asked for what it never got, and the last refund takes exactly the rest. (By percentage of the refund, or
 * by difference of cumulative splits, units are stranded or parts turn negative.)
 * @throws CONFLICT where more is asked for than they hold
 */
export function splitRefund(amount: number, held: readonly number[]): number[] {
  const all = sumOf(held);
  if (amount > all) throw new DomainError('CONFLICT', `${amount} is more than the ${all} that is left of the sale`);
  return splitByWeights(amount, held);
}

/**
 * Shares out the pool by blessings received: each part rounded down, so that the same blessing is worth the same to
 * everybody; what is left stays in the pool.
 */
export function shareOut(pool: number, received: readonly number[]): number[] {
  requireAmount(pool, 0, 'pool');
  for (const [i, count] of received.entries()) requireAmount(count, 0, `received.${i}`);
  const total = received.reduce((sum, count) => sum + BigInt(count), 0n);
  if (total === 0n) return received.map(() => 0);
  return received.map((count) => Number((BigInt(pool) * BigInt(count)) / total));
}
