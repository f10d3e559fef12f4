import { sql } from 'kysely';
import type { Fleet } from '../domain/fleet.ts';
import { createAuditStore } from './audit.ts';
import type { Database } from './database.ts';
import { deletedName } from './users.ts';

/** Rows deleted in one statement: a transaction must end within 10 s. */
const batch = 5_000;

export type RetentionSeconds = Record<keyof Fleet['retention'], number>;

export function createRetentionStore(db: Database) {
  const audit = createAuditStore(db);
  return {
    /**
     * Deletes one batch of each table's rows that have outlived their retention. A run stays as long as a reflection
     * rests on it, its sweep as long as a run of it is there; a notice as long as it is open.
     * @returns rows deleted; 0 when nothing is left to delete
     */
    async deleteBatch(keep: RetentionSeconds): Promise<number> {
      const statements = [
        sql`delete from events where ctid in (select ctid from events where at < ${ago(keep.events)} limit ${batch})`,
        sql`delete from health_changes where id in (select id from health_changes where at < ${ago(keep.health)} limit ${batch})`,
        sql`delete from token_spends where key in (select key from token_spends where day < (${ago(keep.stepResults)})::date limit ${batch})`,
        // Who asked waits no longer; an answer in time has taken the row away.
        sql`delete from gateway_requests where id in (select id from gateway_requests where created_at < now() - interval '1 day' limit ${batch})`,
        sql`delete from token_days where ctid in (select ctid from token_days where day < (${ago(keep.runs)})::date limit ${batch})`,
        sql`delete from step_results where ctid in (select s.ctid from step_results s
          where s.stored_at < ${ago(keep.stepResults)}
          and not exists (select 1 from runs r where r.id = s.work_id and r.ended_at is null)
          and not exists (select 1 from messages m where m.id = s.work_id and m.ended_at is null)
          and not exists (select 1 from whispers w where w.id = s.work_id and w.ended_at is null)
          and not exists (select 1 from ballots b where b.id = s.work_id and b.ended_at is null)
          and not exists (select 1 from compositions c where c.id = s.work_id and c.ended_at is null)
          and not exists (select 1 from guild_invites i where i.id = s.work_id and i.ended_at is null) limit ${batch})`,
        sql`delete from runs where id in (select r.id from runs r where r.ended_at < ${ago(keep.runs)}
          and not exists (select 1 from reflections f where f.run_id = r.id)
          and not exists (select 1 from step_results s where s.work_id = r.id) limit ${batch})`,
        sql`delete from sweeps where id in (select w.id from sweeps w where w.ended_at < ${ago(keep.runs)}
          and not exists (select 1 from runs r where r.sweep_id = w.id) limit ${batch})`,
        // A plan has outlived its retention when the one that followed it has.
        sql`delete from plans where version in (select p.version from plans p where p.state = 'superseded'
          and (select min(n.created_at) from plans n where n.version > p.version) < ${ago(keep.plans)} limit ${batch})`,
        // The rating in force stays, and with it the space it was made in.
        sql`delete from drift_ratings where id in (select r.id from drift_ratings r where r.rated_at < ${ago(keep.driftRatings)}
          and not exists (select 1 from agent_drift a where a.rating_id = r.id) limit ${batch})`,
        // The newest run that looked for clusters stays: the next one follows it. Clusters stay, as what became of them.
        sql`delete from cluster_runs where id in (select r.id from cluster_runs r where r.made_at < ${ago(keep.clusterRuns)}
          and exists (select 1 from cluster_runs n where n.owner_id = r.owner_id and n.id > r.id and not n.skipped) limit 100)`,
        // A revoked one without an end stays: its row is what keeps the same secret from being registered again.
        sql`delete from tokens where id in (select id from tokens where expires_at < ${ago(keep.tokens)} limit ${batch})`,
        sql`delete from password_tries where key in (select key from password_tries where tried_at < now() - interval '1 day' limit ${batch})`,
        sql`delete from messages where id in (select m.id from messages m where m.ended_at < ${ago(keep.messages)}
          and not exists (select 1 from step_results s where s.work_id = m.id) limit ${batch})`,
        // As long as the source still shows it, it must be known again. Time in which nobody was told what it shows (it
        // answers 304, cannot be read, is stopped) counts for nothing: then nothing comes in either. What a person had
        // forgotten is never let in anew.
        sql`delete from source_items where id in (select i.id from source_items i
          join source_states s on s.owner_id = i.owner_id and s.source_id = i.source_id
          where i.seen_at < ${ago(keep.sourceItems)} and i.seen_at < s.shown_at - make_interval(secs => ${keep.sourceItems})
          and i.delivered_at is not null and i.forgotten_at is null limit ${batch})`,
        sql`delete from threads where id in (select id from threads where state = 'ended' and ended_at < ${ago(keep.threads)} limit ${batch})`,
        // What was refused; a persona keeps the whisper that called it. One that a later whisper names stays as long as that.
        sql`delete from whispers where id in (select w.id from whispers w where w.state in ('refused', 'expired')
          and w.ended_at < ${ago(keep.whispers)}
          and not exists (select 1 from whispers r where r.retry_of = w.id) limit ${batch})`,
        // The newest pass over the books stays: it is what they are known by.
        sql`delete from ledger_reconciliations where ctid in (select r.ctid from ledger_reconciliations r
          where r.made_at < ${ago(keep.reconciliations)} and exists (select 1 from ledger_reconciliations n
            where n.owner_id = r.owner_id and n.made_at > r.made_at) limit ${batch})`,
        // Long after the last time that a provider tells an event again; one that is not settled stays.
        sql`delete from payment_events where ctid in (select ctid from payment_events
          where received_at < ${ago(keep.paymentEvents)} and settled_at is not null limit ${batch})`,
        sql`delete from works where id in (select id from works where ended_at < ${ago(keep.work)} limit ${batch})`,
        sql`delete from mails where id in (select id from mails where ended_at < ${ago(keep.mails)} limit ${batch})`,
        // Who never brought a link back: their address is kept no longer than the mail to it was.
        sql`update users set address = null, name = ${deletedName}, deleted_at = now() where id in (select u.id from users u
          where u.verified_at is null and u.address is not null and u.created_at < ${ago(keep.mails)}
          and not exists (select 1 from mails m where m.user_id = u.id) limit ${batch})`,
        sql`delete from compositions where id in (select id from compositions where ended_at < ${ago(keep.drops)} limit ${batch})`,
        // Their deliveries and attempts with them; what a feed still shows (stores/queries/feeds.ts) stays, and what nobody has looked at.
        sql`delete from drops where id in (select d.id from drops d where d.ended_at < ${ago(keep.drops)}
          and not exists (select 1 from deliveries u where u.drop_id = d.id and u.state = 'unconfirmed')
          and not exists (select 1 from deliveries l join channels c on c.id = l.channel_id
            where l.drop_id = d.id and c.kind = 'feed' and c.removed_at is null and l.id in (select f.id from deliveries f
              where f.channel_id = l.channel_id and f.state = 'published' order by f.ended_at desc, f.id desc limit 50)) limit ${batch})`,
        sql`delete from webhook_deliveries where id in (select id from webhook_deliveries
          where ended_at < ${ago(keep.webhookDeliveries)} limit ${batch})`,
        sql`delete from webhook_events where id in (select e.id from webhook_events e
          where e.created_at < ${ago(keep.webhookDeliveries)}
          and not exists (select 1 from webhook_deliveries d where d.event_id = e.id) limit ${batch})`,
        // With its electorate, votes and remarks; one at a time, as it may have a hundred thousand votes.
        sql`delete from ballots where id in (select id from ballots where ended_at < ${ago(keep.ballots)} order by ended_at limit 1)`,
        // The audit trail of the guild has what became of it, and its members stay.
        sql`update guild_invites set address = null where id in (select id from guild_invites
          where ended_at < ${ago(keep.mails)} and address is not null limit ${batch})`,
        sql`delete from guild_invites where id in (select id from guild_invites where ended_at < ${ago(keep.invites)} limit ${batch})`,
        sql`delete from notifications where ctid in (select ctid from notifications where ended_at < ${ago(keep.notices)} limit ${batch})`,
        // The last that was settled stays: an empty inbox says since when by it.
        sql`delete from notices where ctid in (select n.ctid from notices n where n.resolved_at < ${ago(keep.notices)}
          and exists (select from notices l where l.owner_id = n.owner_id and (l.resolved_at, l.id) > (n.resolved_at, n.id)) limit ${batch})`,
      ];
      // It lets nobody delete but retention, and not with the others' statement.
      let deleted = await audit.deleteOlder(keep.audit, batch);
      for (const statement of statements) deleted += Number((await statement.execute(db)).numAffectedRows ?? 0n);
      return deleted;
    },
  };
}
export type RetentionStore = ReturnType<typeof createRetentionStore>;

function ago(seconds: number) {
  return sql`now() - make_interval(secs => ${seconds})`;
}
