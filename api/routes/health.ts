import { z } from 'zod';
import { DomainError, errorTable } from '../../domain/errors.ts';
import type { ApiMetrics } from '../../observability/metrics.ts';
import { type Figures, readFigures } from '../../stores/queries/figures.ts';
import type { ApiContext } from '../context.ts';
import { createReadiness } from '../health.ts';
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
      const down = Object.entries(parts).filter(([name, part]) => part.state === 'down' && name !== 'redis');
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
    schema: { hide: true },
    handler: async (request, reply) => {
      const { metrics } = context;
      // They are of the whole installation; who signed up here is no part of who runs it.
      if (callerOf(request).ownerId !== (await context.principals.firstOperator()))
        throw new DomainError('FORBIDDEN', 'metrics are for who runs the installation');
      try {
        setFigures(metrics, await readFigures(context.db));
      } catch (err) {
        // Figures of the process itself are worth most when the database is away.
        context.log.warn({ err }, 'figures not read for metrics');
      }
      return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
    },
  });
}

function setFigures(metrics: ApiMetrics, figures: Figures): void {
  for (const [gauge, byState] of [
    [metrics.machines, figures.machines],
    [metrics.agents, figures.agents],
    [metrics.openRuns, figures.openRuns],
    [metrics.sources, figures.sources],
  ] as const) {
    gauge.reset();
    for (const [state, count] of Object.entries(byState)) gauge.set({ state }, count);
  }
  metrics.pendingSourceItems.set(figures.pendingSourceItems);
  metrics.openNotices.set(figures.openNotices);
  metrics.unplacedAgents.set(figures.unplacedAgents);
  metrics.ledgerDiscrepancies.set(figures.ledgerDiscrepancies);
  metrics.ledgerReconciled.set(figures.ledgerReconciledSeconds);
  metrics.oldestIntent.set(figures.oldestIntentSeconds);
  metrics.eventHorizon.set(figures.eventHorizonSeconds);
}
