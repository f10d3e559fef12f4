import { setTimeout as pause } from 'node:timers/promises';
import type { Database, DatabaseTransaction } from '../stores/database.ts';
import { isRolledBack } from '../stores/passing-errors.ts';

/** Ends a transaction that was only tried. */
class Undone extends Error {}

const mostTries = 3;

/**
 * Does the work in a transaction; on a dry run everything is done, refused or not, and undone: the answer is the true one. Where Postgres
 * rolled it back to end a deadlock, it is done once more, so the work must have no effect but in its transaction.
 */
export async function writeOrTry<Result>(
  db: Database,
  isDry: boolean | undefined,
  work: (tx: DatabaseTransaction) => Promise<Result>,
): Promise<Result> {
  if (isDry !== true) return again(() => db.transaction().execute(work));
  let done: { result: Result } | undefined;
  try {
    await again(() =>
      db.transaction().execute(async (tx) => {
        done = { result: await work(tx) };
        throw new Undone();
      }),
    );
  } catch (err) {
    if (!(err instanceof Undone)) throw err;
  }
  return done!.result;
}

async function again<Result>(transaction: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await transaction();
    } catch (err) {
      if (tries === mostTries || !isRolledBack(err)) throw err;
      // So that who waited gets what it waited for first.
      await pause(20 + Math.random() * 80);
    }
  }
}
