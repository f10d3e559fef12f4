import { join } from 'node:path';
import { Client, Connection, WorkflowExecutionAlreadyStartedError, WorkflowIdConflictPolicy } from '@temporalio/client';
import { OpenTelemetryWorkflowClientInterceptor } from '@temporalio/interceptors-opentelemetry/lib/client/index.js';
import {
  makeWorkflowExporter,
  OpenTelemetryActivityInboundInterceptor,
} from '@temporalio/interceptors-opentelemetry/lib/worker/index.js';
import { type ActivityInterceptorsFactory, NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createAnswerActivities } from '../activities/answers.ts';
import { createCompletionActivities } from '../activities/completions.ts';
import { createFleetReader, type FleetView } from '../activities/fleet-view.ts';
import { createInferenceActivities } from '../activities/inference.ts';
import type { MachineCallDeps } from '../activities/machine-calls.ts';
import { activityInterceptors, createActivityInterceptors } from '../activities/interceptors.ts';
import { createMachineActivities } from '../activities/machines.ts';
import { createRolloutMachineActivities } from '../activities/rollouts.ts';
import { createPayloads, dataConverterOf, type PayloadSettings } from '../config/payload-codec.ts';
import type { ServerTls } from '../config/tls.ts';
import { readTrustFile } from '../config/trust-file.ts';
import { ofOneAccount } from '../activities/payment-providers.ts';
import type { ServiceEnvironment } from '../config/environment.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import type { FleetMachine } from '../domain/fleet.ts';
import { gpuShortfalls } from '../domain/gpu-check.ts';
import { fleetHealthWorkflowId, healthLooksWorkflowId } from '../domain/ids.ts';
import { coordinationQueue } from '../domain/task-queues.ts';
import { windowOf, type WorkflowType } from '../domain/workflow-window.ts';
import { createEmbedders } from '../integrations/embeddings/embedders.ts';
import { readGpuExporter } from '../integrations/gpu/exporter.ts';
import { type Gpu, probeGpus } from '../integrations/gpu/nvidia-smi.ts';
import { createStripe, type StripeSettings } from '../integrations/payments/stripe.ts';
import type { Tracing } from '../observability/tracing.ts';
import type { WorkerMetrics } from '../observability/worker-metrics.ts';
import { activityPollers } from '../integrations/temporal-pollers.ts';
import { announcePayloadKey } from '../integrations/payload-keys.ts';
import { ensureSearchAttributes, withWindow } from '../integrations/temporal-window.ts';
import { createDatabase } from '../stores/database.ts';
import { createListenerFactory } from '../stores/listen.ts';
import type { Renewal } from '../stores/machines.ts';
import { createMemorySearch } from '../stores/memory-search.ts';
import { createMachineReportStore } from '../stores/machine-reports.ts';
import { createGatewayRequestStore } from '../stores/gateway-requests.ts';
import { createOverdueWorkflowStore } from '../stores/overdue-workflows.ts';
import { createRateStore } from '../stores/placement.ts';
import { createProviderAccountStore } from '../stores/provider-accounts.ts';
import { createServiceStore } from '../stores/services.ts';
import { createTokenBudgetStore } from '../stores/token-budgets.ts';
import { createAnswerStream } from './answer-stream.ts';
import { watchAbandoned } from './abandoned-watch.ts';
import { workflowBundle } from './bundle.ts';
import { watchIdleModels } from './idle-watch.ts';
import { watchYield } from './yield-watch.ts';
import { createChannelWorkers, type OutboundSettings } from './channels.ts';
import { createCoordinationActivities, createWorkerStores } from './coordination-activities.ts';
import { createAbandoned } from '../activities/awaited.ts';
import { createBackupActivities } from '../activities/backups.ts';
import { createMirrorActivities } from '../activities/mirror.ts';
import { createModelVersionActivities } from '../activities/model-versions.ts';
import { createMirrorRunStore } from '../stores/mirror-runs.ts';
import { createPublicReading } from '../stores/public-reading.ts';
import { runBackupPart } from './backup-part.ts';
import { createBackupWorker, createCoordinationWorker, createMachineQueueWorker } from './coordination.ts';
import { watchDisk } from './disk-free.ts';
import { createDropChannelWorkers } from './drop-channels.ts';
import { watchGpus } from './gpu-figures.ts';
import { createInferenceFigures } from './inference-figures.ts';
import { createInferencePool } from './inference-pool.ts';
import { watchServices } from './service-watch.ts';
import { showPresence } from './presence.ts';
import { createRateMeter } from './rate-meter.ts';
import { relayIntents } from './intents-relay.ts';
import { keepLease } from './lease.ts';
import { createMachineModels, runsAsOf } from './model-calls.ts';
import { reportMachine } from './machine-report.ts';
import { watchModelServer } from './model-server-watch.ts';
import { requirePayloadKeys } from './payload-keys.ts';
import { connectRedis } from './redis.ts';
import { reconcileSchedules, remakeSchedules } from './schedules.ts';
import { createInventoryReading, createMachineReadinessReads } from './readiness-reads.ts';
import { createMachineSourceReads } from './source-reads.ts';
import { createMachineServices } from './machine-services.ts';
import { SlotGate } from './slot-gate.ts';
import { serveWorkQueues } from './work-queues.ts';
import { makeCurrent, ownBuildId, versionedAs } from './worker-version.ts';

