import { setImmediate as turn } from 'node:timers/promises';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { workStates } from '../../domain/states.ts';
import { externalQueue } from '../../domain/task-queues.ts';
import { mostWorkReason, workLimits } from '../../domain/work.ts';
import type { Principal } from '../../stores/principals.ts';
import { answerWork, beatWork, claimWork, type WorkAnswer } from '../../stores/work.ts';
import { createClaimLine } from '../claim-line.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { createWorkLeases } from '../work-leases.ts';
import { workBodyLimit, workJsonSchema } from '../work-schemas.ts';

const claimSchema = z
  .object({
    token: z.string().describe('Goes with each heartbeat and with the answer; told this one time'),
    input: z.unknown(),
    leaseSeconds: z.int().describe('Within these the next heartbeat comes, or the work goes to another'),
    workId: idSchema('work'),
    attempt: z.int(),
  })
  .meta({ id: 'WorkClaim' });

const tokenSchema = z.string().regex(/^swk_[\w-]{43}$/, 'must be the token of a claim');
const answeredSchema = z
  .object({ workId: idSchema('work'), attempt: z.int(), state: z.enum(workStates) })
  .meta({ id: 'WorkAnswered' });
const { waitSeconds } = workLimits;

/** The service whose token asks. */
function serviceOf({ service }: Principal): string {
  if (service === undefined)
    throw new DomainError('FORBIDDEN', 'this needs the token of a service: soulfra services token SERVICE');
  return service;
}

/**
 * What a service does that takes work over HTTP (docs/work.md). The answer stands in the row, committed, before Temporal hears of it:
 * an answer that is lost may come again, and one that comes late is refused.
 */
export function workClaimRoutes(app: Api, context: ApiContext): void {
  const { db, works, log, metrics } = context;
  const leases = createWorkLeases(context);
  const line = createClaimLine({ ...context, works, leases });
  // Before the server waits for its connections to end, or it would wait for these.
  app.addHook('preClose', () => line.close());

  app.route({
    method: 'POST',
    url: '/v1/work/claim',
    config: { role: 'member', services: true, audit: false },
    schema: {
      tags: ['work'],
      summary: 'Takes the next work of a service: the most urgent, then the oldest; 204 when none came in time',
      querystring: writeQuery,
      body: z.strictObject({
        queue: z.string().regex(/^external_[a-z0-9_]{1,127}$/, 'must be `external_` and the name of the service'),
        waitSeconds: z.int().min(0).max(waitSeconds.most).default(waitSeconds.default),
      }),
      response: { 200: claimSchema.or(dryRunSchema), 204: z.null().describe('Nothing came'), ...problemResponses },
    },
    handler: async (request, reply) => {
      const service = serviceOf(callerOf(request));
      const { queue, waitSeconds: wait } = request.body;
      const own = externalQueue(service);
      if (queue !== own)
        throw new DomainError('FORBIDDEN', `this token is of ${service}, which claims from ${own} alone`);
      if (request.query.dryRun) {
        const next = await writeOrTry(db, true, (tx) => claimWork(tx, service));
        return reply.send({
          dryRun: true as const,
          would: next === undefined ? 'wait for work' : `claim ${next.workId}`,
        });
      }
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      // Who went away before is not told of again.
      if (reply.raw.destroyed) gone.abort();
      const claim = await line.next(service, wait * 1000, gone.signal);
      if (claim === undefined) return reply.code(204).send(null);
      // What broke off at this very moment is heard now.
      await turn();
      if (gone.signal.aborted) {
        log.debug({ workId: claim.workId }, 'whoever claimed is gone');
        await line.giveBack(claim);
        return reply.code(204).send(null);
      }
      metrics.workClaimWait.observe({ service }, claim.waitedSeconds);
      const { token, input, leaseSeconds, workId, attempt } = claim;
      return reply.send({ token, input, leaseSeconds, workId, attempt });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/work/heartbeat',
    config: { role: 'member', services: true, audit: false },
    schema: {
      tags: ['work'],
      summary: 'Begins the lease of a claim anew; 409 when the work is lost, canceled or over: stop',
      querystring: writeQuery,
      body: z.strictObject({ token: tokenSchema }),
      response: { 200: z.object({ leaseSeconds: z.int() }).or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const service = serviceOf(callerOf(request));
      const { dryRun } = request.query;
      const beat = await writeOrTry(db, dryRun, (tx) => beatWork(tx, service, request.body.token));
      const { workId, taskToken, leaseSeconds } = beat;
      if (dryRun) return { dryRun: true as const, would: `keep the lease of ${workId}` };
      if (!(await leases.renew(taskToken)))
        throw new DomainError('WORK_LEASE_LOST', 'the lease ran out, or the work was canceled');
      return { leaseSeconds };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/work/complete',
    bodyLimit: workBodyLimit,
    config: { role: 'member', services: true },
    schema: {
      tags: ['work'],
      summary: 'The work is done; the same result again is answered alike, another one is refused',
      querystring: writeQuery,
      body: z.strictObject({ token: tokenSchema, result: workJsonSchema.describe('Any JSON up to 64 kB') }),
      response: { 200: answeredSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: (request) => {
      const { token, result } = request.body;
      return answer(callerOf(request), request.query.dryRun, token, { kind: 'completed', result });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/work/fail',
    config: { role: 'member', services: true },
    schema: {
      tags: ['work'],
      summary: 'The attempt failed; the work is offered again after a while, or never',
      querystring: writeQuery,
      body: z.strictObject({
        token: tokenSchema,
        reason: textSchema(mostWorkReason),
        retryable: z.boolean().default(true).describe('false: another attempt would fail alike'),
      }),
      response: { 200: answeredSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: (request) => {
      const { token, reason, retryable } = request.body;
      return answer(callerOf(request), request.query.dryRun, token, { kind: 'failed', reason, retryable });
    },
  });

  async function answer(caller: Principal, dryRun: boolean | undefined, token: string, said: WorkAnswer) {
    const service = serviceOf(caller);
    const answered = await writeOrTry(db, dryRun, (tx) => answerWork(tx, service, token, said));
    const { workId, attempt, state } = answered;
    if (dryRun) return { dryRun: true as const, would: `leave ${workId} ${state}` };
    await leases.told(answered, said);
    return { workId, attempt, state };
  }
}
