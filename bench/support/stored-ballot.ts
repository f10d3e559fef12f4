import { sql } from 'kysely';
import type { Choice } from '../../domain/ballot-choices.ts';
import { ballotLimits, type VotingMethod } from '../../domain/ballots.ts';
import type { Random } from '../../domain/random.ts';
import type { Tally } from '../../domain/tallies.ts';
import type { Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { labOwner } from '../../test/support/lab.ts';

export interface StoredVote {
  voterId: string;
  lineageId: string;
  weight: number;
  choice: Choice | null;
}

const options = 5;
/** Three agents to a lineage, as after years of spawning. */
const membersOfLineage = 3;
const batch = 5_000;

/** A ballot in Postgres whose vote has just ended, with one vote of each voter; one in twenty abstains. */
export async function storeBallot(
  db: Database,
  { method, voters, random }: { method: VotingMethod; voters: number; random: Random },
): Promise<{ id: string; votes: StoredVote[] }> {
  const id = newId('ballot');
  const votes = Array.from({ length: voters }, (_, i) => ({
    voterId: `voter-${String(i).padStart(6, '0')}`,
    lineageId: `lineage-${random.int(Math.ceil(voters / membersOfLineage))}`,
    weight: 1 + random.int(5_000_000),
    choice: random.int(20) === 0 ? null : choiceOf(method, random),
  }));
  const weight = votes.reduce((sum, vote) => sum + vote.weight, 0);
  await sql`
    insert into ballots (id, owner_id, author_kind, author_id, title, text, method, options, effect, vote_seconds, extension_seconds,
      quorum, threshold, lineage_share, asked_agents, votes_per_hour, state, request_hash, made_by, opens_at, opened_at, closes_at,
      weight, present)
    values (${id}, ${labOwner}, 'user', ${`author of ${method}`}, ${method}, '', ${method},
      ${Array.from({ length: options }, (_, i) => `option ${i + 1}`)}, '{"kind":"none"}', 3600, 0, 20, 50, 100, 0, 20, 'open', 'x', 'bench',
      now(), now(), now() + interval '1 day', ${weight}::bigint, ${weight}::bigint)`.execute(db);
  for (let from = 0; from < voters; from += batch) {
    const rows = votes.slice(from, from + batch);
    await sql`
      with new as (
        select * from unnest(${rows.map(({ voterId }) => voterId)}::text[], ${rows.map(({ lineageId }) => lineageId)}::text[],
          ${rows.map((row) => row.weight)}::bigint[], ${rows.map(({ choice }) => (choice === null ? null : JSON.stringify(choice)))}::jsonb[])
          as new (voter_id, lineage_id, weight, choice)
      ), e as (
        insert into electors (ballot_id, voter_id, voter_kind, owner_id, lineage_id, ego, weight, present)
        select ${id}, voter_id, 'agent', ${labOwner}, lineage_id, weight, weight, true from new
      )
      insert into votes (ballot_id, voter_id, owner_id, choice, reason, evidence, origin, made_by, hour_began_at, given_in_hour, first_at, changed_at)
      select ${id}, voter_id, ${labOwner}, choice, '', '{}', 'person', 'bench', now(), 1, now(), now() from new`.execute(
      db,
    );
  }
  await sql`update ballots set closes_at = now() where id = ${id}`.execute(db);
  return { id, votes };
}

function choiceOf(method: VotingMethod, random: Random): Choice {
  const order = random.shuffle(Array.from({ length: options }, (_, i) => i + 1));
  const some = order.slice(0, 1 + random.int(options));
  switch (method) {
    case 'single':
      return some[0]!;
    case 'approval':
      return some.toSorted((a, b) => a - b);
    case 'ranked':
      return some;
    case 'weighted':
    case 'quadratic':
      return Object.fromEntries(some.map((option) => [option, 1 + random.int(ballotLimits.share)]));
  }
}

/**
 * How far, relative to the weight, a tally is from one counted plainly in floating point, in the order of the votes and without the
 * product's rules; that of ranked choice is exact.
 */
export function differenceFromPlain(method: VotingMethod, votes: readonly StoredVote[], tally: Tally): number {
  const plain = method === 'ranked' ? plainRunOff(votes) : plainScores(method, votes);
  const most = Math.max(...plain.map((score, i) => Math.abs(score - tally.scores[i]!)));
  return most / tally.base;
}

function plainScores(method: VotingMethod, votes: readonly StoredVote[]): number[] {
  const scores = Array.from({ length: options }, () => 0);
  const roots = new Map<string, number[]>();
  let cast = 0;
  for (const { lineageId, weight, choice } of votes) {
    if (choice === null) continue;
    cast += weight;
    if (typeof choice === 'number') scores[choice - 1]! += weight;
    else if (Array.isArray(choice)) for (const option of choice) scores[option - 1]! += weight;
    else {
      const shares = Object.entries(choice);
      const sum = shares.reduce((all, [, share]) => all + share, 0);
      const into = method === 'quadratic' ? (roots.get(lineageId) ?? scores.map(() => 0)) : scores;
      for (const [option, share] of shares) into[Number(option) - 1]! += (share / sum) * weight;
      if (method === 'quadratic') roots.set(lineageId, into);
    }
  }
  if (method !== 'quadratic') return scores;
  const squares = scores.map(
    (_, at) => [...roots.values()].reduce((sum, parts) => sum + Math.sqrt(parts[at]!), 0) ** 2,
  );
  const all = squares.reduce((sum, square) => sum + square, 0);
  return squares.map((square) => (square / all) * cast);
}

function plainRunOff(votes: readonly StoredVote[]): number[] {
  const gone = new Set<number>();
  for (;;) {
    const scores = Array.from({ length: options }, () => 0);
    for (const { weight, choice } of votes) {
      const first = (choice as number[] | null)?.find((option) => !gone.has(option));
      if (first !== undefined) scores[first - 1]! += weight;
    }
    const standing = scores.filter((_, i) => !gone.has(i + 1));
    const sum = standing.reduce((all, score) => all + score, 0);
    if (Math.max(...standing) * 2 > sum || standing.length === 1) return scores;
    gone.add(scores.indexOf(Math.min(...standing)) + 1);
  }
}
