import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ChildWorkflowCancellationType,
  ParentClosePolicy,
  proxyLocalActivities,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import type { SourceActivities } from '../activities/sources.ts';
import { pollSourceWorkflowId } from '../domain/ids.ts';
import { pollSource } from './poll-source.ts';

export interface PollSourcesResult {
  started: number;
}

const { claimSources } = proxyLocalActivities<SourceActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '5 seconds' },
});

/** Starts a poll of each source that is due and waits for none: a source that hangs holds up itself alone. */
export async function pollSources(): Promise<PollSourcesResult> {
  const { runId } = workflowInfo();
  const { sourceIds } = await claimSources({ sweepId: runId });
  await Promise.all(sourceIds.map((sourceId) => startPoll(sourceId, runId)));
  return { started: sourceIds.length };
}

async function startPoll(sourceId: string, runId: string): Promise<void> {
  try {
    await startChild(pollSource, {
      workflowId: pollSourceWorkflowId(sourceId, runId),
      args: [{ sourceId }],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      workflowTaskTimeout: '2 seconds',
      staticSummary: sourceId,
    });
  } catch (err) {
    if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
  }
}
