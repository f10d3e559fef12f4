import { continueAsNew, proxyActivities, setCurrentDetails, sleep, workflowInfo } from '@temporalio/workflow';
import type { NotifyActivities } from '../activities/notifications.ts';
import type { NotificationState } from '../domain/notify.ts';
import { channelQueues } from '../domain/task-queues.ts';

export interface SendNotificationInput {
  notificationId: string;
}
export interface SendNotificationResult {
  state: NotificationState;
}

const { tryNotification } = proxyActivities<NotifyActivities>({
  taskQueue: channelQueues.notify,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: '10 seconds',
  // What the other side did wrong is no failure of the activity; this is for a worker that died.
  retry: { maximumInterval: '30 seconds' },
});

/** Tells one destination one message, at least once, for as long as domain/notify.ts says. */
export async function sendNotification(input: SendNotificationInput): Promise<SendNotificationResult> {
  for (;;) {
    const { state, againInSeconds } = await tryNotification(input);
    setCurrentDetails(againInSeconds === undefined ? state : `${state}; again in ${againInSeconds} s`);
    if (againInSeconds === undefined) return { state };
    await sleep(againInSeconds * 1000, { summary: 'until the next try' });
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof sendNotification>(input);
  }
}
