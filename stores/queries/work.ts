import { sql } from 'kysely';
import type { WorkOutcome, WorkState } from '../../domain/states.ts';
import type { WorkJoin } from '../../domain/work.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface WorkView {
  id: string;
  service: string;
  queue: string;
  joins: WorkJoin;
  submittedBy: string | null;
  state: WorkState;
  reason: string;
  priority: number;
  attempt: number;
  attempts: number;
  leaseSeconds: number;
  deadline: string;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

export interface WorkDetail extends WorkView {
  input: unknown;
  result: unknown;
  claims: Array<{
    attempt: number;
    claimedAt: string;
    beatAt: string;
    outcome: WorkOutcome | null;
    reason: string;
    endedAt: string | null;
  }>;
}

const columns = [
  'id',
  'serviceId as service',
  'queue',
  'joins',
  'submittedBy',
  'state',
  'reason',
  'priority',
  'attempt',
  'attempts',
  'leaseSeconds',
  'deadline',
  'createdAt',
  'startedAt',
  'endedAt',
] as const;

interface Row extends Omit<WorkView, 'joins' | 'state' | 'deadline' | 'createdAt' | 'startedAt' | 'endedAt'> {
  joins: string;
  state: string;
  deadline: Date;
  createdAt: Date;
  startedAt: Date | null;
  endedAt: Date | null;
}

function viewOf<Of extends Row>(row: Of) {
  return {
    ...row,
    joins: row.joins as WorkJoin,
    state: row.state as WorkState,
    deadline: iso(row.deadline),
    createdAt: iso(row.createdAt),
    startedAt: iso(row.startedAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last submitted first, without inputs and results. */
export async function listWork(
  db: Executor,
  {
    ownerId,
    after,
    limit,
    service,
    state,
  }: PageRequest & { service?: string | undefined; state?: WorkState | undefined },
): Promise<WorkView[]> {
  let query = db.selectFrom('works').select(columns).where('ownerId', '=', ownerId);
  if (service !== undefined) query = query.where('serviceId', '=', service);
  if (state !== undefined) query = query.where('state', '=', state);
  if (after !== undefined)
    query = query.where(
      sql<boolean>`(created_at, id) < (select w.created_at, w.id from works w where w.id = ${after} and w.owner_id = ${ownerId})`,
    );
  return (await query.orderBy('createdAt', 'desc').orderBy('id', 'desc').limit(limit).execute()).map(viewOf);
}

/** @param asService the service that asks: it sees what is for it, and what it has submitted */
export async function findWork(
  db: Executor,
  ownerId: string,
  id: string,
  asService?: string,
): Promise<WorkDetail | undefined> {
  let query = db
    .selectFrom('works')
    .select([...columns, 'input', 'result'])
    .where('ownerId', '=', ownerId)
    .where('id', '=', id);
  if (asService !== undefined)
    query = query.where((eb) => eb.or([eb('serviceId', '=', asService), eb('submittedBy', '=', asService)]));
  const row = await query.executeTakeFirst();
  if (!row) return undefined;
  const claims = await db
    .selectFrom('workAttempts')
    .select(['attempt', 'claimedAt', 'beatAt', 'outcome', 'reason', 'endedAt'])
    .where('workId', '=', id)
    .orderBy(sql`attempt`)
    .execute();
  return {
    ...viewOf(row),
    claims: claims.map((claim) => ({
      ...claim,
      outcome: claim.outcome as WorkOutcome | null,
      claimedAt: iso(claim.claimedAt),
      beatAt: iso(claim.beatAt),
      endedAt: iso(claim.endedAt),
    })),
  };
}
