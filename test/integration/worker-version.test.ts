import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../../observability/logger.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { makeCurrent, versionedAs } from '../../workers/worker-version.ts';
import type { ElsewhereActivities, VersionActivities } from '../replay/versions/before.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';

const log = createLogger({ part: 'worker', level: 'silent' });
const queue = 'versions';
const elsewhereQueue = 'versions_elsewhere';
const stopping = new AbortController();
let scope: TestScope;
let native: NativeConnection;
let connection: Connection;
let client: Client;

beforeAll(async () => {
  installRuntime(log);
  scope = await createTestScope();
  native = await NativeConnection.connect({ address: scope.temporalAddress });
  connection = await Connection.connect({ address: scope.temporalAddress });
  client = new Client({ connection, namespace: scope.namespace });
});
afterAll(async () => {
  stopping.abort();
  await connection?.close();
  await native?.close();
  await scope?.close();
});

async function workerOf(version: 'before' | 'after'): Promise<Worker> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL(`../replay/versions/${version}.ts`, import.meta.url)),
    logger: new DefaultLogger('ERROR'),
  });
  const activities: VersionActivities = { note: () => Promise.resolve(version) };
  return Worker.create({
    connection: native,
    namespace: scope.namespace,
    taskQueue: queue,
    workflowBundle: { code },
    workerDeploymentOptions: versionedAs(version),
    // Every task is read from its beginning, by whoever takes it.
    maxCachedWorkflows: 0,
    activities: { ...activities },
  });
}

/** What the figure of it says meanwhile. */
async function lead(buildId: string): Promise<boolean[]> {
  const told: boolean[] = [];
  const of = { connection, namespace: scope.namespace, buildId, identity: 'test', stopping: stopping.signal, log };
  await makeCurrent({ ...of, onCurrent: (isCurrent) => void told.push(isCurrent) });
  return told;
}

const begin = (id: string) =>
  client.workflow.start('inTwoSteps', { workflowId: id, taskQueue: queue, args: [elsewhereQueue] });

/** Until its first step is over, and it waits. */
async function waits(handle: Awaited<ReturnType<typeof begin>>): Promise<void> {
  await expect
    .poll(
      async () => {
        const { events } = await handle.fetchHistory();
        return (events ?? []).filter((event) => event.activityTaskCompletedEventAttributes).length;
      },
      { timeout: 20_000 },
    )
    .toBe(1);
}

test('while two versions run, workflows go by the current one alone, and none goes back to the older', async () => {
  const elsewhere: ElsewhereActivities = { elsewhere: () => Promise.resolve('elsewhere') };
  const unversioned = await Worker.create({
    connection: native,
    namespace: scope.namespace,
    taskQueue: elsewhereQueue,
    activities: { ...elsewhere },
  });
  const workers = [await workerOf('before'), await workerOf('after'), unversioned];
  const running = workers.map((worker) => worker.run());
  try {
    expect(await lead('before')).toEqual([false, true]);
    const old = await Promise.all(['1', '2', '3', '4'].map((n) => begin(`old-${n}`)));
    await Promise.all(old.map(waits));
    await lead('after');
    // A second time it is no change.
    await lead('after');
    // Temporal tells its task queues one after the other.
    let probes = 0;
    await expect
      .poll(
        async () => {
          const probe = await begin(`probe-${(probes += 1)}`);
          await waits(probe);
          await probe.signal('go');
          return (await probe.result())[0];
        },
        { timeout: 20_000 },
      )
      .toBe('after');
    const young = await Promise.all(['1', '2', '3', '4'].map((n) => begin(`young-${n}`)));
    await Promise.all(young.map(waits));
    for (const handle of [...old, ...young]) await handle.signal('go');
    // Old ones end by the new code, which takes them up where they were.
    for (const handle of old) expect(await handle.result()).toEqual(['before', 'elsewhere', 'after']);
    for (const handle of young) expect(await handle.result()).toEqual(['after', 'elsewhere', 'after']);
    for (const handle of [...old, ...young]) {
      const { events } = await handle.fetchHistory();
      expect((events ?? []).filter((event) => event.workflowTaskFailedEventAttributes)).toEqual([]);
    }
  } finally {
    for (const worker of workers) worker.shutdown();
    await Promise.all(running);
  }
});
