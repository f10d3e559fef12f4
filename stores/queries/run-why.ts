import { sql } from 'kysely';
import type { RunWhyFacts } from '../../domain/run-why.ts';
import type { Executor } from '../database.ts';
import { findRun, type RunView } from './runs.ts';

interface RunWhyRows {
  run: RunView;
  facts: Omit<RunWhyFacts, 'run' | 'workflow' | 'sweep'>;
  /** Workflow of the sweep that is to begin it; null: none is. */
  sweepWorkflowId: string | null;
}

/** What the rows say of why a run is where it is; undefined where it is none of the owner's. */
export async function readRunWhy(db: Executor, ownerId: string, id: string): Promise<RunWhyRows | undefined> {
  const run = await findRun(db, ownerId, id);
  if (run === undefined) return undefined;
  const { rows } = await sql<RunWhyRows['facts'] & { sweepWorkflowId: string | null }>`
    select jsonb_build_object('paused', a.paused, 'homeMachineId', a.home_machine_id, 'homeReason', coalesce(a.home_reason, '')) as agent,
      (select coalesce(jsonb_agg(jsonb_build_object('id', m.id, 'state', m.state, 'reason', m.reason,
          'polls', ${run.queue} = any(m.polls), 'serverUp', m.model_server_up) order by m.id), '[]')
        from machines m where m.owner_id = ${ownerId} and m.removed_at is null) as machines,
      (select count(*) from runs r where r.queue = ${run.queue} and r.state = 'queued' and r.created_at < ${run.createdAt}) as ahead,
      (select count(*) from runs r where r.queue = ${run.queue} and r.state = 'running' and r.id <> ${id}) as running,
      (select coalesce(array_agg(s.step order by s.stored_at), '{}') from step_results s where s.work_id = ${id}) as steps,
      (select jsonb_build_object('state', r.state, 'reason', r.reason) from runs r
        where r.workflow_id = ${run.workflowId} and r.attempt < ${run.attempt} order by r.attempt desc limit 1) as before,
      (select to_char(r.parked_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') from runs r where r.id = ${id} and r.state = 'parked') as "parkedAt",
      (select w.workflow_id from sweeps w where w.id = ${run.sweepId}) as "sweepWorkflowId"
    from agents a where a.id = ${run.agentId}`.execute(db);
  if (rows[0] === undefined) return undefined;
  const { sweepWorkflowId, ...facts } = rows[0];
  return { run, facts, sweepWorkflowId };
}
