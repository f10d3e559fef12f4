import { proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { DrainActivities, MachineActivities } from '../../../activities/machines.ts';
import { machineQueue } from '../../../domain/task-queues.ts';

const { finishDrain } = proxyLocalActivities<DrainActivities>({ startToCloseTimeout: '5 seconds' });

/** drainMachine as somebody might carelessly change it: its two steps in the other order, without `patched()`. */
export async function drainMachine({ machineId }: { machineId: string }): Promise<{ drained: boolean }> {
  const { drainCalls } = proxyActivities<MachineActivities>({
    taskQueue: machineQueue(machineId),
    startToCloseTimeout: '1 hour',
  });
  const drained = await finishDrain({ machineId });
  await drainCalls();
  return { drained };
}
