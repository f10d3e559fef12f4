import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { forgottenSeconds, type TriedBy, waitSeconds } from '../domain/passwords.ts';
import type { Role } from '../domain/states.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { queueMail } from './mails.ts';
import { endSignIns, type IssuedToken, issueToken, type Principal, sessionSeconds } from './principals.ts';

const triedKey = (by: TriedBy, of: string) => createHash('sha256').update(`${by} ${of}`).digest();

/** Who tries to sign in, and from where. */
interface Trying {
  address: string;
  network: string;
}

/** A try that is counted and not judged yet. */
export interface PasswordTry extends Trying {
  /** What the password is to be held against; undefined where nobody has the address, or no password. */
  hash: string | undefined;
  /** Until when this very try made its network wait, as Postgres writes it; null: it did not. */
  networkLock: string | null;
}

/** Under the lock of the user's row, where what was looked at before it holds. */
async function assertStill(
  tx: DatabaseTransaction,
  { userId, tokenId, before }: { userId: string; tokenId: string; before: string | undefined },
): Promise<void> {
  const { rows } = await sql<{ signedIn: boolean; hash: string | null }>`select
    exists (select from tokens where id = ${tokenId} and revoked_at is null) as "signedIn",
    (select hash from passwords where user_id = ${userId}) as hash`.execute(tx);
  const { signedIn, hash } = rows[0]!;
  if (!signedIn) throw new DomainError('UNAUTHENTICATED', 'you were signed out at this moment');
  if (before !== undefined && before !== hash)
    throw new DomainError('FORBIDDEN', 'the password before was changed at this moment');
}

