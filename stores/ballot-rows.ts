import { sql } from 'kysely';
import type { BallotEffect, VotingMethod } from '../domain/ballots.ts';
import { DomainError } from '../domain/errors.ts';
import type { BallotState } from '../domain/states.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import type { Moment } from './license-rows.ts';

/** Under a lock that was waited for the time of the transaction's begin is too early. */
export const clockNow: Moment = sql<Date>`date_trunc('milliseconds', clock_timestamp())`;

export type VoterKind = 'agent' | 'user';

/** What is voted on, by whom and how: the same from the proposal to its end. */
export interface ProposedBallot {
  id: string;
  /** Whose members vote; null: all living agents of the owner. */
  guildId: string | null;
  authorKind: VoterKind;
  authorId: string;
  title: string;
  text: string;
  method: VotingMethod;
  options: readonly string[];
  effect: BallotEffect;
  quorum: number;
  threshold: number;
  lineageShare: number;
}

/** A ballot as the steps of its workflow and the votes see it; times in milliseconds. */
export interface BallotRow extends ProposedBallot {
  ownerId: string;
  options: string[];
  state: BallotState;
  /** What its effect came to, or why it failed. */
  reason: string;
  /** The option, from 1, that won. */
  winner: number | null;
  voteSeconds: number;
  extensionSeconds: number;
  askedAgents: number;
  votesPerHour: number;
  opensAt: number;
  closesAt: number | null;
  weight: number | null;
  present: number;
  /** When it was read, by the database's clock and after the lock. */
  now: number;
}

/** @throws NOT_FOUND */
export async function readBallot(db: Executor, id: string, now: Moment = clockNow): Promise<BallotRow> {
  const { rows } = await sql<
    Omit<BallotRow, 'opensAt' | 'closesAt' | 'now'> & Record<'opensAt' | 'now', Date> & { closesAt: Date | null }
  >`
    select id, owner_id, guild_id, author_kind, author_id, title, text, method, options, effect, state, reason, winner, vote_seconds, extension_seconds,
      quorum, threshold, lineage_share, asked_agents, votes_per_hour, opens_at, closes_at, weight, present, ${now} as now
    from ballots where id = ${id}`.execute(db);
  const row = rows[0];
  if (!row) throw new DomainError('NOT_FOUND', `no ballot ${id}`);
  return {
    ...row,
    opensAt: row.opensAt.getTime(),
    closesAt: row.closesAt?.getTime() ?? null,
    now: row.now.getTime(),
  };
}

/** The row, locked until the transaction ends; read by a statement of its own, so that nothing of it is from before the lock. */
export async function lockBallot(tx: DatabaseTransaction, id: string, now: Moment = clockNow): Promise<BallotRow> {
  await tx.selectFrom('ballots').select('id').where('id', '=', id).forUpdate().execute();
  return readBallot(tx, id, now);
}

/** Ballots that an owner may see: their own, those of guilds they are in, and those in which something of theirs may vote. */
export function ballotSeenBy(ownerId: string) {
  return sql<boolean>`(ballots.owner_id = ${ownerId}
    or exists (select from guild_members s where s.guild_id = ballots.guild_id and s.owner_id = ${ownerId} and s.ended_at is null)
    or exists (select from electors e where e.owner_id = ${ownerId} and e.ballot_id = ballots.id))`;
}
