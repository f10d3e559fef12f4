import { sql } from 'kysely';
import type { GpuClass } from '../domain/task-queues.ts';
import type { Rung } from '../domain/ladder.ts';
import { insightsStep } from '../domain/messages.ts';
import type { ReflectingAgent } from '../domain/reflections.ts';
import { endedRunStates, type RunState } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { deleteOrphanVectors } from './embeddings.ts';
import { newId } from './ids.ts';
import { askForMissedRuns } from './importance.ts';
import { isDue } from './due-memories.ts';
import { quotationSource } from './quotations.ts';
import { openNotice, resolveNotice } from './notices.ts';

/** Memories that one run reads at the most; what is left is the next period's. */
const mostMemories = 300;
/** What a reflection by hand looks at again when nothing new has come in. */
const lookBackMemories = 40;

export interface BeginRun {
  agentId: string;
  workflowId: string;
  temporalRunId: string;
  trigger: 'schedule' | 'call' | 'importance';
  period: string;
  /** Started by a sweep: its row is already there, and if that was canceled meanwhile nothing is begun. */
  bySweep?: boolean;
}

export interface OpenRun {
  runId: string;
  ownerId: string;
  agentId: string;
  wantedModelId: string;
  modelId: string;
  queue: string;
  degraded: boolean;
  fromSeq: number;
  toSeq: number;
  expectedTokens: number;
}

export type BegunRun =
  | { kind: 'open'; run: OpenRun }
  | { kind: 'ended'; runId: string; state: RunState; reason: string };

export type RunEnd = { state: 'empty' | 'failed' | 'canceled'; reason: string };

const runColumns = [
  'id',
  'ownerId',
  'agentId',
  'state',
  'reason',
  'temporalRunId',
  'wantedModelId',
  'modelId',
  'queue',
  'degraded',
  'fromSeq',
  'toSeq',
  'expectedTokens',
  'attempt',
] as const;

function parkedNoticeKey(modelId: string): string {
  return `parked_work:${modelId}`;
}

