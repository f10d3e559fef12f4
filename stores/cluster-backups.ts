import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import type { LedgerFigures, TableFigures } from '../domain/backups.ts';
import { openSnapshot, type Snapshot } from './database-copy.ts';
import { refuseUnknown } from './migrate.ts';

/** What backups of a whole cluster ask of it. All of it is the superuser's, over a socket that its own user alone reaches. */

async function within<Result>(url: string, name: string, act: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url, application_name: name });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

/** Whoever waits for a lock longer than this lets all of them go: sooner than Postgres looks for who waits for whom (1 s). */
const lockWaitMs = 500;
const lockTries = 120;
const lockNotAvailable = '55P03';

export interface NamedMoment {
  /** Reads the rows as they were then. */
  snapshot: Snapshot;
  /** Name of the file of changes that has the moment in it. */
  segment: string;
}

/**
 * Gives one moment of the application's rows a name that a restore can stop at. Writers wait for some milliseconds: while they do, the
 * snapshot is taken and the name is written, so what was committed is in both, and what was not is in neither.
 * @throws UNAVAILABLE where something writes for so long that it found no gap
 */
export async function nameMoment(url: string, name: string): Promise<NamedMoment> {
  const snapshot = await openSnapshot(url);
  try {
    const names = (await snapshot.tables()).map((table) => `public.${pg.escapeIdentifier(table.name)}`);
    if (names.length === 0) throw new DomainError('CONFLICT', 'the database has no schema yet: nothing to try it on');
    const segment = await within(url, 'soulfra drill', async (client) => {
      for (let tried = 1; ; tried += 1) {
        try {
          await client.query('begin');
          await client.query(`set local lock_timeout = ${lockWaitMs}`);
          await client.query(`lock table ${names.join(', ')} in share mode`);
          await snapshot.take();
          const { rows } = await client.query<{ segment: string }>(
            'select pg_walfile_name(pg_create_restore_point($1)) as segment',
            [name],
          );
          await client.query('commit');
          return rows[0]!.segment;
        } catch (err) {
          await client.query('rollback');
          if ((err as { code?: string }).code !== lockNotAvailable) throw err;
          if (tried === lockTries)
            throw new DomainError('UNAVAILABLE', 'something writes without a pause: no moment could be fixed', {
              cause: err,
            });
          await pause(250);
        }
      }
    });
    return { snapshot, segment };
  } catch (err) {
    await snapshot.end();
    throw err;
  }
}

export interface ArchiveFigures {
  /** By the clock of the database, ISO. */
  now: string;
  /** Null: none has left since its figures began. */
  lastAt: string | null;
  failed: string | null;
}

/** When changes last left for the archive. */
export async function archiveFigures(url: string): Promise<ArchiveFigures> {
  return within(url, 'soulfra backup', async (client) => {
    const { rows } = await client.query<{ now: Date; last_at: Date | null; failed: string | null }>(
      `select clock_timestamp() as now, last_archived_time as last_at,
        case when last_failed_time > coalesce(last_archived_time, '-infinity') then last_failed_wal end as failed
       from pg_stat_archiver`,
    );
    const { now, last_at: lastAt, failed } = rows[0]!;
    return { now: now.toISOString(), lastAt: lastAt?.toISOString() ?? null, failed };
  });
}

/** Closes the file of changes, and waits until it and all before it have left. @throws UNAVAILABLE with what did not leave */
export async function archiveUntil(url: string, segment: string, withinMs: number): Promise<void> {
  await within(url, 'soulfra backup', async (client) => {
    await client.query('select pg_switch_wal()');
    const until = Date.now() + withinMs;
    for (;;) {
      const { rows } = await client.query<{ is_there: boolean; failed: string | null }>(
        `select coalesce(last_archived_wal ~ '^[0-9A-F]{24}$' and last_archived_wal >= $1, false) as is_there,
          case when last_failed_time > coalesce(last_archived_time, '-infinity') then last_failed_wal end as failed
         from pg_stat_archiver`,
        [segment],
      );
      if (rows[0]!.is_there) return;
      if (Date.now() > until) {
        const why = rows[0]!.failed === null ? '' : `; ${rows[0]!.failed} was refused, the log of Postgres says why`;
        throw new DomainError('UNAVAILABLE', `changes do not leave for the archive: ${segment} has not${why}`);
      }
      await pause(200);
    }
  });
}

