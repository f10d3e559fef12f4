import { settleClaim } from '../domain/settle-claim.ts';
import { DomainError } from '../domain/errors.ts';
import type { Posting } from '../domain/ledger.ts';
import { isSameMoney, moneyText } from '../domain/money.ts';
import type { DisputeFacts, DisputeState, PaymentProviderName } from '../domain/payments.ts';
import { unsold } from '../domain/sale-state.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { tellDisputed } from './claim-news.ts';
import { newId } from './ids.ts';
import { lockSale, postTransfers } from './ledger.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { cameToNothing, feePosting, findPayment } from './payments.ts';
import { cameNow, claimsOf, followMoney, keepCovered, lockLicenseOf } from './sale-claims.ts';

export type DisputeOutcome = DisputeState | 'inquiry' | 'foreign';

/**
 * What the provider says of a dispute now, told once however often and in whatever order it comes: the row only goes
 * forward, and money and license go with it in the same transaction. Of a purchase that came to nothing it takes what was given
 * back, or is about to be: the platform's loss.
 * @returns `foreign` for one of a payment that is not ours
 * @throws UNAVAILABLE where its sale is not posted yet: it is about to be
 */
async function settleDispute(
  tx: DatabaseTransaction,
  provider: PaymentProviderName,
  facts: DisputeFacts,
): Promise<DisputeOutcome> {
  const { disputeId, paymentId, money, reason } = facts;
  const payment = paymentId === null ? undefined : await findPayment(tx, { provider, paymentId });
  if (!payment) return 'foreign';
  const { purchaseId, ownerId, buyerId } = payment;
  const posted = await lockSale(tx, ownerId, purchaseId);
  if (!posted && !(await cameToNothing(tx, payment)))
    throw new DomainError('UNAVAILABLE', `the sale of ${purchaseId} is not posted yet`);
  const sale = posted ?? unsold({ purchaseId, provider, currency: payment.money.currency });
  const row = await tx
    .selectFrom('disputes')
    .select(['state', 'amount', 'currency'])
    .where('id', '=', disputeId)
    .executeTakeFirst();
  const before = row?.state as DisputeState | undefined;
  // An inquiry has taken nothing; one that became a dispute comes back as such.
  if (facts.state === 'inquiry') return before ?? 'inquiry';
  const postings: Posting[] = [];
  if (before === undefined || before === 'open') postings.push(...(await settle(facts.state)));
  else if (facts.state !== before && facts.state !== 'open')
    await tellDiffers('end', `${disputeId} was ${before}, and ${provider} says now that it is ${facts.state}`);
  if (row && !isSameMoney(row, money))
    await tellDiffers(
      'amount',
      `${disputeId} was of ${moneyText(row)}, and ${provider} says now that it is of ${moneyText(money)}`,
    );
  if (before === 'won' && facts.kept !== undefined) await compareKept(facts.kept?.amount ?? 0);
  for (const fee of facts.fees) {
    const posting = feePosting(payment, fee);
    if (posting) postings.push(posting);
  }
  await postTransfers(tx, { ownerId, madeBy: provider }, postings);
  return before === undefined || before === 'open' ? facts.state : before;

  async function settle(state: DisputeState): Promise<Posting[]> {
    const claim = { kind: 'dispute', id: disputeId, ...money, state } as const;
    const by = { userId: buyerId, reason };
    const settled = settleClaim(sale, await claimsOf(tx, purchaseId), claim, by);
    const license = await lockLicenseOf(tx, purchaseId);
    if (before === undefined) await opened();
    if (state !== 'open' && before !== state) await ended(state);
    await keepCovered(tx, settled.changed, { ownerId, purchaseId });
    const why = state === 'open' ? 'its payment is disputed' : `the dispute was ${state}`;
    await followMoney(tx, license, settled.license, { actor: disputeId, reason: why });
    return settled.postings;
  }

  async function opened(): Promise<void> {
    await tx
      .insertInto('disputes')
      .values({
        id: disputeId,
        provider,
        ownerId,
        purchaseId,
        ...money,
        reason,
        state: 'open',
        reserved: 0,
        openedAt: cameNow,
      })
      .execute();
    await tellDisputed(tx, { purchaseId, disputeId, state: 'open', money, reason });
    await openNotice(tx, {
      id: newId('notice'),
      ownerId,
      kind: 'dispute_open',
      key: `dispute_open:${disputeId}`,
      subject: purchaseId,
      title: `${moneyText(money)} of ${purchaseId} is disputed: ${reason}`,
      action: `Answer it at ${provider}; nobody does that for you.`,
    });
  }

  async function ended(how: 'won' | 'lost'): Promise<void> {
    await tx.updateTable('disputes').set({ state: how, endedAt: cameNow }).where('id', '=', disputeId).execute();
    await tellDisputed(tx, { purchaseId, disputeId, state: how, money: row ?? money, reason });
    await resolveNotice(tx, `dispute_open:${disputeId}`);
  }

  /** What did not come back was booked as a refund when that was told; should more of it come back later, somebody must know. */
  async function compareKept(now: number): Promise<void> {
    const booked = await tx
      .selectFrom('refunds')
      .select('amount')
      .where('providerRefundId', '=', disputeId)
      .executeTakeFirst();
    if (booked === undefined || booked.amount === now) return;
    const [was, is] = [booked.amount, now].map((amount) => moneyText({ amount, currency: money.currency }));
    await tellDiffers('kept', `${disputeId} left ${was} with its buyer, and ${provider} says now that it is ${is}`);
  }

  async function tellDiffers(what: 'end' | 'amount' | 'kept', title: string): Promise<void> {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId,
      kind: 'dispute_differs',
      key: `dispute_differs:${disputeId}:${what}`,
      subject: purchaseId,
      title,
      action: 'Look it up at the provider; what was posted stays.',
    });
  }
}

export function createDisputeStore(db: Database) {
  return {
    settle: (provider: PaymentProviderName, facts: DisputeFacts) =>
      db.transaction().execute((tx) => settleDispute(tx, provider, facts)),
  };
}
export type DisputeStore = ReturnType<typeof createDisputeStore>;
