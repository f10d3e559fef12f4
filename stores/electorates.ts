import { sql } from 'kysely';
import { type AskableAgent, chooseAsked } from '../domain/ballot-asking.ts';
import { openingEgo } from '../domain/ego.ts';
import { lineageCap } from '../domain/voting-weights.ts';
import type { BallotRow } from './ballot-rows.ts';
import type { DatabaseTransaction } from './database.ts';

export interface Electorate {
  electors: number;
  /** Micro-ego of all, after lineages were held to their share. */
  weight: number;
  /** Agents that are asked through inference, the first first. */
  asked: string[];
}

/**
 * Freezes who may vote and with what weight, by one statement: every agent of the owner that the fleet works for (one that
 * is retired or dormant has no vote), with the ego that it holds; in a guild
 * its members but guests, a user with as much as a first agent opens with. Lineages are then held to their share, and it is decided who is asked and who follows whom. Under the ballot's row lock.
 */
export async function freezeElectorate(
  tx: DatabaseTransaction,
  ballot: Pick<BallotRow, 'id' | 'ownerId' | 'guildId' | 'lineageShare' | 'askedAgents'>,
): Promise<Electorate> {
  const { id, lineageShare, askedAgents } = ballot;
  await (ballot.guildId === null ? insertAgents(tx, ballot) : insertMembers(tx, id, ballot.guildId));
  await holdToShare(tx, id, lineageShare);
  const { rows: agents } = await sql<AskableAgent>`
    select e.voter_id, e.lineage_id, m.cluster_id, e.weight
    from electors e
    left join (select distinct on (owner_id) owner_id, id from cluster_runs where not skipped order by owner_id, id desc) run
      on run.owner_id = e.owner_id
    left join cluster_members m on m.run_id = run.id and m.agent_id = e.voter_id
      and exists (select from clusters c where c.id = m.cluster_id and c.state = 'living')
    where e.ballot_id = ${id} and e.voter_kind = 'agent' order by e.voter_id`.execute(tx);
  const { asked, follows } = chooseAsked(agents, askedAgents);
  await sql`update electors set asked = true where ballot_id = ${id} and voter_id = any(${asked})`.execute(tx);
  await sql`
    update electors e set follows = f.followed
    from unnest(${[...follows.keys()]}::text[], ${[...follows.values()]}::text[]) as f (voter, followed)
    where e.ballot_id = ${id} and e.voter_id = f.voter`.execute(tx);
  const { rows } = await sql<{ electors: number; weight: number }>`
    select count(*) as electors, coalesce(sum(weight), 0)::bigint as weight from electors where ballot_id = ${id}`.execute(
    tx,
  );
  return { ...rows[0]!, asked };
}

async function insertAgents(tx: DatabaseTransaction, { id, ownerId }: { id: string; ownerId: string }): Promise<void> {
  await sql`
    insert into electors (ballot_id, voter_id, voter_kind, owner_id, lineage_id, ego, weight)
    select ${id}, a.id, 'agent', a.owner_id, a.lineage_id, coalesce(e.ego, 0), coalesce(e.ego, 0)
    from agents a
    left join (select agent_id, sum(amount)::bigint as ego from ego_entries where owner_id = ${ownerId} group by agent_id) e
      on e.agent_id = a.id
    where a.owner_id = ${ownerId} and a.state in ('active', 'parked')`.execute(tx);
}

async function insertMembers(tx: DatabaseTransaction, id: string, guildId: string): Promise<void> {
  await sql`
    insert into electors (ballot_id, voter_id, voter_kind, owner_id, lineage_id, ego, weight)
    select ${id}, coalesce(m.agent_id, m.owner_id), case when m.agent_id is null then 'user' else 'agent' end, m.owner_id,
      coalesce(a.lineage_id, m.owner_id), h.ego, h.ego
    from guild_members m
    left join agents a on a.id = m.agent_id
    cross join lateral (select case when m.agent_id is null then ${openingEgo}::bigint
      else coalesce((select sum(amount) from ego_entries e where e.agent_id = m.agent_id), 0)::bigint end as ego) h
    where m.guild_id = ${guildId} and m.ended_at is null and m.role <> 'guest'
      and (m.agent_id is null or a.state in ('active', 'parked'))`.execute(tx);
}

/** As `cappedWeight` of domain/voting-weights.ts: a whole quotient, never more than the part. */
async function holdToShare(tx: DatabaseTransaction, ballotId: string, lineageShare: number): Promise<void> {
  const { rows } = await sql<{ total: number }>`
    select sum(ego)::bigint as total from electors where ballot_id = ${ballotId} group by lineage_id`.execute(tx);
  const cap = lineageCap(
    rows.map(({ total }) => total),
    lineageShare,
  );
  if (cap === null) return;
  await sql`
    update electors e set weight = div(e.ego::numeric * ${cap}::bigint, l.total)::bigint
    from (select lineage_id, sum(ego) as total from electors where ballot_id = ${ballotId} group by lineage_id) l
    where e.ballot_id = ${ballotId} and l.lineage_id = e.lineage_id and l.total > ${cap}::bigint`.execute(tx);
}
