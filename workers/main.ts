import { parseArgs } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import { homeEnvironment, workerEnvironment } from '../config/environment.ts';
import { isDomainError } from '../domain/errors.ts';
import { removedExitCode } from '../domain/health.ts';
import { createLogger } from '../observability/logger.ts';
import { missingMigrations } from '../stores/migrate.ts';
import { startMachineWorker } from './machine-worker.ts';
import { installRuntime } from './runtime.ts';

const { values } = parseArgs({ options: { machine: { type: 'string' } }, strict: true });
const environment = workerEnvironment();
const log = createLogger({ part: 'worker', level: environment.logLevel }).child({ machineId: values.machine });

/** The schema is the API's to make, and a fleet its operator's to apply: a worker waits for both. */
async function waitForSchema(): Promise<void> {
  for (;;) {
    try {
      if ((await missingMigrations(environment.databaseUrl)).length === 0) return;
      log.info('waiting for the API to migrate the database');
    } catch (err) {
      if (isDomainError(err)) throw err;
      log.warn({ err }, 'database does not answer yet');
    }
    await pause(1_000);
  }
}

async function startWhenPossible(machineId: string) {
  await waitForSchema();
  for (;;) {
    try {
      return await startMachineWorker({ ...environment, machineId, dataFolder: homeEnvironment().home, log });
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
  installRuntime(log);
  const stop = Promise.withResolvers<NodeJS.Signals>();
  process.once('SIGINT', stop.resolve);
  process.once('SIGTERM', stop.resolve);
  try {
    const worker = await Promise.race([startWhenPossible(values.machine), stop.promise]);
    if (typeof worker === 'object') {
      await Promise.race([worker.failed, stop.promise]);
      await worker.stop();
    }
    process.exit(0);
  } catch (err) {
    log.fatal({ err }, 'worker ends');
    process.exit(isDomainError(err, 'MACHINE_UNKNOWN') ? removedExitCode : 1);
  }
}
