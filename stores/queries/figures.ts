import { sql } from 'kysely';
import { healthLooks } from '../../domain/health.ts';
import { standbyName } from '../../domain/server-names.ts';
import { channelQueue, channelQueues, coordinationQueue, talkQueue } from '../../domain/task-queues.ts';
import type { ChannelKindName } from '../../domain/channel-kinds.ts';
import type { Executor } from '../database.ts';
import { currentCertificates } from '../health-facts.ts';

/** One value of what operators watch, over all owners. `figure` is a key of observability's installation definitions. */
export interface FigureSample {
  figure: string;
  labels: Record<string, string>;
  value: number;
}

/** Everything in one pass. What has ended is looked at for a day, by index: tables grow over years, this must not. */
export async function readFigures(db: Executor): Promise<FigureSample[]> {
  const { rows } = await sql<FigureSample>`
    with books as (select owner_id, min(created_at) as opened_at from ledger_accounts group by owner_id),
    placed as (
      select m->>'machineId' as machine, model->>'modelId' as model, sum((model->>'slots')::float8) as slots,
        sum((model->>'vramGiB')::float8) * 1073741824 as bytes
      from (select plan from plans where state = 'applied' order by version desc limit 1) p,
        jsonb_array_elements(p.plan->'machines') m, jsonb_array_elements(m->'models') model group by 1, 2),
    living as (
      select a.id, left(a.cadence, -1)::float8 * case right(a.cadence, 1) when 's' then 1 when 'm' then 60 when 'h' then 3600
          else 86400 end as cadence,
        extract(epoch from now() - coalesce((select r.ended_at from runs r where r.agent_id = a.id and r.state in ('done', 'empty')
          order by r.created_at desc limit 1), a.created_at))::float8 as age
      from agents a where a.state = 'active' and not a.paused),
    delivered as (
      select c.kind as channel, d.state from deliveries d join channels c on c.id = d.channel_id
      where not d.rehearsal and (d.ended_at is null or d.ended_at > now() - interval '1 day')),
    sold as (
      select state, currency, amount, ended_at from purchases where ended_at is null or ended_at > now() - interval '1 day')
    select 'machines' as figure, jsonb_build_object('state', state) as labels, count(*)::float8 as value
      from machines where removed_at is null group by state
    union all select 'machineLease', jsonb_build_object('machine', id),
      -- One that was never started, or was taken out in order, has no lease to lose.
      greatest(extract(epoch from lease_until - clock_timestamp()), -86400)::float8
      from machines where removed_at is null and epoch > 0 and isfinite(lease_until) and state <> 'drained'
    union all select 'machineModelServer', jsonb_build_object('machine', id), model_server_up::int
      from machines where removed_at is null and state in ('ready', 'suspect') and yields is null
    union all select 'health', jsonb_build_object('subject', subject_kind, 'state', state), count(*) from health group by 2
    union all select 'work', jsonb_build_object('service', service_id, 'state', state), count(*)
      from works where ended_at is null group by 2
    union all select 'healthBehind', '{}', greatest(0, max(extract(epoch from clock_timestamp() - coalesce(h.looked_at, f.since)) - l.every))::float8
      from (select min(applied_at) as since from fleet_versions) f,
        unnest(${Object.keys(healthLooks)}::text[], ${Object.values(healthLooks).map(({ everySeconds }) => everySeconds)}::float8[]) l (look, every)
        left join health_looks h using (look) where f.since is not null
    union all select f.figure, '{}', f.value from (select started_at, bytes from backups where state = 'done'
        order by started_at desc limit 1) b,
      lateral (values ('backup', extract(epoch from b.started_at)::float8), ('backupBytes', b.bytes::float8)) f (figure, value)
    union all select 'archive', '{}', extract(epoch from last_archived_time)::float8 from pg_stat_archiver
      where current_setting('archive_mode') <> 'off' and last_archived_time is not null
    union all select f.figure, '{}', f.value from (select started_at, rpo_seconds, rto_seconds from restore_drills where state = 'done'
        order by started_at desc limit 1) d,
      lateral (values ('restoreDrill', extract(epoch from d.started_at)::float8), ('restoreDrillRpo', d.rpo_seconds),
        ('restoreDrillRto', d.rto_seconds)) f (figure, value)
    union all select 'certificate', jsonb_build_object('certificate', case kind when 'machine' then 'machine ' || id else id end),
      extract(epoch from not_after)::float8 from (${currentCertificates}) held
    union all select 'edgeRefused', jsonb_build_object('reason', reason), refused::float8 from edge_refusals
    union all select 'slots', jsonb_build_object('machine', machine, 'model', model), slots from placed
    union all select 'plannedVram', jsonb_build_object('machine', machine, 'model', model), bytes from placed
    union all select 'unplacedAgents', '{}', count(*) from agents where state = 'active' and home_machine_id is null
    union all select 'agents', jsonb_build_object('state', state), count(*) from agents group by state
    union all select 'agentsByLateness', jsonb_build_object('lateness',
      case when age <= greatest(1.5 * cadence, cadence + 300) then 'on_time'
        when age <= greatest(3 * cadence, cadence + 900) then 'late' else 'silent' end), count(*) from living group by 2
    union all select 'heartbeatAge', jsonb_build_object('of', s.name),
      coalesce((select percentile_disc(s.share) within group (order by age) from living), 0)
      from (values ('median', 0.5::float8), ('p95', 0.95), ('worst', 1)) s (name, share)
    union all select 'reflectionLag', jsonb_build_object('of', s.name),
      coalesce((select percentile_disc(s.share) within group (order by greatest(age - cadence, 0)) from living), 0)
      from (values ('median', 0.5::float8), ('p95', 0.95), ('worst', 1)) s (name, share)
    union all select 'openRuns', jsonb_build_object('state', state), count(*)
      from runs where state in ('queued', 'running', 'parked') group by state
    union all select 'oldestParked', '{}', coalesce(extract(epoch from now() - min(coalesce(parked_at, created_at))), 0)::float8
      from runs where state = 'parked'
    union all select 'oldestIntent', '{}', coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from intents
    union all select 'intents', '{}', count(*) from intents
    union all select 'unwoven', '{}', count(*) from unwoven_memories
    union all select 'storedMemories', '{}', greatest(reltuples, 0)::float8 from pg_class where oid = 'memories'::regclass
    union all select 'sources', jsonb_build_object('state', case when failures > 0 then 'failing' else 'ok' end), count(*)
      from source_states where stopped_at is null and (last_ok_at is not null or failures > 0) group by 2
    union all select 'pendingSourceItems', '{}', count(*) from source_items i join source_states s using (owner_id, source_id)
      where i.text is not null and s.stopped_at is null
    union all select 'openNotices', '{}', count(*) from notices where resolved_at is null
    union all select 'inbox', jsonb_build_object('kind', kind), count(*) from notices where resolved_at is null group by kind
    union all select 'drops', jsonb_build_object('state', state), count(*) from drops where ended_at is null group by state
    union all select 'deliveries', jsonb_build_object('channel', channel, 'state', state), count(*) from delivered group by 2
    union all select 'unconfirmed', '{}', count(*) from deliveries where state = 'unconfirmed'
    union all select 'channels', jsonb_build_object('channel', kind, 'state', case when stopped_at is null then 'working' else 'stopped' end),
      count(*) from channels where removed_at is null group by 2
    union all select 'services', jsonb_build_object('state', state, 'required', coalesce(spec ->> 'required', 'true')), count(*)
      from services where retired_at is null group by 2
    union all select 'mails', '{}', count(*) from mails where ended_at is null
    union all select 'ledgerImbalance', '{}', coalesce(sum(abs(balance)), 0)::float8
      from (select sum(balance) as balance from ledger_accounts group by owner_id, currency) by_currency
    union all select 'ledgerDiscrepancies', '{}', coalesce(sum(last.discrepancies), 0)::float8
      from books left join lateral (select discrepancies from ledger_reconciliations r
        where r.owner_id = books.owner_id order by made_at desc limit 1) last on true
    union all select 'ledgerReconciled', '{}', coalesce(max(extract(epoch from now() - coalesce((select max(made_at)
      from ledger_reconciliations r where r.owner_id = books.owner_id), opened_at))), 0)::float8 from books
    union all select 'purchases', jsonb_build_object('state', state), count(*) from sold group by state
    union all select 'sold', jsonb_build_object('currency', currency), sum(amount)::float8 from sold where state = 'completed' group by currency
    union all select 'licenses', jsonb_build_object('state', state), count(*) from licenses group by state
    union all select 'eventHorizon', '{}', coalesce(extract(epoch from clock_timestamp() - min(xact_start)), 0)::float8
      from pg_stat_activity where backend_xid is not null and pid <> pg_backend_pid()
    -- A standby has its slot from its first copy on, streaming or not.
    union all select 'standbyAsynchronous', '{}',
      case when position(slot_name in current_setting('synchronous_standby_names')) > 0 then 0 else 1 end
      from pg_replication_slots where slot_name = ${standbyName}`.execute(db);
  return rows;
}

/** The task queues in which work of the fleet may wait; those of single machines are left out, since work waits there for seconds at the most. */
export async function readTaskQueues(db: Executor): Promise<Array<{ queue: string; type: 'workflow' | 'activity' }>> {
  const { rows } = await sql<{ planned: string[]; asked: string[]; kinds: ChannelKindName[] }>`
    select
      array(select distinct model->>'queue' from (select plan from plans where state = 'applied' order by version desc limit 1) p,
        jsonb_array_elements(p.plan->'machines') m, jsonb_array_elements(m->'models') model) as planned,
      array(select distinct queue from runs where state in ('queued', 'running', 'parked')) as asked,
      array(select distinct kind from channels where removed_at is null) as kinds`.execute(db);
  const { planned, asked, kinds } = rows[0]!;
  const inference = [...new Set([...planned, ...asked])].sort();
  const activities = [
    coordinationQueue,
    ...inference.flatMap((queue) => [queue, talkQueue(queue)]),
    ...Object.values(channelQueues),
    ...kinds.sort().map(channelQueue),
  ];
  return [
    { queue: coordinationQueue, type: 'workflow' },
    ...activities.map((queue) => ({ queue, type: 'activity' as const })),
  ];
}
