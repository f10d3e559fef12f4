import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { notificationKinds, notificationStates } from '../../domain/notify.ts';
import { testContent } from '../../domain/notify-texts.ts';
import { listNotifications } from '../../stores/queries/notifications.ts';
import { queueNotification } from '../../stores/notifications.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const notificationSchema = z
  .object({
    id: idSchema('notification'),
    destination: z.string().describe('Id in notify.destinations of fleet.yaml'),
    kind: z.enum(notificationKinds),
    title: z.string(),
    text: z.string(),
    state: z.enum(notificationStates),
    reason: z.string().describe('Of the last try that did not arrive'),
    attempts: z.int(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Notification' });

export function notificationRoutes(app: Api, context: ApiContext): void {
  const { db } = context;

  listRoute(app, {
    url: '/v1/notifications',
    role: 'operator',
    tag: 'inbox',
    summary: 'What each destination of `notify` was told, the last first',
    item: notificationSchema,
    filters: { destination: slugSchema.optional(), state: z.enum(notificationStates).optional() },
    params: z.object({}),
    key: idSchema('notification'),
    keyOf: (notification) => notification.id,
    rows: (page, filters) => listNotifications(db, { ...page, ...filters }),
  });

  app.route({
    method: 'POST',
    url: '/v1/notifications/test',
    config: { role: 'operator' },
    schema: {
      tags: ['inbox'],
      summary: 'Tells a destination, or all of them, that this is a test',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z.strictObject({ destination: slugSchema.optional() }),
      response: {
        200: dryRunSchema,
        202: z.object({ destinations: z.array(z.string()) }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      const wanted = request.body.destination;
      const destinations = fleet.notify.destinations
        .map(({ id }) => id)
        .filter((id) => wanted === undefined || id === wanted);
      if (destinations.length === 0)
        throw new DomainError(
          'NOT_FOUND',
          wanted === undefined
            ? 'fleet.yaml names no destinations under notify'
            : `fleet.yaml names no destination ${wanted} under notify`,
        );
      const key = `test:${requestIdOf(request)}`;
      await writeOrTry(db, request.query.dryRun, async (tx) => {
        for (const destination of destinations) {
          const content = testContent(fleet.name, destination);
          await queueNotification(tx, { ownerId, destination, kind: 'test', key, content });
        }
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `tell ${destinations.join(', ')}` };
      return reply.code(202).send({ destinations });
    },
  });
}
