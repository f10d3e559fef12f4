import { ActivityFailure, isCancellation, log, patched, proxyActivities, TimeoutFailure } from '@temporalio/workflow';
import type { ReadinessActivities, ReadinessReadActivities } from '../activities/readiness.ts';
import { readinessAreas, type Verdict } from '../domain/readiness.ts';
import { machineQueue } from '../domain/task-queues.ts';
import { reasonOf } from './inference-ladder.ts';

/** A repository is read where it lies: on its machine's own queue, which nobody else polls, so it is not waited for without end. */
function readingOn(machineId: string | null) {
  return proxyActivities<ReadinessReadActivities>({
    startToCloseTimeout: '10 minutes',
    heartbeatTimeout: '1 minute',
    retry: { maximumAttempts: 3 },
    ...(machineId === null ? {} : { taskQueue: machineQueue(machineId), scheduleToStartTimeout: '1 minute' }),
  });
}
/** A machine that does not answer is not waited for: it stays unknown, which is never taken for well. */
function lookingOn(machineId: string) {
  return proxyActivities<ReadinessReadActivities>({
    taskQueue: machineQueue(machineId),
    scheduleToStartTimeout: '30 seconds',
    startToCloseTimeout: '1 minute',
    heartbeatTimeout: '20 seconds',
    retry: { maximumAttempts: 3 },
    summary: `what runs on ${machineId}`,
  });
}
const { unreadMachines, assessReadinessArea, settleReadinessRun, failReadinessRun } =
  proxyActivities<ReadinessActivities>({
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
  if (patched('each-machine-is-read')) await readMachines(runId);
  await Promise.all(readinessAreas.map((area) => assessReadinessArea({ runId, area })));
  const { verdict } = await settleReadinessRun({ runId });
  return verdict;
}

/** Who reads the repository says what runs on its own machine alone. */
async function readMachines(runId: string): Promise<void> {
  const { machineIds } = await unreadMachines({ runId });
  await Promise.all(
    machineIds.map(async (machineId) => {
      try {
        await lookingOn(machineId).readLiveFacts({ runId });
      } catch (err) {
        if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
        log.warn('a machine did not say what runs there', { runId, machineId, reason: reasonOf(err) });
      }
    }),
  );
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
