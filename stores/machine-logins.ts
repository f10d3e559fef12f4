import { type RawBuilder, sql } from 'kysely';
import pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { takeLock } from './locks.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';

/** What the edge and the API write alone: who may come in, and what the schema is. */
const readOnly = ['certificates', 'edge_refusals', 'machine_invites', 'migrations'];

export interface DatabaseLogin {
  user: string;
  /** What Postgres keeps of its password. */
  verifier: string;
}

/** Statements about roles take no parameters. */
const name = (text: string): RawBuilder<unknown> => sql.raw(pg.escapeIdentifier(text));

/**
 * Each machine that is in has a role of its own, which reads and writes rows and can neither change the schema nor do what only a
 * superuser may. Roles of machines that are out are cut off and dropped.
 * @param prefix every role that begins so is a machine's
 * @throws UNAVAILABLE where the database's own user may make no roles
 */
export async function setMachineLogins(db: Database, prefix: string, logins: readonly DatabaseLogin[]): Promise<void> {
  try {
    await db.transaction().execute(async (tx) => {
      await takeLock(tx, 'machineLogins');
      const group = await groupOf(tx);
      await grantToWorkers(tx, group);
      for (const { user, verifier } of logins) {
        const verb = (await exists(tx, user)) ? 'alter' : 'create';
        await sql`${sql.raw(verb)} role ${name(user)} with login nosuperuser nocreatedb nocreaterole connection limit 60
          password ${sql.raw(pg.escapeLiteral(verifier))}`.execute(tx);
        await sql`grant ${name(group)} to ${name(user)}`.execute(tx);
      }
    });
  } catch (cause) {
    if ((cause as { code?: string }).code !== '42501') throw cause;
    throw new DomainError(
      'UNAVAILABLE',
      'the user of DATABASE_URL may make no roles, and each machine that joins needs one',
      { cause },
    );
  }
  await dropOthers(db, prefix, new Set(logins.map(({ user }) => user)));
}

/** Roles are of the whole server, so each database has a group of its own. */
async function groupOf(db: Executor): Promise<string> {
  const { rows } = await sql<{ database: string }>`select current_database() as database`.execute(db);
  return `${rows[0]!.database}_workers`;
}

async function grantToWorkers(tx: DatabaseTransaction, group: string): Promise<void> {
  if (!(await exists(tx, group))) await sql`create role ${name(group)} with nologin`.execute(tx);
  const to = name(group);
  const { rows } = await sql<{ database: string }>`select current_database() as database`.execute(tx);
  await sql`grant connect on database ${name(rows[0]!.database)} to ${to}`.execute(tx);
  await sql`grant usage on schema public to ${to}`.execute(tx);
  await sql`grant select, insert, update, delete on all tables in schema public to ${to}`.execute(tx);
  await sql`grant usage, select, update on all sequences in schema public to ${to}`.execute(tx);
  // What a later migration makes is theirs, too.
  await sql`alter default privileges in schema public grant select, insert, update, delete on tables to ${to}`.execute(
    tx,
  );
  await sql`alter default privileges in schema public grant usage, select, update on sequences to ${to}`.execute(tx);
  for (const table of readOnly) await sql`revoke insert, update, delete on ${name(table)} from ${to}`.execute(tx);
}

async function dropOthers(db: Database, prefix: string, kept: ReadonlySet<string>): Promise<void> {
  const group = await groupOf(db);
  const { rows } = await sql<{ user: string }>`
    select rolname as user from pg_roles r where starts_with(rolname, ${prefix}) and rolcanlogin
      and pg_has_role(oid, (select oid from pg_roles where rolname = ${group}), 'member')`.execute(db);
  for (const { user } of rows.filter((row) => !kept.has(row.user))) {
    await sql`alter role ${name(user)} with nologin`.execute(db);
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${user}`.execute(db);
    await sql`drop role ${name(user)}`.execute(db);
  }
}

async function exists(tx: DatabaseTransaction, role: string): Promise<boolean> {
  const { rows } = await sql`select from pg_roles where rolname = ${role}`.execute(tx);
  return rows.length > 0;
}
