import type { Database, DatabaseTransaction } from '../stores/database.ts';

/** Ends a transaction that was only tried. */
class Undone extends Error {}

/** Does the work in a transaction; on a dry run everything is done, refused or not, and undone: the answer is the true one. */
export async function writeOrTry<Result>(
  db: Database,
  isDry: boolean | undefined,
  work: (tx: DatabaseTransaction) => Promise<Result>,
): Promise<Result> {
  if (isDry !== true) return db.transaction().execute(work);
  let done: { result: Result } | undefined;
  try {
    await db.transaction().execute(async (tx) => {
      done = { result: await work(tx) };
      throw new Undone();
    });
  } catch (err) {
    if (!(err instanceof Undone)) throw err;
  }
  return done!.result;
}
