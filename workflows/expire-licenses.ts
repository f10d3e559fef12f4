import { continueAsNew, proxyActivities, workflowInfo } from '@temporalio/workflow';
import type { LicenseActivities } from '../activities/licenses.ts';

export interface ExpireLicensesInput {
  /** Licenses an earlier execution of this run has ended. */
  expired?: number;
}
export interface ExpireLicensesResult {
  expired: number;
}

const { expireDue } = proxyActivities<LicenseActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '30 seconds' },
});

/** Writes down which licenses are over their term and grace, batch by batch; what they permit goes by time, not by this. */
export async function expireLicenses(input: ExpireLicensesInput): Promise<ExpireLicensesResult> {
  let total = input.expired ?? 0;
  for (;;) {
    const { expired } = await expireDue();
    total += expired;
    if (expired === 0) return { expired: total };
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof expireLicenses>({ expired: total });
  }
}
