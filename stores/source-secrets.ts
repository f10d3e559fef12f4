import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Database } from './database.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';
import type { SourceRef } from './sources.ts';

/** Two, so that a sender can go over to the new one before the old one is revoked. */
export const mostLiveSecrets = 2;

export interface SealedSecret {
  id: string;
  ownerId: string;
  sealed: Buffer;
}
export interface SourceSecret {
  id: string;
  createdAt: string;
  lastUsedAt: string | null;
  revokedAt: string | null;
}

const noticeKey = (secretId: string) => `source-secret:${secretId}`;

export function createSourceSecretStore(db: Database) {
  return {
    /** @throws CONFLICT where two are live already */
    async add({ ownerId, sourceId, id, sealed }: SourceRef & Omit<SealedSecret, 'ownerId'>): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'sourceSecrets', `${ownerId} ${sourceId}`);
        const live = await tx
          .selectFrom('sourceSecrets')
          .select('id')
          .where('ownerId', '=', ownerId)
          .where('sourceId', '=', sourceId)
          .where('revokedAt', 'is', null)
          .execute();
        if (live.length >= mostLiveSecrets) {
          throw new DomainError('CONFLICT', `${sourceId} has ${live.length} secrets already; revoke one first`);
        }
        await tx.insertInto('sourceSecrets').values({ id, ownerId, sourceId, sealed }).execute();
      });
    },

    /** Of whoever the source is: who sends an event says no owner. */
    async live(sourceId: string): Promise<SealedSecret[]> {
      const rows = await db
        .selectFrom('sourceSecrets')
        .select(['id', 'ownerId', 'sealed'])
        .where('sourceId', '=', sourceId)
        .where('revokedAt', 'is', null)
        .orderBy('id')
        .execute();
      return rows.map((row) => ({ ...row, sealed: row.sealed! }));
    },

    async list({ ownerId, sourceId }: SourceRef): Promise<SourceSecret[]> {
      const rows = await db
        .selectFrom('sourceSecrets')
        .select(['id', 'createdAt', 'lastUsedAt', 'revokedAt'])
        .where('ownerId', '=', ownerId)
        .where('sourceId', '=', sourceId)
        .orderBy('id', 'desc')
        .execute();
      return rows.map((row) => ({
        id: row.id,
        createdAt: row.createdAt.toISOString(),
        lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
        revokedAt: row.revokedAt?.toISOString() ?? null,
      }));
    },

    /** Noted once a minute at most. Whoever was told that it cannot be opened need do nothing more. */
    async used(id: string): Promise<void> {
      await sql`update source_secrets set last_used_at = now()
        where id = ${id} and (last_used_at is null or last_used_at < now() - interval '1 minute')`.execute(db);
      await resolveNotice(db, noticeKey(id));
    },

    /** Tells a person that events came and it could not be opened to check them. */
    async unreadable({ ownerId, sourceId, id }: SourceRef & { id: string }, reason: string): Promise<void> {
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'source_secret_unreadable',
        key: noticeKey(id),
        subject: sourceId,
        title: `Events for ${sourceId} cannot be checked`,
        detail: `${id} cannot be opened: ${reason}. Start the API with the key that it was made under, or revoke it and make another.`,
        action: `soulfra sources secret revoke ${sourceId} ${id}`,
      });
    },

    /** It opens nothing from now on, and cannot be read again. @throws NOT_FOUND */
    async revoke({ ownerId, sourceId, id }: SourceRef & { id: string }): Promise<void> {
      const row = await db
        .updateTable('sourceSecrets')
        .set({ revokedAt: sql<Date>`coalesce(revoked_at, now())`, sealed: null })
        .where('id', '=', id)
        .where('ownerId', '=', ownerId)
        .where('sourceId', '=', sourceId)
        .returning('id')
        .executeTakeFirst();
      if (!row) throw new DomainError('NOT_FOUND', `no secret ${id} of ${sourceId}`);
      await resolveNotice(db, noticeKey(id));
    },
  };
}
