import { sql } from 'kysely';
import type { DisputeNotice, RefundNotice } from '../domain/mail-texts.ts';
import type { Money } from '../domain/money.ts';
import type { DisputeState } from '../domain/payments.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { type NewMail, queueMail } from './mails.ts';
import { verifiedAddress } from './users.ts';
import { queueWebhookEvent } from './webhook-events.ts';

/*
 * What goes back out of a sale is told in the transaction that books it: by event to who bought, who sold and who runs the
 * marketplace, by webhook to the latter two, by mail to who sold; each once. To be called when the license is locked and before it
 * is changed: the seller is locked before endpoints are, as the deletion of a user does.
 */

interface Refunded {
  purchaseId: string;
  refundId: string;
  money: Money;
  reason: string;
}

/** Money has gone back to the buyer, by whomever. */
export async function tellRefunded(
  tx: DatabaseTransaction,
  { purchaseId, refundId, money, reason }: Refunded,
): Promise<void> {
  const sold = await soldAs(tx, purchaseId);
  const { buyerId, title, now } = sold;
  await tellAll(tx, sold, 'purchase.refunded', { refundId, ...money, reason });
  const data: RefundNotice = { purchaseId, title, ...money, refundId, reason };
  await mailSeller(tx, sold, { key: `refund:${refundId}`, template: 'refund_notice', data });
  for (const told of new Set([sold.sellerId, sold.booksId]))
    await queueWebhookEvent(tx, told, 'order.refunded', { purchaseId, refundId, buyerId, ...money, refundedAt: now });
}

/** A provider did not make a refund: who sold may have asked for it. */
export async function tellRefundFailed(
  tx: DatabaseTransaction,
  { purchaseId, refundId, failure }: { purchaseId: string; refundId: string; failure: string },
): Promise<void> {
  const { sellerId, booksId } = await soldAs(tx, purchaseId);
  await appendEvents(tx, eventsFor([sellerId, booksId], purchaseId, 'purchase.refund_failed', { refundId, failure }));
}

interface Disputed {
  purchaseId: string;
  disputeId: string;
  state: DisputeState;
  money: Money;
  reason: string;
}

/** A dispute is open, or has ended. */
export async function tellDisputed(
  tx: DatabaseTransaction,
  { purchaseId, disputeId, state, money: { amount, currency }, reason }: Disputed,
): Promise<void> {
  const sold = await soldAs(tx, purchaseId);
  const { buyerId, title, now } = sold;
  const of = { disputeId, amount, currency };
  const type = `dispute.${state === 'open' ? 'opened' : state}`;
  // Of a purchase that came to nothing its seller has got nothing, and loses nothing.
  if (!sold.isSold) return appendEvents(tx, eventsFor([buyerId, sold.booksId], purchaseId, type, { ...of, reason }));
  await tellAll(tx, sold, type, { ...of, reason });
  const data: DisputeNotice = { purchaseId, title, ...of, state };
  await mailSeller(tx, sold, { key: `dispute:${disputeId}:${state}`, template: 'dispute_notice', data });
  for (const told of new Set([sold.sellerId, sold.booksId]))
    await queueWebhookEvent(tx, told, 'order.disputed', { purchaseId, ...of, buyerId, state, changedAt: now });
}

interface Sold {
  purchaseId: string;
  buyerId: string;
  sellerId: string;
  /** Who runs the marketplace. */
  booksId: string;
  title: string;
  isSold: boolean;
  /** ISO. */
  now: string;
}

async function soldAs(tx: DatabaseTransaction, purchaseId: string): Promise<Sold> {
  const { now, state, ...row } = await tx
    .selectFrom('purchases')
    .select(['ownerId as buyerId', 'sellerId', 'booksId', 'title', 'state', sql<Date>`now()`.as('now')])
    .where('id', '=', purchaseId)
    .executeTakeFirstOrThrow();
  return { ...row, purchaseId, isSold: state === 'completed', now: now.toISOString() };
}

function eventsFor(owners: readonly string[], subject: string, type: string, data: Record<string, unknown>) {
  return [...new Set(owners)].map((ownerId) => ({ ownerId, type, subject, data }));
}

async function tellAll(
  tx: DatabaseTransaction,
  { purchaseId, buyerId, sellerId, booksId }: Sold,
  type: string,
  data: Record<string, unknown>,
): Promise<void> {
  await appendEvents(tx, eventsFor([buyerId, sellerId, booksId], purchaseId, type, data));
}

/** Who has no verified address is told by the event alone. */
async function mailSeller(
  tx: DatabaseTransaction,
  { sellerId: userId, booksId: ownerId }: Sold,
  mail: Pick<NewMail, 'key' | 'template'> & { data: RefundNotice | DisputeNotice },
): Promise<void> {
  const address = await verifiedAddress(tx, userId);
  if (address !== undefined) await queueMail(tx, { ...mail, ownerId, userId, address });
}
