import {
  ActivityFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
} from '@temporalio/workflow';
import type { WorkActivities, WorkOfferActivities } from '../activities/work.ts';
import type { WorkState } from '../domain/states.ts';
import { type BegunWork, type NativeWork, workOfferSeconds, workRetrySeconds } from '../domain/work.ts';

export interface RunWorkInput {
  workId: string;
  serviceId: string;
}
export interface RunWorkResult {
  state: WorkState;
}

/** What a Temporal worker of the owner's registers on `external_<name>`. */
interface NativeActivities {
  doWork(work: NativeWork): Promise<unknown>;
}

const { beginWork, endWork } = proxyLocalActivities<WorkActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});

/** Has one piece of work done by its service, until its deadline. Who has it, and what came of it, stands in its row: stores/work.ts. */
export async function runWork({ workId, serviceId }: RunWorkInput): Promise<RunWorkResult> {
  const work = await beginWork({ workId });
  if (work.state !== 'queued' && work.state !== 'running') return { state: work.state };
  setCurrentDetails(`**For ${serviceId}**, on \`${work.queue}\`\n\n\`soulfra work show ${workId}\``);
  // A time-out of 0 is none.
  const timeout = Math.max(1, work.remainingSeconds * 1000);
  const untilDeadline = new CancellationScope({ cancellable: true, timeout });
  try {
    const { native } = work;
    if (native === undefined) return await untilDeadline.run(() => offered(workId, work));
    const result = await untilDeadline.run(() => doneBy(native, work));
    return await endWork({ workId, state: 'completed', reason: '', result });
  } catch (err) {
    // Of the workflow itself, not of the scope: there only the deadline cancels.
    const canceled = CancellationScope.current().consideredCancelled;
    return await CancellationScope.nonCancellable(() => {
      if (!isCancellation(err)) return endWork({ workId, state: 'failed', reason: whyOf(err) });
      if (canceled) return endWork({ workId, state: 'canceled', reason: 'its workflow was canceled' });
      return endWork({ workId, state: 'expired', reason: 'its deadline came before it was done' });
    });
  }
}

/** Claims count in the row and not here: an offer that nobody claimed, because our worker stopped, is no attempt. */
function offered(workId: string, { queue, priority, leaseSeconds, remainingSeconds }: BegunWork) {
  const { offerWork } = proxyActivities<WorkOfferActivities>({
    taskQueue: queue,
    heartbeatTimeout: leaseSeconds * 1000,
    // Beyond the deadline, which is the workflow's own.
    scheduleToCloseTimeout: (remainingSeconds + 60) * 1000,
    retry: { initialInterval: workOfferSeconds * 1000, backoffCoefficient: 1 },
    // At the deadline whoever has it is not waited for: the row is ended, and the next heartbeat hears of it.
    cancellationType: 'TRY_CANCEL',
    priority: { priorityKey: priority },
  });
  return offerWork({ workId });
}

function doneBy(native: NativeWork, { queue, priority, leaseSeconds, remainingSeconds, attempts }: BegunWork) {
  const { doWork } = proxyActivities<NativeActivities>({
    taskQueue: queue,
    heartbeatTimeout: leaseSeconds * 1000,
    scheduleToCloseTimeout: (remainingSeconds + 60) * 1000,
    retry: {
      initialInterval: workRetrySeconds(1) * 1000,
      maximumInterval: workRetrySeconds(attempts) * 1000,
      maximumAttempts: attempts,
    },
    priority: { priorityKey: priority },
  });
  return doWork(native);
}

/** What a time-out hides is why the last attempt failed. */
function whyOf(err: unknown): string {
  const cause = err instanceof ActivityFailure ? err.cause : err;
  const last = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : '';
  return cause instanceof Error ? `${cause.message}${last}` : String(cause);
}
