import { sql } from 'kysely';
import { decayOf, type EgoSettings, mintedKinds, type MintedKind } from '../domain/ego.ts';
import { splitByWeights } from '../domain/shares.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';

/** Facts rewarded, and lineages looked at, by one transaction. */
const batch = 500;
/** No transaction lives longer, so a fact this much older than the last settlement was seen by it. */
const late = '1 day';

export interface EgoDay {
  ownerId: string;
  /** `2026-11-22`, in UTC. */
  day: string;
}
export interface SettledEgo {
  facts: number;
  minted: number;
  decayed: number;
}
interface Fact {
  transferId: string;
  agentId: string;
  kind: MintedKind;
}

/** What ego is earned and what fades. Every entry has a transfer id of its fact, or of its day, so that no second execution adds to it. */
export function createEgoMintStore(db: Database) {
  return {
    /** Owners of agents. */
    async owners(): Promise<string[]> {
      const rows = await db.selectFrom('agents').select('ownerId').distinct().orderBy('ownerId').execute();
      return rows.map(({ ownerId }) => ownerId);
    },

    async settled({ ownerId, day }: EgoDay): Promise<SettledEgo | undefined> {
      return db
        .selectFrom('egoSettlements')
        .select(['facts', 'minted', 'decayed'])
        .where('ownerId', '=', ownerId)
        .where('day', '=', sql<Date>`${day}::date`)
        .executeTakeFirst();
    },

    /** Rewards up to a batch of facts that have no entry yet. @returns how many there were; 0 when all are rewarded */
    async mint({ ownerId, day }: EgoDay, settings: EgoSettings, saleHoldSeconds: number): Promise<number> {
      const kinds = mintedKinds.filter((kind) => settings[kind] > 0);
      if (kinds.length === 0) return 0;
      return db.transaction().execute(async (tx) => {
        const { rows: facts } = await sql<Fact>`
          with last as (
            select coalesce(max(day)::timestamp at time zone 'UTC', '-infinity') - ${late}::interval as at,
              -- What the last settlement had not let earn yet; a shorter hold loses nothing of it.
              make_interval(secs => coalesce((array_agg(hold_seconds order by day desc))[1], ${saleHoldSeconds})) as hold
            from ego_settlements where owner_id = ${ownerId} and day < ${day}::date
          ), facts as (${factsOf(ownerId, saleHoldSeconds)})
          select f.transfer_id, f.agent_id, f.kind from facts f join agents a on a.id = f.agent_id
          where a.owner_id = ${ownerId} and a.state in ('active', 'parked') and f.kind = any(${kinds})
            and not exists (select from ego_entries e where e.transfer_id = f.transfer_id)
          order by f.transfer_id limit ${batch}`.execute(tx);
        if (facts.length === 0) return 0;
        // Who is retired meanwhile earns nothing, and a dormant agent, which only its creator works for, never does.
        const living = await tx
          .selectFrom('agents')
          .select('id')
          .where(
            'id',
            'in',
            facts.map(({ agentId }) => agentId),
          )
          .where('state', 'in', ['active', 'parked'])
          .orderBy('id')
          .forUpdate()
          .execute();
        const earning = new Set(living.map(({ id }) => id));
        const entries = facts
          .filter(({ agentId }) => earning.has(agentId))
          .map((fact) => ({ ...fact, id: newId('ego'), ownerId, side: 'credit', amount: settings[fact.kind] }));
        if (entries.length > 0)
          await tx
            .insertInto('egoEntries')
            .values(entries)
            .onConflict((conflict) => conflict.columns(['transferId', 'side']).doNothing())
            .execute();
        return facts.length;
      });
    },

    /** Lineages of which something may fade, after the one named. */
    async lineagesAfter(ownerId: string, after: string): Promise<string[]> {
      const { rows } = await sql<{ lineageId: string }>`
        select distinct lineage_id from agents where owner_id = ${ownerId} and lineage_id > ${after}
        order by lineage_id limit ${batch}`.execute(db);
      return rows.map(({ lineageId }) => lineageId);
    },

    /**
     * Has what a lineage holds over its opening fade, each member by what it holds; once a day. What was earned since the last
     * settlement does not fade yet, whoever mints beside this.
     */
    async decay({ ownerId, day }: EgoDay, lineageId: string, settings: EgoSettings): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await sql`select id from agents where lineage_id = ${lineageId} order by id for update`.execute(tx);
        const { rows: held } = await sql<{ agentId: string; balance: number; fresh: number; isDone: boolean }>`
          select agent_id, sum(amount)::bigint as balance,
            coalesce(sum(amount) filter (where kind = any(${[...mintedKinds]}) and at > coalesce(
              (select max(settled_at) from ego_settlements where owner_id = ${ownerId} and day < ${day}::date), '-infinity')), 0)::bigint as fresh,
            coalesce(bool_or(transfer_id = 'decay:' || ${day}::text || ':' || agent_id), false) as is_done
          from ego_entries where agent_id in (select id from agents where lineage_id = ${lineageId})
          group by agent_id order by agent_id`.execute(tx);
        if (held.some(({ isDone }) => isDone)) return;
        const balances = held.map(({ balance }) => balance);
        const total = held.reduce((sum, { balance, fresh }) => sum + balance - fresh, 0);
        const gone = decayOf(total, await daysSince(tx, { ownerId, day }), settings);
        if (gone === 0) return;
        const parts = splitByWeights(gone, balances);
        await tx
          .insertInto('egoEntries')
          .values(
            held.flatMap(({ agentId }, i) =>
              parts[i] === 0
                ? []
                : [
                    {
                      id: newId('ego'),
                      ownerId,
                      agentId,
                      kind: 'decay',
                      transferId: `decay:${day}:${agentId}`,
                      side: 'debit',
                      amount: -parts[i]!,
                    },
                  ],
            ),
          )
          .execute();
      });
    },

    /** Writes down what the day came to; the next one goes on from there. */
    async settle({ ownerId, day }: EgoDay, saleHoldSeconds: number): Promise<SettledEgo> {
      return db.transaction().execute(async (tx) => {
        const { rows } = await sql<SettledEgo>`
          insert into ego_settlements (owner_id, day, hold_seconds, facts, minted, decayed)
          select ${ownerId}, ${day}::date, ${saleHoldSeconds}, count(*) filter (where kind = any(${[...mintedKinds]})),
            coalesce(sum(amount) filter (where kind = any(${[...mintedKinds]})), 0),
            coalesce(-sum(amount) filter (where transfer_id like 'decay:' || ${day}::text || ':%'), 0)
          from ego_entries where owner_id = ${ownerId}
            and (transfer_id like 'decay:' || ${day}::text || ':%' or (kind = any(${[...mintedKinds]}) and at > coalesce(
              (select max(settled_at) from ego_settlements where owner_id = ${ownerId} and day < ${day}::date), '-infinity')))
          on conflict (owner_id, day) do nothing returning facts, minted, decayed`.execute(tx);
        const settled = rows[0];
        if (!settled) return (await this.settled({ ownerId, day }))!;
        await appendEvents(tx, [{ ownerId, type: 'ego.settled', subject: day, data: { ...settled } }]);
        return settled;
      });
    },
  };
}
export type EgoMintStore = ReturnType<typeof createEgoMintStore>;

