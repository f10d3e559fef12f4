import {
  ActivityFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  TimeoutFailure,
} from '@temporalio/workflow';
import type {
  ModelOnMachine,
  ModelSyncActivities,
  ModelVersionActivities,
  SyncEnd,
} from '../activities/model-versions.ts';
import { type SyncStep, stopsVersion } from '../domain/model-manifest.ts';
import { machineQueue } from '../domain/task-queues.ts';

export interface SyncModelsInput {
  /** Default: all that fleet.yaml names a version of. */
  modelIds?: string[];
}
export interface SyncModelsResult {
  steps: SyncStep[];
}

const { planModelSync } = proxyLocalActivities<ModelSyncActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '10 seconds' },
});

/** Brings one machine after the other to its versions; one that fails on a machine is brought to no further one. */
export async function syncModels({ modelIds }: SyncModelsInput): Promise<SyncModelsResult> {
  const planned = await planModelSync(modelIds === undefined ? {} : { modelIds });
  const steps: SyncStep[] = [];
  for (const at of planned) {
    const { machineId, modelId } = at;
    const stopped = steps.find((step) => step.modelId === modelId && stopsVersion(step));
    if (stopped) {
      steps.push({ ...at, outcome: 'skipped', reason: `${stopped.machineId} did not come to it` });
      continue;
    }
    setCurrentDetails(
      `**${machineId}** is brought to its version of \`${modelId}\`, ${steps.length} of ${planned.length} done`,
    );
    steps.push({ ...at, ...(await bring(at)) });
  }
  return { steps };
}

async function bring({ machineId, modelId }: ModelOnMachine): Promise<SyncEnd> {
  const options = {
    taskQueue: machineQueue(machineId),
    scheduleToStartTimeout: '1 minute',
    retry: { initialInterval: '5 seconds', maximumInterval: '1 minute', maximumAttempts: 5 },
    summary: `${modelId} on ${machineId}`,
  } as const;
  // A big model over a slow line.
  const { fetchModelVersion } = proxyActivities<ModelVersionActivities>({
    ...options,
    startToCloseTimeout: '12 hours',
    heartbeatTimeout: '10 seconds',
  });
  const { serveModelVersion } = proxyActivities<ModelVersionActivities>({
    ...options,
    startToCloseTimeout: '1 hour',
    heartbeatTimeout: '10 seconds',
  });
  try {
    const end = await fetchModelVersion({ modelId });
    if (end !== null) return end;
  } catch (err) {
    return { outcome: wasNotTaken(err) ? 'unreachable' : 'failed', reason: reasonOf(err) };
  }
  try {
    return await serveModelVersion({ modelId });
  } catch (err) {
    // Also where nobody takes it up any more: what was loaded last may have taken the machine with it.
    return { outcome: 'failed', reason: reasonOf(err) };
  }
}

function wasNotTaken(err: unknown): boolean {
  return (
    err instanceof ActivityFailure &&
    err.cause instanceof TimeoutFailure &&
    err.cause.timeoutType === 'SCHEDULE_TO_START'
  );
}

function reasonOf(err: unknown): string {
  if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
  return err.cause?.message ?? err.message;
}
