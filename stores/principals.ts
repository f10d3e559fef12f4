import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Role } from '../domain/states.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { iso } from './queries/page.ts';

export interface Principal {
  /** Owner of every row this principal sees or makes. */
  ownerId: string;
  role: Role;
  tokenId: string;
  kind: 'bearer' | 'session';
  /** All that it may, of what its role may. Absent: everything. */
  scopes?: readonly string[];
  /** The service whose token it is: it opens what services are for, and nothing else. Absent: a person's. */
  service?: string;
}

export interface NewToken {
  ownerId: string;
  kind: 'bearer' | 'once' | 'session';
  role: Role;
  name: string;
  /** Default: never. */
  expiresInSeconds?: number;
  /** Of a sign-in link that was mailed: whoever brings it back reads that mailbox. */
  mailId?: string;
  /** The service that it is of. */
  serviceId?: string;
  /** All that it may, of what its role may. Default: everything. */
  scopes?: readonly string[];
  /** Whether somebody signed in by it: it ends where their password changes. @default false: it was made for a program */
  signedIn?: boolean;
}

/** Sign-in links live this long and work once. */
export const onceSeconds = 15 * 60;
/** Who is invited does not wait for the mail. */
export const inviteSeconds = 24 * 3600;
/** What a service may do where it may do anything at all. */
export const serviceRole = 'member' satisfies Role;
/** Made tokens live this long where nobody says otherwise. */
export const tokenDays = 90;
export const sessionSeconds = 30 * 24 * 3600;

