import { Context } from '@temporalio/activity';
import type { WebhookStep } from '../domain/webhooks.ts';
import type { WebhookSender } from '../integrations/webhook-sender.ts';
import type { WebhookDeliveryStore } from '../stores/webhook-deliveries.ts';
import { beating } from './beating.ts';

export interface WebhookDeps {
  webhookDeliveries: WebhookDeliveryStore;
  send: WebhookSender;
  /** For tests: what to wait in place of what the rule says. */
  waitSeconds?: (ruled: number) => number;
}

export function createWebhookActivities({ webhookDeliveries, send, waitSeconds = (ruled) => ruled }: WebhookDeps) {
  return {
    /** One try, or none where it is not its turn. Done twice it goes out twice, under the same webhook-id. */
    async tryDelivery({ deliveryId }: { deliveryId: string }): Promise<WebhookStep> {
      const { cancellationSignal: signal } = Context.current();
      return beating(async () => {
        const turn = await webhookDeliveries.begin(deliveryId);
        if ('step' in turn) return waiting(turn.step);
        const { eventId, ownerId, url, body, secrets } = turn.send;
        const answer = await send({ id: eventId, ownerId, url, body, secrets, signal });
        return waiting(await webhookDeliveries.end(turn.send, answer));
      });
    },
  };

  function waiting(step: WebhookStep): WebhookStep {
    return step.againInSeconds === undefined ? step : { ...step, againInSeconds: waitSeconds(step.againInSeconds) };
  }
}
export type WebhookActivities = ReturnType<typeof createWebhookActivities>;
