import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { PostgresReading } from '../domain/doctor-services.ts';
import { comparedMigrations } from './migrate.ts';

const settingNames = [
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'server_encoding',
  'TimeZone',
  'max_connections',
  'server_version',
  'server_version_num',
];

/** What `soulfra doctor` asks a Postgres, over one connection of its own; changes nothing. */
export async function readPostgres(url: string, timeoutMs: number, tls?: ConnectionOptions): Promise<PostgresReading> {
  const client = new pg.Client({
    connectionString: url,
    ...(tls && { ssl: tls }),
    application_name: 'soulfra doctor',
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    // As the server has them for everybody: a connection may set some for itself.
    const { rows } = await client.query<{ name: string; setting: string }>(
      'select name, coalesce(reset_val, setting) as setting from pg_settings where name = any($1)',
      [settingNames],
    );
    const settings = Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
    const used = await client.query<{ used: number }>(
      "select count(*)::int as used from pg_stat_activity where backend_type = 'client backend'",
    );
    const before = Date.now();
    const clock = await client.query<{ ms: string }>('select extract(epoch from clock_timestamp()) * 1000 as ms');
    const after = Date.now();
    return {
      version: `Postgres ${settings['server_version']}`,
      versionNumber: Number(settings['server_version_num']),
      settings,
      connections: used.rows[0]!.used,
      migrations: await comparedMigrations(client),
      offsetMs: Math.round((before + after) / 2 - Number(clock.rows[0]!.ms)),
      roundTripMs: after - before,
    };
  } finally {
    await client.end().catch(() => undefined);
  }
}