/** The secrets are 256 random bits, so one round of SHA-256 keeps them: there is nothing to guess from a stolen hash. */
function tokenHash(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

function newSecret(): string {
  return `sfr_${randomBytes(32).toString('base64url')}`;
}

/** A token of a service that no file names any more opens nothing, until one names it again. */
const ofLivingService = sql<boolean>`(tokens.service_id is null
  or exists (select from services s where s.id = tokens.service_id and s.retired_at is null))`;

/** The first user with this role is the one whom the installation itself speaks for. */
export async function firstOperator(executor: Executor): Promise<string | undefined> {
  const row = await executor
    .selectFrom('users')
    .select('id')
    .where('role', '=', 'operator')
    .orderBy('createdAt')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return row?.id;
}

/** A new token; its secret is told this one time. */
export async function issueToken(executor: Executor, token: NewToken): Promise<IssuedToken> {
  const secret = newSecret();
  const id = newId('token');
  const { expiresInSeconds, scopes, ...row } = token;
  const made = await executor
    .insertInto('tokens')
    .values({
      ...row,
      id,
      scopes: scopes === undefined ? null : [...scopes],
      hash: tokenHash(secret),
      expiresAt: expiresInSeconds === undefined ? null : sql<Date>`now() + make_interval(secs => ${expiresInSeconds})`,
    })
    .returning('expiresAt')
    .executeTakeFirstOrThrow();
  return { id, secret, expiresAt: iso(made.expiresAt) };
}

export interface IssuedToken {
  id: string;
  /** Told this one time. */
  secret: string;
  expiresAt: string | null;
}

/**
 * Ends whatever a user signed in by, links that are out among them; tokens that were made for programs stay.
 * @param besides the token that stays. @returns how many were ended
 */
export async function endSignIns(tx: DatabaseTransaction, userId: string, besides: string): Promise<number> {
  const { numAffectedRows } = await sql`update tokens set revoked_at = now()
    where owner_id = ${userId} and id <> ${besides} and revoked_at is null and (expires_at is null or expires_at > now())
      and (signed_in or kind = 'once')`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}

/** Somebody brings back what was mailed to an address. @returns whether the address is theirs; it is verified then */
export async function verifyAddressOf(tx: DatabaseTransaction, userId: string, address: string): Promise<boolean> {
  const { rows } = await sql<{
    operatorId: string | null;
    verified: boolean;
  }>`select operator_id, verified_at is not null as verified
    from users where id = ${userId} and address = ${address} and deleted_at is null for no key update`.execute(tx);
  const [user] = rows;
  if (!user || user.verified) return user !== undefined;
  await sql`update users set verified_at = now() where id = ${userId}`.execute(tx);
  await appendEvents(tx, [{ ownerId: user.operatorId ?? userId, type: 'user.verified', subject: userId }]);
  return true;
}

/** A link that was mailed to the address and came back shows whose it is. */
async function verifyAddress(tx: DatabaseTransaction, userId: string, mailId: string): Promise<void> {
  const verified = await sql<{ operatorId: string }>`update users u set verified_at = now() from mails m
    where u.id = ${userId} and u.verified_at is null and m.id = ${mailId} and m.address = u.address
    returning u.operator_id as "operatorId"`.execute(tx);
  const [user] = verified.rows;
  if (user) await appendEvents(tx, [{ ownerId: user.operatorId, type: 'user.verified', subject: userId }]);
}

async function assertService(executor: Executor, ownerId: string, serviceId: string): Promise<void> {
  const row = await executor
    .selectFrom('services')
    .select('retiredAt')
    .where('id', '=', serviceId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no service ${serviceId}; the files of fleet.d name them`);
  if (row.retiredAt !== null) throw new DomainError('NOT_FOUND', `no file of fleet.d names ${serviceId} any more`);
}

export function createPrincipalStore(db: Database) {
  return {
    issue: (token: NewToken) => issueToken(db, token),

    firstOperator: () => firstOperator(db),

    /** The first user is the operator; later starts find it. */
    async ensureOperator(): Promise<{ ownerId: string; created: boolean }> {
      return db.transaction().execute(async (tx) => {
        await takeLock(tx, 'operator');
        const known = await firstOperator(tx);
        if (known !== undefined) return { ownerId: known, created: false };
        const id = newId('user');
        await tx.insertInto('users').values({ id, name: 'operator', role: 'operator' }).execute();
        return { ownerId: id, created: true };
      });
    },

    /** How the holder of a token is called: by the token's name, else by the user's. */
    async nameOf(tokenId: string): Promise<string> {
      const row = await db
        .selectFrom('tokens')
        .innerJoin('users', 'users.id', 'tokens.ownerId')
        .select(sql<string>`coalesce(nullif(tokens.name, ''), users.name)`.as('name'))
        .where('tokens.id', '=', tokenId)
        .executeTakeFirst();
      return row?.name ?? 'somebody';
    },

    /** Lets a secret that somebody else made (the operator's file) sign in; a revoked one stays revoked. */
    async register(secret: string, token: Omit<NewToken, 'expiresInSeconds' | 'scopes'>): Promise<void> {
      await db
        .insertInto('tokens')
        .values({ ...token, id: newId('token'), hash: tokenHash(secret) })
        .onConflict((conflict) => conflict.column('hash').doNothing())
        .execute();
    },

    /** A token for a service of the owner's; its secret is told this one time. @throws NOT_FOUND */
    async issueForService(
      serviceId: string,
      token: Omit<NewToken, 'kind' | 'role' | 'serviceId' | 'scopes' | 'signedIn'>,
    ): Promise<IssuedToken> {
      return db.transaction().execute(async (tx) => {
        await assertService(tx, token.ownerId, serviceId);
        return issueToken(tx, { ...token, kind: 'bearer', role: serviceRole, serviceId });
      });
    },

    /** @throws NOT_FOUND where the owner has no such service, or no file names it any more */
    assertService: (ownerId: string, serviceId: string) => assertService(db, ownerId, serviceId),

    /** Who holds this secret, if it still opens anything. */
    async find(secret: string, kind: 'bearer' | 'session'): Promise<Principal | undefined> {
      const row = await db
        .selectFrom('tokens')
        .select(['id', 'ownerId', 'role', 'serviceId', 'scopes'])
        .select(sql<boolean>`coalesce(used_at < now() - interval '1 minute', true)`.as('stale'))
        .where('hash', '=', tokenHash(secret))
        .where('kind', '=', kind)
        .where('revokedAt', 'is', null)
        .where((eb) => eb.or([eb('expiresAt', 'is', null), eb('expiresAt', '>', sql<Date>`now()`)]))
        .where(ofLivingService)
        .executeTakeFirst();
      if (!row) return undefined;
      // Once a minute is enough to see which tokens are in use.
      if (row.stale)
        await db.updateTable('tokens').set({ usedAt: sql<Date>`now()` }).where('id', '=', row.id).execute();
      return {
        ownerId: row.ownerId,
        role: row.role as Role,
        tokenId: row.id,
        kind,
        ...(row.scopes === null ? {} : { scopes: row.scopes }),
        ...(row.serviceId === null ? {} : { service: row.serviceId }),
      };
    },

    /** Whether a token that opened a stream still would. */
    async isLive(tokenId: string): Promise<boolean> {
      const row = await db
        .selectFrom('tokens')
        .select('id')
        .where('id', '=', tokenId)
        .where('revokedAt', 'is', null)
        .where((eb) => eb.or([eb('expiresAt', 'is', null), eb('expiresAt', '>', sql<Date>`now()`)]))
        .where(ofLivingService)
        .executeTakeFirst();
      return row !== undefined;
    },

    /**
     * Swaps a sign-in secret for a session, or for a token where a program asks; the update is the lock that makes it work
     * once. A user that is being deleted is waited for: their row is locked before the token, as the deletion does.
     */
    async redeemOnce(
      once: string,
      kind: 'session' | 'bearer' = 'session',
    ): Promise<{ id: string; secret: string; role: Role; ownerId: string } | undefined> {
      return db.transaction().execute(async (tx) => {
        const known = await tx
          .selectFrom('tokens')
          .select('ownerId')
          .where('hash', '=', tokenHash(once))
          .executeTakeFirst();
        if (!known) return undefined;
        await sql`select from users where id = ${known.ownerId} for no key update`.execute(tx);
        const row = await tx
          .updateTable('tokens')
          .set({ usedAt: sql<Date>`now()`, revokedAt: sql<Date>`now()` })
          .where('hash', '=', tokenHash(once))
          .where('kind', '=', 'once')
          .where('revokedAt', 'is', null)
          .where('expiresAt', '>', sql<Date>`now()`)
          .returning(['ownerId', 'role', 'name', 'mailId'])
          .executeTakeFirst();
        if (!row) return undefined;
        const role = row.role as Role;
        if (row.mailId !== null) await verifyAddress(tx, row.ownerId, row.mailId);
        const { id, secret } = await issueToken(tx, {
          ownerId: row.ownerId,
          kind,
          role,
          name: row.name,
          signedIn: true,
          expiresInSeconds: sessionSeconds,
        });
        return { id, secret, role, ownerId: row.ownerId };
      });
    },

    async revoke(id: string, ownerId: string): Promise<boolean> {
      const row = await db
        .updateTable('tokens')
        .set({ revokedAt: sql<Date>`coalesce(revoked_at, now())` })
        .where('id', '=', id)
        .where('ownerId', '=', ownerId)
        .returning('id')
        .executeTakeFirst();
      return row !== undefined;
    },

    async exists(id: string, ownerId: string): Promise<boolean> {
      const row = await db
        .selectFrom('tokens')
        .select('id')
        .where('id', '=', id)
        .where('ownerId', '=', ownerId)
        .executeTakeFirst();
      return row !== undefined;
    },

    async user(ownerId: string): Promise<{ id: string; name: string; role: Role } | undefined> {
      const row = await db
        .selectFrom('users')
        .select(['id', 'name', 'role'])
        .where('id', '=', ownerId)
        .where('deletedAt', 'is', null)
        .executeTakeFirst();
      return row && { ...row, role: row.role as Role };
    },
  };
}
export type PrincipalStore = ReturnType<typeof createPrincipalStore>;
