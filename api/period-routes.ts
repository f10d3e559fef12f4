import { z } from 'zod';
import { callPeriod } from '../domain/ids.ts';
import { type ApiContext, fleetOf } from './context.ts';
import { callerOf } from './plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, writeQuery } from './schemas.ts';
import type { Api } from './types.ts';
import { idempotencyHeaders, requestIdOf, type WorkflowStart } from './workflow-starts.ts';

export interface PeriodRoute {
  url: string;
  tag: string;
  summary: string;
  type: WorkflowStart['type'];
  workflowIdOf: (period: string) => string;
  /** What Temporal UI shows of the workflow. */
  title: string;
  /** Says what a dry run would do. */
  would: string;
  /** Where what comes of it is listed. */
  location: string;
}

/** Begins now what else a Schedule begins, in a period of its own; the answer does not wait for it. */
export function periodRoute(app: Api, context: ApiContext, route: PeriodRoute): void {
  const { url, tag, summary, type, workflowIdOf, title, would, location } = route;
  app.route({
    method: 'POST',
    url,
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary,
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: emptyBody,
      response: {
        200: dryRunSchema,
        202: z.object({ workflowId: z.string(), period: z.string(), started: z.boolean() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      await fleetOf(context, ownerId);
      if (request.query.dryRun) return { dryRun: true as const, would };
      const period = callPeriod(requestIdOf(request));
      const workflowId = workflowIdOf(period);
      const started = await context.starter.start({
        type,
        ownerId,
        workflowId,
        args: [{ period }],
        again: 'failed',
        summary: title,
        content: 'all',
      });
      void reply.header('location', location);
      return reply.code(202).send({ workflowId, period, started });
    },
  });
}
