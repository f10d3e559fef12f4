import { proxyLocalActivities } from '@temporalio/workflow';
import type { PayoutActivities } from '../activities/payouts.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface ShareBlessingsInput {
  /** Default: the scheduled time. */
  period?: string;
}
export interface ShareBlessingsResult {
  books: number;
  blessings: number;
}

const { sharePools } = proxyLocalActivities<PayoutActivities>({
  startToCloseTimeout: '30 seconds',
  retry: { maximumInterval: '1 minute' },
  summary: 'shares the pool out by blessings received',
});

/** Shares the pool out by blessings received; what does not divide stays in it. */
export async function shareBlessings({
  period = scheduledPeriod(),
}: ShareBlessingsInput): Promise<ShareBlessingsResult> {
  return sharePools({ period });
}
