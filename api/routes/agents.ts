import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { callPeriod, idSchema, reflectWorkflowId, slugSchema } from '../../domain/ids.ts';
import { egoKinds } from '../../domain/ego.ts';
import { personaFormats } from '../../domain/persona-files.ts';
import { agentOrigins, agentStates, driftStates, runStates } from '../../domain/states.ts';
import { gpuClasses } from '../../domain/task-queues.ts';
import { type AgentView, findAgent, listAgents } from '../../stores/queries/agents.ts';
import { listEgoEntries } from '../../stores/queries/ego.ts';
import { installOf } from '../../stores/queries/loop-packages.ts';
import { findRunByWorkflow, openRunOf } from '../../stores/queries/runs.ts';
import { refuseIdle } from '../births.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const agentSchema = z
  .object({
    id: slugSchema,
    name: z.string(),
    archetype: z.string(),
    origin: z.enum(agentOrigins).describe('Who gave birth to it: fleet.yaml, a whisper (request), an imported file'),
    parentId: slugSchema.nullable().describe('Null for a first agent'),
    lineageId: slugSchema.describe('Its first ancestor; a first agent’s own id'),
    generation: z.int().describe('Steps from the first ancestor'),
    state: z.enum(agentStates),
    paused: z.boolean(),
    cadence: z.string(),
    modelId: z.string(),
    machineId: z.string().nullable().describe('Where the plan counts its load'),
    traits: z.array(z.string()),
    maskSeed: z.number().describe('What its mask (public face) is drawn from'),
    why: z.string().describe('Why it has no machine or does not run; empty when all is well'),
    memories: z.int(),
    unread: z.int().describe('Memories that no reflection has read yet'),
    drift: z
      .object({
        state: z.enum(driftStates),
        since: timeSchema,
        drift: z.number(),
        z: z.number().nullable(),
        ratedAt: timeSchema,
      })
      .nullable()
      .describe('How far it stands from its persona; null: not rated yet'),
    nextRunAt: timeSchema.nullable(),
    lastRun: z
      .object({
        id: z.string(),
        state: z.enum(runStates),
        reason: z.string(),
        degraded: z.boolean(),
        machineId: z.string().nullable(),
        createdAt: timeSchema,
        endedAt: timeSchema.nullable(),
      })
      .nullable(),
  })
  .meta({ id: 'Agent' });

const agentDetailSchema = agentSchema
  .extend({
    persona: z.string(),
    leastClass: z.enum(gpuClasses),
    mayDegrade: z.boolean(),
    priority: z.number(),
    tokensPerDay: z.int(),
    expectedTokens: z.int(),
    importanceThreshold: z.int().describe('It reflects when the sum reaches this; 0: never by itself'),
    importanceSum: z.int().describe('Importance of what happened to it and was told in time, since it last reflected'),
    fleetVersion: z.int(),
    ego: z.int().describe('Micro-ego (voting weight) it holds now'),
    createdAt: timeSchema,
    file: z
      .object({ format: z.enum(personaFormats), document: z.looseObject({}) })
      .nullish()
      .describe('With `?include=file`: what it was imported from, as it came; null where it was not'),
    loop: z
      .object({
        contentHash: z.string(),
        keyId: z.string(),
        trusted: z.boolean().describe('False: nobody had pinned the key'),
        installedAt: timeSchema,
      })
      .nullable()
      .describe('The loop package that it came with'),
  })
  .meta({ id: 'AgentDetail' });

const egoEntrySchema = z
  .object({
    id: idSchema('ego'),
    agentId: slugSchema,
    counterAgentId: slugSchema.nullable().describe('The other side; null where the account was opened'),
    kind: z.enum(egoKinds),
    transferId: z.string(),
    amount: z.int().describe('Micro-ego; below zero where it was given away'),
    balance: z.int().describe('Micro-ego held after it'),
    at: timeSchema,
  })
  .meta({ id: 'EgoEntry' });

const agentParams = z.strictObject({ id: slugSchema });
const startedSchema = z.object({
  workflowId: z.string(),
  runId: z.string().nullable().describe('Null until the first activity has written the run'),
  started: z.boolean().describe('False: this run was there already'),
});
/** How long an answer waits for the run's row before it says 202 without it. */
const rowMs = 1_500;