export interface MachineWorkerOptions {
  machineId: string;
  databaseUrl: string;
  redisUrl: string;
  temporalAddress: string;
  temporalNamespace: string;
  /** Absent: all three are reached in the clear. */
  tls?: ServerTls | undefined;
  /** By what payloads are encoded and read; absent: neither. */
  payloads?: PayloadSettings;
  /** Name of this host, to tell its own machine from those it only stands in for. */
  hostName: string;
  modelKey?: string;
  /** Of the database that the public mirror fills from this machine. */
  mirrorUrl?: string;
  /** Folders, with all below them, that sources may be read from on this machine. */
  sourceFolders: readonly string[];
  /** Workflows of this version alone are taken; who leads makes its own the current one. Absent: all are taken. */
  version?: 'leads' | 'follows' | undefined;
  /** Where this host keeps its data: how full its disk is shows in the health of the machine. @default the current folder */
  dataFolder?: string;
  /** Whether the databases of the fleet lie in the data folder of this host, so that they can be backed up from here. */
  besideData?: boolean;
  /** How services of the owner are run here; absent: none is. */
  services?: ServiceEnvironment;
  /** Absent: nothing is paid through Stripe. */
  stripe?: StripeSettings;
  /** How mail and events for others leave; absent: not from here. */
  outbound?: OutboundSettings;
  /** Of this process; served by whoever starts it. */
  metrics?: WorkerMetrics;
  /** Absent: nothing is traced. */
  tracing?: Tracing;
  log: Logger;
}

const activityTracing: ActivityInterceptorsFactory = (context) => ({
  inbound: new OpenTelemetryActivityInboundInterceptor(context),
});

/** How often a worker makes sure that leases and health are judged, and that no Schedule is missing. */
const fleetHealthEveryMs = 60_000;

/** How long calls in hand may go on once the process is told to stop. */
const stopGraceMs = 10_000;

/**
 * Everything one machine runs: its lease, its share of coordination, its own queue, and the inference queues that the
 * plan gives it. `failed` rejects when a part of it ends by itself: the process should end and be started again.
 */
