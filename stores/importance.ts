import { sql } from 'kysely';
import { importancePeriod, reflectWorkflowId } from '../domain/ids.ts';
import type { Executor } from './database.ts';
import { insertIntent } from './intents.ts';

/**
 * Adds to what has moved these agents, under their row locks, and asks for a run of each that has passed another full
 * threshold. Where a run is open, the asked-for one finds that and ends; the open run asks again when it ends (`askForMissedRuns`).
 */
export async function addImportance(tx: Executor, moved: ReadonlyMap<string, number>): Promise<void> {
  const rows = [...moved].filter(([, importance]) => importance > 0);
  if (rows.length === 0) return;
  const { rows: all } = await sql<{ id: string; memorySeq: number; asks: boolean }>`
    update agents set importance_sum = importance_sum + more.importance
    from unnest(${rows.map(([id]) => id)}::text[], ${rows.map(([, sum]) => sum)}::bigint[]) as more (id, importance)
    where agents.id = more.id
    returning agents.id, memory_seq, case when ${mayAsk} then
      importance_sum / importance_threshold > (importance_sum - more.importance) / importance_threshold else false end as asks`.execute(
    tx,
  );
  const asking = all.filter(({ asks }) => asks);
  for (const { id, memorySeq } of asking) await ask(tx, id, importancePeriod(memorySeq));
}

/** Takes off what a run that has ended well began with. */
export async function subtractImportance(tx: Executor, runId: string): Promise<void> {
  await sql`update agents a set importance_sum = greatest(0, a.importance_sum - r.importance_sum)
    from runs r where r.id = ${runId} and a.id = r.agent_id`.execute(tx);
}

/**
 * Asks for what could not begin while these runs were open, now that they have ended; under the locks of their agents,
 * so that nobody adds in between. A run that ended well (`subtractImportance`) has taken its part off; one that did not leaves the sum,
 * and only what came while it was open asks again, or a model that always fails would be asked for ever.
 */
export async function askForMissedRuns(tx: Executor, runIds: readonly string[]): Promise<void> {
  if (runIds.length === 0) return;
  const { rows } = await sql<{ agentId: string; runId: string; memorySeq: number }>`
    select agents.id as agent_id, r.id as run_id, memory_seq from runs r join agents on agents.id = r.agent_id
    where r.id = any(${[...runIds]}) and case when ${mayAsk} then
      agents.importance_sum / importance_threshold >
        (case when r.state in ('done', 'empty') then 0 else r.importance_sum end) / importance_threshold else false end`.execute(
    tx,
  );
  for (const { agentId, runId, memorySeq } of rows) await ask(tx, agentId, importancePeriod(memorySeq, runId));
}

const mayAsk = sql`importance_threshold > 0 and not paused and agents.state = 'active'`;

async function ask(tx: Executor, agentId: string, period: string): Promise<void> {
  await insertIntent(tx, {
    workflowId: reflectWorkflowId(agentId, period),
    type: 'reflectAgent',
    args: [{ agentId, period, trigger: 'importance' }],
  });
}
