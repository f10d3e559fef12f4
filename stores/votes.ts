import { sql } from 'kysely';
import pg from 'pg';
import { type Choice, choiceSchema, choiceText } from '../domain/ballot-choices.ts';
import { closesAfterQuorum, isQuorate } from '../domain/ballot-outcome.ts';
import { ballotLimits, type VoteOrigin } from '../domain/ballots.ts';
import { DomainError } from '../domain/errors.ts';
import { invalidInput } from '../domain/field-errors.ts';
import { type BallotRow, clockNow, lockBallot } from './ballot-rows.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import type { Moment } from './license-rows.ts';
import { createMemoryStore } from './memories.ts';

export interface NewVote {
  ballotId: string;
  voterId: string;
  /** Null: abstains. */
  choice: unknown;
  reason: string;
  /** Ids of memories of the voter. */
  evidence: readonly string[];
  origin: VoteOrigin;
  madeBy: string;
  modelId?: string;
  promptVersion?: string;
}

export interface StandingVote {
  ballotId: string;
  voterId: string;
  choice: Choice | null;
  reason: string;
  evidence: string[];
  origin: VoteOrigin;
  /** Micro-ego that it counts with, those who follow it left out. */
  weight: number;
  given: number;
  changedAt: Date;
}

interface Elector {
  ownerId: string;
  voterKind: string;
  weight: number;
  vote: (Omit<StandingVote, 'ballotId' | 'voterId' | 'weight'> & { hourBeganAt: Date; givenInHour: number }) | null;
}

const hourMs = 3_600_000;

export function createVoteStore(db: Database, now: Moment = clockNow) {
  const memories = createMemoryStore(db);

  return {
    /**
     * Gives a vote or changes it, in the caller's transaction and under the ballot's row lock: whoever closes the ballot waits for
     * it, or it comes too late. The same vote again changes nothing. What a person said no model and no rule takes back. An agent
     * remembers its vote in the same transaction; its row is locked before the ballot's.
     * @param ownerId who votes for it; null: the ballot's own workflow
     * @throws NOT_FOUND where it is not of the electorate · INVALID_INPUT · CONFLICT before the vote opens and after it has
     *   closed · RATE_LIMITED
     */
    async cast(tx: DatabaseTransaction, vote: NewVote, ownerId: string | null): Promise<StandingVote> {
      const { ballotId, voterId, reason, evidence, origin } = vote;
      let agent = tx.selectFrom('agents').select('id').where('id', '=', voterId).forUpdate();
      if (ownerId !== null) agent = agent.where('ownerId', '=', ownerId);
      await agent.execute();
      const ballot = await lockBallot(tx, ballotId, now);
      const elector = await electorOf(tx, ballotId, voterId);
      const isTheirs = elector !== undefined && (ownerId === null || elector.ownerId === ownerId);
      if (!isTheirs && ownerId !== null && ballot.ownerId !== ownerId)
        throw new DomainError('NOT_FOUND', `no ballot ${ballotId}`);
      if (ballot.state !== 'open' || ballot.now >= ballot.closesAt!) throw takesNone(ballot);
      if (!isTheirs) {
        const hint = voterId === ownerId && ballot.guildId === null ? '; name an agent of yours to vote by it' : '';
        throw new DomainError('NOT_FOUND', `${voterId} is not of the electorate of ${ballotId}${hint}`);
      }
      const choice = vote.choice === null ? null : parsed(ballot, vote.choice);
      const before = elector.vote;
      const standing = { ballotId, voterId, weight: elector.weight };
      if (before !== null && (isSame(before, { choice, reason, origin }) || outranks(before.origin, origin)))
        return { ...standing, ...before };

      const isNewHour = before === null || ballot.now - before.hourBeganAt.getTime() >= hourMs;
      const givenInHour = isNewHour ? 1 : before.givenInHour + 1;
      if (givenInHour > ballot.votesPerHour && origin === 'person') {
        const limit = `${ballot.votesPerHour} votes an hour`;
        throw new DomainError('RATE_LIMITED', `${voterId} has given ${limit} on ${ballotId}; the last one stands`);
      }
      const at = new Date(ballot.now);
      const given = (before?.given ?? 0) + 1;
      const row = {
        choice: choice === null ? null : JSON.stringify(choice),
        reason,
        evidence: [...evidence],
        origin,
        madeBy: vote.madeBy,
        modelId: vote.modelId ?? null,
        promptVersion: vote.promptVersion ?? null,
        given,
        hourBeganAt: isNewHour ? at : before.hourBeganAt,
        givenInHour,
        changedAt: at,
      };
      await inTime(ballot, () =>
        tx
          .insertInto('votes')
          .values({ ...row, ballotId, voterId, ownerId: elector.ownerId, firstAt: at })
          .onConflict((conflict) => conflict.columns(['ballotId', 'voterId']).doUpdateSet(row))
          .execute(),
      );
      if (origin !== 'absent') {
        await takePart(tx, ballot, voterId);
        if (elector.voterKind === 'agent') {
          const memory = memoryOf(ballot, { choice, reason, origin, given });
          await memories.add(elector.ownerId, [{ ...memory, agentId: voterId, occurredAt: at.toISOString() }], tx);
        }
      }
      return { ...standing, choice, reason, evidence: [...evidence], origin, given, changedAt: at };
    },
  };
}
export type VoteStore = ReturnType<typeof createVoteStore>;