/** What was restored, as `differences` compares it; rows of Temporal are counted. */
export async function restoredFigures(
  url: string,
): Promise<{ tables: Record<string, TableFigures>; ledger: LedgerFigures; migrations: string[] }> {
  const snapshot = await openSnapshot(url);
  try {
    await snapshot.take();
    return { ...(await figuresOf(snapshot)), migrations: (await snapshot.head()).migrations };
  } finally {
    await snapshot.end();
  }
}

export async function figuresOf(
  snapshot: Snapshot,
): Promise<{ tables: Record<string, TableFigures>; ledger: LedgerFigures }> {
  const tables: Record<string, TableFigures> = {};
  for (const table of await snapshot.tables()) tables[table.name] = await snapshot.figures(table);
  return { tables, ledger: await snapshot.ledger() };
}

/** @throws BACKUP_DAMAGED where a database of Temporal is not whole enough to be asked. @returns workflows it knows */
export async function temporalWorkflows(temporalUrl: string): Promise<number> {
  return within(temporalUrl, 'soulfra restore', async (client) => {
    const { rows } = await client
      .query<{ count: string }>('select count(*)::text as count from current_executions')
      .catch((err: Error) => {
        throw new DomainError('BACKUP_DAMAGED', `Temporal's database in it does not answer: ${err.message}`, {
          cause: err,
        });
      });
    return Number(rows[0]!.count);
  });
}

/** ISO, of the last transaction that was restored; null: none came after the backup. */
export async function lastReplayed(url: string): Promise<string | null> {
  return within(url, 'soulfra restore', async (client) => {
    const { rows } = await client.query<{ at: Date | null }>('select pg_last_xact_replay_timestamp() as at');
    return rows[0]!.at?.toISOString() ?? null;
  });
}

/** What a restore was told stays in the settings; so does a wait for a standby, whose copy parted from these rows. */
const settingsOfRestore = [
  'restore_command',
  'recovery_target',
  'recovery_target_action',
  'recovery_target_inclusive',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_timeline',
  'synchronous_standby_names',
];

/** Puts settings back that hold of a restore alone. @throws DATA_NEWER where this Soulfra does not know the schema */
export async function forgetRestore(url: string): Promise<void> {
  await within(url, 'soulfra restore', async (client) => {
    const { rows } = await client.query<{ name: string }>('select name from migrations order by name');
    refuseUnknown(rows.map(({ name }) => name));
    for (const name of settingsOfRestore) await client.query(`alter system reset ${name}`);
  });
}

/** Rows that there are, as Postgres counts them by the way. */
export async function rowsAbout(url: string): Promise<number> {
  return within(url, 'soulfra backup', async (client) => {
    const { rows } = await client.query<{ count: string }>(
      `select coalesce(sum(n_live_tup), 0)::text as count from pg_stat_user_tables where schemaname = 'public'`,
    );
    return Number(rows[0]!.count);
  });
}

/** Names of the migrations that the database has. */
export async function migrationsOf(url: string): Promise<string[]> {
  return within(url, 'soulfra backup', async (client) => {
    const { rows } = await client.query<{ name: string }>('select name from migrations order by name');
    return rows.map(({ name }) => name);
  });
}

/** Says of the newest backup whether its second copy is there. @param reason why it is not; empty: it is */
export async function tellSecondCopy(url: string, reason: string): Promise<void> {
  await within(url, 'soulfra backup', async (client) => {
    await client.query(
      `update backups set copy_reason = $1 where copy_reason <> $1
        and id = (select id from backups where state = 'done' order by started_at desc limit 1)`,
      [reason],
    );
  });
}
