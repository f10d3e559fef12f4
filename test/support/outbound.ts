import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { sql } from 'kysely';
import { createFleetReader } from '../../activities/fleet-view.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { createLogger } from '../../observability/logger.ts';
import type { Database } from '../../stores/database.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createChannelWorkers, type OutboundSettings } from '../../workers/channels.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { bornAgents } from './born-agents.ts';
import { testFleet } from './fleets.ts';
import type { TestScope } from './isolation.ts';

const log = createLogger({ part: 'worker', level: 'silent' });
let runtime = false;

export const testWebhookKey = Buffer.alloc(32, 9).toString('base64url');

/** Applies a fleet for what leaves, and takes back what applying it has asked for: no machine is needed here. */
export async function applyFleet(
  db: Database,
  ownerId: string,
  { people, ...change }: Partial<Omit<Fleet, 'people'>> & { people?: Partial<Fleet['people']> },
): Promise<void> {
  const given = testFleet();
  const fleet = { ...given, ...change, people: { ...given.people, ...people } };
  await createFleetStore(db).apply({ ownerId, source: '', fleet, agents: bornAgents(fleet), changes: [] });
  await sql`delete from intents where type = 'replanFleet'`.execute(db);
}

/** The shipped workflows, channel workers and relay on real servers; only the waits between tries are short. */
export async function openOutbound(
  { scope, db }: { scope: TestScope; db: Database },
  settings: Partial<OutboundSettings>,
  {
    waitSeconds = () => 0.05,
    activities = {},
  }: {
    waitSeconds?: (ruled: number) => number;
    /** Of the coordination queue, where the workflows that are run need any. */
    activities?: object;
  } = {},
) {
  if (!runtime) installRuntime(log);
  runtime = true;
  const native = await NativeConnection.connect({ address: scope.temporalAddress });
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  const shared = { connection: native, namespace: scope.namespace };
  const workers = [
    await createCoordinationWorker({
      ...shared,
      identity: 'outbound/coordination/0',
      bundlePath: scope.workflowBundlePath(),
      weight: { pollers: 4, workflowSlots: 20, activitySlots: 2 },
      activities,
    }),
    ...(await createChannelWorkers(shared, (channel) => `outbound/${channel}/0`, {
      db,
      fleet: createFleetReader(createFleetStore(db)),
      settings: {
        mailFrom: 'market@soulfra.example',
        publicUrl: 'https://soulfra.example',
        webhookKey: testWebhookKey,
        ...settings,
      },
      waitSeconds,
    })),
  ];
  const running = workers.map((worker) => worker.run());
  const relay = relayIntents({
    client,
    intents: createIntentStore(db),
    listen: createListenerFactory(scope.databaseUrl, () => undefined),
    log,
  });
  return {
    client,
    async close(): Promise<void> {
      await relay.stop();
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await connection.close();
      await native.close();
    },
  };
}
