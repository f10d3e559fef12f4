import {
  ActivityFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { ModelSyncActivities, ModelVersionActivities } from '../activities/model-versions.ts';
import { type SyncStep, syncFailed } from '../domain/model-manifest.ts';
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

/** Brings one machine after the other to its versions; a model that fails on one machine is brought to no further one. */
export async function syncModels({ modelIds }: SyncModelsInput): Promise<SyncModelsResult> {
  const planned = await planModelSync(modelIds === undefined ? {} : { modelIds });
  const steps: SyncStep[] = [];
  for (const { machineId, modelId } of planned) {
    if (steps.some((step) => step.modelId === modelId && syncFailed(step))) {
      steps.push({ machineId, modelId, outcome: 'skipped', reason: 'it failed on a machine before' });
      continue;
    }
    setCurrentDetails(
      `**${machineId}** is brought to its version of \`${modelId}\`, ${steps.length} of ${planned.length} done`,
    );
    const { bringModel } = proxyActivities<ModelVersionActivities>({
      taskQueue: machineQueue(machineId),
      scheduleToStartTimeout: '1 minute',
      // A big model over a slow line.
      startToCloseTimeout: '12 hours',
      heartbeatTimeout: '30 seconds',
      retry: { initialInterval: '5 seconds', maximumInterval: '1 minute', maximumAttempts: 5 },
      summary: `${modelId} on ${machineId}`,
    });
    try {
      steps.push({ machineId, modelId, ...(await bringModel({ modelId })) });
    } catch (err) {
      if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
      steps.push({ machineId, modelId, outcome: 'unreachable', reason: err.cause?.message ?? err.message });
    }
  }
  return { steps };
}
