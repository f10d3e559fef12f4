import { sql } from 'kysely';
import { ballotLimits, type VotingMethod } from '../domain/ballots.ts';
import type { Database } from './database.ts';

/** A ballot as an agent that is asked sees it. */
export interface AskedBallot {
  ownerId: string;
  title: string;
  text: string;
  method: VotingMethod;
  options: string[];
  remarks: Array<{ from: string; text: string }>;
}

/** An agent that a ballot asks, and what its ladder begins with. */
export interface AskedVoter {
  ownerId: string;
  agentId: string;
  wantedModelId: string;
  /** Milliseconds until the vote closes. */
  leftMs: number;
}

export function createVoterStore(db: Database) {
  return {
    /** Undefined where the vote has closed, or the agent has a vote by now. */
    async open(ballotId: string, agentId: string): Promise<AskedVoter | undefined> {
      const { rows } = await sql<AskedVoter>`
        select a.owner_id, a.id as agent_id, a.model_id as wanted_model_id,
          (extract(epoch from b.closes_at - clock_timestamp()) * 1000)::float8 as left_ms
        from ballots b
        join electors e on e.ballot_id = b.id and e.voter_id = ${agentId} and e.asked
        join agents a on a.id = e.voter_id
        where b.id = ${ballotId} and b.state = 'open' and clock_timestamp() < b.closes_at and a.state <> 'retired'
          and not exists (select from votes v where v.ballot_id = b.id and v.voter_id = e.voter_id and v.origin <> 'absent')`.execute(
        db,
      );
      return rows[0];
    },

    /** What it is asked, with the last remarks; undefined where the vote has closed. */
    async asked(ballotId: string, agentId: string): Promise<AskedBallot | undefined> {
      const ballot = await db
        .selectFrom('ballots as b')
        .innerJoin('electors as e', 'e.ballotId', 'b.id')
        .select(['e.ownerId', 'b.title', 'b.text', 'b.method', 'b.options'])
        .where('b.id', '=', ballotId)
        .where('b.state', '=', 'open')
        .where('e.voterId', '=', agentId)
        .where('e.asked', '=', true)
        .executeTakeFirst();
      if (!ballot) return undefined;
      const remarks = await db
        .selectFrom('ballotRemarks')
        .select(['authorId as from', 'text'])
        .where('ballotId', '=', ballotId)
        .orderBy('id', 'desc')
        .limit(ballotLimits.remarksPerHour)
        .execute();
      return { ...ballot, method: ballot.method as VotingMethod, remarks: remarks.reverse() };
    },
  };
}
export type VoterStore = ReturnType<typeof createVoterStore>;
