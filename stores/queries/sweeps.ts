import { sql } from 'kysely';
import { type RunState, runStates } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface SweepView {
  id: string;
  workflowId: string;
  trigger: 'schedule' | 'call';
  cadence: string | null;
  period: string;
  state: 'running' | 'done' | 'canceled';
  startedAt: string;
  endedAt: string | null;
}

export interface SweepDetail extends SweepView {
  total: number;
  counts: Record<RunState, number>;
  /** Agents whose run ended done, those of them by a smaller model, and those by machine. */
  reflected: number;
  degraded: number;
  /** Runs that changed their queue at least once. */
  moved: number;
  byMachine: Record<string, number>;
  /** Runs at work now, by machine. */
  runningByMachine: Record<string, number>;
  /** Until now while it runs. */
  seconds: number;
}

function sweepQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('sweeps')
    .select(['id', 'workflowId', 'trigger', 'cadence', 'period', 'state', 'startedAt', 'endedAt'])
    .where('ownerId', '=', ownerId);
}
type SweepRow = Awaited<ReturnType<ReturnType<typeof sweepQuery>['execute']>>[number];

function sweepView(row: SweepRow): SweepView {
  return {
    ...row,
    trigger: row.trigger as SweepView['trigger'],
    state: row.state as SweepView['state'],
    startedAt: iso(row.startedAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last started first. */
export async function listSweeps(
  db: Executor,
  page: PageRequest & { state?: SweepView['state'] | undefined },
): Promise<SweepView[]> {
  let query = sweepQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(sweepView);
}

/** By its own id or that of its workflow. */
export async function findSweep(db: Executor, ownerId: string, id: string): Promise<SweepDetail | undefined> {
  const row = await sweepQuery(db, ownerId)
    .select(sql<number>`extract(epoch from coalesce(ended_at, clock_timestamp()) - started_at)::float8`.as('seconds'))
    .where((eb) => eb.or([eb('id', '=', id), eb('workflowId', '=', id)]))
    .executeTakeFirst();
  if (!row) return undefined;
  const { seconds, ...sweep } = row;
  const runs = await db
    .selectFrom('runs')
    .select(['state', 'machineId', 'degraded', sql<number>`count(*)`.as('count')])
    .select(sql<number>`count(*) filter (where moves > 0)`.as('moved'))
    .where('sweepId', '=', row.id)
    .groupBy(['state', 'machineId', 'degraded'])
    .execute();
  const detail: SweepDetail = {
    ...sweepView(sweep),
    total: 0,
    counts: Object.fromEntries(runStates.map((state) => [state, 0])) as Record<RunState, number>,
    reflected: 0,
    degraded: 0,
    moved: 0,
    byMachine: {},
    runningByMachine: {},
    seconds: Math.round(seconds * 100) / 100,
  };
  for (const { state, machineId, degraded, count, moved } of runs) {
    detail.moved += moved;
    detail.total += count;
    detail.counts[state as RunState] += count;
    const onMachine = state === 'done' ? detail.byMachine : state === 'running' ? detail.runningByMachine : undefined;
    if (onMachine && machineId !== null) onMachine[machineId] = (onMachine[machineId] ?? 0) + count;
    if (state === 'done') detail.reflected += count;
    if (state === 'done' && degraded) detail.degraded += count;
  }
  return detail;
}

/** Workflow ids of a sweep's runs. */
export async function sweepWorkflows(db: Executor, sweepId: string): Promise<string[]> {
  const rows = await db
    .selectFrom('runs')
    .select('workflowId')
    .distinct()
    .where('sweepId', '=', sweepId)
    .where('refill', 'is not', null)
    .execute();
  return rows.map((row) => row.workflowId);
}
