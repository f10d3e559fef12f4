import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { PublicSigningKey, SigningKeySource } from '../domain/signing-keys.ts';
import type { Database } from './database.ts';
import { appendEvents } from './events.ts';
import { takeLock } from './locks.ts';

export interface SigningKeyRow {
  id: string;
  ownerId: string;
  /** 32 bytes. */
  publicKey: Buffer;
  source: SigningKeySource;
  /** Absent where the private half is in a file, or the key is retired. */
  sealed: Buffer | null;
}

export function createSigningKeyStore(db: Database) {
  async function live(ownerId: string, executor = db): Promise<SigningKeyRow | undefined> {
    const row = await executor
      .selectFrom('signingKeys')
      .select(['id', 'ownerId', 'publicKey', 'source', 'sealed'])
      .where('ownerId', '=', ownerId)
      .where('retiredAt', 'is', null)
      .executeTakeFirst();
    return row && { ...row, source: row.source as SigningKeySource };
  }

  return {
    live: (ownerId: string) => live(ownerId),

    /** The owner's first key; where two make it at once one stays. */
    async add(key: SigningKeyRow): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .insertInto('signingKeys')
          .values(key)
          .onConflict((conflict) => conflict.column('ownerId').where('retiredAt', 'is', null).doNothing())
          .returning('id')
          .executeTakeFirst();
        if (row) await appendEvents(tx, [{ ownerId: key.ownerId, type: 'key.made', subject: key.id }]);
      });
    },

    /**
     * @param retires the key that must be the live one, null where none is
     * @throws CONFLICT where another one is, or the new key has signed before
     */
    async replace(key: SigningKeyRow, retires: string | null): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'signingKeys', key.ownerId);
        const before = (await live(key.ownerId, tx))?.id ?? null;
        // Two processes that start with the same file: the other one was first.
        if (before === key.id) return;
        if (before !== retires)
          throw new DomainError('CONFLICT', `${before ?? 'no key'} signs, not ${retires ?? 'none'}`);
        if (before !== null) {
          await tx
            .updateTable('signingKeys')
            .set({ retiredAt: sql<Date>`now()`, sealed: null })
            .where('id', '=', before)
            .execute();
        }
        const added = await tx
          .insertInto('signingKeys')
          .values(key)
          .onConflict((conflict) => conflict.column('id').doNothing())
          .returning('id')
          .executeTakeFirst();
        if (!added) throw new DomainError('CONFLICT', `${key.id} was retired, or is another owner’s; give a new key`);
        const type = before === null ? 'key.made' : 'key.rotated';
        await appendEvents(tx, [{ ownerId: key.ownerId, type, subject: key.id, data: { retired: before } }]);
      });
    },

    /** The key that signs for the owner, and those that did within the last seconds: what is short-lived is signed by no others. */
    async signingWithin(ownerId: string, seconds: number): Promise<Buffer[]> {
      const rows = await db
        .selectFrom('signingKeys')
        .select('publicKey')
        .where('ownerId', '=', ownerId)
        .where((eb) =>
          eb.or([
            eb('retiredAt', 'is', null),
            eb('retiredAt', '>', sql<Date>`now() - ${seconds} * interval '1 second'`),
          ]),
        )
        .execute();
      return rows.map(({ publicKey }) => publicKey);
    },

    /** Public halves, of everybody or of one issuer: who verifies is no owner of theirs. */
    async list(page: {
      issuer?: string | undefined;
      after?: string | undefined;
      limit: number;
    }): Promise<PublicSigningKey[]> {
      let query = db.selectFrom('signingKeys').select(['id', 'ownerId', 'publicKey', 'madeAt', 'retiredAt']);
      if (page.issuer !== undefined) query = query.where('ownerId', '=', page.issuer);
      if (page.after !== undefined) query = query.where('id', '>', page.after);
      const rows = await query.orderBy('id').limit(page.limit).execute();
      return rows.map(({ id, ownerId, publicKey, madeAt, retiredAt }) => ({
        keyId: id,
        issuer: ownerId,
        algorithm: 'Ed25519',
        publicKey: publicKey.toString('base64url'),
        madeAt: madeAt.toISOString(),
        retiredAt: retiredAt?.toISOString() ?? null,
      }));
    },
  };
}
