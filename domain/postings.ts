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
  const known = recorded(sale, id);
  if (known) return same(known, refund.amount, ({ amount }) => amount > 0);
  const entries = takenBack(sale, refund.amount, sale.payer);
  return posting({ ...draftOf(sale, id), kind: 'refund', reason: refund.reason, entries })!;
}

/**
 * A dispute sets what is disputed aside, out of what the parties still hold.
 * @returns `posting` is undefined where nothing is left to set aside; `beyond` is what the provider took over what was
 * left: refund and chargeback together never take more of the parties than was paid
 * @throws CONFLICT where more was set aside for it before
 */
export function disputeOpened(
  sale: SaleState,
  dispute: { disputeId: string; userId: string; amount: number; reason: string },
): { posting: Posting | undefined; beyond: number } {
  requireAmount(dispute.amount, 1);
  const id = `dispute:${dispute.disputeId}`;
  const known = recorded(sale, id);
  if (known) {
    const reserved = known.entries.find(({ amount }) => amount > 0)!.amount;
    if (reserved > dispute.amount) throw differs(known, dispute.amount);
    return { posting: known, beyond: dispute.amount - reserved };
  }
  const amount = Math.min(dispute.amount, leftOf(sale));
  const entries = takenBack(sale, amount, accountOf.disputes(dispute.userId));
  return {
    posting: posting({ ...draftOf(sale, id), kind: 'dispute_opened', reason: dispute.reason, entries }),
    beyond: dispute.amount - amount,
  };
}

/**
 * Won: the opening's own posting is turned round, so each party has exactly what was taken of it. Lost: the reserve goes
 * to who paid. The id is the same for both, so a dispute ends once.
 * @returns undefined where the opening found nothing to set aside
 * @throws CONFLICT where it ended the other way
 */
export function disputeEnded(sale: SaleState, dispute: { disputeId: string; won: boolean; reason: string }) {
  const id = `dispute:${dispute.disputeId}:ended`;
  const kind = dispute.won ? 'dispute_won' : 'dispute_lost';
  const known = recorded(sale, id);
  if (known) {
    if (known.kind === kind) return known;
    throw new DomainError('CONFLICT', `${dispute.disputeId} has ended as ${known.kind}`);
  }
  const opened = recorded(sale, `dispute:${dispute.disputeId}`);
  if (!opened) return undefined;
  const entries = opened.entries.map(({ account, amount }) => ({ account, amount: -amount }));
  const reserve = entries.find(({ account }) => account.kind === 'disputes')!;
  return posting({
    ...draftOf(sale, id),
    kind,
    reason: dispute.reason,
    entries: dispute.won ? entries : [reserve, { account: sale.payer, amount: -reserve.amount }],
  });
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

function draftOf({ currency, purchaseId }: SaleState, id: string) {
  return { id, currency, purchaseId };
}

function takenBack(sale: SaleState, amount: number, to: AccountRef): Entry[] {
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

function recorded(sale: SaleState, id: string): Posting | undefined {
  return sale.postings.find((each) => each.id === id);
}

function same(known: Posting, amount: number, isReceiver: (entry: Entry) => boolean): Posting {
  if (known.entries.find(isReceiver)?.amount !== amount) throw differs(known, amount);
  return known;
}

function differs(known: Posting, amount: number): DomainError {
  return new DomainError('CONFLICT', `${known.id} is posted already, with another amount than ${amount}`);
}
