import {
  ActivityFailure,
  ApplicationFailure,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { MachineActivities } from '../activities/machines.ts';
import type { PlanActivities } from '../activities/plans.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import { machineQueue } from '../domain/task-queues.ts';

export interface ReplanFleetInput {
  planVersion: number;
}
export interface ReplanFleetResult {
  applied: boolean;
  /** Machines that did not answer; if they are lost, the next plan does without them. */
  unreached: string[];
}

const { computePlan, reconcileSchedules } = proxyActivities<PlanActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { maximumInterval: '5 seconds' },
});
const { markApplied, parkedRuns } = proxyLocalActivities<PlanActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});

/** Computes a plan from what is committed, brings every living machine to it, and wakes what was parked. */
export async function replanFleet({ planVersion }: ReplanFleetInput): Promise<ReplanFleetResult> {
  const { machineIds, unplaced } = await computePlan({ planVersion });
  setCurrentDetails(`Plan ${planVersion}: ${machineIds.join(', ')}; ${unplaced} agents without a home`);
  const reached = await Promise.all(machineIds.map((machineId) => applyOn(machineId, planVersion)));
  const unreached = machineIds.filter((_, i) => !reached[i]);
  const applied = await markApplied({ planVersion });
  if (applied) await wakeParked();
  await reconcileSchedules();
  return { applied, unreached };
}

/** A machine that does not take its own queue in time is dead or dying: its lease decides, not this workflow. */
async function applyOn(machineId: string, planVersion: number): Promise<boolean> {
  const { applyPlan } = proxyActivities<MachineActivities>({
    taskQueue: machineQueue(machineId),
    scheduleToStartTimeout: '10 seconds',
    startToCloseTimeout: '15 minutes',
    heartbeatTimeout: '10 seconds',
    retry: { initialInterval: '500 milliseconds', maximumAttempts: 5 },
    summary: `plan ${planVersion} on ${machineId}`,
  });
  try {
    await applyPlan({ planVersion });
    return true;
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    log.warn('machine not brought to the plan', { machineId, planVersion, reason: err.cause?.message ?? err.message });
    return false;
  }
}

async function wakeParked(): Promise<void> {
  const workflowIds = await parkedRuns();
  await Promise.all(workflowIds.map((workflowId) => wake(workflowId)));
}

async function wake(workflowId: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(workflowId).signal(rowsChangedSignal);
  } catch (err) {
    if (isCancellation(err)) throw err;
    if (!(err instanceof ApplicationFailure) && !(err instanceof Error)) throw err;
    // It ended between the read and the signal: nothing left to wake.
    log.info('parked run was gone', { workflowId });
  }
}
