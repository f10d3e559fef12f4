import { resealBatch } from '../../api/reseal.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { createDatabase } from '../../stores/database.ts';

/** Two rows a transaction; the 20th stays open until somebody kills it, who is told then. */
const db = createDatabase({ url: process.argv[2]!, name: 'test reseal', onIdleError: () => undefined });
const boxes = {
  secretBox: createSecretBox(Buffer.alloc(32, 20), Buffer.alloc(32, 10)),
  webhookBox: createSecretBox(Buffer.alloc(32, 21), Buffer.alloc(32, 11)),
};
let from: string | undefined;
for (let batches = 1; ; batches += 1) {
  const isLast = batches === 20;
  const { next } = await db.transaction().execute(async (tx) => {
    const batch = await resealBatch(tx, boxes, { from, limit: 2 });
    if (isLast) process.stdout.write('open\n');
    // The connection keeps the process there.
    return isLast ? new Promise<never>(() => undefined) : batch;
  });
  if (next === null) throw new Error('there were too few rows to be killed among');
  from = next;
}
