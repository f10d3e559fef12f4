import { hostname } from 'node:os';
import { createLogger } from '../../observability/logger.ts';
import { type MachineWorkerOptions, startMachineWorker } from '../../workers/machine-worker.ts';
import { installRuntime } from '../../workers/runtime.ts';
import type { TestScope } from './isolation.ts';

export type ScopeWorker = Awaited<ReturnType<typeof startMachineWorker>>;

const log = createLogger({ part: 'worker', level: 'silent' });
let runtime = false;

/** The shipped worker of a machine in this process, on the servers of a test file. */
export async function startScopeWorker(
  { databaseUrl, redisUrl, temporalAddress, namespace }: TestScope,
  machineId: string,
  more: Partial<MachineWorkerOptions> = {},
): Promise<ScopeWorker> {
  if (!runtime) installRuntime(log);
  runtime = true;
  return startMachineWorker({
    machineId,
    databaseUrl,
    redisUrl,
    temporalAddress,
    temporalNamespace: namespace,
    hostName: hostname(),
    sourceFolders: [],
    log,
    ...more,
  });
}
