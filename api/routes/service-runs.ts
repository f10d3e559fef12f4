import { z } from 'zod';
import { runServicesWorkflowId } from '../../domain/ids.ts';
import { mostServices, serviceIdSchema } from '../../domain/services.ts';
import { type ServiceAction, serviceActions } from '../../domain/states.ts';
import { refuseWhileBlocked } from '../../stores/deploy-blockers.ts';
import { createServiceRunStore, plannedRequest, type ServiceRequest } from '../../stores/service-runs.ts';
import type { ApiContext } from '../context.ts';
import { callerOf } from '../plugins/roles.ts';
import { emptyBody, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'services';

const askedSchema = z
  .object({
    dryRun: z.literal(true).optional(),
    requestId: z.string().nullable().describe('Null in a dry run, and where there is nothing to do'),
    workflowId: z.string().nullable(),
    waves: z
      .array(
        z.array(
          z.object({
            id: z.string(),
            action: z.enum(serviceActions),
            machineId: z.string().nullable().describe('Where it is to run; null: nowhere'),
          }),
        ),
      )
      .describe('In the order in which they are started; stopped from the last to the first'),
  })
  .meta({ id: 'AskedServices' });

const summaries: Record<ServiceAction, string> = {
  start: 'after what it needs; a machine runs only what its own trust file agrees to',
  stop: 'after what needs it',
  restart: 'with what needs it: stopped from the last wave to the first, then started',
};

const verbs: Record<ServiceAction, string> = { start: 'Starts', stop: 'Stops', restart: 'Restarts' };

export function serviceRunRoutes(app: Api, { db }: ApiContext): void {
  const runs = createServiceRunStore(db);
  const answers = { 200: askedSchema, 202: askedSchema, ...problemResponses };

  async function asked(request: ServiceRequest, dryRun: boolean): Promise<z.output<typeof askedSchema>> {
    const planned = await plannedRequest(db, request);
    const starting = planned.flat().filter(({ action }) => action !== 'stop');
    // What has run before may be started again at any time: to mend things, too.
    await refuseWhileBlocked(
      db,
      request.ownerId,
      starting.map(({ id }) => id),
    );
    if (dryRun) return { dryRun: true, requestId: null, workflowId: null, waves: planned };
    const { requestId, waves } = await runs.request(request);
    if (waves.length === 0) return { requestId: null, workflowId: null, waves };
    return { requestId, workflowId: runServicesWorkflowId(requestId), waves };
  }

  for (const action of serviceActions) {
    const verb = verbs[action];
    app.route({
      method: 'POST',
      url: `/v1/services/:id/${action}`,
      config: { role: 'operator' },
      schema: {
        tags: [tag],
        summary: `${verb} a service ${summaries[action]}`,
        querystring: writeQuery,
        params: z.strictObject({ id: serviceIdSchema }),
        body: emptyBody,
        response: answers,
      },
      handler: async (request, reply) => {
        const { ownerId } = callerOf(request);
        const dryRun = request.query.dryRun ?? false;
        const answer = await asked({ ownerId, action, serviceIds: [request.params.id] }, dryRun);
        return reply.code(dryRun ? 200 : 202).send(answer);
      },
    });

    app.route({
      method: 'POST',
      url: `/v1/services/${action}`,
      config: { role: 'operator' },
      schema: {
        tags: [tag],
        summary: `${verb} several services or all, each ${summaries[action]}`,
        querystring: writeQuery,
        body: z
          .strictObject({ services: z.array(serviceIdSchema).max(mostServices).optional().describe('Without it all') })
          .nullish(),
        response: answers,
      },
      handler: async (request, reply) => {
        const { ownerId } = callerOf(request);
        const dryRun = request.query.dryRun ?? false;
        const answer = await asked({ ownerId, action, serviceIds: request.body?.services ?? [] }, dryRun);
        return reply.code(dryRun ? 200 : 202).send(answer);
      },
    });
  }
}
