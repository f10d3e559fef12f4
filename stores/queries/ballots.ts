import { sql } from 'kysely';
import type { Choice } from '../../domain/ballot-choices.ts';
import type { BallotEffect, BallotReason, VoteOrigin, VotingMethod } from '../../domain/ballots.ts';
import type { BallotState } from '../../domain/states.ts';
import type { Tally } from '../../domain/tallies.ts';
import { ballotSeenBy, type ProposedBallot, type VoterKind } from '../ballot-rows.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface BallotView extends ProposedBallot {
  options: string[];
  state: BallotState;
  reasonCode: BallotReason;
  reason: string;
  createdAt: string;
  opensAt: string;
  openedAt: string | null;
  closesAt: string | null;
  extendedAt: string | null;
  /** Micro-ego of the electorate, and of those who take part. */
  weight: number | null;
  present: number;
  tally: Tally | null;
  winner: number | null;
  closedAt: string | null;
  endedAt: string | null;
}

function ballotQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('ballots')
    .select([
      'id',
      'guildId',
      'authorKind',
      'authorId',
      'title',
      'text',
      'method',
      'options',
      'effect',
      'state',
      'reasonCode',
    ])
    .select(['reason', 'quorum', 'threshold', 'lineageShare', 'createdAt', 'opensAt', 'openedAt', 'closesAt'])
    .select(['extendedAt', 'weight', 'present', 'tally', 'winner', 'closedAt', 'endedAt'])
    .where(ballotSeenBy(ownerId));
}

function viewOf(row: Awaited<ReturnType<ReturnType<typeof ballotQuery>['execute']>>[number]): BallotView {
  return {
    ...row,
    authorKind: row.authorKind as VoterKind,
    method: row.method as VotingMethod,
    effect: row.effect as unknown as BallotEffect,
    state: row.state as BallotState,
    reasonCode: row.reasonCode as BallotReason,
    tally: row.tally as unknown as Tally | null,
    createdAt: iso(row.createdAt),
    opensAt: iso(row.opensAt),
    openedAt: iso(row.openedAt),
    closesAt: iso(row.closesAt),
    extendedAt: iso(row.extendedAt),
    closedAt: iso(row.closedAt),
    endedAt: iso(row.endedAt),
  };
}

export async function findBallot(db: Executor, ownerId: string, id: string): Promise<BallotView | undefined> {
  const row = await ballotQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && viewOf(row);
}

/** The last proposed first; `after` is the id of a ballot. */
export async function listBallots(
  db: Executor,
  page: PageRequest & { state?: BallotState | undefined; authorId?: string | undefined; guildId?: string | undefined },
): Promise<BallotView[]> {
  let query = ballotQuery(db, page.ownerId).orderBy('createdAt', 'desc').orderBy('id', 'desc').limit(page.limit);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  if (page.authorId !== undefined) query = query.where('authorId', '=', page.authorId);
  if (page.guildId !== undefined) query = query.where('guildId', '=', page.guildId);
  // Ids are made of keys and tell no time.
  if (page.after !== undefined)
    query = query.where(
      sql<boolean>`(created_at, id) < (select b.created_at, b.id from ballots b where b.id = ${page.after})`,
    );
  return (await query.execute()).map(viewOf);
}

export interface VoteView {
  voterId: string;
  voterKind: VoterKind;
  lineageId: string;
  /** Micro-ego that it held, and that counts. */
  ego: number;
  weight: number;
  asked: boolean;
  /** Whose vote counts for it while it has none of its own. */
  follows: string | null;
  /** Its own; null while it has none. */
  choice: Choice | null;
  hasVoted: boolean;
  reason: string;
  evidence: string[];
  origin: VoteOrigin | null;
  modelId: string | null;
  changedAt: string | null;
}

/** The electorate with its votes, by voter. */
export async function listVotes(
  db: Executor,
  page: PageRequest & { ballotId: string; hasVoted?: boolean | undefined },
): Promise<VoteView[]> {
  let query = db
    .selectFrom('electors as e')
    .innerJoin('ballots', 'ballots.id', 'e.ballotId')
    .leftJoin('votes as v', (join) => join.onRef('v.ballotId', '=', 'e.ballotId').onRef('v.voterId', '=', 'e.voterId'))
    .select(['e.voterId', 'e.voterKind', 'e.lineageId', 'e.ego', 'e.weight', 'e.asked', 'e.follows'])
    .select(['v.choice', 'v.reason', 'v.evidence', 'v.origin', 'v.modelId', 'v.changedAt'])
    .where('e.ballotId', '=', page.ballotId)
    .where(ballotSeenBy(page.ownerId))
    .orderBy('e.voterId')
    .limit(page.limit);
  if (page.hasVoted !== undefined) query = query.where('v.origin', page.hasVoted ? 'is not' : 'is', null);
  if (page.after !== undefined) query = query.where('e.voterId', '>', page.after);
  return (await query.execute()).map((row) => ({
    ...row,
    voterKind: row.voterKind as VoterKind,
    choice: row.choice as unknown as Choice | null,
    hasVoted: row.origin !== null,
    reason: row.reason ?? '',
    evidence: row.evidence ?? [],
    origin: row.origin as VoteOrigin | null,
    changedAt: iso(row.changedAt),
  }));
}

export interface RemarkView {
  id: string;
  ballotId: string;
  authorKind: VoterKind;
  authorId: string;
  text: string;
  saidAt: string;
}

/** The first said first. */
export async function listRemarks(db: Executor, page: PageRequest & { ballotId: string }): Promise<RemarkView[]> {
  let query = db
    .selectFrom('ballotRemarks as r')
    .innerJoin('ballots', 'ballots.id', 'r.ballotId')
    .select(['r.id', 'r.ballotId', 'r.authorKind', 'r.authorId', 'r.text', 'r.saidAt'])
    .where('r.ballotId', '=', page.ballotId)
    .where(ballotSeenBy(page.ownerId))
    .orderBy('r.id')
    .limit(page.limit);
  if (page.after !== undefined) query = query.where('r.id', '>', page.after);
  return (await query.execute()).map((row) => ({
    ...row,
    authorKind: row.authorKind as VoterKind,
    saidAt: iso(row.saidAt),
  }));
}
