import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface RefundView {
  id: string;
  purchaseId: string;
  amount: number;
  currency: string;
  reason: string;
  forced: boolean;
  whole: boolean;
  at: string;
}

function refundQuery(db: Executor, purchaseId: string) {
  return db
    .selectFrom('purchaseRefunds')
    .innerJoin('purchases', 'purchases.id', 'purchaseRefunds.purchaseId')
    .select(['purchaseRefunds.id', 'purchaseRefunds.purchaseId', 'purchaseRefunds.amount', 'purchases.currency'])
    .select(['purchaseRefunds.reason', 'purchaseRefunds.forced', 'purchaseRefunds.whole', 'purchaseRefunds.at'])
    .where('purchaseRefunds.purchaseId', '=', purchaseId);
}

/** Of a purchase that the caller has been found to see; the last first, `after` is an id. */
export async function listRefunds(
  db: Executor,
  { purchaseId, after, limit }: Omit<PageRequest, 'ownerId'> & { purchaseId: string },
): Promise<RefundView[]> {
  let query = refundQuery(db, purchaseId);
  if (after !== undefined) query = query.where('purchaseRefunds.id', '<', after);
  const rows = await query.orderBy('purchaseRefunds.id', 'desc').limit(limit).execute();
  return rows.map((row) => ({ ...row, at: iso(row.at) }));
}

export async function findRefund(db: Executor, purchaseId: string, id: string): Promise<RefundView | undefined> {
  const row = await refundQuery(db, purchaseId).where('purchaseRefunds.id', '=', id).executeTakeFirst();
  return row && { ...row, at: iso(row.at) };
}
