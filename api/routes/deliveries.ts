import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import { dropDeliveryStates } from '../../domain/states.ts';
import { resumeDrops, stopDrops } from '../../stores/channels.ts';
import { findDropStop } from '../../stores/queries/channels.ts';
import { listDropDeliveries } from '../../stores/queries/drops.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { deliverySchema, dropParams } from '../drop-schemas.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'drops';
const params = dropParams.extend({ deliveryId: idSchema('delivery') });
const askedSchema = z.object({ id: idSchema('delivery'), state: z.enum(dropDeliveryStates) });
const stopSchema = z
  .object({ stopped: z.boolean(), since: timeSchema.nullable(), reason: z.string() })
  .meta({ id: 'DropStop' });

/** What became of drops on their channels, what a person says of it, and the switch that stops all of them. */
export function deliveryRoutes(app: Api, { db, deliveries }: ApiContext): void {
  listRoute(app, {
    url: '/v1/deliveries',
    role: 'reader',
    tag,
    summary: 'Drops on channels, the last first; `state=unconfirmed`: those of which a person has to say what is true',
    item: deliverySchema,
    filters: { state: z.enum(dropDeliveryStates).optional(), dropId: idSchema('drop').optional() },
    params: z.object({}),
    key: idSchema('delivery'),
    keyOf: (delivery) => delivery.id,
    rows: (page, filters) => listDropDeliveries(db, { ...page, ...filters }),
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/:id/deliveries/:deliveryId/confirm',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'It is there: a person has seen it',
      querystring: writeQuery,
      params,
      body: z
        .strictObject({
          url: z
            .url({ protocol: /^https?$/ })
            .max(500)
            .optional(),
        })
        .default({}),
      response: { 200: askedSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { id, deliveryId } = request.params;
      const ref = { ownerId: callerOf(request).ownerId, id };
      await writeOrTry(db, request.query.dryRun, (tx) => deliveries.confirm(tx, ref, deliveryId, request.body.url));
      if (request.query.dryRun) return { dryRun: true as const, would: `put down that ${deliveryId} is there` };
      return { id: deliveryId, state: 'published' as const };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/:id/deliveries/:deliveryId/again',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Post again: a person has seen that it is not there',
      querystring: writeQuery,
      params,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: askedSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { id, deliveryId } = request.params;
      const ref = { ownerId: callerOf(request).ownerId, id };
      await writeOrTry(db, request.query.dryRun, (tx) => deliveries.again(tx, ref, deliveryId));
      if (request.query.dryRun) return { dryRun: true as const, would: `post ${deliveryId} again` };
      return reply.code(202).send({ id: deliveryId, state: 'pending' as const });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/drops/stop',
    config: { role: 'reader' },
    schema: { tags: [tag], summary: 'Whether posts are stopped', response: { 200: stopSchema, ...problemResponses } },
    handler: (request) => stopOf(callerOf(request).ownerId),
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/stop-all',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'No post of yours begins to leave from now on, until `resume-all`',
      querystring: writeQuery,
      body: z.strictObject({ reason: textSchema(300).default('by hand') }).default({ reason: 'by hand' }),
      response: { 200: stopSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      await writeOrTry(db, request.query.dryRun, (tx) => stopDrops(tx, ownerId, request.body.reason));
      return request.query.dryRun ? { dryRun: true as const, would: 'stop all posts' } : stopOf(ownerId);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/drops/resume-all',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Posts leave again, late ones one by one',
      querystring: writeQuery,
      body: emptyBody,
      response: { 200: stopSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      await writeOrTry(db, request.query.dryRun, (tx) => resumeDrops(tx, ownerId));
      return request.query.dryRun ? { dryRun: true as const, would: 'let posts leave again' } : stopOf(ownerId);
    },
  });

  async function stopOf(ownerId: string) {
    const stop = await findDropStop(db, ownerId);
    return { stopped: stop !== undefined, since: stop?.since ?? null, reason: stop?.reason ?? '' };
  }
}
