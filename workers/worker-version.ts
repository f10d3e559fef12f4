import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, isGrpcServiceError } from '@temporalio/client';
import type { WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { appVersion, workflowSources } from '../config/app-version.ts';

/**
 * While machines are upgraded one after the other, two versions of our workflows run at once, and a workflow that has gone through a
 * change of the newer one cannot go on by the older. So workers say which version they are, and Temporal gives workflows to the
 * current one alone: that of the machine that leads. Old workflows go on by the new code, which `patched()` keeps fit for them.
 * Pinned to the old code they would need the old schema, too, and migrations only go forward.
 */

const deploymentName = 'soulfra';
const retryMs = 2_000;
/** The first tries come before the first poll: NOT_FOUND, FAILED_PRECONDITION. UNAVAILABLE is a server that comes up. */
const notYet: ReadonlySet<number> = new Set([5, 9, 14]);

/** The same for two checkouts exactly where their workflows are. */
export function ownBuildId(): string {
  return `${appVersion()}-${workflowSources()}`;
}

export function versionedAs(buildId: string): NonNullable<WorkerOptions['workerDeploymentOptions']> {
  return {
    version: { deploymentName, buildId },
    useWorkerVersioning: true,
    defaultVersioningBehavior: 'AUTO_UPGRADE',
  };
}

/** Temporal knows a version once a worker of it has polled; until then, and while it is away, it is asked again. */
export async function makeCurrent(options: {
  connection: Connection;
  namespace: string;
  buildId: string;
  identity: string;
  stopping: AbortSignal;
  log: Logger;
  /** Told at once, and once it has changed. */
  onCurrent?: (isCurrent: boolean) => void;
}): Promise<void> {
  const { connection, namespace, buildId, identity, stopping, log, onCurrent } = options;
  onCurrent?.(false);
  for (let tries = 1; !stopping.aborted; tries += 1) {
    try {
      const { previousDeploymentVersion: before } = await connection.workflowService.setWorkerDeploymentCurrentVersion({
        namespace,
        deploymentName,
        buildId,
        identity,
        // Queues of a newer version that this one does not know stay with whoever polls them.
        ignoreMissingTaskQueues: true,
      });
      if (before?.buildId !== buildId)
        log.info({ buildId, before: before?.buildId }, 'workflows go on by this version');
      onCurrent?.(true);
      return;
    } catch (err) {
      const isEarly = isGrpcServiceError(err) && notYet.has(err.code);
      // What no waiting mends is told at once: without a current version no workflow goes on.
      if (tries % 15 === 0 || (tries === 1 && !isEarly))
        log[isEarly ? 'warn' : 'error']({ err, buildId }, 'Temporal does not take this version as the current one');
    }
    await pause(retryMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}
