import type { DisputeState, PayoutState } from '../../domain/payments.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface DisputeView {
  id: string;
  purchaseId: string;
  provider: string;
  amount: number;
  currency: string;
  reserved: number;
  reason: string;
  state: DisputeState;
  openedAt: string;
  endedAt: string | null;
}

/** Of purchases that one made, sold, or whose books one keeps; by id downwards. */
export async function listDisputes(
  db: Executor,
  {
    ownerId,
    after,
    limit,
    purchaseId,
    state,
  }: PageRequest & { purchaseId?: string | undefined; state?: DisputeState | undefined },
): Promise<DisputeView[]> {
  let query = db
    .selectFrom('disputes as d')
    .innerJoin('purchases as p', 'p.id', 'd.purchaseId')
    .select(['d.id', 'd.purchaseId', 'd.provider', 'd.amount', 'd.currency', 'd.reserved', 'd.reason', 'd.state'])
    .select(['d.openedAt', 'd.endedAt'])
    .where((eb) =>
      eb.or([eb('p.ownerId', '=', ownerId), eb('p.sellerId', '=', ownerId), eb('p.booksId', '=', ownerId)]),
    );
  if (after !== undefined) query = query.where('d.id', '<', after);
  if (purchaseId !== undefined) query = query.where('d.purchaseId', '=', purchaseId);
  if (state !== undefined) query = query.where('d.state', '=', state);
  const rows = await query.orderBy('d.id', 'desc').limit(limit).execute();
  return rows.map((row) => ({
    ...row,
    state: row.state as DisputeState,
    openedAt: iso(row.openedAt),
    endedAt: iso(row.endedAt),
  }));
}

export interface PayoutView {
  id: string;
  userId: string;
  provider: string;
  amount: number;
  currency: string;
  state: PayoutState;
  reference: string | null;
  reason: string;
  startedAt: string;
  endedAt: string | null;
}

/** Who runs the marketplace sees all of their books, a creator their own; the last first. */
export async function listPayouts(
  db: Executor,
  {
    ownerId,
    after,
    limit,
    userId,
    state,
  }: PageRequest & { userId?: string | undefined; state?: PayoutState | undefined },
): Promise<PayoutView[]> {
  let query = db
    .selectFrom('payouts')
    .select(['id', 'userId', 'provider', 'amount', 'currency', 'state', 'reference', 'reason', 'startedAt', 'endedAt'])
    .where((eb) => eb.or([eb('ownerId', '=', ownerId), eb('userId', '=', ownerId)]));
  if (after !== undefined) query = query.where('id', '<', after);
  if (userId !== undefined) query = query.where('userId', '=', userId);
  if (state !== undefined) query = query.where('state', '=', state);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map((row) => ({
    ...row,
    state: row.state as PayoutState,
    startedAt: iso(row.startedAt),
    endedAt: iso(row.endedAt),
  }));
}
