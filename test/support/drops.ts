import { Client, Connection } from '@temporalio/client';
import { NativeConnection, type Worker } from '@temporalio/worker';
import { sql } from 'kysely';
import { createDropActivities } from '../../activities/drops.ts';
import { createReplySweepActivities } from '../../activities/replies.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import type { ChannelKindName } from '../../domain/channel-kinds.ts';
import type { ChannelStage } from '../../domain/states.ts';
import { channelKind } from '../../integrations/channels/kinds.ts';
import { channelSecretsAbout, destinationKey } from '../../integrations/channels/posting.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { createLogger } from '../../observability/logger.ts';
import { addChannel, setChannelStage } from '../../stores/channels.ts';
import type { Database } from '../../stores/database.ts';
import { addDrop, type NewDrop, scheduleDrop } from '../../stores/drops.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createPublishingStore } from '../../stores/publishing.ts';
import { createReplyStore } from '../../stores/replies.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { createDropChannelWorkers } from '../../workers/drop-channels.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { installRuntime } from '../../workers/runtime.ts';
import type { TestScope } from './isolation.ts';
import { until } from './lab.ts';
import { testWebhookKey } from './outbound.ts';

const log = createLogger({ part: 'worker', level: 'silent' });
let runtime = false;

/** A channel as the API would keep it, taken to a stage. */
export async function keptChannel(
  db: Database,
  ownerId: string,
  channel: {
    kind: ChannelKindName;
    settings?: Record<string, unknown>;
    secrets?: Record<string, unknown>;
    stage?: ChannelStage;
    allowExtractive?: boolean;
    allowDegraded?: boolean;
  },
): Promise<string> {
  const { kind, stage = 'free', allowExtractive = false, allowDegraded = false } = channel;
  const rules = channelKind(kind);
  const settings = rules.settings.parse(channel.settings ?? {}) as Record<string, unknown>;
  const secrets = rules.secrets.parse(channel.secrets ?? {}) as Record<string, unknown>;
  const id = newId('channel');
  const box = createSecretBox(Buffer.from(testWebhookKey, 'base64url'));
  const sealed = Object.keys(secrets).length === 0 ? null : box.seal(JSON.stringify(secrets), channelSecretsAbout(id));
  await db.transaction().execute(async (tx) => {
    const destination = destinationKey(kind, rules.destination(settings, secrets));
    await addChannel(tx, {
      ownerId,
      id,
      kind,
      name: id,
      settings,
      sealed,
      destination,
      allowExtractive,
      allowDegraded,
    });
    if (stage !== 'dry_run') await setChannelStage(tx, { ownerId, id }, 'approval');
    if (stage === 'free') await setChannelStage(tx, { ownerId, id }, 'free');
  });
  return id;
}

/** A drop that is on its way. */
export async function publishedDrop(
  db: Database,
  ownerId: string,
  drop: Partial<NewDrop> & { channels: readonly string[]; publishAt?: string },
): Promise<string> {
  const { publishAt, ...words } = drop;
  const id = newId('drop');
  await db.transaction().execute(async (tx) => {
    await addDrop(tx, {
      ownerId,
      id,
      agentId: null,
      title: 'The tide',
      body: `The lamp was lit again (${id}).`,
      bodies: {},
      narration: '',
      evidence: [],
      source: 'person',
      degraded: false,
      contentHash: id,
      ...words,
    });
    await scheduleDrop(tx, { ownerId, id }, { publishAt });
  });
  return id;
}

export type DropStage = Awaited<ReturnType<typeof openDropStage>>;

/** The shipped workflows, workers of channels and relay on real servers; long waits are short. */
export async function openDropStage(
  { scope, db, ownerId }: { scope: TestScope; db: Database; ownerId: string },
  { waitSeconds = (ruled) => Math.min(ruled, 0.2) }: { waitSeconds?: (ruled: number) => number } = {},
) {
  if (!runtime) installRuntime(log);
  runtime = true;
  const native = await NativeConnection.connect({ address: scope.temporalAddress });
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  const shared = { connection: native, namespace: scope.namespace };
  const fleet = createFleetReader(createFleetStore(db));
  const coordination = await createCoordinationWorker({
    ...shared,
    identity: 'drops/coordination/0',
    bundlePath: scope.workflowBundlePath(),
    weight: { pollers: 4, workflowSlots: 20, activitySlots: 2 },
    activities: {
      ...createDropActivities({ publishing: createPublishingStore(db) }),
      ...createReplySweepActivities({ replies: createReplyStore(db) }),
    },
  });
  let posters: { workers: Worker[]; running: Promise<void>[]; connection: NativeConnection } | undefined;
  const running = coordination.run();
  const relay = relayIntents({
    client,
    intents: createIntentStore(db),
    listen: createListenerFactory(scope.databaseUrl, () => undefined),
    log,
  });

  const stage = {
    client,
    /** Has the workers of the channels, in this process. */
    async startPosting(): Promise<void> {
      if (posters) return;
      // One connection may register a queue once.
      const own = await NativeConnection.connect({ address: scope.temporalAddress });
      const workers = await createDropChannelWorkers({ ...shared, connection: own }, (kind) => `drops/${kind}/0`, {
        db,
        fleet,
        webhookKey: testWebhookKey,
        waitSeconds,
      });
      posters = { workers, running: workers.map((worker) => worker.run()), connection: own };
    },
    async stopPosting(): Promise<void> {
      for (const worker of posters?.workers ?? []) worker.shutdown();
      await Promise.all(posters?.running ?? []);
      await posters?.connection.close();
      posters = undefined;
    },
    channel: (channel: Parameters<typeof keptChannel>[2]) => keptChannel(db, ownerId, channel),
    publish: (drop: Parameters<typeof publishedDrop>[2]) => publishedDrop(db, ownerId, drop),
    async drop(id: string) {
      return db.selectFrom('drops').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    },
    async deliveries(dropId: string) {
      return db.selectFrom('deliveries').selectAll().where('dropId', '=', dropId).orderBy('id').execute();
    },
    /** Of the drop's first delivery. */
    async delivery(dropId: string) {
      return (await stage.deliveries(dropId))[0]!;
    },
    async outcomes(dropId: string): Promise<Array<string | null>> {
      const rows = await db
        .selectFrom('deliveryAttempts')
        .innerJoin('deliveries', 'deliveries.id', 'deliveryAttempts.deliveryId')
        .select('outcome')
        .where('dropId', '=', dropId)
        .orderBy('beganAt')
        .orderBy('attempt')
        .execute();
      return rows.map(({ outcome }) => outcome);
    },
    /** Waits until it is in one of these states. */
    async state(dropId: string, ...states: string[]): Promise<void> {
      await until(
        `${dropId} is ${states.join(' or ')}`,
        async () => states.includes((await stage.drop(dropId)).state),
        60_000,
      );
    },
    /** As if it had been begun so long ago, with the secrets that its channel has. */
    async age(deliveryId: string, seconds: number): Promise<void> {
      await sql`update delivery_attempts set began_at = began_at - make_interval(secs => ${seconds})
        where delivery_id = ${deliveryId}`.execute(db);
      await sql`update channels set secrets_at = secrets_at - make_interval(secs => ${seconds})
        where id = (select channel_id from deliveries where id = ${deliveryId})`.execute(db);
    },
    async close(): Promise<void> {
      await stage.stopPosting();
      await relay.stop();
      coordination.shutdown();
      await running;
      await connection.close();
      await native.close();
    },
  };
  await stage.startPosting();
  return stage;
}