export function createRunStore(db: Database) {
  return {
    /**
     * Finds or writes the run of a workflow and pins the memories it reads. The same execution always gets the same
     * run; a new execution of a failed or canceled id gets the next attempt; a done one is answered from its row.
     */
    async begin(input: BeginRun, queueOf: (modelId: string) => string | undefined): Promise<BegunRun> {
      return db.transaction().execute(async (tx) => {
        const agent = await tx
          .selectFrom('agents')
          .selectAll()
          .where('id', '=', input.agentId)
          .forUpdate()
          .executeTakeFirst();
        if (!agent) return { kind: 'ended', runId: '', state: 'failed', reason: `no agent ${input.agentId}` };
        const last = await tx
          .selectFrom('runs')
          .select(runColumns)
          .where('workflowId', '=', input.workflowId)
          .orderBy('attempt', 'desc')
          .limit(1)
          .forUpdate()
          .executeTakeFirst();
        const ended = last !== undefined && (endedRunStates as readonly string[]).includes(last.state);
        if (
          last &&
          ended &&
          (last.temporalRunId === input.temporalRunId ||
            (input.bySweep && last.temporalRunId === null) ||
            last.state === 'done' ||
            last.state === 'empty')
        ) {
          return { kind: 'ended', runId: last.id, state: last.state as RunState, reason: last.reason };
        }
        if (last && !ended && last.toSeq !== null) {
          if (last.temporalRunId !== input.temporalRunId) {
            await tx
              .updateTable('runs')
              .set({ temporalRunId: input.temporalRunId })
              .where('id', '=', last.id)
              .execute();
          }
          return { kind: 'open', run: { ...last, runId: last.id, fromSeq: last.fromSeq!, toSeq: last.toSeq } };
        }

        const queue = queueOf(agent.modelId);
        const nothingNew = agent.livedSeq <= agent.reflectedToSeq;
        const fromSeq = nothingNew ? await lookBackFrom(tx, agent.id) : agent.reflectedToSeq;
        const fields = {
          temporalRunId: input.temporalRunId,
          wantedModelId: agent.modelId,
          modelId: agent.modelId,
          queue: queue ?? '',
          expectedTokens: agent.expectedTokens,
          importanceSum: agent.importanceSum,
          fromSeq,
          toSeq: (await seqOfLived(tx, agent.id, fromSeq, mostMemories)) ?? agent.memorySeq,
        };
        const nothing = agent.livedSeq === 0 || (nothingNew && input.trigger !== 'call');
        const refusal =
          refuse(agent, queue, nothing) ?? (input.trigger === 'importance' ? refuseUnmoved(agent) : undefined);
        const end = refusal && { ...refusal, endedAt: sql<Date>`now()` };
        if (last && !ended) {
          await tx
            .updateTable('runs')
            .set({ ...fields, ...end })
            .where('id', '=', last.id)
            .execute();
          return refusal
            ? { kind: 'ended', runId: last.id, ...refusal }
            : { kind: 'open', run: { ...last, ...fields, runId: last.id, degraded: false } };
        }
        const open = await tx
          .selectFrom('runs')
          .select(['id', 'state', 'reason'])
          .where('agentId', '=', input.agentId)
          .where('state', 'in', ['queued', 'running', 'parked'])
          .executeTakeFirst();
        if (open)
          return {
            kind: 'ended',
            runId: open.id,
            state: 'canceled',
            reason: `${open.id} of this agent is still ${open.state}`,
          };
        const runId = newId('run');
        await tx
          .insertInto('runs')
          .values({
            id: runId,
            ownerId: agent.ownerId,
            agentId: agent.id,
            workflowId: input.workflowId,
            attempt: (last?.attempt ?? 0) + 1,
            trigger: input.trigger,
            period: input.period,
            ...fields,
            ...end,
          })
          .execute();
        return refusal
          ? { kind: 'ended', runId, ...refusal }
          : { kind: 'open', run: { ...fields, runId, ownerId: agent.ownerId, agentId: agent.id, degraded: false } };
      });
    },

    /** What an inference attempt needs to know of its run; undefined once the run has ended. */
    async openRun(runId: string): Promise<OpenRun | undefined> {
      const row = await db
        .selectFrom('runs')
        .select(runColumns)
        .where('id', '=', runId)
        .where('state', 'in', ['queued', 'running', 'parked'])
        .executeTakeFirst();
      return row && row.toSeq !== null && row.fromSeq !== null
        ? { ...row, runId, fromSeq: row.fromSeq, toSeq: row.toSeq }
        : undefined;
    },

    /** The agent of a run as a prompt shows it. */
    async reflectingAgent(agentId: string): Promise<ReflectingAgent> {
      return db
        .selectFrom('agents')
        .select(['name', 'persona', 'traits'])
        .where('id', '=', agentId)
        .executeTakeFirstOrThrow();
    },

    /** An attempt has its permit and works: on which machine shows, and each attempt leaves an event. */
    async working(runId: string, machineId: string, attempt: number): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('runs')
          .set({ state: 'running', machineId, startedAt: sql<Date>`coalesce(started_at, now())` })
          .where('id', '=', runId)
          .where('state', 'in', ['queued', 'running'])
          .returning(['ownerId', 'agentId', 'modelId'])
          .executeTakeFirst();
        if (!row) return;
        const { ownerId, ...of } = row;
        await appendEvents(tx, [{ ownerId, type: 'run.working', subject: runId, data: { ...of, machineId, attempt } }]);
      });
    },

    /** Puts the run on a rung of the ladder, also when it comes back from being parked. */
    async moveTo(runId: string, rung: Rung): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const before = await tx
          .selectFrom('runs')
          .select(['ownerId', 'state', 'queue', 'degraded', 'wantedModelId'])
          .where('id', '=', runId)
          .forUpdate()
          .executeTakeFirst();
        if (!before || !['queued', 'running', 'parked'].includes(before.state)) return;
        const moved = before.queue !== rung.queue;
        await tx
          .updateTable('runs')
          .set({
            state: 'queued',
            reason: rung.degraded ? `${before.wantedModelId} is on no living machine; ${rung.modelId} stands in` : '',
            modelId: rung.modelId,
            queue: rung.queue,
            degraded: rung.degraded,
            ...(moved ? { moves: sql<number>`moves + 1` } : {}),
          })
          .where('id', '=', runId)
          .execute();
        if (moved)
          await appendEvents(tx, [
            {
              ownerId: before.ownerId,
              type: 'run.moved',
              subject: runId,
              data: { queue: rung.queue, degraded: rung.degraded },
            },
          ]);
        if (before.state === 'parked') await settleParkedNotice(tx, before.wantedModelId);
      });
    },

    /** @returns whether this call has parked it */
    async park(runId: string, reason: string): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('runs')
          .set({ state: 'parked', reason, parkedAt: sql<Date>`now()` })
          .where('id', '=', runId)
          .where('state', 'in', ['queued', 'running'])
          .returning(['ownerId', 'wantedModelId'])
          .executeTakeFirst();
        if (!row) return false;
        await openNotice(tx, {
          id: newId('notice'),
          ownerId: row.ownerId,
          kind: 'parked_work',
          key: parkedNoticeKey(row.wantedModelId),
          subject: row.wantedModelId,
          title: `Runs wait for ${row.wantedModelId}`,
          detail: reason,
          action: 'soulfra fleet show',
        });
        await appendEvents(tx, [{ ownerId: row.ownerId, type: 'run.parked', subject: runId, data: { reason } }]);
        return true;
      });
    },

    /**
     * Ends a run that stores no reflections; a run that has ended already stays as it is.
     * @returns the run, where this call has ended it
     */
    async end(runId: string, { state, reason }: RunEnd): Promise<{ degraded: boolean } | undefined> {
      return db.transaction().execute(async (tx) => {
        await lockAgentOf(tx, runId);
        const ended = await endRun(tx, runId, state, reason);
        if (ended) await askForMissedRuns(tx, [runId]);
        return ended;
      });
    },

    /**
     * Ends a run whose workflow did not start or closed without ending it, as one terminated by hand does. A run that
     * another execution has begun stays as it is.
     */
    async settle(workflowId: string, temporalRunId: string | null, { state, reason }: RunEnd): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const open = tx
          .selectFrom('runs')
          .select(['id', 'temporalRunId'])
          .where('workflowId', '=', workflowId)
          .where('state', 'in', ['queued', 'running', 'parked']);
        const found = await open.executeTakeFirst();
        if (!found) return;
        await lockAgentOf(tx, found.id);
        const row = await open.where('id', '=', found.id).forUpdate().executeTakeFirst();
        if (!row || (row.temporalRunId !== null && row.temporalRunId !== temporalRunId)) return;
        if (await endRun(tx, row.id, state, reason)) await askForMissedRuns(tx, [row.id]);
      });
    },

    /** What the ladder asks of an agent. */
    async ladderAgent(agentId: string): Promise<{ mayDegrade: boolean; leastClass: GpuClass } | undefined> {
      const row = await db
        .selectFrom('agents')
        .select(['mayDegrade', 'leastClass'])
        .where('id', '=', agentId)
        .executeTakeFirst();
      return row && { mayDegrade: row.mayDegrade, leastClass: row.leastClass as GpuClass };
    },

    /** Workflow ids of parked runs, longest waiting first: whoever changes the plan tells them to look again. */
    async parked(limit: number): Promise<string[]> {
      const rows = await db
        .selectFrom('runs')
        .select('workflowId')
        .where('state', '=', 'parked')
        .orderBy('createdAt')
        .limit(limit)
        .execute();
      return rows.map((row) => row.workflowId);
    },
  };
}
export type RunStore = ReturnType<typeof createRunStore>;

