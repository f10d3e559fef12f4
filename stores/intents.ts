import type { Database, Executor } from './database.ts';

export interface Intent {
  workflowId: string;
  type: string;
  args: unknown[];
}

/** Asks for a workflow in the transaction of the fact that needs it; the same id asks once. */
export async function insertIntent(db: Executor, intent: Intent): Promise<void> {
  await db
    .insertInto('intents')
    .values({ workflowId: intent.workflowId, type: intent.type, args: JSON.stringify(intent.args) })
    .onConflict((conflict) => conflict.column('workflowId').doNothing())
    .execute();
}

export function createIntentStore(db: Database) {
  return {
    /**
     * Deletes the oldest intent that nobody else holds and hands it to `start`; the deletion holds once `start` has returned.
     * A crash in between starts it again, which the workflow id makes harmless. Deleted first, since whoever asks for the same id
     * meanwhile then waits and asks anew: a row that is only locked would count as asked for, and be gone a moment later.
     * @returns whether there was one
     */
    async take(start: (intent: Intent) => Promise<void>): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .deleteFrom('intents')
          .where('workflowId', '=', (oldest) =>
            oldest.selectFrom('intents').select('workflowId').orderBy('createdAt').limit(1).forUpdate().skipLocked(),
          )
          .returning(['workflowId', 'type', 'args'])
          .executeTakeFirst();
        if (!row) return false;
        await start({ workflowId: row.workflowId, type: row.type, args: row.args as unknown[] });
        return true;
      });
    },
  };
}
export type IntentStore = ReturnType<typeof createIntentStore>;
