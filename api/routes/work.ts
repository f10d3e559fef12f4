import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, workWorkflowId } from '../../domain/ids.ts';
import { serviceIdSchema } from '../../domain/services.ts';
import { isEndedWork, workOutcomes, workStates } from '../../domain/states.ts';
import { workJoins, workLimits } from '../../domain/work.ts';
import { findWork, listWork, type WorkDetail } from '../../stores/queries/work.ts';
import { cancelWork, submitWork } from '../../stores/work.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, linksSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { workBodyLimit, workJsonSchema } from '../work-schemas.ts';
import { requestHashOf, requiredIdempotencyHeaders, startedId } from '../workflow-starts.ts';

const workSchema = z
  .object({
    id: idSchema('work'),
    service: z.string(),
    queue: z.string().describe('What its claimers name'),
    joins: z.enum(workJoins).describe('work: claimed over HTTP; native: done by a Temporal worker of the owner’s'),
    submittedBy: z.string().nullable().describe('The service that submitted it; null: a person'),
    state: z.enum(workStates).describe('What a native worker does is queued until it ends'),
    reason: z.string().describe('Why it failed, ended or waits'),
    priority: z.int(),
    attempt: z.int().describe('Claims so far'),
    attempts: z.int().describe('Claims at most'),
    leaseSeconds: z.int(),
    deadline: timeSchema,
    createdAt: timeSchema,
    startedAt: timeSchema.nullable(),
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Work' });

const workDetailSchema = workSchema
  .extend({
    input: z.unknown(),
    result: z.unknown().describe('null until it is completed'),
    claims: z.array(
      z.object({
        attempt: z.int(),
        claimedAt: timeSchema,
        beatAt: timeSchema.describe('Of the last heartbeat'),
        outcome: z.enum(workOutcomes).nullable(),
        reason: z.string(),
        endedAt: timeSchema.nullable(),
      }),
    ),
    links: linksSchema,
  })
  .meta({ id: 'WorkDetail' });

const workParams = z.strictObject({ id: idSchema('work') });
const { priority, attempts, leaseSeconds, deadlineSeconds } = workLimits;

const newWorkSchema = z.strictObject({
  service: serviceIdSchema.describe('Whose entry in fleet.d has `joins`'),
  input: workJsonSchema.describe('Any JSON up to 64 kB; documents go by id or URL'),
  priority: z.int().min(priority.least).max(priority.most).default(priority.default).describe('1 first, 5 last'),
  deadline: timeSchema
    .refine((at) => Date.parse(at) <= Date.now() + deadlineSeconds.most * 1000, {
      error: 'must be within 30 days',
      params: { mend: 'Name an earlier time.' },
    })
    .optional()
    .describe('Until when it is done, or expires; default: in 7 days'),
  attempts: z
    .int()
    .min(attempts.least)
    .max(attempts.most)
    .default(attempts.default)
    .describe('Claims at most, with those whose lease ran out'),
  leaseSeconds: z
    .int()
    .min(leaseSeconds.least)
    .max(leaseSeconds.most)
    .default(leaseSeconds.default)
    .describe('Within these a claimer sends a heartbeat, or the work goes to another'),
});

/** Work for services: taken in, shown, canceled. What claimers do stands in work-claims.ts. */
export function workRoutes(app: Api, context: ApiContext): void {
  const { db, starter, linksTo, log } = context;
  const linked = (work: WorkDetail) => ({ ...work, links: linksTo(workWorkflowId(work.id)) });

  async function existing(ownerId: string, id: string, service?: string): Promise<WorkDetail> {
    const work = await findWork(db, ownerId, id, service);
    if (!work) throw new DomainError('NOT_FOUND', `no work ${id}`);
    return work;
  }

  app.route({
    method: 'POST',
    url: '/v1/work',
    bodyLimit: workBodyLimit,
    config: { role: 'member', services: true },
    schema: {
      tags: ['work'],
      summary: 'Gives a service work, which is done once whatever fails; the same key is the same work',
      querystring: writeQuery,
      headers: requiredIdempotencyHeaders,
      body: newWorkSchema,
      response: { 200: dryRunSchema, 202: workDetailSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, service: submittedBy = null } = callerOf(request);
      const { service: serviceId, deadline, ...asked } = request.body;
      const id = startedId('work', request);
      await writeOrTry(db, request.query.dryRun, (tx) =>
        submitWork(tx, {
          ...asked,
          id,
          ownerId,
          serviceId,
          submittedBy,
          deadline: deadline === undefined ? undefined : new Date(deadline),
          deadlineSeconds: deadlineSeconds.default,
          requestHash: requestHashOf(request.body),
        }),
      );
      if (request.query.dryRun) return { dryRun: true as const, would: `give ${serviceId} the work` };
      void reply.header('location', `/v1/work/${id}`);
      return reply.code(202).send(linked(await existing(ownerId, id)));
    },
  });

  listRoute(app, {
    url: '/v1/work',
    role: 'reader',
    tag: 'work',
    summary: 'Work for services, the last submitted first; inputs and results stand with each alone',
    item: workSchema,
    filters: { service: serviceIdSchema.optional(), state: z.enum(workStates).optional() },
    params: z.object({}),
    key: idSchema('work'),
    keyOf: (work) => work.id,
    rows: (page, filters) => listWork(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/work/:id',
    config: { role: 'reader', services: true },
    schema: {
      tags: ['work'],
      summary:
        'One piece of work with its input, its result and who claimed it; a service sees its own and what it submitted',
      params: workParams,
      response: { 200: workDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId, service } = callerOf(request);
      return linked(await existing(ownerId, request.params.id, service));
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/work/:id/cancel',
    config: { role: 'member' },
    schema: {
      tags: ['work'],
      summary: 'Ends open work; whoever has it hears of it at the next heartbeat',
      querystring: writeQuery,
      params: workParams,
      body: emptyBody,
      response: { 200: workDetailSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const before = await existing(ownerId, id);
      if (isEndedWork(before.state)) throw new DomainError('CONFLICT', `${id} is ${before.state} already`);
      const state = await writeOrTry(db, request.query.dryRun, (tx) => cancelWork(tx, ownerId, id));
      // It ended at the same moment: that is what it is.
      if (state !== 'canceled') throw new DomainError('CONFLICT', `${id} is ${state} already`);
      if (request.query.dryRun) return { dryRun: true as const, would: `cancel ${id}, which is ${before.state}` };
      // The row is the answer; a workflow that does not hear of it finds it there.
      await starter
        .cancel(workWorkflowId(id))
        .catch((err: unknown) => log.warn({ err, workId: id }, 'workflow not canceled'));
      return linked(await existing(ownerId, id));
    },
  });
}
