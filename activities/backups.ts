import { Context } from '@temporalio/activity';
import { beating } from './beating.ts';

export interface MadeBackup {
  id: string;
  bytes: number;
  rows: number;
}
export interface DrilledRestore {
  /** Of the backup. */
  id: string;
  rpoSeconds: number;
  rtoSeconds: number;
}

/** Runs the program that backs up and restores, and ends it with the signal. @throws what it ends with, by the one table */
export type BackupPart = (args: readonly string[], signal: AbortSignal) => Promise<unknown>;

/** Each names what it makes before it begins, so a second execution finds what the first has made. */
export function createBackupActivities({ run }: { run: BackupPart }) {
  const beatingRun = (args: readonly string[]) => beating(() => run(args, Context.current().cancellationSignal));
  return {
    async makeBackup({ id }: { id: string }): Promise<MadeBackup> {
      const { record } = (await beatingRun(['create', '--id', id])) as {
        record: { archive: { bytes: number }; rows: number };
      };
      return { id, bytes: record.archive.bytes, rows: record.rows };
    },

    async drillBackup({ id }: { id: string }): Promise<DrilledRestore> {
      const drilled = (await beatingRun(['drill', 'newest', '--id', id])) as DrilledRestore;
      return { id: drilled.id, rpoSeconds: drilled.rpoSeconds, rtoSeconds: drilled.rtoSeconds };
    },
  };
}
export type BackupActivities = ReturnType<typeof createBackupActivities>;
