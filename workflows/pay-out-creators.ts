import { continueAsNew, proxyLocalActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { PayoutActivities } from '../activities/payouts.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface PayOutCreatorsInput {
  /** What an earlier execution of this run has done. */
  done?: { period: string; after: string; started: number };
}
export interface PayOutCreatorsResult {
  started: number;
}

const { startDuePayouts } = proxyLocalActivities<PayoutActivities>({
  startToCloseTimeout: '1 minute',
  retry: { maximumInterval: '30 seconds' },
});

/** Sets out what is due to creators, page by page; each payout is a workflow of its own. */
export async function payOutCreators({ done }: PayOutCreatorsInput): Promise<PayOutCreatorsResult> {
  const period = done?.period ?? scheduledPeriod();
  let { after, started } = done ?? { after: '', started: 0 };
  for (;;) {
    const page = await startDuePayouts({ period, after });
    started += page.started;
    setCurrentDetails(`${started} payouts`);
    if (page.next === null) return { started };
    after = page.next;
    if (workflowInfo().continueAsNewSuggested)
      await continueAsNew<typeof payOutCreators>({ done: { period, after, started } });
  }
}
