import { setTimeout as pause } from 'node:timers/promises';
import { NativeConnection } from '@temporalio/worker';
import { createBackupActivities } from '../activities/backups.ts';
import { readClusterPlace } from '../config/cluster-place.ts';
import { backupEnvironment, workerEnvironment } from '../config/environment.ts';
import { createPayloads, dataConverterOf } from '../config/payload-codec.ts';
import { serverTls, tlsFilesChanged } from '../config/tls.ts';
import { announcePayloadKey } from '../integrations/payload-keys.ts';
import { openProcessLog } from '../observability/process-log.ts';
import { runClusterPart } from './backup-part.ts';
import { createBackupWorker } from './coordination.ts';
import { type CopyOutcome, createCopyWord } from './copy-word.ts';
import { requirePayloadKeys } from './payload-keys.ts';
import { installRuntime } from './runtime.ts';

/**
 * `node workers/backup-main.ts`: the part of a deployment that backs its cluster up and tries to restore it, when the Schedules of every
 * fleet say so, and keeps the second copy. Apart from the workers: it and Postgres have the superuser's password and the passphrase of
 * the repository, and they have not.
 */

const environment = workerEnvironment();
const { clusterFile } = backupEnvironment();
if (clusterFile === undefined) throw new TypeError('SOULFRA_CLUSTER_FILE is not set');
const renewed = tlsFilesChanged(environment.tlsFiles);
const tls = serverTls(environment.tlsFiles);
const logs = await openProcessLog({
  source: 'backup',
  level: environment.logLevel,
  folder: environment.logFolder,
  redisUrl: environment.redisUrl,
  tls: tls?.redis,
});
const log = logs.of('backup');
const ending = new AbortController();
const { signal } = ending;

/** The first file of changes waits for it, so it is tried until it is there. */
const prepareEveryMs = 10_000;
/** As long as a file of changes may take to leave: the copy is at most one behind. */
const copyEveryMs = 60_000;

async function keepRepository(): Promise<void> {
  let told = '';
  for (;;) {
    try {
      await runClusterPart(['prepare'], signal);
      log.info('the repository takes changes');
      break;
    } catch (err) {
      if (signal.aborted) return;
      const reason = err instanceof Error ? err.message : String(err);
      if (reason !== told) log.error({ err }, 'the repository takes no changes yet');
      told = reason;
    }
    await waited(prepareEveryMs);
  }
  const heard = createCopyWord();
  while (!signal.aborted) {
    const reason = heard(await copied(), Date.now());
    if (reason !== undefined && !signal.aborted) {
      if (reason === '') log.info('the second copy is kept');
      else log.error({ reason }, 'the second copy is not kept');
    }
    await waited(copyEveryMs);
  }
}

async function copied(): Promise<CopyOutcome> {
  try {
    if (readClusterPlace(clusterFile!).second === null) return { reason: '' };
    const { copy, isBusy } = (await runClusterPart(['copy'], signal)) as {
      copy: { reason: string } | null;
      isBusy: boolean;
    };
    return isBusy ? 'busy' : { reason: copy?.reason ?? '' };
  } catch (err) {
    return { reason: err instanceof Error ? err.message : String(err) };
  }
}

async function waited(ms: number): Promise<void> {
  // It ends early by the signal, which is what it is for.
  await pause(ms, undefined, { signal }).catch(() => undefined);
}

async function connected(): Promise<NativeConnection | undefined> {
  const at = { address: environment.temporalAddress, ...(tls && { tls: tls.temporal }) };
  while (!signal.aborted) {
    try {
      return await NativeConnection.connect(at);
    } catch (err) {
      log.warn({ err }, 'Temporal does not answer yet');
      await waited(1_000);
    }
  }
  return undefined;
}

for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());
// Taken up by the next start.
void renewed.then(() => {
  log.info('certificates were renewed: ending in order, to be started with them');
  ending.abort();
});
/** A key that this process has not: others, or its next start, have it. */
const missing = Promise.withResolvers<never>();
missing.promise.catch(() => undefined);
installRuntime(log, { logOf: logs.of });
try {
  const keeping = keepRepository();
  const connection = await connected();
  if (connection !== undefined) {
    const namespace = environment.temporalNamespace;
    // Who asks for backups may encode what it asks.
    const payloads = createPayloads(environment.payloads, {
      announce: (keyId) => announcePayloadKey(connection, { namespace, keyId, log }),
      onMissing: (err) => missing.reject(err),
    });
    await requirePayloadKeys(connection, namespace, payloads, log);
    const worker = await createBackupWorker({
      connection,
      namespace,
      dataConverter: dataConverterOf(payloads),
      identity: `deployment/backup/${process.pid}`,
      activities: createBackupActivities({ run: runClusterPart }),
    });
    const running = worker.run();
    if (signal.aborted) worker.shutdown();
    else signal.addEventListener('abort', () => worker.shutdown(), { once: true });
    await Promise.race([running, missing.promise]);
    await connection.close();
  }
  await keeping;
  await logs.close();
  process.exit(0);
} catch (err) {
  log.fatal({ err }, 'backups end');
  await logs.close();
  process.exit(1);
}
