import {
  ActivityFailure,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { DrainActivities, MachineActivities } from '../activities/machines.ts';
import { machineQueue } from '../domain/task-queues.ts';

export interface DrainMachineInput {
  machineId: string;
}
export interface DrainMachineResult {
  drained: boolean;
}

const { finishDrain } = proxyLocalActivities<DrainActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});

/** Lets a machine finish what it has in hand and take nothing new; the row was set to draining when this was asked for. */
export async function drainMachine({ machineId }: DrainMachineInput): Promise<DrainMachineResult> {
  const { drainCalls } = proxyActivities<MachineActivities>({
    taskQueue: machineQueue(machineId),
    scheduleToStartTimeout: '30 seconds',
    startToCloseTimeout: '1 hour',
    heartbeatTimeout: '10 seconds',
    retry: { maximumAttempts: 5 },
    summary: `drain ${machineId}`,
  });
  setCurrentDetails(`**Waits for the calls in hand** of \`${machineId}\`; it takes no new ones`);
  let answered = true;
  try {
    await drainCalls();
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    answered = false;
    log.warn('machine did not answer its drain', { machineId, reason: err.cause?.message ?? err.message });
  }
  return { drained: await finishDrain({ machineId, answered }) };
}
