import { proxyLocalActivities } from '@temporalio/workflow';
import type { NotificationActivities } from '../activities/notifications.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface SendDigestResult {
  messages: number;
}

const { composeDigest } = proxyLocalActivities<NotificationActivities>({
  startToCloseTimeout: '10 seconds',
  // Then it fails, where it can be seen: the next digest would be skipped behind one that tries for ever.
  retry: { maximumInterval: '30 seconds', maximumAttempts: 20 },
});

/** Makes the messages of a day's digest, once each; they are sent as every other. */
export async function sendDigest(): Promise<SendDigestResult> {
  return composeDigest({ until: scheduledPeriod() });
}
