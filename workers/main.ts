import { parseArgs } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import { homeEnvironment, serviceEnvironment, workerEnvironment } from '../config/environment.ts';
import { serverTls, tlsFilesChanged } from '../config/tls.ts';
import { isDomainError } from '../domain/errors.ts';
import { removedExitCode } from '../domain/health.ts';
import type { Fleet } from '../domain/fleet.ts';
import { workerMetricsPorts } from '../domain/metrics-ports.ts';
import { serveMetrics } from '../observability/metrics-server.ts';
import { openProcessLog } from '../observability/process-log.ts';
import { startTracing, type Tracing } from '../observability/tracing.ts';
import { createWorkerMetrics } from '../observability/worker-metrics.ts';
import { createDatabase } from '../stores/database.ts';
import { currentFleet } from '../stores/fleets.ts';
import { missingMigrations } from '../stores/migrate.ts';
import { startMachineWorker } from './machine-worker.ts';
import { installRuntime } from './runtime.ts';

const { values } = parseArgs({ options: { machine: { type: 'string' } }, strict: true });
const environment = workerEnvironment();
const renewed = tlsFilesChanged(environment.tlsFiles);
const tls = serverTls(environment.tlsFiles);
const logs = await openProcessLog({
  source: `worker-${values.machine ?? 'unnamed'}`,
  level: environment.logLevel,
  folder: environment.logFolder,
  redisUrl: environment.redisUrl,
  tls: tls?.redis,
  ...(values.machine !== undefined && { fields: { machineId: values.machine } }),
});
const log = logs.of('worker');

/** The schema is the API's to make, and a fleet its operator's to apply: a worker waits for both. */
async function waitForSchema(): Promise<void> {
  for (;;) {
    try {
      if ((await missingMigrations(environment.databaseUrl, tls?.postgres)).length === 0) return;
      log.info('waiting for the API to migrate the database');
    } catch (err) {
      if (isDomainError(err)) throw err;
      log.warn({ err }, 'database does not answer yet');
    }
    await pause(1_000);
  }
}

/** Until a fleet has been applied: what it says of metrics is needed before all else, since Core's runtime is made once. */
async function waitForFleet(): Promise<Fleet> {
  const db = createDatabase({
    url: environment.databaseUrl,
    name: 'soulfra worker start',
    tls: tls?.postgres,
    connections: 1,
    onIdleError: (err) => log.warn({ err }, 'database connection broke'),
  });
  try {
    for (;;) {
      const current = await currentFleet(db).catch((err: unknown) => {
        log.warn({ err }, 'fleet not read yet');
        return undefined;
      });
      if (current) return current.fleet;
      log.info('waiting for a fleet to be applied');
      await pause(1_000);
    }
  } finally {
    await db.destroy();
  }
}

let tracing: Tracing | undefined;

async function startWhenPossible(machineId: string) {
  await waitForSchema();
  const fleet = await waitForFleet();
  const enabled = fleet.metrics.enabled && environment.withMetrics;
  const host = environment.metricsHost ?? fleet.metrics.host;
  const ports = workerMetricsPorts(fleet, machineId, environment.metricsPort);
  installRuntime(log, { logOf: logs.of, metrics: enabled ? { host, port: ports.core } : undefined });
  const metrics = createWorkerMetrics(machineId);
  logs.onLost((lines) => metrics.logLinesLost.inc(lines));
  const endpoint = environment.traceEndpoint ?? fleet.traces.endpoint;
  tracing =
    endpoint === undefined
      ? undefined
      : startTracing({ endpoint, share: fleet.traces.share, service: 'soulfra-worker', machineId });
  for (;;) {
    try {
      const worker = await startMachineWorker({
        ...environment,
        tls,
        machineId,
        dataFolder: homeEnvironment().home,
        services: serviceEnvironment(),
        log,
        ...(enabled && { metrics }),
        ...(tracing && { tracing }),
      });
      if (enabled) {
        // A port that is taken costs the metrics and not the work.
        serveMetrics({
          registry: metrics.registry,
          host,
          port: ports.own,
          refresh: () => worker.refreshMetrics(),
        }).then(
          () => log.info({ host, ...ports }, 'metrics are served'),
          (err: unknown) => log.error({ err }, err instanceof Error ? err.message : 'metrics are not served'),
        );
      }
      return worker;
    } catch (err) {
      if (!isDomainError(err, 'UNAVAILABLE')) throw err;
      log.info({ reason: err.message }, 'waiting');
      await pause(1_000);
    }
  }
}

if (values.machine === undefined) {
  log.fatal('--machine ID is missing: name a machine of fleet.yaml');
  process.exitCode = 2;
} else {
  const stop = Promise.withResolvers<NodeJS.Signals | 'renewed'>();
  process.once('SIGINT', stop.resolve);
  process.once('SIGTERM', stop.resolve);
  // Taken up by the next start.
  void renewed.then(() => {
    log.info('certificates were renewed: ending in order, to be started with them');
    stop.resolve('renewed');
  });
  try {
    const worker = await Promise.race([startWhenPossible(values.machine), stop.promise]);
    if (typeof worker === 'object') {
      await Promise.race([worker.failed, stop.promise]);
      await worker.stop();
    }
    await tracing?.close();
    await logs.close();
    process.exit(0);
  } catch (err) {
    log.fatal({ err }, 'worker ends');
    await logs.close();
    process.exit(isDomainError(err, 'MACHINE_UNKNOWN') ? removedExitCode : 1);
  }
}
