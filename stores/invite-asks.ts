import { sql } from 'kysely';
import { inQuotes } from '../domain/clean-text.ts';
import { DomainError } from '../domain/errors.ts';
import { mostMailsPerAddress } from '../domain/invites.ts';
import type { DatabaseTransaction } from './database.ts';
import { type InviteRow, inviteNotice, inviteWords } from './invite-rows.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { queueMail } from './mails.ts';
import { openNotice } from './notices.ts';
import { firstOperator } from './principals.ts';

/** How an invitation reaches whoever is to answer it: a notice in the inbox, or a mail. */

/** Puts it into the inbox of who answers: the user, or the owner of the agent. Again it counts as seen once more. */
export async function askToAnswer(tx: DatabaseTransaction, invite: InviteRow, why = ''): Promise<void> {
  if (invite.targetOwnerId === null) return;
  const { guild, inviter } = await inviteWords(tx, invite.id);
  const who = invite.targetAgentId === null ? 'You are' : `${invite.targetAgentId} is`;
  const said = invite.message === '' ? '' : ` They say: ${inQuotes(invite.message)}`;
  const until = invite.expiresAt === null ? '' : ` It holds until ${new Date(invite.expiresAt).toISOString()}.`;
  await openNotice(tx, {
    id: newId('notice'),
    ownerId: invite.targetOwnerId,
    kind: 'guild_invite',
    key: inviteNotice(invite.id),
    subject: invite.id,
    title: `${who} invited to the guild ${inQuotes(guild)}`,
    detail: `${inQuotes(inviter)} invites, as ${invite.role}.${said}${until}${why === '' ? '' : ` ${why}`}`,
    action: `soulfra invite answer ${invite.id} yes`,
  });
}

/**
 * Asks for the mail of an invitation to an address; its secret is made as it leaves.
 * @param unasked what becomes of it where the address was mailed often today: an error, or nothing
 * @throws INVITE_LIMIT
 */
export async function queueInviteMail(
  tx: DatabaseTransaction,
  { id, address, resends, reminders }: Pick<InviteRow, 'id' | 'address' | 'resends' | 'reminders'>,
  { unasked, reminder = false }: { unasked: 'refused' | 'left out'; reminder?: boolean },
): Promise<void> {
  if (address === null) return;
  await takeLock(tx, 'inviteMails', address);
  const { rows } = await sql<{ mailed: number }>`select count(*) as mailed from mails where template = 'guild_invite'
    and address = ${address} and queued_at > now() - interval '24 hours'`.execute(tx);
  if (rows[0]!.mailed >= mostMailsPerAddress) {
    if (unasked === 'left out') return;
    throw new DomainError('INVITE_LIMIT', `the address was mailed ${rows[0]!.mailed} invitations in 24 hours already`);
  }
  const ownerId = await firstOperator(tx);
  if (ownerId === undefined) throw new DomainError('UNAVAILABLE', 'nobody runs this installation yet');
  const key = `guild_invite:${id}:${resends}:${reminders}`;
  await queueMail(tx, {
    ownerId,
    userId: null,
    key,
    template: 'guild_invite',
    data: { inviteId: id, reminder },
    address,
  });
}
