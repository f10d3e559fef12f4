import {
  ActivityFailure,
  continueAsNew,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  workflowInfo,
} from '@temporalio/workflow';
import type { SourceDeliveryActivities } from '../activities/source-deliveries.ts';
import type { PollOutcome, SourceActivities } from '../activities/sources.ts';

export interface PollSourceInput {
  sourceId: string;
  /** What an earlier execution of this poll has done. */
  resume?: { polled: PollSourceResult['polled'] };
}
export interface PollSourceResult {
  polled: PollOutcome;
}

const { readSource } = proxyActivities<SourceActivities>({
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '10 seconds',
  // What the other side did wrong is no failure of the activity; this is for a worker that died.
  retry: { maximumAttempts: 3 },
});
const { noteSourceFailure, deliverSourceItems } = proxyLocalActivities<SourceActivities & SourceDeliveryActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});

/** Reads one source, then gives its agents what came, also what an earlier poll could not give. */
export async function pollSource(input: PollSourceInput): Promise<PollSourceResult> {
  const polled = input.resume?.polled ?? (await poll(input.sourceId));
  setCurrentDetails(polled.outcome === 'read' ? `${polled.added} new, ${polled.updated} changed` : polled.outcome);
  for (;;) {
    const { left } = await deliverSourceItems({ sourceId: input.sourceId });
    if (!left) return { polled };
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof pollSource>({ ...input, resume: { polled } });
  }
}

async function poll(sourceId: string): Promise<PollOutcome> {
  try {
    return await readSource({ sourceId });
  } catch (err) {
    if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
    const reason = err.cause?.message ?? err.message;
    await noteSourceFailure({ sourceId, reason });
    return { outcome: 'failed', reason };
  }
}
