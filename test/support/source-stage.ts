import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { createSourceDeliveryActivities } from '../../activities/source-deliveries.ts';
import { createSourceReadActivities } from '../../activities/source-reads.ts';
import { createSourceActivities } from '../../activities/sources.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createGuardedFetch } from '../../integrations/guarded-fetch.ts';
import { createDropsReader } from '../../activities/source-drops.ts';
import { createGuildReader } from '../../activities/source-guilds.ts';
import { createSourceReading } from '../../integrations/sources/reading.ts';
import { createLogger } from '../../observability/logger.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { createSourceItemStore } from '../../stores/source-items.ts';
import { createSourceDropStore } from '../../stores/source-drops.ts';
import { createSourceGuildStore } from '../../stores/source-guilds.ts';
import { createSourceStore } from '../../stores/sources.ts';
import { createCoordinationWorker, createMachineQueueWorker } from '../../workers/coordination.ts';
import { installRuntime } from '../../workers/runtime.ts';
import type { PollSourceResult } from '../../workflows/poll-source.ts';
import { openStoreScope } from './store-scope.ts';

type Activities = ReturnType<typeof createSourceReadActivities> &
  ReturnType<typeof createSourceActivities> &
  ReturnType<typeof createSourceDeliveryActivities>;

let runtime = false;

/** The shipped activities and workflows of sources on real servers, in this process. */
export async function openSourceStage(
  fleet: Fleet,
  change: (shipped: Activities) => Partial<Activities> = () => ({}),
  { folders = [] }: { folders?: readonly string[] } = {},
) {
  if (!runtime) installRuntime(createLogger({ part: 'worker', level: 'silent' }));
  runtime = true;
  const store = await openStoreScope();
  const { db, scope } = store;
  await store.apply(fleet);
  const stores = {
    sources: createSourceStore(db),
    sourceItems: createSourceItemStore(db),
    memories: createMemoryStore(db),
  };
  const reader = createFleetReader(createFleetStore(db));
  const read = createSourceReading({
    guardedFetch: createGuardedFetch(),
    folders: { roots: folders, quietMs: 0 },
    drops: createDropsReader({ drops: createSourceDropStore(db) }),
    guilds: createGuildReader({ guilds: createSourceGuildStore(db) }),
  });
  const reads = createSourceReadActivities({ ...stores, fleet: reader, read, machineId: 'pc2' });
  const shipped: Activities = {
    ...reads,
    ...createSourceActivities({ ...stores, fleet: reader }),
    ...createSourceDeliveryActivities({ ...stores, fleet: reader }),
  };
  const native = await NativeConnection.connect({ address: scope.temporalAddress });
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  const worker = await createCoordinationWorker({
    connection: native,
    namespace: scope.namespace,
    identity: 'stage/coordination/0',
    bundlePath: scope.workflowBundlePath(),
    weight: { pollers: 4, workflowSlots: 20, activitySlots: 8 },
    activities: { ...shipped, ...change(shipped) },
  });
  const machineNative = await NativeConnection.connect({ address: scope.temporalAddress });
  const machineWorker = await createMachineQueueWorker({
    connection: machineNative,
    namespace: scope.namespace,
    identity: 'pc2/machine/0',
    machineId: 'pc2',
    activities: reads,
  });
  const running = [worker.run(), machineWorker.run()];
  let polls = 0;

  return {
    ...store,
    ...stores,
    client,
    activities: shipped,

    /** Reads a source as `soulfra sources poll` does, to its end. */
    async poll(sourceId: string, machineId?: string): Promise<PollSourceResult['polled']> {
      polls += 1;
      const { polled } = (await client.workflow.execute('pollSource', {
        workflowId: `poll-source:${sourceId}:test-${polls}`,
        taskQueue: coordinationQueue,
        args: [{ sourceId, ...(machineId === undefined ? {} : { machineId }) }],
        workflowTaskTimeout: '2 seconds',
      })) as PollSourceResult;
      return polled;
    },

    /** What an agent remembers and still holds true, in order. */
    async remembered(agentId: string): Promise<string[]> {
      const rows = await db
        .selectFrom('memories')
        .select('text')
        .where('agentId', '=', agentId)
        .where('supersededAt', 'is', null)
        .where('deletedAt', 'is', null)
        .orderBy('seq')
        .execute();
      return rows.map((row) => row.text);
    },

    async state(sourceId: string) {
      return db.selectFrom('sourceStates').selectAll().where('sourceId', '=', sourceId).executeTakeFirstOrThrow();
    },

    async close(): Promise<void> {
      worker.shutdown();
      machineWorker.shutdown();
      await Promise.all(running);
      await machineNative.close();
      await native.close();
      await connection.close();
      await store.close();
    },
  };
}
