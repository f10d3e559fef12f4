import { sql } from 'kysely';
import type { AgentFacts, ChannelFacts, LedgerFacts, MachineFacts } from '../domain/health-rules.ts';
import {
  digestScheduleId,
  heartbeatScheduleId,
  reflectScheduleId,
  sourcesScheduleId,
  upkeepScheduleIds,
} from '../domain/ids.ts';
import type { MachineState, RunsAs } from '../domain/states.ts';
import { livingCadences } from './agents.ts';
import type { Executor } from './database.ts';

/** What the rules judge by, one statement a kind over all its subjects. Times are seconds since 1970. */

interface Subject {
  id: string;
  ownerId: string;
}

/**
 * Of those agents alone whose health can be another than at the last look: thousands are well, and stay so until their time
 * comes or something happens to them. @param since the last look, less what a transaction may take
 */
export async function agentFacts(db: Executor, since: Date): Promise<Array<AgentFacts & Subject>> {
  const { rows } = await sql<AgentFacts & Subject>`
    select a.id, a.owner_id, a.paused, a.cadence,
      extract(epoch from greatest(a.created_at, a.resumed_at, recent.ended_at))::float8 as quiet_since,
      coalesce(recent.ends, '{}') as ends, coalesce(recent.reason, '') as last_reason,
      o.state as open_state, o.reason as open_reason,
      case when a.home_machine_id is null then a.home_reason end as unplaced
    from agents a
    left join health h on h.subject_kind = 'agent' and h.subject_id = a.id
    left join lateral (
      select array_agg(r.state order by r.created_at desc) as ends, max(r.ended_at) as ended_at,
        (array_agg(r.reason order by r.created_at desc))[1] as reason
      from (select state, reason, created_at, ended_at from runs
        -- One that importance asked for, and another has done the work of, is no empty run.
        where agent_id = a.id and (state in ('done', 'failed') or (state = 'empty' and trigger <> 'importance'))
        order by created_at desc limit 3) r
    ) recent on true
    left join runs o on o.agent_id = a.id and o.state in ('queued', 'running', 'parked')
    where a.state not in ('retired', 'dormant') and (
      h.look_at is null or h.look_at <= clock_timestamp() or h.pending_state is not null
      or a.changed_at >= ${since} or a.home_machine_id is null
      or a.id in (select agent_id from runs where state in ('failed', 'empty') and ended_at >= ${since})
      or a.id in (select agent_id from runs where state = 'parked'))`.execute(db);
  return rows;
}

export interface MachineRowFacts extends MachineFacts, Subject {
  runsAs: RunsAs;
  up: boolean;
  missingModels: string[];
  free: number | null;
  progressAt: number | null;
  workSince: number | null;
}

/** With the work that waits for each machine: what its queues hold, and what it has in hand. */
export async function machineFacts(db: Executor): Promise<MachineRowFacts[]> {
  const { rows } = await sql<MachineRowFacts & { state: MachineState }>`
    with waiting as (
      select queue, min(created_at) as since from runs
      where state = 'queued' and (refill is not null or sweep_id is null) group by queue
    ), in_hand as (
      select machine_id, min(started_at) as since from runs where state = 'running' group by machine_id
    )
    select m.id, m.owner_id, m.state, m.reason, m.epoch = 0 as never_started, m.runs_as, m.yields, m.model_server_up as up,
      m.missing_models, m.disk_free as free, extract(epoch from m.progress_at)::float8 as progress_at,
      extract(epoch from least((select min(w.since) from waiting w where w.queue = any(m.polls)), h.since))::float8 as work_since
    from machines m left join in_hand h on h.machine_id = m.id
    where m.removed_at is null`.execute(db);
  return rows;
}

/** When the intent that waits longest was written; null: none waits. */
export async function oldestIntentAt(db: Executor): Promise<number | null> {
  const { rows } = await sql<{ at: number | null }>`
    select extract(epoch from min(created_at))::float8 as at from intents`.execute(db);
  return rows[0]!.at;
}

export async function channelFacts(db: Executor): Promise<Array<ChannelFacts & Subject>> {
  const { rows } = await sql<ChannelFacts & Subject>`
    select c.id, c.owner_id, c.stopped_at is not null as stopped, c.stop_reason,
      coalesce(recent.ends, '{}') as ends, coalesce(recent.reason, '') as last_reason
    from channels c
    left join lateral (
      select array_agg(d.state order by d.id desc) as ends, (array_agg(d.reason order by d.id desc))[1] as reason
      from (select id, state, reason from deliveries
        where channel_id = c.id and state in ('published', 'failed', 'unconfirmed') and not rehearsal
        order by id desc limit 3) d
    ) recent on true
    where c.removed_at is null`.execute(db);
  return rows;
}

/** Of every owner who has books, and of the fleet's. */
export async function ledgerFacts(db: Executor, fleetOwner: string): Promise<Array<LedgerFacts & Subject>> {
  const { rows } = await sql<LedgerFacts & Subject>`
    select u.id, u.id as owner_id, extract(epoch from books.opened_at)::float8 as opened_at,
      extract(epoch from last.made_at)::float8 as reconciled_at, coalesce(last.discrepancies, 0) as discrepancies
    from users u
    left join lateral (select min(created_at) as opened_at from ledger_accounts where owner_id = u.id) books on true
    left join lateral (select made_at, discrepancies from ledger_reconciliations
      where owner_id = u.id order by made_at desc limit 1) last on true
    where (u.id = ${fleetOwner} or u.role = 'operator') and (u.id = ${fleetOwner} or books.opened_at is not null)`.execute(
    db,
  );
  return rows;
}

/** Ids of the Schedules that the applied fleet, its agents and its sources need: those that the reconciler makes (workers/schedules.ts). */
export async function neededSchedules(db: Executor): Promise<string[]> {
  const { rows } = await sql<{ sources: boolean; digest: boolean; heartbeat: boolean }>`
    select coalesce(jsonb_array_length(f.fleet -> 'sources'), 0) > 0
        or exists (select from source_states where stopped_at is null) as sources,
      coalesce(f.fleet -> 'notify' ? 'digest', false) as digest, coalesce(f.fleet -> 'notify' ? 'heartbeat', false) as heartbeat
    from fleet_versions f order by f.version desc limit 1`.execute(db);
  const [applied] = rows;
  return [
    ...upkeepScheduleIds,
    ...(applied?.sources ? [sourcesScheduleId] : []),
    ...(applied?.digest ? [digestScheduleId] : []),
    ...(applied?.heartbeat ? [heartbeatScheduleId] : []),
    ...(await livingCadences(db)).map(reflectScheduleId),
  ];
}

/** Who applied the fleet; undefined while none is applied. */
export async function fleetOwner(db: Executor): Promise<string | undefined> {
  const row = await db
    .selectFrom('fleetVersions')
    .select('ownerId')
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.ownerId;
}
