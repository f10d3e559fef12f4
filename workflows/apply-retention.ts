import { continueAsNew, proxyActivities, workflowInfo } from '@temporalio/workflow';
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
});

/** Deletes rows that have outlived their retention, batch by batch, until none is left. */
export async function applyRetention(input: ApplyRetentionInput): Promise<ApplyRetentionResult> {
  let total = input.deleted ?? 0;
  for (;;) {
    const { deleted } = await deleteExpired();
    total += deleted;
    if (deleted === 0) return { deleted: total };
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof applyRetention>({ deleted: total });
  }
}
