import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { callPeriod, mirrorWorkflowId } from '../../domain/ids.ts';
import { mirrorTargets } from '../../domain/public-mirror.ts';
import { backupStates } from '../../domain/states.ts';
import { listMirrorRuns } from '../../stores/queries/mirror-runs.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const runId = z.string().regex(/^\d{8}T\d{6}Z-(folder|postgres)$/, 'must be a time and a target');

const runSchema = z
  .object({
    id: runId,
    target: z.enum(mirrorTargets),
    state: z.enum(backupStates),
    reason: z.string().describe('Why it failed'),
    startedAt: timeSchema,
    endedAt: timeSchema.nullable(),
    entries: z.int().nullable().describe('Files or rows that are there now'),
    bytes: z.int().nullable(),
    written: z.int().nullable().describe('Of these, what this run wrote'),
    removed: z.int().nullable().describe('What was public no more'),
    sha256: z.string().nullable().describe('Of the manifest'),
  })
  .meta({ id: 'MirrorRun' });

/** Copies of what is public. */
export function mirrorRoutes(app: Api, context: ApiContext): void {
  const { db, starter } = context;
  listRoute(app, {
    url: '/v1/mirror-runs',
    role: 'operator',
    tag: 'mirror',
    summary: 'Copies of what is public, the last first: what each wrote, removed and read back',
    item: runSchema,
    filters: { target: z.enum(mirrorTargets).optional() },
    params: z.object({}),
    key: runId,
    keyOf: ({ id }) => id,
    rows: (page, filters) => listMirrorRuns(db, { ...page, ...filters }),
  });

  app.route({
    method: 'POST',
    url: '/v1/mirror-runs',
    config: { role: 'operator' },
    schema: {
      tags: ['mirror'],
      summary: 'Copies what is public now, before its time',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: emptyBody,
      response: {
        200: dryRunSchema,
        202: z.object({ workflowId: z.string(), started: z.boolean() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      if (fleet.mirror === undefined)
        throw new DomainError('CONFLICT', 'fleet.yaml names no mirror: add `mirror`, and apply it');
      if (request.query.dryRun)
        return { dryRun: true as const, would: `mirror what is public by ${fleet.mirror.machine}` };
      const workflowId = mirrorWorkflowId(callPeriod(requestIdOf(request)));
      const started = await starter.start({
        type: 'mirrorPublic',
        ownerId,
        workflowId,
        args: [{}],
        again: 'failed',
        summary: 'the public mirror, by hand',
        content: '',
      });
      void reply.header('location', '/v1/mirror-runs');
      return reply.code(202).send({ workflowId, started });
    },
  });
}
