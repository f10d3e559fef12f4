import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../../observability/logger.ts';
import { installRuntime } from '../../workers/runtime.ts';
import type { SideBySideActivities } from '../replay/side-by-side/index.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';

let scope: TestScope;
let native: NativeConnection;
let connection: Connection;
let code: string;

beforeAll(async () => {
  installRuntime(createLogger({ part: 'worker', level: 'silent' }));
  scope = await createTestScope();
  native = await NativeConnection.connect({ address: scope.temporalAddress });
  connection = await Connection.connect({ address: scope.temporalAddress });
  ({ code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../replay/side-by-side/index.ts', import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  }));
});
afterAll(async () => {
  await connection?.close();
  await native?.close();
  await scope?.close();
});

/** Runs it, then reads its history again as a worker does that has never met it. */
async function runAndReplay(type: string, activities: SideBySideActivities): Promise<void> {
  const { namespace } = scope;
  const worker = await Worker.create({
    connection: native,
    namespace,
    taskQueue: type,
    workflowBundle: { code },
    activities: { ...activities },
  });
  const client = new Client({ connection, namespace });
  const workflowId = `side-by-side-${type}`;
  await worker.runUntil(client.workflow.execute(type, { workflowId, taskQueue: type }));
  await Worker.runReplayHistory(
    { workflowBundle: { code } },
    await client.workflow.getHandle(workflowId).fetchHistory(),
    workflowId,
  );
}

test('local activities in flight at once are read again otherwise than they ran', async () => {
  const [looking, lookedTwice] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let looks = 0;
  const activities: SideBySideActivities = {
    work: (which) => [Promise.resolve(), looking.promise, lookedTwice.promise][which - 1]!,
    async look() {
      looks += 1;
      if (looks === 1) {
        // The second ends while the end of the first is looked into.
        looking.resolve();
        await pause(500);
      } else setTimeout(lookedTwice.resolve, 500); // Once that look has ended, too.
    },
  };
  await expect(runAndReplay('inFlight', activities)).rejects.toThrow(DeterminismViolationError);
});

test('taken in turn they are read again as they ran', async () => {
  const order: Array<number | string> = [];
  const activities: SideBySideActivities = {
    work: (which) => Promise.resolve(void order.push(which)),
    look: () => Promise.resolve(void order.push('look')),
  };
  await runAndReplay('oneAfterTheOther', activities);
  expect(order).toEqual([1, 2, 3, 'look']);
});
