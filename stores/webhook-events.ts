import { sql } from 'kysely';
import { webhookDeliveryWorkflowId } from '../domain/ids.ts';
import { type WebhookEventData, webhookEventOf, type WebhookEventType } from '../domain/webhooks.ts';
import type { DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';

/**
 * Tells an owner's endpoints of an event, in the transaction of what happened: rolled back, nobody is told. The same event again
 * (the same purchase paid, the same license revoked) is told once; where no endpoint takes the type nothing is kept.
 * @returns deliveries that were asked for
 */
export async function queueWebhookEvent<Type extends WebhookEventType>(
  tx: DatabaseTransaction,
  ownerId: string,
  type: Type,
  data: WebhookEventData<Type>,
): Promise<number> {
  const { key, body } = webhookEventOf(type, data, new Date());
  // So that none is deleted before its delivery names it.
  const endpoints = await tx
    .selectFrom('webhooks')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('state', '=', 'active')
    .where(sql<boolean>`${type} = any(types)`)
    .orderBy('id')
    .forKeyShare()
    .execute();
  if (endpoints.length === 0) return 0;
  const event = await tx
    .insertInto('webhookEvents')
    .values({ id: newId('webhookEvent'), ownerId, type, key, body })
    .onConflict((conflict) => conflict.columns(['ownerId', 'key']).doNothing())
    .returning('id')
    .executeTakeFirst();
  if (!event) return 0;
  for (const { id: webhookId } of endpoints) {
    const deliveryId = newId('webhookDelivery');
    await tx
      .insertInto('webhookDeliveries')
      .values({ id: deliveryId, ownerId, webhookId, eventId: event.id })
      .execute();
    const workflowId = webhookDeliveryWorkflowId(deliveryId, 0);
    await insertIntent(tx, { workflowId, type: 'deliverWebhook', args: [{ deliveryId }] });
  }
  return endpoints.length;
}
