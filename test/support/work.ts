import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { createWorkActivities } from '../../activities/work.ts';
import type { WorkJoin } from '../../domain/work.ts';
import { activityPollers } from '../../integrations/temporal-pollers.ts';
import { createLogger } from '../../observability/logger.ts';
import type { Database } from '../../stores/database.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { createWorkStore } from '../../stores/work.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { serveWorkQueues } from '../../workers/work-queues.ts';
import type { TestScope } from './isolation.ts';

const log = createLogger({ part: 'worker', level: 'silent' });
let runtime = false;

/** A service as an apply leaves it, with a token. */
export async function addService(
  db: Database,
  ownerId: string,
  id: string,
  joins: WorkJoin | null = 'work',
): Promise<string> {
  const spec = { id, kind: 'process', source: 'fleet.d/test.yaml:1', ...(joins && { joins }) };
  await db
    .insertInto('services')
    .values({ id, ownerId, spec: JSON.stringify(spec) })
    .execute();
  return (await createPrincipalStore(db).issueForService(id, { ownerId, name: id })).secret;
}

export type WorkStage = Awaited<ReturnType<typeof openWorkStage>>;

/** The shipped workflow, relay and workers of the queues of work, on real servers. */
export async function openWorkStage({ scope, db }: { scope: TestScope; db: Database }) {
  if (!runtime) installRuntime(log);
  runtime = true;
  const native = await NativeConnection.connect({ address: scope.temporalAddress });
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  const shared = { connection: native, namespace: scope.namespace };
  const works = createWorkStore(db);
  const listen = createListenerFactory(scope.databaseUrl, () => undefined);
  const coordination = await createCoordinationWorker({
    ...shared,
    identity: 'work/coordination/0',
    bundlePath: scope.workflowBundlePath(),
    weight: { pollers: 4, workflowSlots: 20, activitySlots: 2 },
    activities: createWorkActivities({ works }),
  });
  const running = coordination.run();
  const relay = relayIntents({ client, intents: createIntentStore(db), listen, log });
  const lost: string[] = [];
  const serve = () =>
    serveWorkQueues({
      shared,
      identityOf: (queue) => `work/${queue}/0`,
      works,
      listen,
      pollersOf: (queue) => activityPollers(client, queue),
      onLost: (service) => lost.push(service),
      onFailure: (err) => {
        throw err;
      },
      log,
    });
  let queues = serve();
  return {
    client,
    native,
    works,
    /** Services whose leases ran out. */
    lost,
    tellUnclaimed: () => queues.tellUnclaimed(),
    /** Another worker goes on with what this one offered. */
    async restartQueues(): Promise<void> {
      await queues.stop();
      queues = serve();
    },
    async close(): Promise<void> {
      await relay.stop();
      await queues.stop();
      coordination.shutdown();
      await running;
      await connection.close();
      await native.close();
    },
  };
}
