import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type PublicSigningKey, type SigningKeySource, signingKeyState } from '../domain/signing-keys.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
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

const now = sql<Date>`now()`;

async function unretired(db: Executor, ownerId: string, which: 'next' | 'signing'): Promise<SigningKeyRow | undefined> {
  const row = await db
    .selectFrom('signingKeys')
    .select(['id', 'ownerId', 'publicKey', 'source', 'sealed'])
    .where('ownerId', '=', ownerId)
    .where('retiredAt', 'is', null)
    .where('signsSince', which === 'next' ? 'is' : 'is not', null)
    .executeTakeFirst();
  return row && { ...row, source: row.source as SigningKeySource };
}

/** @throws CONFLICT where it was here before */
async function add(tx: DatabaseTransaction, key: SigningKeyRow, signsSince: typeof now | null): Promise<void> {
  const added = await tx
    .insertInto('signingKeys')
    .values({ ...key, signsSince })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (!added) throw new DomainError('CONFLICT', `${key.id} was here before, or is another owner’s; give a new key`);
}

/**
 * Publishes a key that will sign later; asked again, the one that is published already.
 * @throws CONFLICT where that is another than one of a file, or the key was here before
 */
export async function publishKey(tx: DatabaseTransaction, key: SigningKeyRow): Promise<string> {
  await takeLock(tx, 'signingKeys', key.ownerId);
  const before = await unretired(tx, key.ownerId, 'next');
  if (before !== undefined) {
    if (key.source === 'file' && key.id !== before.id)
      throw new DomainError('CONFLICT', `${before.id} is published already; revoke it first`);
    return before.id;
  }
  await add(tx, key, null);
  await appendEvents(tx, [{ ownerId: key.ownerId, type: 'key.published', subject: key.id }]);
  return key.id;
}

/**
 * Nothing that it signed is trusted from now on. Again it stays as it is.
 * @throws NOT_FOUND · CONFLICT where it signs: then another one must first
 */
export async function revokeKey(
  tx: DatabaseTransaction,
  { ownerId, id, reason }: { ownerId: string; id: string; reason: string },
): Promise<void> {
  await takeLock(tx, 'signingKeys', ownerId);
  const known = await tx
    .selectFrom('signingKeys')
    .select('revokedAt')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!known) throw new DomainError('NOT_FOUND', `no signing key ${id}`);
  if (known.revokedAt !== null) return;
  if ((await unretired(tx, ownerId, 'signing'))?.id === id)
    throw new DomainError('CONFLICT', `${id} signs; rotate first, so that another one does`);
  await tx
    .updateTable('signingKeys')
    .set({ revokedAt: now, retiredAt: sql<Date>`coalesce(retired_at, now())`, sealed: null })
    .where('id', '=', id)
    .execute();
  await appendEvents(tx, [{ ownerId, type: 'key.revoked', subject: id, data: { reason } }]);
}

export function createSigningKeyStore(db: Database) {
  return {
    live: (ownerId: string) => unretired(db, ownerId, 'signing'),

    /** The key that is published ahead. */
    next: (ownerId: string) => unretired(db, ownerId, 'next'),

    /** The owner's first key; where two make it at once one stays. */
    async add(key: SigningKeyRow): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'signingKeys', key.ownerId);
        if ((await unretired(tx, key.ownerId, 'signing')) !== undefined) return;
        await add(tx, key, now);
        await appendEvents(tx, [{ ownerId: key.ownerId, type: 'key.made', subject: key.id }]);
      });
    },

    /**
     * The key signs from now on, whether it was published ahead or not, and the other one retires.
     * @param retires the key that must be the live one, null where none is
     * @throws CONFLICT where another one is, or the new key has signed before
     */
    async replace(key: SigningKeyRow, retires: string | null): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const { ownerId, id } = key;
        await takeLock(tx, 'signingKeys', ownerId);
        const before = (await unretired(tx, ownerId, 'signing'))?.id ?? null;
        // Two processes that start with the same file: the other one was first.
        if (before === id) return;
        if (before !== retires)
          throw new DomainError('CONFLICT', `${before ?? 'no key'} signs, not ${retires ?? 'none'}`);
        if (before !== null) {
          await tx.updateTable('signingKeys').set({ retiredAt: now, sealed: null }).where('id', '=', before).execute();
        }
        const next = await unretired(tx, ownerId, 'next');
        if (next?.id === id)
          await tx.updateTable('signingKeys').set({ signsSince: now }).where('id', '=', id).execute();
        else await add(tx, key, now);
        const type = before === null ? 'key.made' : 'key.rotated';
        await appendEvents(tx, [{ ownerId, type, subject: id, data: { retired: before } }]);
      });
    },

    /**
     * The key that signs for the owner, and those that did within the last seconds: what is short-lived is signed by no others, nor by one that
     * leaked. */
    async signingWithin(ownerId: string, seconds: number): Promise<Buffer[]> {
      const rows = await db
        .selectFrom('signingKeys')
        .select('publicKey')
        .where('ownerId', '=', ownerId)
        .where('signsSince', 'is not', null)
        .where('revokedAt', 'is', null)
        .where((eb) =>
          eb.or([
            eb('retiredAt', 'is', null),
            eb('retiredAt', '>', sql<Date>`now() - ${seconds} * interval '1 second'`),
          ]),
        )
        .execute();
      return rows.map(({ publicKey }) => publicKey);
    },

    /**
     * Whose packages an owner takes: those of keys of their own that have signed, and of a key that they name; of neither where it
     * was revoked.
     */
    async trustedBy(ownerId: string, named: string | undefined): Promise<ReadonlySet<string>> {
      const rows = await db
        .selectFrom('signingKeys')
        .select(['id', 'ownerId', 'signsSince', 'revokedAt'])
        .where((eb) => eb.or([eb('ownerId', '=', ownerId), ...(named === undefined ? [] : [eb('id', '=', named)])]))
        .execute();
      const trusted = new Set(named === undefined ? [] : [named]);
      for (const key of rows) {
        if (key.revokedAt !== null) trusted.delete(key.id);
        else if (key.ownerId === ownerId && key.signsSince !== null) trusted.add(key.id);
      }
      return trusted;
    },

    /** Public halves, of everybody or of one issuer: who verifies is no owner of theirs. */
    async list(page: {
      issuer?: string | undefined;
      after?: string | undefined;
      limit: number;
    }): Promise<PublicSigningKey[]> {
      let query = db
        .selectFrom('signingKeys')
        .select(['id', 'ownerId', 'publicKey', 'madeAt', 'signsSince', 'retiredAt', 'revokedAt']);
      if (page.issuer !== undefined) query = query.where('ownerId', '=', page.issuer);
      if (page.after !== undefined) query = query.where('id', '>', page.after);
      const rows = await query.orderBy('id').limit(page.limit).execute();
      return rows.map(({ id, ownerId, publicKey, madeAt, ...times }) => ({
        keyId: id,
        issuer: ownerId,
        algorithm: 'Ed25519',
        publicKey: publicKey.toString('base64url'),
        state: signingKeyState(times),
        madeAt: madeAt.toISOString(),
        signsSince: times.signsSince?.toISOString() ?? null,
        retiredAt: times.retiredAt?.toISOString() ?? null,
        revokedAt: times.revokedAt?.toISOString() ?? null,
      }));
    },
  };
}
