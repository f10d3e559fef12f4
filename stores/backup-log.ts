import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { DomainError } from '../domain/errors.ts';
import { lockNumbers } from './locks.ts';
import { type BackupSettings, backupSettingsSchema } from '../domain/backup-settings.ts';

/** What backups and drills say of themselves in the database they are of: health, metrics and the API go by it. */
export async function openBackupLog(url: string) {
  const client = new pg.Client({ connectionString: url, application_name: 'soulfra backup log', keepAlive: true });
  client.on('error', () => undefined);
  await client.connect();

  async function owner(): Promise<string> {
    const { rows } = await client.query<{ id: string }>(
      `select coalesce((select owner_id from fleet_versions order by version desc limit 1),
        (select id from users order by created_at, id limit 1)) as id`,
    );
    if (!rows[0]?.id) throw new DomainError('CONFLICT', 'the database has no user yet: there is nothing to back up');
    return rows[0].id;
  }

  async function take(number: number): Promise<boolean> {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1::bigint) as taken', [
      number,
    ]);
    return rows[0]!.taken;
  }

  return {
    /** Whose backups they are: the first user there ever was. */
    async origin(): Promise<string> {
      const { rows } = await client.query<{ id: string }>('select id from users order by created_at, id limit 1');
      if (!rows[0]) throw new DomainError('CONFLICT', 'the database has no user yet: there is nothing to back up');
      return rows[0].id;
    },

    /** Until this session ends, however it does. @throws UNAVAILABLE where another one has it for longer than that */
    async lock(waitMs = 0): Promise<void> {
      const until = Date.now() + waitMs;
      while (!(await take(lockNumbers.backup))) {
        if (Date.now() >= until) throw new DomainError('UNAVAILABLE', 'another backup of this fleet is being made');
        await pause(200);
      }
    },

    /** Before the session ends. */
    async unlock(): Promise<void> {
      await client.query('select pg_advisory_unlock($1::bigint)', [lockNumbers.backup]);
    },

    /** Of who reads a repository whole, beside whom backups are made. @returns whether it was free */
    lockReading: () => take(lockNumbers.repositoryReading),

    /** Of drills of a cluster, which have one folder. @throws UNAVAILABLE */
    async lockDrill(): Promise<void> {
      if (!(await take(lockNumbers.drill)))
        throw new DomainError('UNAVAILABLE', 'another drill of this cluster is under way');
    },

    /** ISO, by the clock of the database. */
    async now(): Promise<string> {
      const { rows } = await client.query<{ now: Date }>('select clock_timestamp() as now');
      return rows[0]!.now.toISOString();
    },

    /** What the applied fleet says of backups; before the first apply, what counts without a fleet.yaml. */
    async settings(): Promise<BackupSettings> {
      const { rows } = await client.query<{ backup: unknown }>(
        `select fleet -> 'backup' as backup from fleet_versions order by version desc limit 1`,
      );
      return backupSettingsSchema.parse(rows[0]?.backup ?? {});
    },

    /** Only one is made at a time, so whatever else is under way was cut off. One that is done stays so. */
    async begin(id: string, folder: string): Promise<void> {
      await client.query(
        `update backups set state = 'failed', ended_at = clock_timestamp(), reason = 'it was cut off' where state = 'running' and id <> $1`,
        [id],
      );
      await client.query(
        `insert into backups (id, owner_id, folder) values ($1, $2, $3)
         on conflict (id) do update set state = 'running', reason = '', ended_at = null, folder = excluded.folder
         where backups.state <> 'done'`,
        [id, await owner(), folder],
      );
    },
    async done(id: string, made: { bytes: number; rows: number; copyReason: string }): Promise<void> {
      await client.query(
        `update backups set state = 'done', ended_at = clock_timestamp(), reason = '', bytes = $2, row_count = $3, copy_reason = $4
         where id = $1`,
        [id, made.bytes, made.rows, made.copyReason],
      );
      await client.query(`delete from backups where ended_at < now() - interval '365 days'`);
    },
    async failed(id: string, reason: string): Promise<void> {
      await client.query(
        `update backups set state = 'failed', ended_at = clock_timestamp(), reason = $2 where id = $1 and state = 'running'`,
        [id, reason],
      );
    },

    /** Of one that is done: when it was read, it was not whole. */
    async foundDamaged(id: string, reason: string): Promise<void> {
      await client.query(
        `update backups set state = 'failed', reason = $2, bytes = null, row_count = null where id = $1`,
        [id, reason],
      );
    },

    async drillBegun(id: string, backupId: string): Promise<void> {
      await client.query(
        `update restore_drills set state = 'failed', ended_at = clock_timestamp(), reason = 'it was cut off' where state = 'running' and id <> $1`,
        [id],
      );
      await client.query(
        `insert into restore_drills (id, owner_id, backup_id) values ($1, $2, $3)
         on conflict (id) do update set state = 'running', reason = '', ended_at = null, rpo_seconds = null, rto_seconds = null,
           backup_id = excluded.backup_id`,
        [id, await owner(), backupId],
      );
    },
    async drillDone(id: string, { rpoSeconds, rtoSeconds }: { rpoSeconds: number; rtoSeconds: number }): Promise<void> {
      await client.query(
        `update restore_drills set state = 'done', ended_at = clock_timestamp(), rpo_seconds = $2, rto_seconds = $3 where id = $1`,
        [id, rpoSeconds, rtoSeconds],
      );
      await client.query(`delete from restore_drills where ended_at < now() - interval '365 days'`);
    },
    async drillFailed(id: string, reason: string): Promise<void> {
      await client.query(
        `update restore_drills set state = 'failed', ended_at = clock_timestamp(), reason = $2 where id = $1 and state = 'running'`,
        [id, reason],
      );
    },
    end: () => client.end(),
  };
}
export type BackupLog = Awaited<ReturnType<typeof openBackupLog>>;
