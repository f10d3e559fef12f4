import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { ReconciledBooks, ReconciliationActivities } from '../activities/reconciliation.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface ReconcileLedgerInput {
  /** `call-<requestId>`; a scheduled run takes the scheduled time instead. */
  period?: string;
  /** Whose books; default: everybody's. */
  ownerId?: string;
}
export type ReconcileLedgerResult = ReconciledBooks;

const { reconcileBooks } = proxyActivities<ReconciliationActivities>({
  startToCloseTimeout: '1 hour',
  heartbeatTimeout: '30 seconds',
  // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
});

/** Looks whether the books add up, to the last unit, and tells where they do not. */
export async function reconcileLedger({ period, ownerId }: ReconcileLedgerInput): Promise<ReconcileLedgerResult> {
  const result = await reconcileBooks({
    period: period ?? scheduledPeriod(),
    ...(ownerId === undefined ? {} : { ownerId }),
  });
  setCurrentDetails(`${result.entries} entries in ${result.books} books, ${result.discrepancies} discrepancies`);
  return result;
}
