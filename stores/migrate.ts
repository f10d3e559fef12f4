import { readdirSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { lockNumbers } from './locks.ts';

const directory = fileURLToPath(new URL('./migrations/', import.meta.url));

/** File names without `.sql`, in order; the last one names the schema this code was written for. */
function migrationNames(): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort();
}

/**
 * Brings the database to this code's schema, all or nothing, one starter at a time.
 * @param options.upTo the last migration that is run: a restore makes the schema that its backup had
 * @throws DATA_NEWER when the database has a migration that this code does not know.
 */
export async function migrate(
  url: string,
  log: (message: string) => void = () => {},
  options: { upTo?: string; tls?: ConnectionOptions | undefined } = {},
): Promise<string[]> {
  const client = clientOf(url, options.tls);
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [lockNumbers.migration]);
    await refuseNewer(client);
    const applied = await runner({
      dbClient: client,
      dir: directory,
      direction: 'up',
      migrationsTable: 'migrations',
      ...(options.upTo !== undefined && { count: migrationNames().indexOf(options.upTo) + 1 }),
      singleTransaction: true,
      noLock: true,
      log,
    });
    return applied.map((migration) => migration.name);
  } finally {
    await client.end();
  }
}

/** @throws DATA_NEWER where some of these are not known to this code */
export function refuseUnknown(names: readonly string[]): void {
  const known = migrationNames();
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new DomainError('DATA_NEWER', `migrations that this version does not know: ${unknown.join(', ')}`);
}

/** Migrations this code has that are not among these. */
export function migrationsBeyond(names: readonly string[]): string[] {
  return migrationNames().filter((name) => !names.includes(name));
}

/** Migrations this code has and the database lacks; empty when a worker may start. */
export async function missingMigrations(url: string, tls?: ConnectionOptions): Promise<string[]> {
  const client = clientOf(url, tls);
  await client.connect();
  try {
    await refuseNewer(client);
    return (await comparedMigrations(client)).missing;
  } finally {
    await client.end();
  }
}

function clientOf(url: string, tls: ConnectionOptions | undefined): pg.Client {
  return new pg.Client({ connectionString: url, ...(tls && { ssl: tls }), application_name: 'soulfra migrate' });
}

/** Migrations this code has and the database lacks, and those that only the database has. */
export async function comparedMigrations(client: pg.Client): Promise<{ missing: string[]; unknown: string[] }> {
  const [done, known] = [await appliedNames(client), migrationNames()];
  return {
    missing: known.filter((name) => !done.includes(name)),
    unknown: done.filter((name) => !known.includes(name)),
  };
}

async function appliedNames(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ exists: boolean }>("select to_regclass('migrations') is not null as exists");
  if (!rows[0]?.exists) return [];
  const applied = await client.query<{ name: string }>('select name from migrations order by name');
  return applied.rows.map((row) => row.name);
}

async function refuseNewer(client: pg.Client): Promise<void> {
  const { unknown } = await comparedMigrations(client);
  if (unknown.length > 0) {
    throw new DomainError(
      'DATA_NEWER',
      `the database has migrations this version does not know: ${unknown.join(', ')}`,
    );
  }
}
