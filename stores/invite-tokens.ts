import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { DatabaseTransaction, Executor } from './database.ts';

/** 256 random bits, shown or mailed once; one round of SHA-256 keeps them, as there is nothing to guess from a stolen hash. */
export function newInviteSecret(): string {
  return `sfi_${randomBytes(32).toString('base64url')}`;
}

export function inviteSecretHash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

export async function addInviteToken(
  tx: DatabaseTransaction,
  inviteId: string,
  { hash, mailId = null }: { hash: Buffer; mailId?: string | null },
): Promise<void> {
  await tx.insertInto('guildInviteTokens').values({ hash, inviteId, mailId }).execute();
}

/** Whatever was shown or mailed before opens nothing from here on. */
export async function revokeInviteTokens(tx: DatabaseTransaction, inviteId: string): Promise<void> {
  await sql`update guild_invite_tokens set revoked_at = now() where invite_id = ${inviteId} and revoked_at is null`.execute(
    tx,
  );
}

export interface KnownToken {
  inviteId: string;
  /** It was mailed to the invitation's address: who brings it reads that mailbox. */
  mailed: boolean;
}

/** @throws NOT_FOUND for one that is unknown or was replaced */
export async function findInviteToken(db: Executor, secret: string): Promise<KnownToken> {
  const row = await db
    .selectFrom('guildInviteTokens')
    .select(['inviteId', 'mailId'])
    .where('hash', '=', inviteSecretHash(secret))
    .where('revokedAt', 'is', null)
    .executeTakeFirst();
  if (!row)
    throw new DomainError('NOT_FOUND', 'no invitation has this secret; it may have been sent again with another');
  return { inviteId: row.inviteId, mailed: row.mailId !== null };
}
