import { sumOf } from './money.ts';
import type { DisputeState, RefundState } from './payments.ts';

/**
 * What goes back out of a sale through its provider. Refunds and disputes together take no more of the parties than was
 * paid; what the provider took beyond that the platform has lost, until a dispute is won or a refund fails: what that
 * frees covers it. So what is beyond is always what claims take together, less what was paid and is not on its way back:
 * the order in which they come changes nothing.
 */
export type Claim = {
  id: string;
  /** What the provider takes, in minor units. */
  amount: number;
  /** As the provider takes it. In another currency than the sale's all of it is beyond: nothing says what of the sale it is. */
  currency: string;
  /** Of the amount: what the parties of the sale gave for it. The rest is beyond. */
  covered: number;
} & ({ kind: 'refund'; state: RefundState } | { kind: 'dispute'; state: DisputeState });

/** What the provider has taken of the platform for it. */
export function beyondOf({ amount, covered, state }: Claim): number {
  return state === 'open' || state === 'lost' || state === 'done' ? amount - covered : 0;
}

/** Refunds that were asked for and not posted: their part of the sale is no longer there to be taken. */
export function pendingOf(sale: { currency: string }, claims: readonly Claim[]): Claim[] {
  return claims.filter(({ state, currency }) => state === 'pending' && currency === sale.currency);
}

/** What is on its way back, in the currency of the sale. */
export function onItsWay(sale: { currency: string }, claims: readonly Claim[]): number {
  return sumOf(pendingOf(sale, claims).map(({ amount }) => amount));
}