export async function startMachineWorker(options: MachineWorkerOptions) {
  const { machineId, log, temporalAddress, temporalNamespace: namespace, tls, metrics, tracing } = options;
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const stopping = new AbortController();

  const db = createDatabase({
    url: options.databaseUrl,
    name: `soulfra worker ${machineId}`,
    tls: tls?.postgres,
    connections: 20,
    onIdleError: (err) => log.warn({ err }, 'database connection broke'),
  });
  const stores = createWorkerStores(db);
  const fleet = createFleetReader(stores.fleets);
  let view: FleetView = await fleet();
  const machine = view.fleet.machines.find((other) => other.id === machineId);
  if (!machine) throw new DomainError('MACHINE_UNKNOWN', `fleet.yaml names no machine ${machineId}`);

  const at = { address: temporalAddress, ...(tls && { tls: tls.temporal }) };
  const clientConnection = await Connection.connect(at);
  const payloads = createPayloads(options.payloads, {
    announce: (keyId) => announcePayloadKey(clientConnection, { namespace, keyId, log }),
    // What comes next could not be read either: others have the key, or this one at its next start.
    onMissing: (err) => failure.reject(err),
  });
  const dataConverter = dataConverterOf(payloads);
  try {
    await requirePayloadKeys(clientConnection, namespace, payloads, log);
  } catch (err) {
    await clientConnection.close();
    await db.destroy();
    throw err;
  }
  const connection = await NativeConnection.connect(at);
  const client = new Client({
    connection: clientConnection,
    namespace,
    dataConverter,
    ...(tracing && { interceptors: { workflow: [new OpenTelemetryWorkflowClientInterceptor()] } }),
  });
  const lacking = await ensureSearchAttributes(clientConnection, namespace);
  if (lacking !== undefined) log.error({ reason: lacking }, 'workflows are started without search attributes');

  const embedders = createEmbedders({ apiKey: options.modelKey });
  const memorySearch = createMemorySearch({
    db,
    embedderOf: embedders.of,
    settings: async () => (await fleet()).fleet.embeddings,
    cacheBytes: () => view.fleet.limits.memoryCacheMiB * 2 ** 20,
    onFailure: (err) => log.warn({ err }, 'memories searched by words alone'),
    onSearched({ seconds, byWords }) {
      metrics?.memorySearch.observe(seconds);
      if (byWords) metrics?.memorySearchByWords.inc();
    },
  });
  const figures = metrics && createInferenceFigures(metrics);
  const models = createMachineModels(() => view, machineId, options.modelKey, figures?.generated);
  const redis = connectRedis(options.redisUrl, log, tls?.redis);
  const stream = createAnswerStream(redis, log);
  const gate = new SlotGate(machine.modelServer?.sequences ?? 1, {
    liveForMs: keptForMs(view),
    onChange: () => presence.changed(),
  });
  const presence = showPresence({
    redis,
    machineId,
    log,
    read: () => ({
      running: gate.inUse,
      sequences: machine.modelServer?.sequences ?? 0,
      polls: pool.polls(),
      idle: pool.idle(),
    }),
  });
  const identity = `${machineId}/worker/${process.pid}`;
  // The lease, the pool and the watch know each other; each is called only once all three are there.
  let watch: ReturnType<typeof watchModelServer> | undefined;
  const disk = watchDisk({ folder: options.dataFolder ?? '.', log });
  let progressedAt: number | undefined;
  // The lease beats while the rest is brought up.
  let services: ReturnType<typeof createMachineServices> | undefined;
  let report: ReturnType<typeof reportMachine> | undefined;
  const lease = await keepLease({
    machines: stores.machines,
    machineId,
    identity,
    runsAs: runsAsOf(machine, options.hostName),
    log,
    polling: () => ({
      polls: pool.polls(),
      planVersion: pool.planVersion(),
      missingModels: pool.missing(),
      runsAs: runsAsOf(view.fleet.machines.find((other) => other.id === machineId) ?? machine, options.hostName),
      quietSeconds: progressedAt === undefined ? undefined : (performance.now() - progressedAt) / 1000,
      diskFree: disk.free(),
    }),
    onBeat() {
      presence.beat();
      services?.beat();
    },
    onLost() {
      metrics?.leases.inc({ outcome: 'lost' });
      background(pool.hold('lease lost'));
    },
    onSilence: () => background(pool.hold('no lease')),
    onHeld: () => background(regain()),
    onRenewed(renewal) {
      metrics?.leases.inc({ outcome: 'renewed' });
      background(catchUp(renewal));
    },
    onFailed: () => metrics?.leases.inc({ outcome: 'failed' }),
    onFatal: (err) => failure.reject(err),
  });
  const calls: MachineCallDeps = {
    lease: () => {
      const held = lease.held();
      return { ...held, signal: AbortSignal.any([held.signal, yieldWatch.signal()]) };
    },
    permits: gate,
    budgets: createTokenBudgetStore(db, () => view.fleet.budgets),
    callFor: (modelId) => models.callFor(modelId),
    use: (modelId) => pool.use(modelId),
    serverDown: () => watch?.lookNow(),
    progressed: () => {
      progressedAt = performance.now();
    },
    served: createRateMeter({
      gpuClass: machine.gpus[0]?.class ?? '8g',
      rates: createRateStore(db),
      view: () => view,
      log,
    }),
    ...(figures && { observe: figures.observe }),
  };
  const shared = {
    connection,
    namespace,
    dataConverter,
    interceptors: [
      ...(tracing ? [activityTracing] : []),
      ...(metrics ? createActivityInterceptors(metrics) : activityInterceptors),
    ],
  };
  const pool = createInferencePool({
    ...shared,
    identity,
    gate,
    loader: models,
    activities: {
      ...createInferenceActivities({
        ...stores,
        ...calls,
        memorySearch,
        mostDepth: () => view.fleet.limits.reflectionDepth,
      }),
      ...createAnswerActivities({ ...stores, ...calls, memorySearch, fleet, stream }),
      ...createCompletionActivities({ ...stores, ...calls, stream }),
    },
    callTimeout: durationSeconds(view.fleet.limits.callTimeout) * 1000,
    heartbeatTimeout: durationSeconds(view.fleet.limits.heartbeatTimeout) * 1000,
    log,
    onChange() {
      presence.changed();
      background(lease.renewNow());
    },
    onFailure: (err) => failure.reject(err),
  });

  const ownHost = runsAsOf(machine, options.hostName) === 'local';
  const yieldWatch = watchYield({
    machineId,
    rule: () => view.fleet.machines.find((other) => other.id === machineId)?.yield,
    gpus: gpuReader(machine, options.hostName),
    ownHost,
    pool,
    models,
    machines: stores.machines,
    services: createServiceStore(db),
    lease: lease.held,
    before: (await stores.machines.list()).find(({ id }) => id === machineId)?.yields ?? null,
    stopping: stopping.signal,
    log,
  });

  async function regain(): Promise<void> {
    try {
      // Before anything else: another machine may run by now what ran here.
      await services?.reconcile();
      await adoptPlan();
    } finally {
      // A plan that could not be read now is caught up with at a later renewal; what is held back stays held only if nobody lets go.
      await pool.release('no lease', stopping.signal);
      await pool.release('lease lost', stopping.signal);
    }
  }

  /** A plan that this machine was not told of, or could not be brought to: it comes to it by itself. */
  async function catchUp({ planVersion }: Renewal): Promise<void> {
    if (planVersion !== null && planVersion !== pool.planVersion()) await adoptPlan();
  }

  /** What fleet.yaml says of this machine now; its shares of coordination are taken up at the next start. */
  async function refresh(): Promise<FleetView> {
    const before = view.version;
    view = await fleet();
    if (view.version !== before && report) background(report.now());
    const now = view.fleet.machines.find((other) => other.id === machineId);
    if (now?.modelServer) gate.resize(now.modelServer.sequences);
    gate.keepFor(keptForMs(view));
    return view;
  }

  /** Serves what the plan in force gives this machine, without waiting to be told. */
  async function adoptPlan(): Promise<void> {
    await refresh();
    const current = await stores.plans.currentFor(machineId);
    if (current) await pool.apply(current.version, current.models, stopping.signal);
  }

  async function probeOwnGpus(): Promise<void> {
    await stores.machines.gpusProbed(machineId, gpuShortfalls(machine!.gpus, await probeGpus()));
  }

  function background(work: Promise<void>): void {
    work.catch((err: unknown) => {
      if (!stopping.signal.aborted) log.error({ err, machineId }, 'work in the background failed');
    });
  }

  services =
    options.services &&
    createMachineServices({
      machineId,
      environment: options.services,
      runs: stores.serviceRuns,
      reports: createMachineReportStore(db),
      lease: lease.held,
      log,
    });
  await services?.reconcile();
  // First of all the GPUs: a machine that comes back is needed for them before anything else.
  await yieldWatch.start();
  await adoptPlan();
  const machineActivities = createMachineActivities({
    machineId,
    machines: stores.machines,
    plans: stores.plans,
    pool: {
      ...pool,
      apply: async (version, next, signal) => {
        await refresh();
        await pool.apply(version, next, signal);
      },
    },
  });
  const { services: own } = options;
  const rolloutSteps =
    own &&
    createRolloutMachineActivities({
      machineId,
      ...stores,
      fleet,
      readInventory: createInventoryReading(machineId, () => readTrustFile(own.trustFile).repositories),
      trusted: () => readTrustFile(own.trustFile),
      folder: join(own.dataFolder, 'commands'),
    });
  const sourceReads = createMachineSourceReads({
    machineId,
    stores,
    fleet,
    sourceFolders: options.sourceFolders,
  });
  const readinessReads = createMachineReadinessReads({
    machineId,
    stores,
    fleet,
    folders: options.sourceFolders,
    dataFolder: options.dataFolder,
  });
  const mirror = createMirrorActivities({
    fleet,
    reading: createPublicReading(db),
    runs: createMirrorRunStore(db),
    mirrorUrl: options.mirrorUrl,
  });
  const workers = [
    await createMachineQueueWorker({
      ...shared,
      machineId,
      identity: `${machineId}/machine/${process.pid}`,
      activities: {
        ...machineActivities,
        ...sourceReads,
        ...readinessReads,
        ...mirror,
        ...createModelVersionActivities({
          versions: models.versions,
          pool,
          refresh: async () => void (await refresh()),
          reported: async () => report?.now(),
        }),
        ...services?.activities,
        ...rolloutSteps,
      },
    }),
  ];
  if (options.besideData) {
    workers.push(
      await createBackupWorker({
        ...shared,
        identity: `${machineId}/backup/${process.pid}`,
        activities: createBackupActivities({ run: runBackupPart }),
      }),
    );
  }
  const weight = machine.roles.coordination;
  const buildId = options.version === undefined ? undefined : ownBuildId();
  if (weight) {
    workers.push(
      await createCoordinationWorker({
        ...shared,
        identity: `${machineId}/coordination/${process.pid}`,
        weight,
        ...(buildId !== undefined && { version: versionedAs(buildId) }),
        bundlePath: await workflowBundle({ traced: tracing !== undefined, encoded: payloads.encodes }),
        ...(tracing && {
          sinks: { exporter: makeWorkflowExporter(tracing.spanProcessor, tracing.resource) },
        }),
        activities: createCoordinationActivities(
          machineId,
          stores,
          fleet,
          client,
          embedders.of,
          memorySearch,
          sourceReads,
          readinessReads,
          options.stripe === undefined
            ? {}
            : { stripe: ofOneAccount(createStripe(options.stripe), createProviderAccountStore(db)) },
          metrics,
        ),
      }),
    );
    const { outbound: settings } = options;
    if (settings) {
      const identityOf = (channel: string) => `${machineId}/${channel}/${process.pid}`;
      workers.push(...(await createChannelWorkers(shared, identityOf, { db, fleet, settings })));
      const { webhookKey, webhookKeyOld } = settings;
      workers.push(...(await createDropChannelWorkers(shared, identityOf, { db, fleet, webhookKey, webhookKeyOld })));
    }
  }
  const running = workers.map((worker) =>
    worker.run().catch((err: unknown) => {
      failure.reject(err);
    }),
  );
  if (weight && buildId !== undefined && options.version === 'leads')
    background(
      makeCurrent({
        connection: clientConnection,
        namespace,
        buildId,
        identity: `${machineId}/coordination/${process.pid}`,
        stopping: stopping.signal,
        log,
        onCurrent: (isCurrent) => metrics?.versionCurrent.set(Number(isCurrent)),
      }),
    );
  const idleWatch = watchIdleModels({
    unloadAfter() {
      const server = view.fleet.machines.find((other) => other.id === machineId)?.modelServer;
      return server?.url === undefined ? undefined : server.unloadAfter;
    },
    pool,
    stopping: stopping.signal,
    log,
  });
  watch = watchModelServer({ models, pool, machines: stores.machines, lease: lease.held, log });
  const serviceWatch = watchServices({
    services: createServiceStore(db),
    hosts: () => {
      const now = view.fleet.machines.find((other) => other.id === machineId) ?? machine;
      return ['127.0.0.1', '::1', now.host ?? now.id];
    },
    lease: lease.held,
    log,
  });
  const listen = createListenerFactory(
    options.databaseUrl,
    (err) => log.warn({ err }, 'listening again'),
    tls?.postgres,
  );
  const resumeOverdue = async () => {
    await createOverdueWorkflowStore(db).resume();
    await createGatewayRequestStore(db).forgetEnded();
  };
  const relay = weight ? relayIntents({ client, intents: stores.intents, listen, log, resumeOverdue }) : undefined;
  const abandonedWatch = weight
    ? watchAbandoned({ forgetAbandoned: createAbandoned(createGatewayRequestStore(db)), log })
    : undefined;
  const workQueues = weight
    ? serveWorkQueues({
        shared,
        identityOf: (queue) => `${machineId}/${queue}/${process.pid}`,
        works: stores.works,
        listen,
        pollersOf: (queue) => activityPollers(client, queue),
        onLost: (service) => metrics?.workLeasesLost.inc({ service }),
        onFailure: (err) => failure.reject(err),
        log,
      })
    : undefined;
  report = reportMachine({
    machineId,
    ownHost: () =>
      runsAsOf(view.fleet.machines.find((other) => other.id === machineId) ?? machine, options.hostName) === 'local',
    models,
    fleetVersion: () => view.version,
    reports: createMachineReportStore(db),
    log,
  });
  // The probe judges only the machine on its own host.
  if (runsAsOf(machine, options.hostName) === 'local') background(probeOwnGpus());
  const gpus = metrics && view.fleet.metrics.enabled ? gpuReader(machine, options.hostName) : undefined;
  const gpuWatch =
    gpus && metrics && figures
      ? watchGpus({
          read: gpus,
          expected: () => view.fleet.machines.find((other) => other.id === machineId)?.gpus.length ?? 0,
          metrics,
          drew: figures.drew,
          log,
        })
      : undefined;
  // Whatever closes it, it must not stay closed: without it no machine is ever lost.
  const reconcile = () =>
    reconcileSchedules(client, fleet, {
      cadences: stores.agents.livingCadences,
      sources: () => stores.sources.underWay(),
    });
  const healthTimer = setInterval(() => {
    if (!weight) return;
    background(startFleetHealth(client));
    background(remakeSchedules(stores.health, reconcile));
  }, fleetHealthEveryMs);
  if (weight) {
    await startFleetHealth(client);
    background(reconcile());
  }
  log.info({ epoch: lease.held().epoch }, 'machine works');

  return {
    failed: failure.promise,
    /** Brings gauges of the process up to date. */
    refreshMetrics(): void {
      if (!metrics) return;
      metrics.sequences.set(machine.modelServer === undefined ? 0 : gate.limit);
      metrics.sequencesInUse.set(gate.inUse);
      metrics.polling.reset();
      for (const queue of pool.wanted()) metrics.polling.set({ queue }, 0);
      for (const queue of pool.polls()) metrics.polling.set({ queue }, 1);
    },
    /** Takes no more work, lets calls in hand finish within the grace, gives the lease back. */
    async stop(): Promise<void> {
      log.info('machine stops');
      stopping.abort(new Error('the worker stops'));
      const late = setTimeout(() => lease.abort('the worker stops'), stopGraceMs);
      clearInterval(healthTimer);
      presence.stop();
      await report?.stop();
      await yieldWatch.stop();
      gpuWatch?.stop();
      await serviceWatch.stop();
      disk.stop();
      await workQueues?.stop();
      await services?.stop();
      await relay?.stop();
      await abandonedWatch?.stop();
      await watch?.stop();
      for (const worker of workers) worker.shutdown();
      await pool.hold('the worker stops');
      await idleWatch.stop();
      await Promise.all(running);
      clearTimeout(late);
      await lease.stop();
      redis.disconnect();
      await embedders.close();
      await connection.close();
      await clientConnection.close();
      await db.destroy();
    },
  };
}

/** Cards are read where they can be: through the exporter that is named, or on their own host. */
function gpuReader(machine: FleetMachine, hostName: string): (() => Promise<Gpu[]>) | undefined {
  const { gpuExporter } = machine;
  if (gpuExporter !== undefined) return () => readGpuExporter(gpuExporter);
  return runsAsOf(machine, hostName) === 'local' ? () => probeGpus() : undefined;
}

function keptForMs({ fleet }: FleetView): number {
  return durationSeconds(fleet.talk.keepFor) * 1000;
}

/** Kept by continue-as-new, so one start is enough until somebody ends it. */
async function startFleetHealth(client: Client): Promise<void> {
  await startForEver(client, 'checkFleetHealth', fleetHealthWorkflowId);
  await startForEver(client, 'judgeFleetHealth', healthLooksWorkflowId);
}

async function startForEver(client: Client, type: WorkflowType, workflowId: string): Promise<void> {
  try {
    await withWindow(windowOf(type, []), (window) =>
      client.workflow.start(type, {
        ...window,
        workflowId,
        taskQueue: coordinationQueue,
        workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
        workflowTaskTimeout: '2 seconds',
      }),
    );
  } catch (err) {
    if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
  }
}
