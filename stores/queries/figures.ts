import { sql } from 'kysely';
import type { Executor } from '../database.ts';

/** What operators watch, over all owners; each a small aggregate. */
export interface Figures {
  machines: Record<string, number>;
  agents: Record<string, number>;
  openRuns: Record<string, number>;
  /** Sources by whether their last poll failed. */
  sources: Record<string, number>;
  /** What came from sources and is not yet given to every agent. */
  pendingSourceItems: number;
  openNotices: number;
  unplacedAgents: number;
  /** Places where the books did not add up in the last pass over them. */
  ledgerDiscrepancies: number;
  /** Seconds since the books that wait longest were passed over; 0 while there are none. */
  ledgerReconciledSeconds: number;
  /** Seconds the oldest intent waits to be started. */
  oldestIntentSeconds: number;
  /** Seconds that the oldest open write transaction has held back readers of events. */
  eventHorizonSeconds: number;
}

export async function readFigures(db: Executor): Promise<Figures> {
  const { rows } = await sql<Figures>`
    with books as (select owner_id, min(created_at) as opened_at from ledger_accounts group by owner_id)
    select
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select state, count(*) from machines where removed_at is null group by state) by_state) as machines,
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select state, count(*) from agents group by state) by_state) as agents,
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select state, count(*) from runs where state in ('queued', 'running', 'parked') group by state) by_state) as open_runs,
      (select coalesce(jsonb_object_agg(state, count), '{}') from
        (select case when failures > 0 then 'failing' else 'ok' end as state, count(*) from source_states
          where stopped_at is null and (last_ok_at is not null or failures > 0) group by 1) by_state) as sources,
      (select count(*) from source_items i join source_states s using (owner_id, source_id)
        where i.text is not null and s.stopped_at is null) as pending_source_items,
      (select count(*) from notices where resolved_at is null) as open_notices,
      (select count(*) from agents where state = 'active' and home_machine_id is null) as unplaced_agents,
      (select coalesce(sum(last.discrepancies), 0) from books left join lateral (select discrepancies from ledger_reconciliations r
        where r.owner_id = books.owner_id order by made_at desc limit 1) last on true)::bigint as ledger_discrepancies,
      (select coalesce(max(extract(epoch from now() - coalesce((select max(made_at) from ledger_reconciliations r
        where r.owner_id = books.owner_id), opened_at))), 0) from books)::float8 as ledger_reconciled_seconds,
      (select coalesce(extract(epoch from now() - min(created_at)), 0)::float8 from intents) as oldest_intent_seconds,
      (select coalesce(extract(epoch from clock_timestamp() - min(xact_start)), 0)::float8 from pg_stat_activity
        where backend_xid is not null and pid <> pg_backend_pid()) as event_horizon_seconds`.execute(db);
  return rows[0]!;
}
