import { z } from 'zod';
import { DomainError, errorTable } from '../../domain/errors.ts';
import type { ApiContext } from '../context.ts';
import { createReadiness, notConfigured } from '../health.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, problemSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const partSchema = z.object({ state: z.enum(['up', 'down']), ms: z.number(), reason: z.string().optional() });
const readinessSchema = z.object({
  state: z.enum(['ready', 'degraded', 'unavailable']),
  parts: z.object({ postgres: partSchema, temporal: partSchema, redis: partSchema }),
});

export function healthRoutes(app: Api, context: ApiContext): void {
  const readiness = createReadiness(context);

  app.route({
    method: 'GET',
    url: '/v1/health/live',
    config: { role: 'none', rateLimit: false },
    schema: {
      tags: ['health'],
      summary: 'This process answers',
      response: { 200: z.object({ state: z.literal('live') }) },
    },
    handler: () => ({ state: 'live' as const }),
  });

  app.route({
    method: 'GET',
    url: '/v1/health/ready',
    config: { role: 'none', rateLimit: false },
    schema: {
      tags: ['health'],
      summary: 'What it stands on answers too; 503 names the part that does not',
      response: {
        200: readinessSchema,
        503: {
          description: 'A part does not answer',
          content: {
            'application/problem+json': { schema: problemSchema.extend(readinessSchema.pick({ parts: true }).shape) },
          },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { state, parts } = await readiness();
      if (state !== 'unavailable') return { state, parts };
      const down = Object.entries(parts).filter(([, part]) => part.state === 'down' && part.reason !== notConfigured);
      const { status, cause, mend } = errorTable.UNAVAILABLE;
      return reply
        .code(503)
        .type('application/problem+json')
        .send({
          type: '/docs/errors.md#unavailable',
          title: cause,
          status,
          code: 'UNAVAILABLE',
          detail: down.map(([name, part]) => `${name}: ${part.reason ?? 'down'}`).join('; '),
          mend,
          requestId: request.id,
          parts,
        });
    },
  });

  app.route({
    method: 'GET',
    url: '/metrics',
    config: { role: 'reader' },
    schema: { hide: true, tags: ['health'] },
    handler: async (request, reply) => {
      const { metrics } = context;
      // They are of the whole installation; who signed up here is no part of who runs it.
      if (callerOf(request).ownerId !== (await context.principals.firstOperator()))
        throw new DomainError('FORBIDDEN', 'metrics are for who runs the installation');
      await context.figures();
      return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
    },
  });
}
