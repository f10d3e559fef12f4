import { sql } from 'kysely';
import { ballotLimits } from '../domain/ballots.ts';
import { DomainError } from '../domain/errors.ts';
import { ballotWorkflowId } from '../domain/ids.ts';
import { openBallotStates } from '../domain/states.ts';
import {
  type BallotRow,
  type ProposedBallot,
  ballotSeenBy,
  clockNow,
  lockBallot,
  type VoterKind,
} from './ballot-rows.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { findMember, lockSpeaker, lockGuildFor } from './guild-rows.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';

export interface NewProposal extends ProposedBallot {
  ownerId: string;
  discussionSeconds: number;
  voteSeconds: number;
  extensionSeconds: number;
  askedAgents: number;
  votesPerHour: number;
  requestHash: Buffer;
  madeBy: string;
}

/**
 * Writes the proposal and asks for its workflow. The same id again is the same proposal.
 * @returns false where it was there already
 * @throws CONFLICT where the id came with other content, or the author has another proposal open · NOT_FOUND and FORBIDDEN for who may
 *   not propose in the guild · AGENT_RETIRED · AGENT_DORMANT
 */
export async function propose(tx: DatabaseTransaction, proposal: NewProposal): Promise<boolean> {
  const { discussionSeconds, effect, options, ...row } = proposal;
  const { id, ownerId, guildId, authorId } = proposal;
  // Before anything that may have changed since: what was proposed stays proposed.
  if (await wasProposed(tx, proposal)) return false;
  await lockSpeaker(tx, actorOf(proposal));
  if (guildId !== null) {
    const { member } = await lockGuildFor(tx, guildId, actorOf(proposal));
    if (member.role === 'guest') throw new DomainError('FORBIDDEN', `a guest of ${guildId} may not propose`);
  }
  const inserted = await tx
    .insertInto('ballots')
    .values({
      ...row,
      options: [...options],
      effect: JSON.stringify(effect),
      opensAt: sql<Date>`${clockNow} + make_interval(secs => ${discussionSeconds})`,
    })
    // Of any key: what stands in the way is told below.
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined) {
    // Two requests with one key may have come at once.
    if (await wasProposed(tx, proposal)) return false;
    throw await oneIsOpen(tx, ownerId, authorId);
  }
  await insertIntent(tx, { workflowId: ballotWorkflowId(id), type: 'holdBallot', args: [{ ballotId: id }] });
  const data = { authorId, title: proposal.title, method: proposal.method, effect: effect.kind };
  await appendEvents(tx, [{ ownerId, type: 'ballot.proposed', subject: id, data }]);
  return true;
}

/** @throws CONFLICT where the key came with something else */
async function wasProposed(tx: DatabaseTransaction, { id, ownerId, requestHash }: NewProposal): Promise<boolean> {
  const known = await tx
    .selectFrom('ballots')
    .select('requestHash')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (known === undefined) return false;
  if (known.requestHash.equals(requestHash)) return true;
  throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
}

async function oneIsOpen(tx: DatabaseTransaction, ownerId: string, authorId: string): Promise<DomainError> {
  const open = await tx
    .selectFrom('ballots')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('authorId', '=', authorId)
    .where('state', 'in', [...openBallotStates])
    .executeTakeFirst();
  // Where it has just ended the same request made again goes through.
  const which = open === undefined ? 'a proposal' : open.id;
  return new DomainError('CONFLICT', `${authorId} has ${which} open; an author has one at a time`);
}

/**
 * Ends a ballot that nobody is to vote on any more.
 * @throws NOT_FOUND · FORBIDDEN for who did not propose it · CONFLICT where it has closed
 */
export async function withdrawProposal(
  tx: DatabaseTransaction,
  { ballotId, ownerId, by }: { ballotId: string; ownerId: string; by: string },
): Promise<void> {
  await requireSeen(tx, ballotId, ownerId);
  const ballot = await lockBallot(tx, ballotId);
  if (ballot.ownerId !== ownerId) throw new DomainError('FORBIDDEN', `only its author withdraws ${ballotId}`);
  refuseOver(ballot);
  await tx
    .updateTable('ballots')
    .set({
      state: 'rejected',
      reasonCode: 'WITHDRAWN',
      reason: `withdrawn by ${by}`,
      closedAt: clockNow,
      endedAt: clockNow,
    })
    .where('id', '=', ballotId)
    .execute();
  await appendEvents(tx, [{ ownerId, type: 'ballot.withdrawn', subject: ballotId, data: { by } }]);
}

export interface NewRemark {
  ballotId: string;
  ownerId: string;
  authorKind: VoterKind;
  authorId: string;
  text: string;
}

/** @throws NOT_FOUND · CONFLICT where the ballot has closed · RATE_LIMITED */
export async function addRemark(
  tx: DatabaseTransaction,
  remark: NewRemark,
): Promise<{ id: string; saidAt: Date } & NewRemark> {
  const { ballotId, ownerId, authorId } = remark;
  await lockSpeaker(tx, actorOf(remark));
  await requireSeen(tx, ballotId, ownerId);
  const ballot = await lockBallot(tx, ballotId);
  if (ballot.guildId !== null && !(await findMember(tx, ballot.guildId, actorOf(remark))))
    throw new DomainError('FORBIDDEN', `${authorId} is no member of ${ballot.guildId}`);
  refuseOver(ballot);
  const { rows } = await sql<{ said: number }>`select count(*) as said from ballot_remarks
    where ballot_id = ${ballotId} and author_id = ${authorId} and said_at > clock_timestamp() - interval '1 hour'`.execute(
    tx,
  );
  if (rows[0]!.said >= ballotLimits.remarksPerHour)
    throw new DomainError('RATE_LIMITED', `${authorId} made ${rows[0]!.said} remarks on ${ballotId} within an hour`);
  const { id, saidAt } = await tx
    .insertInto('ballotRemarks')
    .values({ ...remark, id: newId('remark') })
    .returning(['id', 'saidAt'])
    .executeTakeFirstOrThrow();
  const data = { remarkId: id, authorId };
  await appendEvents(tx, [{ ownerId: ballot.ownerId, type: 'ballot.remark_made', subject: ballotId, data }]);
  return { ...remark, id, saidAt };
}

/** By the database's clock, whether its workflow has said so or not: what the votes came to is not to be taken back. @throws CONFLICT */
function refuseOver({ id, state, closesAt, now }: BallotRow): void {
  const isOver = state === 'open' ? now >= closesAt! : state !== 'discussion';
  if (isOver) throw new DomainError('CONFLICT', `${id} is ${state === 'open' ? 'over' : state} already`);
}

function actorOf({ ownerId, authorKind, authorId }: { ownerId: string; authorKind: VoterKind; authorId: string }) {
  return { ownerId, agentId: authorKind === 'agent' ? authorId : null };
}

/** @throws NOT_FOUND where an owner sees no such ballot */
async function requireSeen(tx: DatabaseTransaction, ballotId: string, ownerId: string): Promise<void> {
  const seen = await tx
    .selectFrom('ballots')
    .select('id')
    .where('id', '=', ballotId)
    .where(ballotSeenBy(ownerId))
    .executeTakeFirst();
  if (!seen) throw new DomainError('NOT_FOUND', `no ballot ${ballotId}`);
}
