import { needsActivation } from '../domain/licenses.ts';
import type { Money } from '../domain/money.ts';
import type { DatabaseTransaction } from './database.ts';
import { queueReceipt } from './receipts.ts';
import { queueWebhookEvent } from './webhook-events.ts';

export interface SoldPurchase {
  id: string;
  buyerId: string;
  sellerId: string;
  /** Who runs the marketplace. */
  booksId: string;
  listingId: string;
  licenseId: string;
  licenseKind: string;
  title: string;
  price: Money;
  /** Of the price. */
  tax: number;
  paidAt: Date;
}

/**
 * Tells of a purchase in the transaction that completes it: a receipt to who bought, `order.paid` to who sold and to who runs
 * the marketplace. Each is asked for once a purchase. The receipt comes first: it locks the buyer before endpoints are
 * locked, as the deletion of a user does.
 */
export async function tellSold(tx: DatabaseTransaction, sold: SoldPurchase): Promise<void> {
  const { id: purchaseId, buyerId, sellerId, booksId, listingId, licenseId, price, tax } = sold;
  const paidAt = sold.paidAt.toISOString();
  const { issuerId, ...terms } = await tx
    .selectFrom('licenses')
    .select(['issuerId', 'usesLimit', 'activationsLimit', 'seatsLimit'])
    .where('id', '=', licenseId)
    .executeTakeFirstOrThrow();
  await queueReceipt(tx, {
    ownerId: booksId,
    buyerId,
    purchaseId,
    licenseId,
    issuerId,
    use: terms.usesLimit !== null ? 'redeem' : needsActivation(terms) ? 'activate' : 'anywhere',
    paidAt,
    currency: price.currency,
    lines: [
      { text: `${sold.title} (${sold.licenseKind})`, amount: price.amount - tax },
      ...(tax === 0 ? [] : [{ text: 'Tax', amount: tax }]),
    ],
    total: price.amount,
  });
  const { amount, currency } = price;
  for (const told of new Set([sellerId, booksId]))
    await queueWebhookEvent(tx, told, 'order.paid', {
      purchaseId,
      listingId,
      licenseId,
      buyerId,
      amount,
      currency,
      paidAt,
    });
}
