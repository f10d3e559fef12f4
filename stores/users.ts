import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { covers } from '../domain/roles.ts';
import { type Role, roles } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { leaveEveryGuild } from './guild-departures.ts';
import { newId } from './ids.ts';
import { retireListings } from './listings.ts';

/** How who is gone is called wherever their name would stand. */
export const deletedName = 'deleted user';

interface NewUser {
  /** Whose installation they belong to. */
  operatorId: string;
  address: string;
  role: Role;
  /** How they are called before they say so themselves. */
  name: string;
}

/** @returns undefined where the address is somebody's already */
async function addUser(tx: DatabaseTransaction, user: NewUser): Promise<string | undefined> {
  const id = newId('user');
  const added = await tx
    .insertInto('users')
    .values({ ...user, id })
    .onConflict((conflict) => conflict.column('address').where('address', 'is not', null).doNothing())
    .returning('id')
    .executeTakeFirst();
  return added?.id;
}

/** Somebody who asked for a link; that the address is theirs is not known before the link comes back. */
export async function signUp(
  tx: DatabaseTransaction,
  { operatorId, address }: Pick<NewUser, 'operatorId' | 'address'>,
): Promise<string | undefined> {
  const id = await addUser(tx, { operatorId, address, role: 'member', name: 'member' });
  if (id !== undefined) await appendEvents(tx, [{ ownerId: operatorId, type: 'user.signed_up', subject: id }]);
  return id;
}

/** @throws CONFLICT where the address is somebody's already */
export async function inviteUser(tx: DatabaseTransaction, user: NewUser): Promise<string> {
  const id = await addUser(tx, user);
  if (id === undefined) throw new DomainError('CONFLICT', 'a user has this address already');
  await appendEvents(tx, [{ ownerId: user.operatorId, type: 'user.invited', subject: id, data: { role: user.role } }]);
  return id;
}

interface RoleChange {
  operatorId: string;
  id: string;
  role: Role;
  /** The token that asked. */
  by: string;
}

/**
 * Gives a user another role, in every token of theirs as well: a request finds out by its token alone what it may. Tokens that had the
 * user's role have the new one; of the others those that would now be above it come down to it. Links that are swapped or made
 * meanwhile wait for the user's row.
 * @returns the role before; where it was this one already nothing is written
 * @throws NOT_FOUND · CONFLICT for who runs an installation: its books, keys and fleet are theirs
 */
export async function changeRole(tx: DatabaseTransaction, { operatorId, id, role, by }: RoleChange): Promise<Role> {
  if (id === operatorId) throw new DomainError('CONFLICT', `${id} runs this installation, and stays its operator`);
  const user = await tx
    .selectFrom('users')
    .select('role')
    .where('id', '=', id)
    .where('operatorId', '=', operatorId)
    .where('deletedAt', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!user) throw new DomainError('NOT_FOUND', `no user ${id}`);
  const before = user.role as Role;
  if (before === role) return before;
  await tx.updateTable('users').set({ role }).where('id', '=', id).execute();
  await tx
    .updateTable('tokens')
    .set({ role })
    .where('ownerId', '=', id)
    .where('revokedAt', 'is', null)
    .where('role', 'in', [before, ...roles.filter((other) => !covers(role, other))])
    .execute();
  const data = { from: before, to: role, by };
  await appendEvents(tx, [{ ownerId: operatorId, type: 'user.role_changed', subject: id, data }]);
  return before;
}

/** Where what concerns a user's money goes: an address that is known to be theirs. Held until the transaction ends. */
export async function verifiedAddress(tx: DatabaseTransaction, id: string): Promise<string | undefined> {
  const user = await tx
    .selectFrom('users')
    .select('address')
    .where('id', '=', id)
    .where('verifiedAt', 'is not', null)
    .where('deletedAt', 'is', null)
    // Who is being deleted is waited for: no address comes in behind the deletion.
    .forShare()
    .executeTakeFirst();
  return user?.address ?? undefined;
}

/** What of who is deleted stays, under their id. */
export interface Kept {
  licenses: number;
  ledgerAccounts: number;
  /** Taken off the market with them. */
  listings: number;
}

/**
 * Whose installation a user belongs to, and so who may delete them, or be told that they have deleted themselves.
 * @throws NOT_FOUND · CONFLICT for who runs an installation
 */
export async function operatorOf(tx: DatabaseTransaction, id: string): Promise<string> {
  const user = await tx
    .selectFrom('users')
    .select('operatorId')
    .where('id', '=', id)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
  if (!user) throw new DomainError('NOT_FOUND', `no user ${id}`);
  if (user.operatorId === null) throw new DomainError('CONFLICT', `${id} runs this installation, and stays with it`);
  return user.operatorId;
}

/**
 * Nobody signs in as the user any more, and no address, name or endpoint of theirs is kept. Their id stays where the ledger and
 * licenses name it: books are never changed. The row is locked before anything that hangs on it.
 * @throws NOT_FOUND
 */
export async function deleteUser(tx: DatabaseTransaction, operatorId: string, id: string): Promise<Kept> {
  const user = await sql<{
    address: string | null;
  }>`select address from users where id = ${id} and operator_id = ${operatorId}
    and deleted_at is null for no key update`.execute(tx);
  const [found] = user.rows;
  if (!found) throw new DomainError('NOT_FOUND', `no user ${id}`);
  const theirs = sql`(user_id = ${id} or address = ${found.address})`;
  const statements = [
    sql`update tokens set revoked_at = coalesce(revoked_at, now()), name = '' where owner_id = ${id}`,
    // What mail servers answer names whom it was to, often, and so do the reasons and notices that are made of it.
    sql`delete from notices where key in (select 'mail:' || id from mails where ${theirs})`,
    sql`update mail_attempts set answer = '' where mail_id in (select id from mails where ${theirs})`,
    // What is under way finds no address; what has ended keeps its state.
    sql`update mails set address = null, data = '{}', reason = 'the user was deleted',
        state = case when ended_at is null then 'failed' else state end, ended_at = coalesce(ended_at, now())
      where ${theirs}`,
    sql`delete from passwords where user_id = ${id}`,
    sql`delete from webhooks where owner_id = ${id}`,
    sql`delete from webhook_events where owner_id = ${id}`,
    sql`delete from notices where owner_id = ${id}`,
    // What was voted stays, as it was counted; what was said goes.
    sql`delete from ballot_remarks where owner_id = ${id} and author_kind = 'user'`,
    sql`update votes set reason = '' where owner_id = ${id} and voter_id = ${id} and reason <> ''`,
    sql`update users set address = null, verified_at = null, name = ${deletedName}, deleted_at = now() where id = ${id}`,
  ];
  for (const statement of statements) await statement.execute(tx);
  await leaveEveryGuild(tx, id, found.address);
  const listings = await retireListings(tx, id);
  await appendEvents(tx, [{ ownerId: operatorId, type: 'user.deleted', subject: id }]);
  const kept = await sql<
    Omit<Kept, 'listings'>
  >`select (select count(*) from licenses where owner_id = ${id}) as licenses,
    (select count(*) from ledger_accounts where holder = ${id}) as "ledgerAccounts"`.execute(tx);
  return { ...kept.rows[0]!, listings };
}

/** In words, for who is asked before it is done. */
export function keptText({ licenses, ledgerAccounts, listings }: Kept): string {
  const stays = `${licenses} licenses and ${ledgerAccounts} accounts of the ledger stay under the id`;
  return listings === 0 ? stays : `${stays}, ${listings} listings are retired`;
}