async function electorOf(tx: DatabaseTransaction, ballotId: string, voterId: string): Promise<Elector | undefined> {
  const row = await tx
    .selectFrom('electors as e')
    .leftJoin('votes as v', (join) => join.onRef('v.ballotId', '=', 'e.ballotId').onRef('v.voterId', '=', 'e.voterId'))
    .select(['e.ownerId', 'e.voterKind', 'e.weight', 'v.choice', 'v.reason', 'v.evidence', 'v.origin', 'v.given'])
    .select(['v.hourBeganAt', 'v.givenInHour', 'v.changedAt'])
    .where('e.ballotId', '=', ballotId)
    .where('e.voterId', '=', voterId)
    .executeTakeFirst();
  if (!row) return undefined;
  const { ownerId, voterKind, weight, ...vote } = row;
  return { ownerId, voterKind, weight, vote: vote.origin === null ? null : (vote as Elector['vote']) };
}

/** The voter and who follows it take part from now on. Where that reaches the quorum late, the vote stays open for longer. */
async function takePart(tx: DatabaseTransaction, ballot: BallotRow, voterId: string): Promise<void> {
  const { id, ownerId, extensionSeconds, closesAt } = ballot;
  const { rows } = await sql<{ weight: number }>`
    with come as (
      update electors set present = true
      where ballot_id = ${id} and (voter_id = ${voterId} or follows = ${voterId}) and not present returning weight
    ) select coalesce(sum(weight), 0)::bigint as weight from come`.execute(tx);
  const added = rows[0]!.weight;
  if (added === 0) return;
  const present = ballot.present + added;
  const isReached = !isQuorate(ballot.present, ballot) && isQuorate(present, ballot);
  const until = isReached
    ? closesAfterQuorum(closesAt!, ballot.now, extensionSeconds * 1000, await latestEnd(tx, ballot))
    : closesAt!;
  const isExtended = until > closesAt!;
  await tx
    .updateTable('ballots')
    .set({ present, ...(isExtended ? { closesAt: new Date(until), extendedAt: new Date(ballot.now) } : {}) })
    .where('id', '=', id)
    .execute();
  if (isReached) {
    const data = { present, weight: ballot.weight, closesAt: new Date(until).toISOString(), isExtended };
    await appendEvents(tx, [{ ownerId, type: 'ballot.quorum_reached', subject: id, data }]);
  }
}

/** What is decided must still find somebody who waits for it: of a birth until the whisper ends, with time to say the word. */
async function latestEnd(tx: DatabaseTransaction, { effect }: BallotRow): Promise<number> {
  if (effect.kind !== 'spawn_approval') return Infinity;
  const whisper = await tx
    .selectFrom('whispers')
    .select('deadline')
    .where('id', '=', effect.whisperId)
    .executeTakeFirst();
  const deadline = whisper?.deadline ?? null;
  return deadline === null ? Infinity : deadline.getTime() - ballotLimits.wordBeforeMs;
}

/** A person's word stands before the agent's own, and that before the rule's. */
function outranks(standing: VoteOrigin, coming: VoteOrigin): boolean {
  const rank: Record<VoteOrigin, number> = { absent: 0, model: 1, person: 2 };
  return rank[standing] > rank[coming];
}

function isSame(
  a: Pick<StandingVote, 'choice' | 'reason' | 'origin'>,
  b: Pick<StandingVote, 'choice' | 'reason' | 'origin'>,
): boolean {
  return a.origin === b.origin && a.reason === b.reason && keyOf(a.choice) === keyOf(b.choice);
}

/** jsonb keeps no order of keys, and shares have none. */
function keyOf(choice: Choice | null): string {
  const isList = choice === null || typeof choice === 'number' || Array.isArray(choice);
  return JSON.stringify(isList ? choice : Object.entries(choice).toSorted(([a], [b]) => Number(a) - Number(b)));
}

function parsed({ method, options }: BallotRow, raw: unknown): Choice {
  const schema = choiceSchema(method, options.length);
  const result = schema.safeParse(raw);
  if (!result.success) throw invalidInput(result.error, raw, schema, 'choice.');
  return result.data;
}

function takesNone({ id, state, opensAt, closesAt }: BallotRow, cause?: unknown): DomainError {
  const at = (ms: number) => new Date(ms).toISOString();
  const why =
    state === 'discussion'
      ? `it is discussed until ${at(opensAt)}`
      : state === 'open'
        ? `it closed at ${at(closesAt!)}`
        : `it is ${state}`;
  return new DomainError('CONFLICT', `${id} takes no vote: ${why}`, { cause });
}

/** The end may come between the look at the clock and the write; the database's own look is the last. */
async function inTime(ballot: BallotRow, write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (err) {
    if (err instanceof pg.DatabaseError && err.constraint === 'votes_in_time') throw takesNone(ballot, err);
    throw err;
  }
}

function memoryOf(
  { id, title, options }: BallotRow,
  { choice, reason, origin, given }: Pick<StandingVote, 'choice' | 'reason' | 'origin' | 'given'>,
) {
  const who = origin === 'model' ? 'I' : 'Who keeps me';
  const why = reason === '' ? '' : `: ${reason}`;
  return {
    kind: 'vote' as const,
    text: `${who} ${choiceText(choice, options)} on “${title}”${why}`,
    importance: 4,
    source: `ballot:${id}`,
    externalKey: `vote:${id}:${given}`,
  };
}