/** What a run that came to its end took. */
export interface RunTook {
  reflections: number;
  tokens: number;
  promptTokens: number | null;
  modelCalls: number;
  machineId: string;
  droppedDuplicates: number;
  droppedEmpty: number;
  droppedWithoutEvidence: number;
  droppedTooDeep: number;
  droppedOther: number;
  droppedEvidence: number;
}

/** Ends an open run in the caller's transaction. Texts in the results of its steps go: what came of them stands in its reflections. */
export async function endRun(
  tx: Executor,
  runId: string,
  state: RunState,
  reason: string,
  more: Partial<RunTook> = {},
): Promise<{ degraded: boolean } | undefined> {
  const row = await tx
    .updateTable('runs')
    .set({ state, reason, endedAt: sql<Date>`now()`, ...more })
    .where('id', '=', runId)
    .where('state', 'in', ['queued', 'running', 'parked'])
    .returning(['ownerId', 'agentId', 'wantedModelId', 'degraded'])
    .executeTakeFirst();
  if (!row) return undefined;
  await clearSteps(tx, runId, row.ownerId);
  await appendEvents(tx, [
    {
      ownerId: row.ownerId,
      type: `run.${state}`,
      subject: runId,
      data: { agentId: row.agentId, reason, degraded: row.degraded, reflections: more.reflections ?? 0 },
    },
  ]);
  await settleParkedNotice(tx, row.wantedModelId);
  return { degraded: row.degraded };
}