/** Days since the settlement before; the first settlement fades one day's worth. */
async function daysSince(tx: DatabaseTransaction, { ownerId, day }: EgoDay): Promise<number> {
  const { rows } = await sql<{ days: number | null }>`
    select ${day}::date - max(day) as days from ego_settlements where owner_id = ${ownerId} and day < ${day}::date`.execute(
    tx,
  );
  return rows[0]!.days ?? 1;
}

/**
 * Each with the transfer id that makes it earn once: a reflection by itself, however often it is cited. Only what a run drew here
 * counts, as cited and as citing: else a file of told reflections that name each other, or a posted one, would make ego of nothing.
 * Votes earn an agent once a day: else ballots of a second would. A sale earns once it is too
 * old to be paid back without anybody's loss: else selling to oneself and refunding would make ego of nothing.
 */
function factsOf(ownerId: string, saleHoldSeconds: number) {
  const hold = sql`make_interval(secs => ${saleHoldSeconds})`;
  return sql`
    select 'cited:' || m.memory_id as transfer_id, m.agent_id, 'cited' as kind from reflections m
    where m.owner_id = ${ownerId} and m.run_id is not null and m.memory_id in (
      select v.memory_id from reflection_evidence v join reflections r on r.id = v.reflection_id, last
      where r.owner_id = ${ownerId} and r.run_id is not null and r.created_at > last.at
      union select c.memory_id from message_citations c join messages q on q.id = c.message_id, last
      where q.owner_id = ${ownerId} and q.ended_at > last.at
      union select unnest(v.evidence) from votes v, last where v.owner_id = ${ownerId} and v.changed_at > last.at)
    union all select 'blessed:' || drop_id || ':' || giver || ':' || blessings.day, agent_id, 'blessed' from blessings, last
    where owner_id = ${ownerId} and given_at > last.at
    union all select 'sold:' || p.id, k.agent_id, 'sold' from purchases p join loop_packages k on k.id = p.package_id, last
    where p.seller_id = ${ownerId} and p.owner_id <> ${ownerId} and p.state = 'completed'
      and p.ended_at > last.at - last.hold and p.ended_at < now() - ${hold}
      and not exists (select from refunds r where r.purchase_id = p.id and r.state <> 'failed')
      and not exists (select from disputes d where d.purchase_id = p.id and d.state <> 'won')
    union all select distinct 'voted:' || v.voter_id || ':' || to_char(b.closed_at at time zone 'UTC', 'YYYY-MM-DD'), v.voter_id, 'voted'
    from votes v
      join electors e on e.ballot_id = v.ballot_id and e.voter_id = v.voter_id and e.voter_kind = 'agent'
      join ballots b on b.id = v.ballot_id, last
    where v.owner_id = ${ownerId} and v.origin <> 'absent' and b.tally is not null and b.closed_at > last.at`;
}
