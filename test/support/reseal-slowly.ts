import { resealBatch } from '../../api/reseal.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { createDatabase } from '../../stores/database.ts';

/** Two rows a transaction, each told once it is committed, until somebody kills it. */
const db = createDatabase({ url: process.argv[2]!, name: 'test reseal', onIdleError: () => undefined });
const boxes = {
  secretBox: createSecretBox(Buffer.alloc(32, 20), Buffer.alloc(32, 10)),
  webhookBox: createSecretBox(Buffer.alloc(32, 21), Buffer.alloc(32, 11)),
};
let from: string | undefined;
do {
  const batch = await db.transaction().execute((tx) => resealBatch(tx, boxes, { from, limit: 2 }));
  process.stdout.write(`${batch.resealed}\n`);
  from = batch.next ?? undefined;
} while (from !== undefined);
await db.destroy();
