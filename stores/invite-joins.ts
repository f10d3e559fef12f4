import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { DatabaseTransaction } from './database.ts';
import type { Accepted, InviteAnswerStore } from './invite-answers.ts';
import { inviteWords, momentOfLook, readInvite, refuseDead } from './invite-rows.ts';
import { isByOperator } from './invite-mails.ts';
import { findInviteToken } from './invite-tokens.ts';
import { firstOperator, verifyAddressOf } from './principals.ts';
import { signUp } from './users.ts';

export interface Joined extends Accepted {
  userId: string;
  /** Made a user just now: they have no other way in yet. */
  isNewUser: boolean;
}

/**
 * Accepts by a mailed secret alone, without being signed in: it shows whose mailbox it is. Who has the address joins; whoever
 * nobody knows becomes a user first, as by signing up.
 * @throws NOT_FOUND · UNAUTHENTICATED for a link, which anybody may have · FORBIDDEN where sign-up is closed and no operator
 *   invites · INVITE_ENDED · GUILD_FULL · CONFLICT for a member
 */
export async function joinByMail(
  tx: DatabaseTransaction,
  answers: InviteAnswerStore,
  { secret, signUpOpen }: { secret: string; signUpOpen: boolean },
): Promise<Joined> {
  const token = await findInviteToken(tx, secret);
  const invite = await readInvite(tx, token.inviteId, momentOfLook);
  if (!token.mailed)
    throw new DomainError('UNAUTHENTICATED', 'this link is for whoever has it: sign in, then accept it');
  const { address } = invite;
  if (address === null) throw new DomainError('INVITE_ENDED', `${invite.id} has ended`);
  let userId = await userOf(tx, address);
  let isNewUser = false;
  if (userId === undefined) {
    // Before a user is made of them, that the invitation is dead is said first.
    refuseDead(invite, { state: 'open' });
    if (!signUpOpen && !(await isByOperator(tx, invite.id)))
      throw new DomainError('FORBIDDEN', 'nobody has this address, and sign-up is closed');
    const operatorId = await firstOperator(tx);
    if (operatorId === undefined) throw new DomainError('UNAVAILABLE', 'nobody runs this installation yet');
    userId = await signUp(tx, { operatorId, address });
    isNewUser = userId !== undefined;
    // Somebody was first with the same mail: they are signed in by it, and nobody else is.
    userId ??= await userOf(tx, address);
    if (userId === undefined) throw new DomainError('UNAVAILABLE', 'the address was taken at the same moment');
  }
  await verifyAddressOf(tx, userId, address);
  const who = { ownerId: userId, agentId: null };
  const accepted = await answers.acceptWith(tx, invite, { secret, who });
  return { ...accepted, userId, isNewUser };
}

async function userOf(tx: DatabaseTransaction, address: string): Promise<string | undefined> {
  const row = await tx
    .selectFrom('users')
    .select('id')
    .where('address', '=', address)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
  return row?.id;
}

export interface InvitePreview {
  guild: string;
  inviter: string;
  /** Milliseconds since the epoch; null: without an end. */
  expiresAt: number | null;
}

/** What whoever was given a secret may see before they accept. @throws NOT_FOUND · INVITE_ENDED */
export async function previewInvite(tx: DatabaseTransaction, secret: string): Promise<InvitePreview> {
  const { inviteId } = await findInviteToken(tx, secret);
  const invite = await readInvite(tx, inviteId, momentOfLook);
  const { rows } = await sql<{
    state: 'open' | 'closed';
  }>`select state from guilds where id = ${invite.guildId}`.execute(tx);
  refuseDead(invite, rows[0]!);
  return { ...(await inviteWords(tx, inviteId)), expiresAt: invite.expiresAt };
}
