import { backup, DatabaseSync } from 'node:sqlite';
import { DomainError } from '../../domain/errors.ts';

/** Pages copied before others have their turn. */
const pagesATime = 2_000;
/** For the server's own write under way. */
const lockWithinMs = 10_000;

/**
 * Holds one moment of Temporal's database, while the server works on: `hold` runs while nothing can be written, so that what
 * it takes is of the same moment. The lock is that of any writer, and is kept for as long as one question to Postgres takes.
 */
export async function takeTemporal(
  file: string,
  hold: () => Promise<void>,
): Promise<{ copyTo(target: string): Promise<void>; end(): void }> {
  const writer = open(file, { timeout: lockWithinMs });
  let reader: DatabaseSync | undefined;
  try {
    writer.exec('begin immediate');
    reader = open(file, { readOnly: true, timeout: lockWithinMs });
    reader.exec('begin');
    // The first reading is what fixes the moment.
    reader.prepare('select count(*) from sqlite_schema').get();
    await hold();
  } catch (err) {
    reader?.close();
    throw isBusy(err)
      ? new DomainError('UNAVAILABLE', `${file} is being written without a pause`, { cause: err })
      : err;
  } finally {
    writer.close();
  }
  const source = reader;
  return {
    copyTo: async (target) => void (await backup(source, target, { rate: pagesATime })),
    end: () => source.close(),
  };
}

function open(file: string, options: { readOnly?: boolean; timeout: number }): DatabaseSync {
  try {
    return new DatabaseSync(file, options);
  } catch (err) {
    throw new DomainError('UNAVAILABLE', `Temporal's database ${file} cannot be opened: ${(err as Error).message}`, {
      cause: err,
    });
  }
}

function isBusy(err: unknown): boolean {
  return err instanceof Error && /database is locked/.test(err.message);
}

/** @returns what is wrong with a copy; undefined: nothing */
export function temporalFault(file: string): string | undefined {
  try {
    const db = new DatabaseSync(file, { readOnly: true });
    try {
      const { quick_check: said } = db.prepare('pragma quick_check(1)').get() as { quick_check: string };
      return said === 'ok' ? undefined : said;
    } finally {
      db.close();
    }
  } catch (err) {
    return (err as Error).message;
  }
}
