import {
  ActivityFailure,
  continueAsNew,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { SourceDeliveryActivities } from '../activities/source-deliveries.ts';
import type { PollOutcome, SourceReadActivities } from '../activities/source-reads.ts';
import type { SourceActivities } from '../activities/sources.ts';
import { machineQueue } from '../domain/task-queues.ts';

export interface PollSourceInput {
  sourceId: string;
  /** It is read there; absent: anywhere. */
  machineId?: string;
  /** What an earlier execution of this poll has read, or that something was brought: nothing is read now. */
  polled?: PollOutcome;
}
export interface PollSourceResult {
  polled: PollOutcome;
}

/** A folder is read on its machine's own queue, which nobody else polls: it is not waited for without end. */
function readingOn(machineId: string | undefined) {
  return proxyActivities<SourceReadActivities>({
    startToCloseTimeout: '1 minute',
    heartbeatTimeout: '10 seconds',
    // What the other side did wrong is no failure of the activity; this is for a worker that died.
    retry: { maximumAttempts: 3 },
    ...(machineId === undefined ? {} : { taskQueue: machineQueue(machineId), scheduleToStartTimeout: '15 seconds' }),
  });
}
const { noteSourceFailure, deliverSourceItems } = proxyLocalActivities<SourceActivities & SourceDeliveryActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});

/** Reads one source, then gives its agents what came, also what an earlier poll could not give. */
export async function pollSource(input: PollSourceInput): Promise<PollSourceResult> {
  const polled = input.polled ?? (await poll(input));
  setCurrentDetails(polled.outcome === 'read' ? `${polled.added} new, ${polled.updated} changed` : polled.outcome);
  for (;;) {
    const { left } = await deliverSourceItems({ sourceId: input.sourceId });
    if (!left) return { polled };
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof pollSource>({ ...input, polled });
  }
}

async function poll({ sourceId, machineId }: PollSourceInput): Promise<PollOutcome> {
  try {
    return await readingOn(machineId).readSource({ sourceId });
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    const reason = reasonOf(err, machineId);
    await noteSourceFailure({ sourceId, reason });
    return { outcome: 'failed', reason };
  }
}

/** For people to read: what the failure itself says may name things of ours, and is in the worker's log. */
function reasonOf({ cause }: ActivityFailure, machineId: string | undefined): string {
  if (!(cause instanceof TimeoutFailure)) return 'the poll failed; the log of the worker says why';
  return cause.timeoutType === 'SCHEDULE_TO_START'
    ? `${machineId} does not take work`
    : 'no worker brought the poll to its end in time';
}
