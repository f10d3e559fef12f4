import { continueAsNew, patched, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { RetentionActivities } from '../activities/retention.ts';

export interface ApplyRetentionInput {
  /** Rows an earlier execution of this run has deleted. */
  deleted?: number;
}
export interface ApplyRetentionResult {
  deleted: number;
}

const { deleteExpired } = proxyActivities<RetentionActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '30 seconds' },
  summary: 'the next rows that have outlived their retention',
});

const { deleteUnsaidVectors } = proxyActivities<RetentionActivities>({
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next day begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'vectors of texts that nothing says any more',
});

/** Deletes rows that have outlived their retention, batch by batch, until none is left; then vectors that nothing says any more. */
export async function applyRetention(input: ApplyRetentionInput): Promise<ApplyRetentionResult> {
  let total = input.deleted ?? 0;
  for (;;) {
    const { deleted } = await deleteExpired();
    total += deleted;
    if (deleted === 0) break;
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof applyRetention>({ deleted: total });
  }
  // Runs of 0.1.0 had them deleted among the rows.
  if (patched('unsaid-vectors')) total += (await deleteUnsaidVectors()).deleted;
  return { deleted: total };
}
