import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { deliveryStates } from '../../domain/webhooks.ts';
import { findWebhook, listDeliveries } from '../../stores/queries/webhooks.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { webhookParams } from './webhooks.ts';

const deliverySchema = z
  .object({
    id: idSchema('webhookDelivery'),
    eventId: idSchema('webhookEvent').describe('The webhook-id, the same at every try'),
    type: z.string(),
    state: z.enum(deliveryStates),
    attempts: z.int(),
    status: z.int().nullable().describe('What was answered last'),
    reason: z.string(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'WebhookDelivery' });

export function webhookDeliveryRoutes(app: Api, { db, webhookDeliveries }: ApiContext): void {
  listRoute(app, {
    url: '/v1/webhooks/:id/deliveries',
    role: 'member',
    tag: 'webhooks',
    summary: 'Events for an endpoint, the last first',
    item: deliverySchema,
    filters: {},
    params: webhookParams,
    key: idSchema('webhookDelivery'),
    keyOf: (delivery) => delivery.id,
    rows: async (page, _filters, { id: webhookId }) => {
      if (!(await findWebhook(db, page.ownerId, webhookId)))
        throw new DomainError('NOT_FOUND', `no webhook ${webhookId}`);
      return listDeliveries(db, { ...page, webhookId });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/webhooks/:id/deliveries/:deliveryId/redeliver',
    config: { role: 'member' },
    schema: {
      tags: ['webhooks'],
      summary: 'Delivers an event again, under the same webhook-id',
      querystring: writeQuery,
      params: webhookParams.extend({ deliveryId: idSchema('webhookDelivery') }),
      body: emptyBody,
      response: {
        200: dryRunSchema,
        202: z.object({ id: idSchema('webhookDelivery'), state: z.enum(deliveryStates) }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id, deliveryId } = request.params;
      await writeOrTry(db, request.query.dryRun, (tx) => webhookDeliveries.redeliver(tx, { ownerId, id }, deliveryId));
      if (request.query.dryRun) return { dryRun: true as const, would: `deliver ${deliveryId} again` };
      return reply.code(202).send({ id: deliveryId, state: 'pending' as const });
    },
  });
}
