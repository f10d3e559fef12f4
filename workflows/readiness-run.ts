import { ActivityFailure, isCancellation, proxyActivities, TimeoutFailure } from '@temporalio/workflow';
import type { ReadinessActivities, ReadinessReadActivities } from '../activities/readiness.ts';
import { readinessAreas, type Verdict } from '../domain/readiness.ts';
import { machineQueue } from '../domain/task-queues.ts';

/** A repository is read where it lies: on its machine's own queue, which nobody else polls, so it is not waited for without end. */
function readingOn(machineId: string | null) {
  return proxyActivities<ReadinessReadActivities>({
    startToCloseTimeout: '10 minutes',
    heartbeatTimeout: '1 minute',
    retry: { maximumAttempts: 3 },
    ...(machineId === null ? {} : { taskQueue: machineQueue(machineId), scheduleToStartTimeout: '1 minute' }),
  });
}
const { assessReadinessArea, settleReadinessRun, failReadinessRun } = proxyActivities<ReadinessActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '30 seconds', maximumAttempts: 20 },
});

/**
 * Reads what there is once, has ten assessors judge it side by side, and stores the verdict. Done twice, or by two at once, it is
 * one run. @returns null: it failed, and its row says why
 */
export async function assessRun(runId: string, machineId: string | null): Promise<Verdict | null> {
  const reason = await read(runId, machineId);
  if (reason !== null) {
    await failReadinessRun({ runId, reason });
    return null;
  }
  await Promise.all(readinessAreas.map((area) => assessReadinessArea({ runId, area })));
  const { verdict } = await settleReadinessRun({ runId });
  return verdict;
}

/** @returns why it could not be read; null: it was */
async function read(runId: string, machineId: string | null): Promise<string | null> {
  try {
    return (await readingOn(machineId).readReadinessInventory({ runId })).refused;
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    const late = err.cause instanceof TimeoutFailure && err.cause.timeoutType === 'SCHEDULE_TO_START';
    return late
      ? `${machineId} does not take work`
      : 'the repository could not be read; the log of the worker says why';
  }
}
