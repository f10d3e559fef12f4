import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Database } from './database.ts';
import type { SourceRef } from './sources.ts';
import { takeLock } from './locks.ts';

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

    /** Noted once a minute at most. */
    async used(id: string): Promise<void> {
      await sql`update source_secrets set last_used_at = now()
        where id = ${id} and (last_used_at is null or last_used_at < now() - interval '1 minute')`.execute(db);
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
    },
  };
}
