import { sql } from 'kysely';
import type { VotingMethod } from '../domain/ballots.ts';
import { type CountedVote, openTally, type Tally } from '../domain/tallies.ts';
import type { Database, Executor } from './database.ts';

interface PageRow extends CountedVote {
  voterId: string;
  /** Whether there is a vote that counts for it. */
  counts: boolean;
}

/** Voters read by one statement; between two the process does other work. */
const page = 5_000;

interface CountedBallot {
  id: string;
  method: VotingMethod;
  options: readonly string[];
}

/** Counts the votes that were given so far, by the ballot's own method and as they stood at one moment, however many pages they are. */
export function countVotesSoFar(db: Database, ballot: CountedBallot): Promise<Tally> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((tx) => countVotes(tx, ballot));
}

/**
 * Counts the votes of a ballot that takes no more: each voter's own, else that of whom it follows. What the rule wrote for one
 * that could not be reached counts for nobody.
 * @param onPage told after each page how many voters were counted
 */
export async function countVotes(
  db: Executor,
  { id, method, options }: CountedBallot,
  onPage: (voters: number) => void = () => undefined,
): Promise<Tally> {
  const tally = openTally(method, options.length);
  let after = '';
  let voters = 0;
  for (;;) {
    // Bounded on both sides: without it each page reads the votes of all.
    const { rows } = await sql<PageRow>`
      with e as materialized (
        select voter_id, lineage_id, weight, follows from electors
        where ballot_id = ${id} and voter_id > ${after} order by voter_id limit ${page}
      ), led as materialized (
        select v.voter_id, v.choice from electors a
        join votes v on v.ballot_id = a.ballot_id and v.voter_id = a.voter_id
        where a.ballot_id = ${id} and a.asked and v.origin <> 'absent'
      )
      select e.voter_id, e.lineage_id, e.weight,
        case when own.voter_id is null then led.choice else own.choice end as choice,
        case when own.voter_id is null then led.voter_id is not null else own.origin <> 'absent' end as counts
      from e
      left join votes own on own.ballot_id = ${id} and own.voter_id = e.voter_id
        and own.voter_id > ${after} and own.voter_id <= (select max(voter_id) from e)
      left join led on own.voter_id is null and led.voter_id = e.follows
      order by e.voter_id`.execute(db);
    for (const row of rows) {
      if (!row.counts) continue;
      tally.add(row);
      voters += 1;
    }
    onPage(voters);
    after = rows.at(-1)?.voterId ?? after;
    if (rows.length < page) return tally.result();
  }
}
