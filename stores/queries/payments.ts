import type { DisputeState, PayoutState, RefundState } from '../../domain/payments.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface RefundView {
  id: string;
  purchaseId: string;
  amount: number;
  currency: string;
  state: RefundState;
  posted: number;
  reason: string;
  failure: string;
  madeAt: string;
  endedAt: string | null;
}

/** Refunds through providers: who runs the marketplace sees all of their books, a buyer their own; the last first. */
export async function listRefunds(
  db: Executor,
  {
    ownerId,
    after,
    limit,
    purchaseId,
    state,
  }: PageRequest & { purchaseId?: string | undefined; state?: RefundState | undefined },
): Promise<RefundView[]> {
  let query = db
    .selectFrom('providerRefunds as r')
    .innerJoin('payments as p', 'p.purchaseId', 'r.purchaseId')
    .select([
      'r.id',
      'r.purchaseId',
      'r.amount',
      'r.currency',
      'r.state',
      'r.posted',
      'r.reason',
      'r.failure',
      'r.madeAt',
      'r.endedAt',
    ])
    .where((eb) => eb.or([eb('r.ownerId', '=', ownerId), eb('p.buyerId', '=', ownerId)]));
  if (after !== undefined) query = query.where('r.id', '<', after);
  if (purchaseId !== undefined) query = query.where('r.purchaseId', '=', purchaseId);
  if (state !== undefined) query = query.where('r.state', '=', state);
  const rows = await query.orderBy('r.id', 'desc').limit(limit).execute();
  return rows.map((row) => ({
    ...row,
    state: row.state as RefundState,
    madeAt: iso(row.madeAt),
    endedAt: iso(row.endedAt),
  }));
}

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

/** Of one's own books, by id downwards. */
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
    .selectFrom('disputes')
    .select([
      'id',
      'purchaseId',
      'provider',
      'amount',
      'currency',
      'reserved',
      'reason',
      'state',
      'openedAt',
      'endedAt',
    ])
    .where('ownerId', '=', ownerId);
  if (after !== undefined) query = query.where('id', '<', after);
  if (purchaseId !== undefined) query = query.where('purchaseId', '=', purchaseId);
  if (state !== undefined) query = query.where('state', '=', state);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
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