/** Asked for by importance, and meanwhile another run took its part off, or somebody paused the agent. */
function refuseUnmoved(agent: {
  id: string;
  paused: boolean;
  importanceSum: number;
  importanceThreshold: number;
}): RunEnd | undefined {
  if (agent.paused) return { state: 'canceled', reason: `${agent.id} is paused` };
  if (agent.importanceThreshold === 0 || agent.importanceSum < agent.importanceThreshold)
    return { state: 'empty', reason: 'another run has reflected on what asked for this one' };
  return undefined;
}

/** An agent's row is locked before its run, as everywhere. @returns whether there is such a run */
export async function lockAgentOf(tx: Executor, runId: string): Promise<boolean> {
  const run = await tx.selectFrom('runs').select('agentId').where('id', '=', runId).executeTakeFirst();
  if (!run) return false;
  await tx.selectFrom('agents').select('id').where('id', '=', run.agentId).forUpdate().executeTakeFirstOrThrow();
  return true;
}

/** seq of the `n`-th memory lived after `fromSeq`; undefined where there are fewer. */
async function seqOfLived(tx: Executor, agentId: string, fromSeq: number, n: number): Promise<number | undefined> {
  const row = await tx
    .selectFrom('memories')
    .select('seq')
    .where('agentId', '=', agentId)
    .where('seq', '>', fromSeq)
    .where(isDue(fromSeq))
    .orderBy('seq')
    .offset(n - 1)
    .limit(1)
    .executeTakeFirst();
  return row?.seq;
}

/** Before the last lived memories. */
async function lookBackFrom(tx: Executor, agentId: string): Promise<number> {
  const row = await tx
    .selectFrom('memories')
    .select('seq')
    .where('agentId', '=', agentId)
    .where('kind', '<>', 'reflection')
    .where('source', '<>', quotationSource)
    .orderBy('seq', 'desc')
    .offset(lookBackMemories)
    .limit(1)
    .executeTakeFirst();
  return row?.seq ?? 0;
}

/** Takes the texts out of the results of a run's steps, and the vectors of insights that were compared and not stored. */
async function clearSteps(tx: Executor, runId: string, ownerId: string): Promise<void> {
  const { rows } = await sql<{ hash: Buffer }>`
    select sha256(convert_to(insight->>'text', 'UTF8')) as hash
    from step_results s, jsonb_array_elements(s.result->'insights') insight
    where s.work_id = ${runId} and s.step = ${insightsStep}`.execute(tx);
  await deleteOrphanVectors(
    tx,
    ownerId,
    rows.map(({ hash }) => hash),
  );
  await sql`update step_results set result = jsonb_build_object('tokens', coalesce(result->'tokens', '0'))
    where work_id = ${runId}`.execute(tx);
}

/** The notice of parked work goes when the last run that waits for the model does. */
async function settleParkedNotice(tx: Executor, modelId: string): Promise<void> {
  const parked = await tx
    .selectFrom('runs')
    .select('id')
    .where('state', '=', 'parked')
    .where('wantedModelId', '=', modelId)
    .limit(1)
    .executeTakeFirst();
  if (!parked) await resolveNotice(tx, parkedNoticeKey(modelId));
}

function refuse(
  agent: { state: string; id: string; modelId: string },
  queue: string | undefined,
  nothing: boolean,
): RunEnd | undefined {
  if (agent.state === 'retired') return { state: 'canceled', reason: `${agent.id} is retired` };
  if (queue === undefined) return { state: 'failed', reason: `fleet.yaml names no model ${agent.modelId}` };
  if (nothing) return { state: 'empty', reason: 'no new memories' };
  return undefined;
}
