import { sql } from 'kysely';
import { reflectWorkflowId } from '../domain/ids.ts';
import { type QueueLoad, roomByQueue, skipReason } from '../domain/sweeps.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { askForFirstGlobe } from './globe.ts';
import { newId } from './ids.ts';
import { askForMissedRuns } from './importance.ts';
import { takeLock } from './locks.ts';

export interface NewSweep {
  workflowId: string;
  trigger: 'schedule' | 'call';
  /** Only agents of this cadence; null for all of them. */
  cadence: string | null;
  period: string;
}

export interface StartedRun {
  agentId: string;
  workflowId: string;
}

export interface Refill {
  start: StartedRun[];
  /** Runs of the sweep that no refill has taken yet. */
  waiting: number;
  /** Runs of the sweep that were started and neither ended nor parked. */
  open: number;
}

export function createSweepStore(db: Database) {
  return {
    /**
     * Writes the sweep and one queued run for each agent it covers, once: the rows are the sweep's state from here on.
     * An agent whose last run is still open gets a canceled run that says so; one without new memories an empty one,
     * unless it was called for by hand.
     */
    async begin(sweep: NewSweep, queues: ReadonlyMap<string, string>): Promise<{ sweepId: string }> {
      return db.transaction().execute(async (tx) => {
        const known = await tx
          .selectFrom('sweeps')
          .select('id')
          .where('workflowId', '=', sweep.workflowId)
          .executeTakeFirst();
        if (known) return { sweepId: known.id };
        const owner = await tx
          .selectFrom('fleetVersions')
          .select('ownerId')
          .orderBy('version', 'desc')
          .limit(1)
          .executeTakeFirstOrThrow();
        const sweepId = newId('sweep');
        await tx
          .insertInto('sweeps')
          .values({ id: sweepId, ownerId: owner.ownerId, ...sweep })
          .execute();
        await insertRuns(tx, sweepId, sweep, queues);
        await appendEvents(tx, [
          {
            ownerId: owner.ownerId,
            type: 'sweep.started',
            subject: sweepId,
            data: { trigger: sweep.trigger, cadence: sweep.cadence },
          },
        ]);
        return { sweepId };
      });
    },

    /**
     * Takes the longest expected runs into each queue's window. The refill's number makes a second execution answer
     * with the same runs. `retake`: the sweep before was lost, and with it the starts of what its refills had taken.
     */
    async refill(input: {
      sweepId: string;
      refill: number;
      slots: ReadonlyMap<string, number>;
      windowOverSlots: number;
      childLimit: number;
      retake?: boolean;
    }): Promise<Refill> {
      const { sweepId, refill, retake = false } = input;
      return db.transaction().execute(async (tx) => {
        // Sweeps of several cadences share the queues' windows, so they look one after the other.
        await takeLock(tx, 'sweep');
        if (retake)
          await sql`update runs set refill = null where sweep_id = ${sweepId} and state = 'queued' and temporal_run_id is null
            and refill < ${refill}`.execute(tx);
        const again = await tx
          .selectFrom('runs')
          .select(['agentId', 'workflowId'])
          .where('sweepId', '=', sweepId)
          .where('refill', '=', refill)
          .execute();
        const start = again.length > 0 ? again : await takeLongest(tx, input);
        const counts = await tx
          .selectFrom('runs')
          .select([
            sql<number>`count(*) filter (where state = 'queued' and refill is null)`.as('waiting'),
            sql<number>`count(*) filter (where state in ('queued', 'running') and refill is not null)`.as('open'),
          ])
          .where('sweepId', '=', sweepId)
          .executeTakeFirstOrThrow();
        return { start, waiting: counts.waiting, open: counts.open };
      });
    },

    /**
     * Ends the sweep; what has not begun is canceled with the reason, also what a refill has taken: canceled between that
     * and the start of its workflow, it would stay open and keep its agent from every later run.
     */
    async end(sweepId: string, state: 'done' | 'canceled', reason: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('sweeps')
          .set({ state, endedAt: sql<Date>`now()` })
          .where('id', '=', sweepId)
          .where('state', '=', 'running')
          .returning('ownerId')
          .executeTakeFirst();
        if (!row) return;
        const unbegun = sql`sweep_id = ${sweepId} and state = 'queued' and temporal_run_id is null`;
        await sql`select id from agents where id in (select agent_id from runs where ${unbegun}) order by id for update`.execute(
          tx,
        );
        const { rows } = await sql<{ id: string }>`
          update runs set state = 'canceled', reason = ${reason}, ended_at = now() where ${unbegun} returning id`.execute(
          tx,
        );
        await askForMissedRuns(
          tx,
          rows.map(({ id }) => id),
        );
        await appendEvents(tx, [{ ownerId: row.ownerId, type: `sweep.${state}`, subject: sweepId }]);
        if (state === 'done') await askForFirstGlobe(tx, row.ownerId);
      });
    },
  };
}
export type SweepStore = ReturnType<typeof createSweepStore>;

