import { DomainError } from './errors.ts';
import { accountOf, type AccountRef, type Entry, type Posting, posting } from './ledger.ts';
import { type Money, moneyText, requireAmount, sumOf } from './money.ts';
import { leftOf, type SaleState } from './sale-state.ts';
import { type SaleSplit, shareOut, splitRefund } from './shares.ts';

/**
 * Every way in which money moves, as entries that add up to zero. Each rule gives the same posting again for what is
 * posted already, so that who tries again posts nothing new; other content under the same id is a CONFLICT.
 */

/** Money of one account to another; more than nothing, so there is always a posting. */
function moved(draft: Omit<Posting, 'entries' | 'currency'>, from: AccountRef, to: AccountRef, money: Money): Posting {
  requireAmount(money.amount, 1);
  const entries = [
    { account: from, amount: -money.amount },
    { account: to, amount: money.amount },
  ];
  return posting({ ...draft, currency: money.currency, entries })!;
}

/** An operator gives a user credits; the provider `credits` is where they come from. */
export function creditsGranted(grant: { grantId: string; userId: string; money: Money; reason: string }): Posting {
  const draft = { id: `grant:${grant.grantId}`, kind: 'grant', purchaseId: null, reason: grant.reason } as const;
  return moved(draft, accountOf.outside('credits'), accountOf.credits(grant.userId), grant.money);
}

export interface Held {
  purchaseId: string;
  /** Who buys. */
  userId: string;
  money: Money;
}

/** Money set aside for a purchase before it is split: what a provider has captured. */
export function moneyHeld({ purchaseId, userId, money }: Held, from: AccountRef): Posting {
  const draft = { id: `hold:${purchaseId}`, kind: 'hold', purchaseId, reason: '' } as const;
  return moved(draft, from, accountOf.escrow(userId), money);
}

/** A purchase that came to nothing: what was held goes back to where it came from. */
export function moneyReleased({ purchaseId, userId, money }: Held, to: AccountRef): Posting {
  const draft = { id: `hold:${purchaseId}:ended`, kind: 'release', purchaseId, reason: '' } as const;
  return moved(draft, accountOf.escrow(userId), to, money);
}

/**
 * A sale, split to the last unit. `from` is the buyer's credits, the provider, or the escrow that held it.
 * @returns undefined where the price is zero: nothing moves
 */
export function sold(sale: { purchaseId: string; currency: string; from: AccountRef; split: SaleSplit }) {
  const { creators, platform, blessings, tax } = sale.split;
  const parts: Entry[] = [
    ...creators.map(({ userId, amount }) => ({ account: accountOf.creator(userId), amount })),
    { account: accountOf.platform(), amount: platform },
    { account: accountOf.blessings(), amount: blessings },
    { account: accountOf.tax(), amount: tax },
  ];
  for (const { amount } of parts) requireAmount(amount, 0, 'split');
  const paid = sumOf(parts.map(({ amount }) => amount));
  return posting({
    id: `sale:${sale.purchaseId}`,
    kind: 'sale',
    currency: sale.currency,
    purchaseId: sale.purchaseId,
    reason: '',
    entries: [{ account: sale.from, amount: -paid }, ...parts],
  });
}

export interface Fee {
  /** The provider's id of what the fee is for: a charge, a dispute. */
  feeId: string;
  purchaseId: string;
  provider: string;
  money: Money;
}

/** What the provider kept, out of the platform's revenue. */
export function feeTaken({ feeId, purchaseId, provider, money }: Fee): Posting {
  const draft = { id: `fee:${feeId}`, kind: 'fee_taken', purchaseId, reason: '' } as const;
  return moved(draft, accountOf.platform(), accountOf.fees(provider), money);
}

/** What the provider gave back of its fee, as for a dispute that was won. */
export function feeReturned({ feeId, purchaseId, provider, money }: Fee): Posting {
  const draft = { id: `fee:${feeId}:returned`, kind: 'fee_returned', purchaseId, reason: '' } as const;
  return moved(draft, accountOf.fees(provider), accountOf.platform(), money);
}

