import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { durationSchema } from '../../domain/durations.ts';
import { callPeriod, idSchema, sweepWorkflowId } from '../../domain/ids.ts';
import { runStates } from '../../domain/states.ts';
import { countAgents } from '../../stores/queries/agents.ts';
import { findSweep, listSweeps, type SweepDetail, sweepWorkflows } from '../../stores/queries/sweeps.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { coordinationShare } from '../coordination-share.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, linksSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const sweepSchema = z
  .object({
    id: z.string().describe('Its own id; that of its workflow until the first activity has written the row'),
    workflowId: z.string(),
    links: linksSchema,
    trigger: z.enum(['schedule', 'call']),
    cadence: z.string().nullable(),
    period: z.string(),
    state: z.enum(['running', 'done', 'canceled']),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Sweep' });

const byMachine = z.record(z.string(), z.number());
const sweepDetailSchema = sweepSchema
  .extend({
    total: z.int(),
    counts: z.record(z.enum(runStates), z.int()),
    reflected: z.int().describe('Agents whose run is done'),
    degraded: z.int().describe('Those of them that a smaller model stood in for'),
    moved: z.int().describe('Runs that went to another model or queue at least once'),
    byMachine: byMachine.describe('Agents reflected by each machine'),
    runningByMachine: byMachine.describe('Runs at work now on each machine'),
    seconds: z.number(),
    coordinationShare: byMachine.optional().describe('Share of workflow tasks that each machine answered'),
  })
  .meta({ id: 'SweepDetail' });

const workflowIdSchema = z
  .string()
  .regex(/^reflect-fleet:[\w.:+-]{1,150}$/, 'must be the id of a sweep or its workflow');
const sweepParams = z.strictObject({ id: z.union([idSchema('sweep'), workflowIdSchema]) });
const startRowMs = 1_500;
const readRowMs = 5_000;

export function sweepRoutes(app: Api, context: ApiContext): void {
  const { db, starter, sweeps, temporal, linksTo } = context;

  listRoute(app, {
    url: '/v1/sweeps',
    role: 'reader',
    tag: 'sweeps',
    summary: 'Sweeps, the last started first',
    item: sweepSchema,
    filters: { state: z.enum(['running', 'done', 'canceled']).optional() },
    params: z.object({}),
    key: idSchema('sweep'),
    keyOf: (sweep) => sweep.id,
    rows: async (page, filters) =>
      (await listSweeps(db, { ...page, ...filters })).map((sweep) => ({ ...sweep, links: linksTo(sweep.workflowId) })),
  });

  app.route({
    method: 'GET',
    url: '/v1/sweeps/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['sweeps'],
      summary: 'One sweep with what its runs came to',
      params: sweepParams,
      querystring: z.strictObject({ include: z.literal('coordinationShare').optional() }),
      response: { 200: sweepDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const sweep = (await findSweep(db, ownerId, id)) ?? (await startingSweep(ownerId, id));
      const linked = { ...sweep, links: linksTo(sweep.workflowId) };
      if (request.query.include === undefined) return linked;
      const workflowIds = [sweep.workflowId, ...(await sweepWorkflows(db, sweep.id))];
      return { ...linked, coordinationShare: await coordinationShare(temporal, workflowIds) };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/sweeps',
    config: { role: 'member' },
    schema: {
      tags: ['sweeps'],
      summary: 'Has every agent reflect, due or not; or those of one cadence',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z
        .strictObject({
          trigger: z.literal('call').optional(),
          agents: z.literal('all').optional(),
          cadence: durationSchema.nullish().describe('Only agents of this cadence'),
        })
        .nullish(),
      response: {
        200: dryRunSchema,
        202: z.object({ id: z.string(), workflowId: z.string(), started: z.boolean() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const cadence = request.body?.cadence ?? null;
      await fleetOf(context, ownerId);
      const period = callPeriod(requestIdOf(request));
      const workflowId = sweepWorkflowId(period);
      const known = await findSweep(db, ownerId, workflowId);
      if (known && known.cadence !== cadence) {
        throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
      }
      if (request.query.dryRun) {
        const { active } = await countAgents(db, ownerId);
        const whom = cadence === null ? `${active} agents` : `the agents of cadence ${cadence}`;
        return { dryRun: true as const, would: known ? `answer with ${known.id}` : `start a sweep over ${whom}` };
      }
      const started =
        known === undefined &&
        (await starter.start({
          type: 'reflectFleet',
          ownerId,
          workflowId,
          args: [{ cadence, trigger: 'call', period }],
          again: 'never',
          summary: cadence === null ? 'every agent, by hand' : `agents of ${cadence}, by hand`,
          content: cadence ?? 'all',
        }));
      const sweep = known ?? (await awaitRow(() => findSweep(db, ownerId, workflowId), startRowMs));
      const id = sweep?.id ?? workflowId;
      void reply.header('location', `/v1/sweeps/${id}`);
      return reply.code(202).send({ id, workflowId, started });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/sweeps/:id/cancel',
    config: { role: 'member' },
    schema: {
      tags: ['sweeps'],
      summary: 'Ends a sweep: agents that have not begun are left out, runs at work go on',
      querystring: writeQuery,
      params: sweepParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: sweepDetailSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const sweep = (await findSweep(db, ownerId, id)) ?? (await startingSweep(ownerId, id));
      if (sweep.state !== 'running') throw new DomainError('CONFLICT', `${sweep.id} is ${sweep.state} already`);
      if (request.query.dryRun) {
        return { dryRun: true as const, would: `cancel ${sweep.id}: agents that have not begun are left out` };
      }
      if (!(await starter.cancel(sweep.workflowId))) {
        await sweeps.end(sweep.id, 'canceled', 'canceled by hand; its workflow was gone');
      }
      const ended = await awaitRow(async () => {
        const now = await findSweep(db, ownerId, sweep.id);
        return now && now.state !== 'running' ? now : undefined;
      }, startRowMs);
      void reply.header('location', `/v1/sweeps/${sweep.id}`);
      return reply.code(202).send({ ...(ended ?? sweep), links: linksTo(sweep.workflowId) });
    },
  });

  /** The workflow runs, but no worker has written its row yet. */
  async function startingSweep(ownerId: string, id: string): Promise<SweepDetail> {
    if (!workflowIdSchema.safeParse(id).success) throw new DomainError('NOT_FOUND', `no sweep ${id}`);
    const workflow = await starter.within(() => temporal.workflow.getHandle(id).describe());
    const own = workflow.memo?.['ownerId'] === ownerId;
    const sweep = own ? await awaitRow(() => findSweep(db, ownerId, id), readRowMs) : undefined;
    if (sweep) return sweep;
    // One that has ended without its row, or whose row has outlived its retention, is no sweep any more.
    if (!own || workflow.status.name !== 'RUNNING') throw new DomainError('NOT_FOUND', `no sweep ${id}`);
    return {
      id,
      workflowId: id,
      trigger: 'call',
      cadence: null,
      period: id.slice(sweepWorkflowId('').length),
      state: 'running',
      startedAt: workflow.startTime.toISOString(),
      endedAt: null,
      total: 0,
      counts: { queued: 0, running: 0, parked: 0, done: 0, empty: 0, failed: 0, canceled: 0 },
      reflected: 0,
      degraded: 0,
      moved: 0,
      byMachine: {},
      runningByMachine: {},
      seconds: 0,
    };
  }
}
