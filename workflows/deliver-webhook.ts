import { continueAsNew, proxyActivities, setCurrentDetails, sleep, workflowInfo } from '@temporalio/workflow';
import type { WebhookActivities } from '../activities/webhooks.ts';
import { channelQueues } from '../domain/task-queues.ts';
import type { DeliveryState } from '../domain/webhooks.ts';

export interface DeliverWebhookInput {
  deliveryId: string;
}
export interface DeliverWebhookResult {
  state: DeliveryState;
}

const { tryDelivery } = proxyActivities<WebhookActivities>({
  taskQueue: channelQueues.webhooks,
  startToCloseTimeout: '1 minute',
  heartbeatTimeout: '10 seconds',
  // What the receiver did wrong is no failure of the activity; this is for a worker that died.
  retry: { maximumInterval: '1 minute' },
});

/** Delivers one event to one endpoint, at least once, for as long as domain/webhooks.ts says. */
export async function deliverWebhook(input: DeliverWebhookInput): Promise<DeliverWebhookResult> {
  for (;;) {
    const { state, againInSeconds } = await tryDelivery(input);
    setCurrentDetails(againInSeconds === undefined ? state : `${state}; again in ${againInSeconds} s`);
    if (againInSeconds === undefined) return { state };
    await sleep(againInSeconds * 1000, { summary: 'until the next try' });
    // An endpoint with much to come makes each of its deliveries wait for room.
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof deliverWebhook>(input);
  }
}
