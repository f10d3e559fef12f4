import { DomainError } from '../domain/errors.ts';
import { type ReceiptData, receiptSchema } from '../domain/mail-texts.ts';
import { sumOf } from '../domain/money.ts';
import type { DatabaseTransaction } from './database.ts';
import { queueMail } from './mails.ts';
import { verifiedAddress } from './users.ts';

/**
 * Mails a receipt, to be called in the transaction that completes the purchase; a purchase has one, however often it is asked for.
 * @param receipt its lines add up to its total
 * @returns false where it was queued before, or the buyer has no verified address: a purchase never fails for its receipt
 */
export async function queueReceipt(
  tx: DatabaseTransaction,
  { ownerId, buyerId, ...data }: ReceiptData & { /** Who runs the marketplace. */ ownerId: string; buyerId: string },
): Promise<boolean> {
  const receipt = receiptSchema.parse(data);
  const sum = sumOf(receipt.lines.map(({ amount }) => amount));
  if (sum !== receipt.total)
    throw new DomainError('INTERNAL', `the receipt of ${receipt.purchaseId} adds up to ${sum}, not ${receipt.total}`);
  const address = await verifiedAddress(tx, buyerId);
  if (address === undefined) return false;
  const key = `receipt:${receipt.purchaseId}`;
  return queueMail(tx, { ownerId, userId: buyerId, key, template: 'receipt', data: receipt, address });
}
