import { sql } from 'kysely';
import { type RunProgress, runProgress, type StoredStep } from '../../domain/run-progress.ts';
import type { RunState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface DroppedView {
  /** Said what an earlier reflection or another insight says. */
  duplicates: number;
  empty: number;
  withoutEvidence: number;
  /** Would have lain deeper on reflections than the fleet allows. */
  tooDeep: number;
  other: number;
  /** Single ids of evidence that named nothing that was shown. */
  evidence: number;
}

export interface RunView {
  id: string;
  agentId: string;
  sweepId: string | null;
  workflowId: string;
  /** Whether its workflow has begun; what a sweep left out never has one. */
  begun: boolean;
  attempt: number;
  trigger: 'schedule' | 'call' | 'importance';
  period: string;
  state: RunState;
  reason: string;
  wantedModelId: string;
  modelId: string;
  queue: string;
  degraded: boolean;
  machineId: string | null;
  expectedTokens: number;
  tokens: number | null;
  /** Null where the model server did not count them. */
  promptTokens: number | null;
  /** Of the attempts that brought the result. */
  modelCalls: number;
  reflections: number;
  /** Insights that were not stored, by why. */
  dropped: DroppedView;
  moves: number;
  /** What it is at; null: it has ended. */
  progress: RunProgress | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
}

function runQuery(db: Executor, ownerId: string) {
  return (
    db
      .selectFrom('runs')
      .select([
        'id',
        'agentId',
        'sweepId',
        'workflowId',
        'attempt',
        'trigger',
        'period',
        'state',
        'reason',
        'wantedModelId',
        'modelId',
        'queue',
        'degraded',
        'machineId',
        'expectedTokens',
        'tokens',
        'promptTokens',
        'modelCalls',
        'droppedDuplicates',
        'droppedEmpty',
        'droppedWithoutEvidence',
        'droppedTooDeep',
        'droppedOther',
        'droppedEvidence',
        'reflections',
        'moves',
        'createdAt',
        'startedAt',
        'endedAt',
      ])
      .select(sql<boolean>`temporal_run_id is not null`.as('begun'))
      // Of those that run alone: they are few, and results are long.
      .select(
        sql<StoredStep[] | null>`(select jsonb_agg(jsonb_build_object('step', s.step,
          'questions', case when jsonb_typeof(s.result -> 'questions') = 'array' then jsonb_array_length(s.result -> 'questions') end))
        from step_results s where s.work_id = runs.id and runs.state = 'running')`.as('steps'),
      )
      .where('ownerId', '=', ownerId)
  );
}
type RunRow = Awaited<ReturnType<ReturnType<typeof runQuery>['execute']>>[number];

function runView(row: RunRow): RunView {
  const {
    droppedDuplicates: duplicates,
    droppedEmpty: empty,
    droppedWithoutEvidence: withoutEvidence,
    droppedTooDeep: tooDeep,
    droppedOther: other,
    droppedEvidence: evidence,
    steps,
    ...rest
  } = row;
  return {
    ...rest,
    dropped: { duplicates, empty, withoutEvidence, tooDeep, other, evidence },
    state: row.state as RunState,
    progress: runProgress(row.state as RunState, steps ?? []),
    trigger: row.trigger as RunView['trigger'],
    createdAt: iso(row.createdAt),
    startedAt: iso(row.startedAt),
    endedAt: iso(row.endedAt),
  };
}

export interface RunFilter {
  agentId?: string | undefined;
  sweepId?: string | undefined;
  state?: RunState | undefined;
  machineId?: string | undefined;
}

/** The last made first. */
export async function listRuns(db: Executor, page: PageRequest & RunFilter): Promise<RunView[]> {
  let query = runQuery(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  if (page.agentId !== undefined) query = query.where('agentId', '=', page.agentId);
  if (page.sweepId !== undefined) query = query.where('sweepId', '=', page.sweepId);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  if (page.machineId !== undefined) query = query.where('machineId', '=', page.machineId);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(runView);
}

export async function findRun(db: Executor, ownerId: string, id: string): Promise<RunView | undefined> {
  const row = await runQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && runView(row);
}

/** The last attempt of a workflow id. */
export async function findRunByWorkflow(
  db: Executor,
  ownerId: string,
  workflowId: string,
): Promise<RunView | undefined> {
  const row = await runQuery(db, ownerId)
    .where('workflowId', '=', workflowId)
    .orderBy('attempt', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row && runView(row);
}

export async function openRunOf(db: Executor, ownerId: string, agentId: string): Promise<RunView | undefined> {
  const row = await runQuery(db, ownerId)
    .where('agentId', '=', agentId)
    .where('state', 'in', ['queued', 'running', 'parked'])
    .executeTakeFirst();
  return row && runView(row);
}

export interface OpenRunCounts {
  queued: number;
  running: number;
  parked: number;
  /** Degraded ones among them. */
  degraded: number;
  runningByMachine: Record<string, number>;
}

/** What a queue of a model has to do. */
export interface QueueLoadView {
  queue: string;
  modelId: string;
  waiting: number;
  running: number;
  /** Since when the run waits that waits longest; null where none does. */
  waitingSince: string | null;
}

/** Queues with open runs, those that wait longest first. */
export async function openQueues(db: Executor, ownerId: string): Promise<QueueLoadView[]> {
  const { rows } = await sql<Omit<QueueLoadView, 'waitingSince'> & { waitingSince: Date | null }>`
    select queue, model_id, count(*) filter (where state = 'queued') as waiting,
      count(*) filter (where state = 'running') as running, min(created_at) filter (where state = 'queued') as waiting_since
    from runs where owner_id = ${ownerId} and state in ('queued', 'running')
    group by queue, model_id order by waiting_since nulls last, queue`.execute(db);
  return rows.map((row) => ({ ...row, waitingSince: row.waitingSince && iso(row.waitingSince) }));
}

export async function countOpenRuns(db: Executor, ownerId: string): Promise<OpenRunCounts> {
  const rows = await db
    .selectFrom('runs')
    .select(['state', 'machineId', 'degraded', sql<number>`count(*)`.as('count')])
    .where('ownerId', '=', ownerId)
    .where('state', 'in', ['queued', 'running', 'parked'])
    .groupBy(['state', 'machineId', 'degraded'])
    .execute();
  const counts: OpenRunCounts = { queued: 0, running: 0, parked: 0, degraded: 0, runningByMachine: {} };
  for (const { state, machineId, degraded, count } of rows) {
    counts[state as 'queued' | 'running' | 'parked'] += count;
    if (degraded) counts.degraded += count;
    if (state === 'running' && machineId !== null) {
      counts.runningByMachine[machineId] = (counts.runningByMachine[machineId] ?? 0) + count;
    }
  }
  return counts;
}
