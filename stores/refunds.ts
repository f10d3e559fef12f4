import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { licenseByMoney } from '../domain/license-standing.ts';
import { refunded } from '../domain/postings.ts';
import { creditsPayment, refuseSpentLicense } from '../domain/purchases.ts';
import { leftOf, saleWith } from '../domain/sale-state.ts';
import { tellRefunded } from './claim-news.ts';
import type { DatabaseTransaction } from './database.ts';
import { lockSale, postTransfers } from './ledger.ts';
import { databaseNow, lockLicense } from './license-rows.ts';
import { lockPurchase } from './purchase-steps.ts';
import { followMoney } from './sale-claims.ts';

export interface NewRefund {
  /** Made before it, so that a repeated request means the same refund. */
  id: string;
  purchaseId: string;
  /** Minor units; undefined: all that is left of the sale. */
  amount: number | undefined;
  reason: string;
  /** Also where the license was used or passed on. */
  forced: boolean;
  requestHash: Buffer;
  /** Token that asked. */
  madeBy: string;
}

/**
 * Money back and the license with it, in one transaction. Whole (nothing is left of the sale then), the license is revoked;
 * in part it stays as it is.
 * @returns whether it was made now
 * @throws NOT_FOUND · CONFLICT where it is more than is left, the license is spent, or the id came with other content
 */
export async function refundPurchase(tx: DatabaseTransaction, input: NewRefund): Promise<boolean> {
  const { id, purchaseId, reason, forced, requestHash, madeBy } = input;
  const purchase = await lockPurchase(tx, purchaseId);
  const known = await tx.selectFrom('refunds').select('requestHash').where('id', '=', id).executeTakeFirst();
  if (known) {
    if (known.requestHash?.equals(requestHash)) return false;
    throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
  }
  const { state, payment, licenseId, booksId } = purchase;
  if (state !== 'completed' || licenseId === null)
    throw new DomainError('CONFLICT', `${purchaseId} is ${state}: only what is completed is refunded`);
  if (payment !== creditsPayment)
    throw new DomainError('CONFLICT', `${purchaseId} was paid by ${payment}, which gives the money back itself`);
  const sale = await lockSale(tx, booksId, purchaseId);
  if (!sale) throw new DomainError('INTERNAL', `${purchaseId} is completed and has no sale`);
  const left = leftOf(sale);
  const amount = input.amount ?? left;
  if (left === 0) throw new DomainError('CONFLICT', `nothing is left of ${purchaseId}: all of it was given back`);
  // Who uses it at this moment waits for the row, and finds it revoked; who has used it before is seen here.
  const license = await lockLicense(tx, licenseId, null, databaseNow);
  if (!forced) refuseSpentLicense(license);
  const posting = refunded(sale, { refundId: id, amount, reason });
  const standing = licenseByMoney(saleWith(sale, [posting]), []);
  const { currency } = purchase;
  await tellRefunded(tx, { purchaseId, refundId: id, money: { amount, currency }, reason });
  await followMoney(tx, license, standing, { actor: id, reason: `its purchase is refunded: ${reason}` });
  await tx
    .insertInto('refunds')
    .values({
      id,
      purchaseId,
      ownerId: booksId,
      amount,
      posted: amount,
      currency,
      reason,
      forced,
      state: 'done',
      requestHash,
      madeBy,
      endedAt: sql<Date>`now()`,
    })
    .execute();
  await postTransfers(tx, { ownerId: booksId, madeBy }, [posting]);
  return true;
}
