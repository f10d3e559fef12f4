import { sql } from 'kysely';
import { settleClaim } from '../domain/settle-claim.ts';
import { DomainError } from '../domain/errors.ts';
import type { Posting } from '../domain/ledger.ts';
import { moneyText } from '../domain/money.ts';
import type { DisputeFacts, DisputeState, PaymentProviderName } from '../domain/payments.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { lockSale, postTransfers } from './ledger.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { tellBeyond } from './payment-notices.ts';
import { cameToNothing, feePosting, findPayment, type PaymentRow } from './payments.ts';
import { claimsOf, followMoney, keepCovered, lockLicenseOf } from './sale-claims.ts';

export type DisputeOutcome = DisputeState | 'inquiry' | 'foreign' | 'nothing_taken';

/**
 * What the provider says of a dispute now, told once however often and in whatever order it comes: the row only goes
 * forward, and money and license go with it in the same transaction.
 * @returns `foreign` for one of a payment that is not ours, `nothing_taken` for one whose purchase came to nothing
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
  const sale = await lockSale(tx, ownerId, purchaseId);
  if (!sale) {
    if (await cameToNothing(tx, payment)) {
      // It was captured and given back, and is taken once more.
      if (payment.state === 'captured' && facts.state !== 'inquiry')
        await tellBeyond(tx, { ownerId, purchaseId, what: disputeId, money });
      return 'nothing_taken';
    }
    throw new DomainError('UNAVAILABLE', `the sale of ${purchaseId} is not posted yet`);
  }
  const row = await tx.selectFrom('disputes').select('state').where('id', '=', disputeId).executeTakeFirst();
  const before = row?.state as DisputeState | undefined;
  // An inquiry has taken nothing; one that became a dispute comes back as such.
  if (facts.state === 'inquiry') return before ?? 'inquiry';
  const postings: Posting[] = [];
  if (before === undefined || before === 'open') postings.push(...(await settle(facts.state)));
  else if (facts.state !== before && facts.state !== 'open') await tellOtherEnd(payment, facts, before);
  for (const fee of facts.fees) {
    const posting = feePosting(payment, fee);
    if (posting) postings.push(posting);
  }
  await postTransfers(tx, { ownerId, madeBy: provider }, postings);
  return before === undefined || before === 'open' ? facts.state : before;

  async function settle(state: DisputeState): Promise<Posting[]> {
    const { currency } = money;
    const claim = { kind: 'dispute', id: disputeId, amount: money.amount, state } as const;
    const by = { userId: buyerId, reason };
    const settled = settleClaim(sale!, await claimsOf(tx, purchaseId), claim, by);
    if (before === undefined) await opened();
    if (state !== 'open' && before !== state) await ended(state);
    await keepCovered(tx, settled.changed, { ownerId, purchaseId, currency });
    const why = state === 'open' ? 'its payment is disputed' : `the dispute was ${state}`;
    await followMoney(tx, await lockLicenseOf(tx, purchaseId), settled.license, { actor: disputeId, reason: why });
    return settled.postings;
  }

  async function opened(): Promise<void> {
    await tx
      .insertInto('disputes')
      .values({ id: disputeId, provider, ownerId, purchaseId, ...money, reason, state: 'open', reserved: 0 })
      .execute();
    await tell('dispute.opened');
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
    await tx
      .updateTable('disputes')
      .set({ state: how, endedAt: sql<Date>`now()` })
      .where('id', '=', disputeId)
      .execute();
    await tell(`dispute.${how}`);
    await resolveNotice(tx, `dispute_open:${disputeId}`);
  }

  async function tell(type: string): Promise<void> {
    const owners = [...new Set([ownerId, buyerId])];
    const data = { disputeId, ...money };
    await appendEvents(
      tx,
      owners.map((each) => ({ ownerId: each, type, subject: purchaseId, data })),
    );
  }

  async function tellOtherEnd(
    { ownerId: owner }: PaymentRow,
    { state }: DisputeFacts,
    was: DisputeState,
  ): Promise<void> {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId: owner,
      kind: 'dispute_differs',
      key: `dispute_differs:${disputeId}`,
      subject: purchaseId,
      title: `${disputeId} was ${was}, and ${provider} says now that it is ${state}`,
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
