import {
  ActivityFailure,
  isCancellation,
  proxyActivities,
  setCurrentDetails,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { ReadinessActivities, ReadinessReadActivities } from '../activities/readiness.ts';
import { readinessAreas, type Verdict } from '../domain/readiness.ts';
import { machineQueue } from '../domain/task-queues.ts';
import { scheduledPeriod } from './scheduled-period.ts';

/** Where a repository lies, and how it is read. */
export interface AssessedRepository {
  folder: string;
  /** It is read there; null: by any machine. */
  machineId: string | null;
  machineFiles: Array<{ machine: string; file: string }>;
  portRules: Array<{ name: string; add: number }>;
}
export interface AssessReadinessInput {
  /** `call-<requestId>`; a scheduled run takes the scheduled time instead. */
  period?: string;
  ownerId?: string;
  /** Default: what the last run of each owner looked at. */
  repository?: AssessedRepository;
}
export interface AssessReadinessResult {
  runs: Array<{ runId: string; verdict: Verdict | null }>;
}

/** A repository is read where it lies: on its machine's own queue, which nobody else polls, so it is not waited for without end. */
function readingOn(machineId: string | null) {
  return proxyActivities<ReadinessReadActivities>({
    startToCloseTimeout: '10 minutes',
    heartbeatTimeout: '1 minute',
    retry: { maximumAttempts: 3 },
    ...(machineId === null ? {} : { taskQueue: machineQueue(machineId), scheduleToStartTimeout: '1 minute' }),
  });
}
const { openReadinessRuns, assessReadinessArea, settleReadinessRun, failReadinessRun } =
  proxyActivities<ReadinessActivities>({
    startToCloseTimeout: '1 minute',
    retry: { maximumInterval: '30 seconds', maximumAttempts: 20 },
  });

/** Reads what there is once, has ten assessors judge it side by side, and stores the verdict against the run before. */
export async function assessReadiness(input: AssessReadinessInput): Promise<AssessReadinessResult> {
  const { runs } = await openReadinessRuns({ ...input, period: input.period ?? scheduledPeriod() });
  const done: AssessReadinessResult['runs'] = [];
  for (const { runId, machineId } of runs) {
    const reason = await read(runId, machineId);
    if (reason !== null) {
      await failReadinessRun({ runId, reason });
      done.push({ runId, verdict: null });
      continue;
    }
    await Promise.all(readinessAreas.map((area) => assessReadinessArea({ runId, area })));
    const { verdict } = await settleReadinessRun({ runId });
    done.push({ runId, verdict });
  }
  setCurrentDetails(done.map(({ runId, verdict }) => `${runId}: ${verdict ?? 'failed'}`).join('\n'));
  return { runs: done };
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
