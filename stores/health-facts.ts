import { sql } from 'kysely';
import {
  type AgentFacts,
  type ArchiveFacts,
  type BackupFacts,
  type CertificateFacts,
  type ChannelFacts,
  type LedgerFacts,
  type MachineFacts,
  type MirrorFacts,
  type ServiceFacts,
  type TokenFacts,
  tokenWarningSeconds,
} from '../domain/health-rules.ts';
import { durationSeconds } from '../domain/durations.ts';
import type { MirrorTarget } from '../domain/public-mirror.ts';
import {
  digestScheduleId,
  heartbeatScheduleId,
  mirrorScheduleId,
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
      select queue, min(since) as since from (
        select queue, created_at as since from runs where state = 'queued' and (refill is not null or sweep_id is null)
        union all select queue, created_at from messages where state = 'received' and ended_at is null) w group by queue
    ), in_hand as (
      select machine_id, min(since) as since from (
        select machine_id, started_at as since from runs where state = 'running'
        union all select machine_id, started_at from messages where state = 'answering' and ended_at is null) h group by machine_id
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
      coalesce(recent.ends, '{}') as ends, coalesce(recent.reason, '') as last_reason,
      extract(epoch from waits.since)::float8 as waiting_since, coalesce(waits.reason, '') as waiting_reason
    from channels c
    left join lateral (
      select array_agg(d.state order by d.id desc) as ends, (array_agg(d.reason order by d.id desc))[1] as reason
      from (select id, state, reason from deliveries
        where channel_id = c.id and state in ('published', 'failed', 'unconfirmed') and not rehearsal
        order by id desc limit 3) d
    ) recent on true
    -- A try that was made says since when; one that is due and was never made, too. What a person holds back waits for nothing,
    -- and where another came out since, it is not the channel.
    left join lateral (
      select min(coalesce(tried.since, greatest(d.due_at, d.slot_at, to_there.not_before))) as since,
        (array_agg(tried.reason order by d.id desc) filter (where tried.reason <> ''))[1] as reason
      from deliveries d join drops p on p.id = d.drop_id
      left join destinations to_there on to_there.owner_id = c.owner_id and to_there.key = c.destination
      left join lateral (select min(a.began_at) as since, (array_agg(a.reason order by a.attempt desc))[1] as reason
        from delivery_attempts a where a.delivery_id = d.id and a.again = d.again) tried on true
      where d.channel_id = c.id and d.state in ('pending', 'sending') and not d.rehearsal
        and (c.stage <> 'approval' or p.approved_at is not null)
        and not exists (select from drop_stops s where s.owner_id = c.owner_id and s.stopped_at is not null)
        and not exists (select from deliveries o where o.channel_id = c.id and o.state = 'published' and not o.rehearsal
          and o.ended_at > coalesce(tried.since, d.due_at))
    ) waits on true
    where c.removed_at is null`.execute(db);
  return rows;
}

export async function serviceFacts(db: Executor): Promise<Array<ServiceFacts & Subject>> {
  const { rows } = await sql<ServiceFacts & Subject>`
    select s.id, s.owner_id, s.state, s.reason, (s.spec ->> 'required')::boolean as required, m.state as machine_state
    from services s left join machines m on m.id = s.machine_id
    where s.retired_at is null`.execute(db);
  return rows;
}

/**
 * What else leaves the fleet: its notices, by destination of `notify`, and its mail. None of what was never asked for. A mail
 * that is refused is mostly the address's fault; that none leaves any more is the server's.
 */
export async function tellingFacts(db: Executor, ownerId: string): Promise<Array<ChannelFacts & Subject>> {
  const { rows } = await sql<ChannelFacts & Subject>`
    with ended as (
      select 'notify:' || destination as id, case state when 'sent' then 'published' else state end as state, reason, ended_at
        from notifications where owner_id = ${ownerId} and ended_at > now() - interval '7 days'),
    waits as (
      select 'notify:' || destination as id, created_at as since, reason from notifications
        where owner_id = ${ownerId} and ended_at is null
      union all select 'mail', coalesce(tried.since, queued_at), coalesce(tried.answer, '') from mails m
        left join lateral (select min(began_at) as since, (array_agg(answer order by attempt desc))[1] as answer
          from mail_attempts a where a.mail_id = m.id and a.resend = m.resends) tried on true
        where owner_id = ${ownerId} and ended_at is null and not exists (select from mails o
          where o.owner_id = ${ownerId} and o.state = 'sent' and o.ended_at > coalesce(tried.since, m.queued_at))),
    named as (
      select distinct 'notify:' || (d ->> 'id') as id from fleet_versions f, jsonb_array_elements(f.fleet -> 'notify' -> 'destinations') d
        where f.version = (select max(version) from fleet_versions)
          and exists (select from notifications n where n.owner_id = ${ownerId} and n.destination = d ->> 'id')
      union select 'mail' where exists (select from mails where owner_id = ${ownerId}))
    select n.id, ${ownerId}::text as owner_id, false as stopped, '' as stop_reason,
      coalesce((select array_agg(e.state order by e.ended_at desc) from (select state, ended_at from ended
        where ended.id = n.id order by ended_at desc limit 3) e), '{}') as ends,
      coalesce((select e.reason from ended e where e.id = n.id order by e.ended_at desc limit 1), '') as last_reason,
      (select extract(epoch from min(w.since))::float8 from waits w where w.id = n.id) as waiting_since,
      coalesce((select w.reason from waits w where w.id = n.id and w.reason <> '' order by w.since limit 1), '') as waiting_reason
    from named n`.execute(db);
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
  const { rows } = await sql<{ sources: boolean; digest: boolean; heartbeat: boolean; mirror: boolean }>`
    select coalesce(jsonb_array_length(f.fleet -> 'sources'), 0) > 0
        or exists (select from source_states where stopped_at is null) as sources,
      coalesce(f.fleet -> 'notify' ? 'digest', false) as digest, coalesce(f.fleet -> 'notify' ? 'heartbeat', false) as heartbeat,
      f.fleet ? 'mirror' as mirror
    from fleet_versions f order by f.version desc limit 1`.execute(db);
  const [applied] = rows;
  return [
    ...upkeepScheduleIds,
    ...(applied?.sources ? [sourcesScheduleId] : []),
    ...(applied?.digest ? [digestScheduleId] : []),
    ...(applied?.heartbeat ? [heartbeatScheduleId] : []),
    ...(applied?.mirror ? [mirrorScheduleId] : []),
    ...(await livingCadences(db)).map(reflectScheduleId),
  ];
}

/** The newest of the authority, of the edge and of each machine that is in, by what it is called. */
export const currentCertificates = sql`select distinct on (c.kind, c.machine_id) c.kind, c.owner_id, c.issued_at, c.not_after,
    case c.kind when 'server' then 'edge' when 'authority' then 'authority' else c.machine_id end as id
  from certificates c left join machines m on m.id = c.machine_id
  where c.revoked_at is null and (c.kind <> 'machine' or m.removed_at is null)
  order by c.kind, c.machine_id, c.issued_at desc`;

export async function certificateFacts(db: Executor): Promise<Array<CertificateFacts & Subject>> {
  const { rows } = await sql<CertificateFacts & Subject>`
    select kind, id, owner_id, extract(epoch from issued_at)::float8 as issued_at, extract(epoch from not_after)::float8 as not_after
    from (${currentCertificates}) current`.execute(db);
  return rows;
}

export async function backupFacts(db: Executor): Promise<BackupFacts> {
  const { rows } = await sql<BackupFacts>`
    select extract(epoch from (select min(started_at) from backups))::float8 as first_at,
      extract(epoch from done.started_at)::float8 as done_at, coalesce(done.copy_reason, '') as copy_reason,
      (select reason from (select state, reason from backups where state <> 'running' order by started_at desc limit 1) last
        where state = 'failed') as failed,
      (select reason from (select state, reason from restore_drills where state <> 'running' order by started_at desc limit 1) last
        where state = 'failed') as drill_failed
    from (select 1) one
    left join lateral (select started_at, copy_reason from backups where state = 'done' order by started_at desc limit 1) done on true`.execute(
    db,
  );
  return rows[0]!;
}

/** Undefined: this Postgres hands its changes to nobody. */
export async function archiveFacts(db: Executor): Promise<ArchiveFacts | undefined> {
  const { rows } = await sql<ArchiveFacts>`
    select extract(epoch from greatest(last_archived_time, pg_postmaster_start_time()))::float8 as last_at,
      case when last_failed_time > coalesce(last_archived_time, '-infinity') then last_failed_wal end as refused
    from pg_stat_archiver where current_setting('archive_mode') <> 'off'`.execute(db);
  return rows[0];
}

/**
 * Tokens of those who run an installation that end within a week, or ended within the last, and were in use then. Those that were made
 * for less than two weeks are meant to end.
 */
export async function tokenFacts(db: Executor): Promise<Array<TokenFacts & Subject>> {
  const { rows } = await sql<TokenFacts & Subject>`
    select t.id, t.owner_id, t.name, extract(epoch from t.expires_at)::float8 as ends_at
    from tokens t join users u on u.id = t.owner_id
    left join services s on s.id = t.service_id
    where t.kind = 'bearer' and t.revoked_at is null and u.role = 'operator' and s.retired_at is null
      and t.expires_at between now() - make_interval(secs => ${tokenWarningSeconds}) and now() + make_interval(secs => ${tokenWarningSeconds})
      and t.expires_at > t.created_at + make_interval(secs => ${2 * tokenWarningSeconds})
      and t.used_at > least(now(), t.expires_at) - interval '30 days'`.execute(db);
  return rows;
}

/** Of each target that the applied fleet names. */
export async function mirrorFacts(db: Executor): Promise<MirrorFacts[]> {
  const { rows } = await sql<{
    target: MirrorTarget;
    every: string;
    firstAt: number | null;
    doneAt: number | null;
    failed: string | null;
  }>`
    with mirror as (select fleet -> 'mirror' as m from fleet_versions order by version desc limit 1),
      targets as (select 'folder' as target, m from mirror where m ? 'folder'
        union all select 'postgres', m from mirror where (m ->> 'postgres')::boolean)
    select t.target, t.m ->> 'every' as every,
      (select extract(epoch from min(started_at))::float8 from mirror_runs r where r.target = t.target) as first_at,
      (select extract(epoch from max(started_at))::float8 from mirror_runs r where r.target = t.target and state = 'done') as done_at,
      (select reason from (select state, reason from mirror_runs r where r.target = t.target and state <> 'running'
        order by started_at desc limit 1) last where state = 'failed') as failed
    from targets t order by t.target`.execute(db);
  return rows.map(({ every, ...row }) => ({ ...row, everySeconds: durationSeconds(every) }));
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