/**
 * A refund, whole or in part, taken from the parties by what each still holds of the sale; a creator who was paid out
 * already is left owing.
 * @throws CONFLICT where it is more than is left of the sale, or was posted before with another amount
 */
export function refunded(sale: SaleState, refund: { refundId: string; amount: number; reason: string }): Posting {
  requireAmount(refund.amount, 1);
  const id = `refund:${refund.refundId}`;
  const known = sale.postings.find((each) => each.id === id);
  if (known) {
    if (known.entries.find(({ amount }) => amount > 0)?.amount === refund.amount) return known;
    throw new DomainError('CONFLICT', `${id} is posted already, with another amount than ${refund.amount}`);
  }
  const { currency, purchaseId } = sale;
  const entries = takenBack(sale, refund.amount, sale.payer);
  return posting({ id, currency, purchaseId, kind: 'refund', reason: refund.reason, entries })!;
}

/** What a creator is owed sets out for them; the ledger refuses more than there is. */
export function payoutStarted(payout: { payoutId: string; userId: string; money: Money }): Posting {
  const draft = { id: `payout:${payout.payoutId}`, kind: 'payout_started', purchaseId: null, reason: '' } as const;
  return moved(draft, accountOf.creator(payout.userId), accountOf.payouts(payout.userId), payout.money);
}

/** It has arrived (`paidBy` names the provider), or comes back to the creator. The id is the same for both: it ends once. */
export function payoutEnded(started: Posting, end: { paidBy: string } | { failed: string }): Posting {
  const [reserve, creator] = [
    started.entries.find(({ account }) => account.kind === 'payouts'),
    started.entries.find(({ account }) => account.kind === 'creator'),
  ];
  if (started.kind !== 'payout_started' || !reserve || !creator) {
    throw new DomainError('INTERNAL', `${started.id} is not the start of a payout`);
  }
  const money = { amount: reserve.amount, currency: started.currency };
  const draft = { id: `${started.id}:ended`, purchaseId: null } as const;
  return 'paidBy' in end
    ? moved({ ...draft, kind: 'payout_paid', reason: '' }, reserve.account, accountOf.outside(end.paidBy), money)
    : moved({ ...draft, kind: 'payout_failed', reason: end.failed }, reserve.account, creator.account, money);
}

/**
 * Shares the pool out by blessings received; what does not divide stays in it.
 * @param pool what is shared out, at most what the pool holds
 * @returns undefined where nobody gets a unit
 */
export function blessingsShared(share: {
  /** Whose books: each marketplace shares its own pool, of the same period too. */
  ownerId: string;
  /** Makes the sharing of a period the same one. */
  period: string;
  pool: Money;
  received: ReadonlyArray<{ userId: string; blessings: number }>;
}): Posting | undefined {
  const parts = shareOut(
    share.pool.amount,
    share.received.map(({ blessings }) => blessings),
  );
  const entries = share.received.map(({ userId }, i) => ({ account: accountOf.creator(userId), amount: parts[i]! }));
  const all = sumOf(parts);
  return posting({
    id: `blessings:${share.ownerId}:${share.period}:${share.pool.currency}`,
    kind: 'blessings_shared',
    currency: share.pool.currency,
    purchaseId: null,
    reason: '',
    entries: [{ account: accountOf.blessings(), amount: -all }, ...entries],
  });
}

/**
 * Of each party by what it still holds of the sale.
 * @throws CONFLICT where it is more than is left
 */
export function takenBack(sale: SaleState, amount: number, to: AccountRef): Entry[] {
  const left = leftOf(sale);
  if (amount > left) {
    const { currency } = sale;
    throw new DomainError(
      'CONFLICT',
      `${moneyText({ amount, currency })} is more than the ${moneyText({ amount: left, currency })} that is left of ${sale.purchaseId}`,
    );
  }
  const parts = splitRefund(
    amount,
    sale.held.map((party) => party.amount),
  );
  return [...sale.held.map(({ account }, i) => ({ account, amount: -parts[i]! })), { account: to, amount }];
}