export function agentRoutes(app: Api, context: ApiContext): void {
  const { db, schedules } = context;
  const withNextRun = async <View extends AgentView>(views: View[]) => {
    const next = await schedules.nextRuns();
    return views.map((agent) => ({
      ...agent,
      nextRunAt: agent.state === 'active' && !agent.paused ? (next.get(agent.cadence) ?? null) : null,
    }));
  };

  listRoute(app, {
    url: '/v1/agents',
    role: 'reader',
    tag: 'agents',
    summary: 'Agents by id, each with its machine, last and next run, and why',
    item: agentSchema,
    filters: {
      state: z.enum(agentStates).optional(),
      archetype: slugSchema.optional(),
      origin: z.enum(agentOrigins).optional(),
      lineageId: slugSchema.optional(),
      machineId: slugSchema.optional(),
    },
    params: z.object({}),
    key: slugSchema,
    keyOf: (agent) => agent.id,
    rows: async (page, filters) => withNextRun(await listAgents(db, { ...page, ...filters })),
  });

  app.route({
    method: 'GET',
    url: '/v1/agents/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['agents'],
      summary: 'One agent with its persona',
      params: agentParams,
      querystring: z.strictObject({ include: z.literal('file').optional() }),
      response: { 200: agentDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const agent = await existing(context, ownerId, request.params.id);
      const [view] = await withNextRun([agent]);
      const install = await installOf(db, ownerId, agent.id);
      const loop = install ?? null;
      const shown = { ...view!, leastClass: agent.leastClass as (typeof gpuClasses)[number], loop };
      if (request.query.include === undefined) return shown;
      const file = await context.personas.file(ownerId, agent.id);
      return { ...shown, file: file ? { format: file.format, document: file.document } : null };
    },
  });

  listRoute(app, {
    url: '/v1/agents/:id/ego',
    role: 'reader',
    tag: 'agents',
    summary: 'Entries of its ego account (voting weight), the latest first; the first `balance` is what it holds',
    item: egoEntrySchema,
    filters: {},
    params: agentParams,
    key: idSchema('ego'),
    keyOf: (entry) => entry.id,
    rows: async (page, _filters, { id }) => {
      await existing(context, page.ownerId, id);
      return listEgoEntries(db, { ...page, agentId: id });
    },
  });

  for (const [verb, paused] of [
    ['pause', true],
    ['resume', false],
  ] as const) {
    app.route({
      method: 'POST',
      url: `/v1/agents/:id/${verb}`,
      config: { role: 'member' },
      schema: {
        tags: ['agents'],
        summary: paused ? 'Sweeps leave the agent out' : 'Sweeps take the agent again',
        querystring: writeQuery,
        params: agentParams,
        body: emptyBody,
        response: { 200: z.object({ id: slugSchema, paused: z.boolean() }).or(dryRunSchema), ...problemResponses },
      },
      handler: async (request) => {
        const { id } = request.params;
        const { ownerId } = callerOf(request);
        if (request.query.dryRun) {
          const agent = await existing(context, ownerId, id);
          refuseIdle(agent);
          const nothing = agent.paused === paused ? ` (it is ${paused ? 'paused' : 'not paused'} already)` : '';
          return { dryRun: true as const, would: `${verb} ${id}${nothing}` };
        }
        await context.agents.setPaused(id, ownerId, paused);
        return { id, paused };
      },
    });
  }

  app.route({
    method: 'POST',
    url: '/v1/agents/:id/trigger',
    config: { role: 'member' },
    schema: {
      tags: ['agents'],
      summary: 'Reflects now, due or not; a run that is open already is the answer',
      querystring: writeQuery,
      params: agentParams,
      headers: idempotencyHeaders,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: startedSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const { ownerId } = callerOf(request);
      const agent = await existing(context, ownerId, id);
      refuseIdle(agent);
      const period = callPeriod(requestIdOf(request));
      const workflowId = reflectWorkflowId(id, period);
      const known = (await findRunByWorkflow(db, ownerId, workflowId)) ?? (await openRunOf(db, ownerId, id));
      if (request.query.dryRun) {
        return { dryRun: true as const, would: known ? `answer with ${known.id}` : `start a run of ${id}` };
      }
      if (known) {
        void reply.header('location', `/v1/runs/${known.id}`);
        return reply.code(202).send({ workflowId: known.workflowId, runId: known.id, started: false });
      }
      const started = await context.starter.start({
        type: 'reflectAgent',
        ownerId,
        workflowId,
        args: [{ agentId: id, period, trigger: 'call' }],
        again: 'failed',
        summary: id,
        content: id,
      });
      const run = await awaitRow(() => findRunByWorkflow(db, ownerId, workflowId), rowMs);
      void reply.header('location', run ? `/v1/runs/${run.id}` : `/v1/agents/${id}`);
      return reply.code(202).send({ workflowId, runId: run?.id ?? null, started });
    },
  });
}

async function existing({ db }: ApiContext, ownerId: string, id: string) {
  const agent = await findAgent(db, ownerId, id);
  if (!agent) throw new DomainError('NOT_FOUND', `no agent ${id}`);
  return agent;
}
