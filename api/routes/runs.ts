import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { runStages } from '../../domain/run-progress.ts';
import { endedRunStates, runStates } from '../../domain/states.ts';
import { isClosed, whyRun } from '../../domain/run-why.ts';
import { findRun, findRunByWorkflow, listRuns, openRunOf, type RunView } from '../../stores/queries/runs.ts';
import { readRunWhy } from '../../stores/queries/run-why.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, linksSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow } from '../workflow-starts.ts';

const runSchema = z
  .object({
    id: idSchema('run'),
    agentId: z.string(),
    sweepId: z.string().nullable(),
    workflowId: z.string(),
    attempt: z.int(),
    trigger: z.enum(['schedule', 'call', 'importance']),
    period: z.string(),
    state: z.enum(runStates),
    reason: z.string(),
    wantedModelId: z.string(),
    modelId: z.string(),
    queue: z.string(),
    degraded: z.boolean(),
    machineId: z.string().nullable(),
    expectedTokens: z.int(),
    tokens: z.int().nullable(),
    promptTokens: z.int().nullable().describe('Null where the model server did not count them'),
    modelCalls: z.int().describe('Calls whose answers the run rests on, at most five; 0 where no model was asked'),
    reflections: z.int(),
    dropped: z
      .object({
        duplicates: z.int(),
        empty: z.int(),
        withoutEvidence: z.int(),
        tooDeep: z.int(),
        other: z.int(),
        evidence: z.int().describe('Single ids that named nothing that was shown'),
      })
      .describe('Insights that were not stored, by why'),
    moves: z.int(),
    progress: z
      .object({
        stage: z.enum(runStages),
        done: z.int().describe('Calls whose results are stored'),
        of: z.int().nullable().describe('Of so many; null while nobody knows'),
      })
      .nullable()
      .describe('What it is at; null: it has ended'),
    createdAt: timeSchema,
    startedAt: timeSchema.nullable(),
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'Run' });

const whySchema = z
  .object({
    id: idSchema('run'),
    state: z.enum(runStates),
    why: z.string().describe('In a sentence'),
    waitsFor: z.string().nullable().describe('Null: for nothing'),
    facts: z.array(z.string()).describe('What else tells: placement, tries, machines'),
    links: linksSchema,
  })
  .meta({ id: 'RunWhy' });

const runParams = z.strictObject({ id: idSchema('run') });
/** A cancellation or a new attempt is usually written within this; else the answer says where to look. */
const rowMs = 1_500;
/** A refill may have taken the row and not have started its workflow yet. */
const startingMs = 1_000;

