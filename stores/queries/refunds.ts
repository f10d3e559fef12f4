import { sql } from 'kysely';
import type { RefundState } from '../../domain/payments.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface RefundView {
  id: string;
  purchaseId: string;
  payment: string;
  amount: number;
  currency: string;
  state: RefundState;
  posted: number;
  revokedLicense: boolean;
  forced: boolean;
  reason: string;
  failure: string;
  madeAt: string;
  endedAt: string | null;
}

/** Of purchases that one made, sold, or whose books one keeps. */
function refundQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('refunds as r')
    .innerJoin('purchases as p', 'p.id', 'r.purchaseId')
    .select(['r.id', 'r.purchaseId', 'p.payment', 'r.amount', 'r.currency', 'r.state', 'r.posted', 'r.forced'])
    .select(['r.reason', 'r.failure', 'r.madeAt', 'r.endedAt'])
    .select(
      sql<boolean>`exists (select from license_events e
        where e.license_id = p.license_id and e.change = 'revoked' and e.actor = r.id)`.as('revokedLicense'),
    )
    .where((eb) =>
      eb.or([eb('p.ownerId', '=', ownerId), eb('p.sellerId', '=', ownerId), eb('p.booksId', '=', ownerId)]),
    );
}
type Row = Awaited<ReturnType<ReturnType<typeof refundQuery>['execute']>>[number];

function refundView(row: Row): RefundView {
  return { ...row, state: row.state as RefundState, madeAt: iso(row.madeAt), endedAt: iso(row.endedAt) };
}

/** By credits and through providers, the last first; `after` is an id. Ids are made of the caller's keys, and say nothing of time. */
export async function listRefunds(
  db: Executor,
  page: PageRequest & { purchaseId?: string | undefined; state?: RefundState | undefined },
): Promise<RefundView[]> {
  let query = refundQuery(db, page.ownerId);
  if (page.after !== undefined)
    query = query.where(sql<boolean>`(r.made_at, r.id) < (select made_at, id from refunds where id = ${page.after})`);
  if (page.purchaseId !== undefined) query = query.where('r.purchaseId', '=', page.purchaseId);
  if (page.state !== undefined) query = query.where('r.state', '=', page.state);
  return (await query.orderBy('r.madeAt', 'desc').orderBy('r.id', 'desc').limit(page.limit).execute()).map(refundView);
}

export async function findRefund(db: Executor, ownerId: string, id: string): Promise<RefundView | undefined> {
  const row = await refundQuery(db, ownerId).where('r.id', '=', id).executeTakeFirst();
  return row && refundView(row);
}
