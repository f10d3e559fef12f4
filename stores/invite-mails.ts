import { sql } from 'kysely';
import { z } from 'zod';
import { idSchema } from '../domain/ids.ts';
import type { InviteMail } from '../domain/mail-texts.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { inviteWords, momentOfLook, readInvite } from './invite-rows.ts';
import { addInviteToken, inviteSecretHash, newInviteSecret } from './invite-tokens.ts';

/** What a mail of the template `guild_invite` holds. */
export const invitationSchema = z.strictObject({ inviteId: idSchema('invite'), reminder: z.boolean() });

export async function inviteMail(
  db: Executor,
  { inviteId, reminder }: z.infer<typeof invitationSchema>,
): Promise<InviteMail> {
  const { role, message, expiresAt } = await readInvite(db, inviteId, momentOfLook);
  return {
    ...(await inviteWords(db, inviteId)),
    role,
    message,
    until: new Date(expiresAt ?? 0).toISOString(),
    reminder,
  };
}

/**
 * The secret of one mail, which stands nowhere else; those of earlier mails work too, until the invitation is sent again by a person.
 * @returns undefined where the invitation can be used no more
 */
export async function issueInviteToken(
  tx: DatabaseTransaction,
  mail: { id: string; data: unknown },
): Promise<string | undefined> {
  const { inviteId } = invitationSchema.parse(mail.data);
  const { rows } = await sql`select from guild_invites where id = ${inviteId} and state = 'pending'
    and (expires_at is null or expires_at > ${momentOfLook}) for key share`.execute(tx);
  if (rows.length === 0) return undefined;
  const secret = newInviteSecret();
  await addInviteToken(tx, inviteId, { hash: inviteSecretHash(secret), mailId: mail.id });
  return secret;
}

/** Whether this invitation may make a user of a stranger also where sign-up is closed: operators invite. */
export async function bringsStrangers(db: Executor, { data }: { data: unknown }): Promise<boolean> {
  const { inviteId } = invitationSchema.parse(data);
  return isByOperator(db, inviteId);
}

export async function isByOperator(db: Executor, inviteId: string): Promise<boolean> {
  const { rows } = await sql`select from guild_invites i join users u on u.id = i.owner_id
    where i.id = ${inviteId} and u.role = 'operator' and u.deleted_at is null`.execute(db);
  return rows.length > 0;
}