export function runRoutes(app: Api, context: ApiContext): void {
  const { db, starter, runs, linksTo, lookAtWorkflow } = context;
  const linksOf = (run: RunView) => (run.begun ? linksTo(run.workflowId) : { temporal: null });
  const linked = (run: RunView) => ({ ...run, links: linksOf(run) });

  listRoute(app, {
    url: '/v1/runs',
    role: 'reader',
    tag: 'runs',
    summary: 'Runs, the last made first',
    item: runSchema,
    filters: {
      state: z.enum(runStates).optional(),
      agentId: slugSchema.optional(),
      sweepId: idSchema('sweep').optional(),
      machineId: slugSchema.optional(),
    },
    params: z.object({}),
    key: idSchema('run'),
    keyOf: (run) => run.id,
    rows: async (page, filters) => (await listRuns(db, { ...page, ...filters })).map(linked),
  });

  app.route({
    method: 'GET',
    url: '/v1/runs/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['runs'],
      summary: 'One run',
      params: runParams,
      response: { 200: runSchema, ...problemResponses },
    },
    handler: async (request) => linked(await existing(callerOf(request).ownerId, request.params.id)),
  });

  app.route({
    method: 'GET',
    url: '/v1/runs/:id/why',
    config: { role: 'reader' },
    schema: {
      tags: ['runs'],
      summary: 'Why a run is where it is, in words: what it waits for, where the plan has it, what was tried',
      params: runParams,
      response: { 200: whySchema, ...problemResponses },
    },
    handler: async (request) => {
      const { id } = request.params;
      const rows = await readRunWhy(db, callerOf(request).ownerId, id);
      if (rows === undefined) throw new DomainError('NOT_FOUND', `no run ${id}`);
      const { run } = rows;
      // One that has ended has nothing more to say there.
      const workflow =
        run.endedAt === null ? await lookAtWorkflow(run.workflowId) : { status: 'ended', activities: [] };
      // It may have ended between the two looks.
      const now = isClosed(workflow) ? await readRunWhy(db, callerOf(request).ownerId, id) : undefined;
      const known = now ?? rows;
      const { sweepWorkflowId } = rows;
      const isUnbegun = workflow === null && !run.begun && sweepWorkflowId !== null;
      const sweep = isUnbegun ? { sweep: await lookAtWorkflow(sweepWorkflowId) } : {};
      return {
        id,
        state: known.run.state,
        ...whyRun({ ...known.facts, ...sweep, run: known.run, workflow }),
        links: linksOf(known.run),
      };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/runs/:id/cancel',
    config: { role: 'member' },
    schema: {
      tags: ['runs'],
      summary: 'Ends an open run without storing anything',
      querystring: writeQuery,
      params: runParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: runSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const run = await existing(ownerId, request.params.id);
      if (isEnded(run.state)) throw new DomainError('CONFLICT', `${run.id} is ${run.state} already`);
      if (request.query.dryRun) return { dryRun: true as const, would: `cancel ${run.id}, which is ${run.state}` };
      if (!(await cancelWorkflow(run.workflowId))) {
        await runs.end(run.id, { state: 'canceled', reason: 'canceled by hand before its workflow started' });
      }
      const ended = await awaitRow(async () => {
        const now = await existing(ownerId, run.id);
        return isEnded(now.state) ? now : undefined;
      }, rowMs);
      void reply.header('location', `/v1/runs/${run.id}`);
      return reply.code(202).send(linked(ended ?? run));
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/runs/:id/retry',
    config: { role: 'member' },
    schema: {
      tags: ['runs'],
      summary: 'Starts a failed or canceled run again under its own workflow id',
      querystring: writeQuery,
      params: runParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: runSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const run = await existing(ownerId, request.params.id);
      if (run.state !== 'failed' && run.state !== 'canceled') {
        throw new DomainError('CONFLICT', `${run.id} is ${run.state}; only a failed or canceled run starts again`);
      }
      const last = (await findRunByWorkflow(db, ownerId, run.workflowId))!;
      if (last.attempt > run.attempt)
        throw new DomainError('CONFLICT', `${last.id} is the last attempt, not ${run.id}`);
      const open = await openRunOf(db, ownerId, run.agentId);
      if (open) throw new DomainError('CONFLICT', `${open.id} of ${run.agentId} is still ${open.state}`);
      if (request.query.dryRun)
        return { dryRun: true as const, would: `start attempt ${run.attempt + 1} of ${run.workflowId}` };
      const started = await starter.start({
        type: 'reflectAgent',
        ownerId,
        workflowId: run.workflowId,
        args: [{ agentId: run.agentId, period: run.period, trigger: run.trigger }],
        again: 'failed',
        summary: run.agentId,
        content: run.agentId,
      });
      if (!started) {
        throw new DomainError(
          'CONFLICT',
          `the workflow of ${run.id} runs or is complete; trigger ${run.agentId} instead`,
        );
      }
      const next = await awaitRow(async () => {
        const now = await findRunByWorkflow(db, ownerId, run.workflowId);
        return now && now.attempt > run.attempt ? now : undefined;
      }, rowMs);
      void reply.header('location', `/v1/runs/${next?.id ?? run.id}`);
      return reply.code(202).send(linked(next ?? run));
    },
  });

  async function existing(ownerId: string, id: string) {
    const run = await findRun(db, ownerId, id);
    if (!run) throw new DomainError('NOT_FOUND', `no run ${id}`);
    return run;
  }

  /** @returns false when no workflow of this id runs */
  async function cancelWorkflow(workflowId: string): Promise<boolean> {
    if (await starter.cancel(workflowId)) return true;
    await new Promise((resolve) => setTimeout(resolve, startingMs));
    return starter.cancel(workflowId);
  }
}

function isEnded(state: string): boolean {
  return (endedRunStates as readonly string[]).includes(state);
}