export function createPasswordStore(db: Database) {
  /**
   * Counts a try before it is judged, so that many at once are as many. @throws RATE_LIMITED while somebody has to wait: it is then not
   * counted, and the password is not looked at
   * @returns until when it made the others wait; null: it did not
   */
  async function countTry(tx: DatabaseTransaction, by: TriedBy, of: string): Promise<string | null> {
    const key = triedKey(by, of);
    const each = forgottenSeconds(by);
    const isLocked = sql`t.locked_until > clock_timestamp()`;
    const forgotten = sql`greatest(0, floor(extract(epoch from clock_timestamp() - t.tried_at) / ${each}::int))::int`;
    // tried_at goes on by what was forgotten, so that tries that keep coming are forgotten, too.
    const { rows } = await sql<{ failures: number; wait: number }>`
      insert into password_tries as t (key, failures, tried_at) values (${key}, 1, clock_timestamp())
      on conflict (key) do update set
        failures = case when ${isLocked} then t.failures else greatest(0, t.failures - ${forgotten}) + 1 end,
        tried_at = case when ${isLocked} then t.tried_at when t.failures <= ${forgotten} then clock_timestamp()
          else t.tried_at + make_interval(secs => ${each}::int * ${forgotten}) end
      returning failures, coalesce(ceil(extract(epoch from locked_until - clock_timestamp())), 0)::int as wait`.execute(
      tx,
    );
    const { failures, wait } = rows[0]!;
    if (wait > 0)
      throw new DomainError('RATE_LIMITED', `too many wrong passwords; wait ${wait} s, or ask for a sign-in link`, {
        retryAfterSeconds: wait,
      });
    const next = waitSeconds(by, failures);
    if (next === 0) return null;
    const locked = await sql<{
      until: string;
    }>`update password_tries set locked_until = clock_timestamp() + make_interval(secs => ${next}) where key = ${key}
      returning locked_until::text as until`.execute(tx);
    return locked.rows[0]!.until;
  }

  /**
   * It was no wrong one. Those before it from the network stay counted, and so does a wait that another try has made meanwhile, or one
   * right account would buy guesses at others.
   */
  async function forgive(executor: Executor, { address, network, networkLock }: PasswordTry): Promise<void> {
    // In the order in which they are counted.
    await sql`update password_tries set failures = greatest(0, failures - 1),
        locked_until = case when locked_until = ${networkLock}::timestamptz then null else locked_until end
      where key = ${triedKey('network', network)}`.execute(executor);
    await sql`delete from password_tries where key = ${triedKey('account', address)}`.execute(executor);
  }

  return {
    forgive: (tried: PasswordTry) => forgive(db, tried),

    /** @throws RATE_LIMITED */
    async begin({ address, network }: Trying): Promise<PasswordTry> {
      return db.transaction().execute(async (tx) => {
        const networkLock = await countTry(tx, 'network', network);
        await countTry(tx, 'account', address);
        const row = await tx
          .selectFrom('passwords')
          .innerJoin('users', 'users.id', 'passwords.userId')
          .select('passwords.hash')
          .where('users.address', '=', address)
          .where('users.deletedAt', 'is', null)
          .executeTakeFirst();
        return { address, network, hash: row?.hash, networkLock };
      });
    },

    /**
     * The password was right: signs in, unless it was changed or the user deleted meanwhile.
     * @returns undefined then
     */
    async signIn(
      tried: PasswordTry,
      kind: 'session' | 'bearer',
    ): Promise<(IssuedToken & { ownerId: string; role: Role }) | undefined> {
      return db.transaction().execute(async (tx) => {
        const { rows } = await sql<{
          id: string;
          role: Role;
        }>`select u.id, u.role from users u join passwords p on p.user_id = u.id
          where u.address = ${tried.address} and u.deleted_at is null and p.hash = ${tried.hash} for share`.execute(tx);
        const [user] = rows;
        if (user === undefined) return undefined;
        await forgive(tx, tried);
        const issued = await issueToken(tx, {
          ownerId: user.id,
          kind,
          role: user.role,
          name: 'password',
          expiresInSeconds: sessionSeconds,
          signedIn: true,
        });
        return { ...issued, ownerId: user.id, role: user.role };
      });
    },

    /** What tries of the user are counted by; who has no address has no password either. */
    async addressOf(userId: string): Promise<string> {
      const row = await db.selectFrom('users').select('address').where('id', '=', userId).executeTakeFirst();
      return row?.address ?? userId;
    },

    /** Whether somebody signed in by this token within the last quarter of an hour: by a mailed link, or by the password. */
    async isFresh(tokenId: string): Promise<boolean> {
      const { rows } = await sql`select from tokens where id = ${tokenId} and signed_in
        and created_at > now() - interval '15 minutes'`.execute(db);
      return rows.length > 0;
    },

    /**
     * Sets or takes away the password, and ends whatever else the user signed in by, links that are out among them. Tokens that were made
     * for programs stay.
     * @param hash undefined: takes it away
     * @param before what the password before was found to be; undefined: they signed in just now
     * @returns how many were ended; none where there is no password to take away
     * @throws UNAUTHENTICATED, FORBIDDEN where the caller was signed out meanwhile, or the password before changed: whoever did so comes first
     * @throws CONFLICT without an address that is known to be theirs: nobody could sign in by it, or get back in without it
     */
    async set(
      tx: DatabaseTransaction,
      { ownerId: userId, tokenId }: Pick<Principal, 'ownerId' | 'tokenId'>,
      hash: string | undefined,
      before: string | undefined,
    ): Promise<number> {
      const { rows } = await sql<{
        operatorId: string | null;
        address: string | null;
        verified: boolean;
        at: Date;
      }>`select operator_id as "operatorId", address,
          verified_at is not null as verified, now() as at
        from users where id = ${userId} and deleted_at is null for no key update`.execute(tx);
      const [user] = rows;
      if (!user?.verified || user.address === null)
        throw new DomainError(
          'CONFLICT',
          'a password goes with a mail address that is known to be yours, and you have none here',
        );
      await assertStill(tx, { userId, tokenId, before });
      const ownerId = user.operatorId ?? userId;
      if (hash === undefined) {
        const { numAffectedRows } = await sql`delete from passwords where user_id = ${userId}`.execute(tx);
        // Nothing changes, so nothing ends and nobody is told that it did.
        if (numAffectedRows === 0n) return 0;
      } else {
        await sql`insert into passwords (user_id, owner_id, hash) values (${userId}, ${ownerId}, ${hash})
          on conflict (user_id) do update set hash = excluded.hash, changed_at = clock_timestamp()`.execute(tx);
        // Wrong tries were at the one before: whoever forgot it and was locked out signs in by the new one at once. After the user's row,
        // as signing in takes them.
        await sql`delete from password_tries where key = ${triedKey('account', user.address)}`.execute(tx);
      }
      const ended = await endSignIns(tx, userId, tokenId);
      const type = hash === undefined ? 'user.password_removed' : 'user.password_changed';
      await appendEvents(tx, [{ ownerId, type, subject: userId }]);
      const data = { act: hash === undefined ? 'removed' : 'set', at: user.at.toISOString() };
      const mail = { ownerId, userId, template: 'password_notice', address: user.address, data } as const;
      await queueMail(tx, { ...mail, key: `password:${newId('request')}` });
      return ended;
    },
  };
}