async function insertRuns(
  tx: Executor,
  sweepId: string,
  sweep: NewSweep,
  queues: ReadonlyMap<string, string>,
): Promise<void> {
  const agents = await tx
    .selectFrom('agents')
    .leftJoin('runs as open', (join) =>
      join.onRef('open.agentId', '=', 'agents.id').on('open.state', 'in', ['queued', 'running', 'parked']),
    )
    .select([
      'agents.id',
      'agents.ownerId',
      'agents.modelId',
      'agents.expectedTokens',
      'agents.livedSeq',
      'agents.importanceSum',
      'agents.reflectedToSeq',
    ])
    .select(['open.id as openRunId', 'open.state as openState', 'open.reason as openReason'])
    .where('agents.state', '=', 'active')
    .where('agents.paused', '=', false)
    .$if(sweep.cadence !== null, (query) => query.where('agents.cadence', '=', sweep.cadence))
    .orderBy('agents.id')
    .execute();
  const rows = agents.map((agent) => {
    const queue = queues.get(agent.modelId);
    const ended =
      agent.openRunId !== null
        ? { state: 'canceled', reason: skipReason(agent.openRunId, agent.openState!, agent.openReason!) }
        : queue === undefined
          ? { state: 'failed', reason: `fleet.yaml names no model ${agent.modelId}` }
          : agent.livedSeq === 0 || (sweep.trigger === 'schedule' && agent.livedSeq <= agent.reflectedToSeq)
            ? { state: 'empty', reason: 'no new memories' }
            : undefined;
    return {
      id: newId('run'),
      ownerId: agent.ownerId,
      agentId: agent.id,
      sweepId,
      workflowId: reflectWorkflowId(agent.id, sweep.period),
      trigger: sweep.trigger,
      period: sweep.period,
      wantedModelId: agent.modelId,
      modelId: agent.modelId,
      queue: queue ?? '',
      expectedTokens: agent.expectedTokens,
      importanceSum: agent.importanceSum,
      ...(ended ?? { state: 'queued', reason: '' }),
      ...(ended ? { endedAt: new Date() } : {}),
    };
  });
  for (let from = 0; from < rows.length; from += 1000) {
    // An agent triggered by hand in this period already has the row of this very workflow.
    await tx
      .insertInto('runs')
      .values(rows.slice(from, from + 1000))
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }
}

async function takeLongest(
  tx: Executor,
  {
    sweepId,
    refill,
    slots,
    windowOverSlots,
    childLimit,
  }: {
    sweepId: string;
    refill: number;
    slots: ReadonlyMap<string, number>;
    windowOverSlots: number;
    childLimit: number;
  },
): Promise<StartedRun[]> {
  const waiting = await tx
    .selectFrom('runs')
    .select(['queue'])
    .where('sweepId', '=', sweepId)
    .where('state', '=', 'queued')
    .where('refill', 'is', null)
    .groupBy('queue')
    .execute();
  if (waiting.length === 0) return [];
  const open = await tx
    .selectFrom('runs')
    .select(['queue', sql<number>`count(*)`.as('open')])
    .where('state', 'in', ['queued', 'running'])
    .where((eb) => eb.or([eb('refill', 'is not', null), eb('sweepId', 'is', null)]))
    .groupBy('queue')
    .execute();
  const openBy = new Map(open.map((row) => [row.queue, row.open]));
  const ours = open.reduce((sum, row) => sum + row.open, 0);
  const loads: QueueLoad[] = waiting.map(({ queue }) => ({
    queue,
    slots: slots.get(queue) ?? 0,
    open: openBy.get(queue) ?? 0,
  }));
  const room = roomByQueue(loads, windowOverSlots);
  let left = Math.max(0, childLimit - ours);
  const start: StartedRun[] = [];
  for (const [queue, most] of room) {
    const take = Math.min(most, left);
    if (take === 0) continue;
    const taken = await tx
      .updateTable('runs')
      .set({ refill })
      .where('id', 'in', (eb) =>
        eb
          .selectFrom('runs')
          .select('id')
          .where('sweepId', '=', sweepId)
          .where('queue', '=', queue)
          .where('state', '=', 'queued')
          .where('refill', 'is', null)
          .orderBy('expectedTokens', 'desc')
          .orderBy('agentId')
          .limit(take),
      )
      .returning(['agentId', 'workflowId', 'expectedTokens'])
      .execute();
    left -= taken.length;
    taken.sort((a, b) => b.expectedTokens - a.expectedTokens || (a.agentId < b.agentId ? -1 : 1));
    start.push(...taken.map(({ agentId, workflowId }) => ({ agentId, workflowId })));
  }
  return start;
}
