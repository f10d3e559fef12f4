import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { sql } from 'kysely';
import { createPurchaseActivities } from '../../activities/purchases.ts';
import { createLogger } from '../../observability/logger.ts';
import { createDatabase } from '../../stores/database.ts';
import { createPurchaseStore } from '../../stores/purchase-steps.ts';
import { workflowBundle } from '../../workers/bundle.ts';
import { createCoordinationWorker, pollers } from '../../workers/coordination.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { benchPayments } from '../../bench/support/bench-payments.ts';

/**
 * A worker of `npm run bench -- purchases`: the shipped coordination worker, workflows, steps and stores, with a provider of
 * the bench. With `--bare`, beside it a worker of four activities with one committed insert each, of the same weight.
 */
const { values: args } = parseArgs({ options: { name: { type: 'string' }, bare: { type: 'boolean' } } });
const env = (name: string) => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
};
const weight = { pollers: 4, workflowSlots: 40, activitySlots: 20 };
const log = createLogger({ part: 'worker', level: 'warn' });
installRuntime(log);
const db = createDatabase({
  url: env('DATABASE_URL'),
  name: `bench ${args.name}`,
  connections: 20,
  onIdleError: (err) => log.warn({ err }, 'a connection broke'),
});
const connection = await NativeConnection.connect({ address: env('TEMPORAL_ADDRESS') });
const shared = { connection, namespace: env('TEMPORAL_NAMESPACE'), identity: `${args.name}/worker/${process.pid}` };
const workers = [
  await createCoordinationWorker({
    ...shared,
    bundlePath: await workflowBundle(),
    weight,
    activities: createPurchaseActivities({
      purchases: createPurchaseStore(db),
      providers: { bench: benchPayments(db) },
    }),
  }),
];
if (args.bare === true) {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../bench/support/four-steps.ts', import.meta.url)),
    logger: new DefaultLogger('WARN'),
  });
  workers.push(
    await Worker.create({
      ...shared,
      taskQueue: 'four_steps',
      workflowBundle: { code },
      activities: {
        async step(ordinal: number): Promise<number> {
          await sql`insert into bench_steps (ordinal) values (${ordinal})`.execute(db);
          return ordinal;
        },
      },
      workflowTaskPollerBehavior: pollers(weight.pollers),
      nonStickyToStickyPollRatio: 0.7,
      maxConcurrentWorkflowTaskExecutions: weight.workflowSlots,
      activityTaskPollerBehavior: pollers(weight.pollers),
      maxConcurrentActivityTaskExecutions: weight.activitySlots,
      maxCachedWorkflows: 400,
    }),
  );
}
await Promise.all(workers.map((worker) => worker.run()));
