import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { inject } from 'vitest';
import { ensureDatabase, withDatabase } from './servers.ts';
import { templateDatabase } from './stack.ts';

const goodbyeMs = 2_000;

/** What one test file has to itself: database, Redis database and Temporal namespace, and with the namespace every task queue. */
export interface TestScope {
  /** Number of the scope, for names and ports. */
  number: number;
  databaseUrl: string;
  redisUrl: string;
  temporalAddress: string;
  namespace: string;
  /** Path of the workflows bundled once for the run. */
  workflowBundlePath: () => string;
  /** Drops the database; the namespace is never used again. */
  close(): Promise<void>;
}

/** Takes the next free scope. `migrated: false` gives an empty database. */
export async function createTestScope(options: { migrated?: boolean } = {}): Promise<TestScope> {
  const stack = inject('stack');
  const number = takeNumber(stack.folder, stack.redisUrls.length);
  const database = `test_${number}`;
  await ensureDatabase(stack.postgresUrl, database, options.migrated === false ? undefined : templateDatabase);
  return {
    number,
    databaseUrl: withDatabase(stack.postgresUrl, database),
    redisUrl: stack.redisUrls[number]!,
    temporalAddress: stack.temporalAddress,
    namespace: `test-${number}`,
    workflowBundlePath: () => {
      if (stack.workflowBundle === null) throw new Error('workflows/index.ts is not there, so nothing was bundled');
      return stack.workflowBundle;
    },
    close: async () => {
      const client = new pg.Client({ connectionString: stack.postgresUrl });
      await client.connect();
      try {
        const rows = await connectionsLeft(client, database);
        await client.query(`drop database ${client.escapeIdentifier(database)} with (force)`);
        if (rows.length > 0)
          throw new Error(
            `${rows.length} connections to ${database} were left open: ${rows.map((row) => row.application_name).join(', ')}`,
          );
      } finally {
        await client.end();
      }
    },
  };
}

/** Test files run in processes of their own; a folder can be made only once, so no two get one number. */
function takeNumber(folder: string, count: number): number {
  for (let number = 0; number < count; number += 1) {
    try {
      mkdirSync(join(folder, 'scopes', String(number)));
      return number;
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
    }
  }
  throw new Error(`all ${count} scopes of this test run are taken; raise \`scopes\` in test/support/stack.ts`);
}

/** A server process ends a moment after its client has said goodbye; what is still there after that was left open. */
async function connectionsLeft(client: pg.Client, database: string): Promise<Array<{ application_name: string }>> {
  const deadline = Date.now() + goodbyeMs;
  for (;;) {
    const { rows } = await client.query<{ application_name: string }>(
      'select application_name from pg_stat_activity where datname = $1',
      [database],
    );
    if (rows.length === 0 || Date.now() > deadline) return rows;
    await sleep(25);
  }
}
