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
import { childWindow } from './child-window.ts';
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
  const { sourceIds, machines = {} } = await claimSources({ sweepId: runId });
  await Promise.all(sourceIds.map((sourceId) => startPoll(sourceId, machines[sourceId], runId)));
  return { started: sourceIds.length };
}

async function startPoll(sourceId: string, machineId: string | undefined, runId: string): Promise<void> {
  try {
    const input = machineId === undefined ? { sourceId } : { sourceId, machineId };
    await startChild(pollSource, {
      ...childWindow('pollSource', input),
      workflowId: pollSourceWorkflowId(sourceId, runId),
      args: [input],
      parentClosePolicy: ParentClosePolicy.ABANDON,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      workflowTaskTimeout: '2 seconds',
    });
  } catch (err) {
    if (!(err instanceof WorkflowExecutionAlreadyStartedError)) throw err;
  }
}
