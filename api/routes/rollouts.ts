import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { parseRollout } from '../../config/rollout-file.ts';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, rollbackWorkflowId, rolloutWorkflowId } from '../../domain/ids.ts';
import { packageIdSchema } from '../../domain/rollouts.ts';
import { rolloutPackageStates, rolloutStates, rolloutStepStates } from '../../domain/states.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { findRollout, listRollouts } from '../../stores/queries/rollouts.ts';
import { actOnRollout, answerStep, beginRollout, rolloutActs, skipPackage } from '../../stores/rollouts.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import {
  dryRunSchema,
  emptyBody,
  linksSchema,
  problemResponses,
  textSchema,
  timeSchema,
  writeQuery,
} from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestHashOf, startedId } from '../workflow-starts.ts';

const tag = 'rollouts';
const rolloutParams = z.object({ id: idSchema('rollout') });
const packageParams = rolloutParams.extend({ packageId: packageIdSchema });

const listedSchema = z
  .object({
    id: idSchema('rollout'),
    state: z.enum(rolloutStates).describe('held: packages failed, and what is left waits for them'),
    reason: z.string(),
    packages: z.int(),
    over: z.int().describe('Packages that are done or were passed over'),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'ListedRollout' });

const rolloutSchema = listedSchema
  .extend({
    waves: z.array(z.array(z.string())),
    criticalPath: z.object({ packages: z.array(z.string()), minutes: z.number() }),
    overlaps: z.array(z.object({ field: z.string(), packages: z.array(z.string()), ordered: z.boolean() })),
    packages: z.array(
      z.object({
        id: z.string(),
        title: z.string(),
        dependsOn: z.array(z.string()),
        state: z.enum(rolloutPackageStates),
        reason: z.string(),
        attempt: z.int(),
        wellSince: timeSchema.nullable().describe('Since when all has been well, while it is verified'),
        steps: z.array(
          z.object({
            attempt: z.int(),
            phase: z.enum(['steps', 'undo']),
            position: z.int(),
            machineId: z.string().nullable().describe('Null: a person’s'),
            kind: z.string(),
            state: z.enum(rolloutStepStates).describe('doubtful: nobody knows whether it was done to its end'),
            reason: z.string(),
            result: z.record(z.string(), z.unknown()).nullable(),
            beganAt: timeSchema,
            endedAt: timeSchema.nullable(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'Rollout' });

const answers = { 200: rolloutSchema.or(dryRunSchema), ...problemResponses };
const sourceLimit = 2 * 1024 * 1024;

/** Work packages that are carried out in order. */
export function rolloutRoutes(app: Api, { db, starter, linksTo }: ApiContext): void {
  const linked = <Row extends { id: string }>(row: Row) => ({ ...row, links: linksTo(rolloutWorkflowId(row.id)) });

  app.route({
    method: 'POST',
    url: '/v1/rollouts',
    bodyLimit: sourceLimit * 2,
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Carries out the packages of a rollout.yaml; one at a time for an owner',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z.strictObject({ source: z.string().min(1).max(sourceLimit).describe('The text of rollout.yaml') }),
      response: { 200: dryRunSchema, 201: rolloutSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const { source } = request.body;
      const machines = (await currentFleet(db))?.fleet.machines.map(({ id }) => id);
      const read = parseRollout(source, 'rollout.yaml', machines);
      if ('errors' in read) {
        const said = read.errors.map(
          ({ line, path, rule }) => `line ${line}: ${path === '' ? 'the file' : path} ${rule}`,
        );
        throw new DomainError('CONFIG_INVALID', said.join('; '), { fields: read.errors });
      }
      if (machines === undefined) throw new DomainError('CONFLICT', 'there is no fleet yet; apply fleet.yaml first');
      const id = startedId('rollout', request);
      const { dryRun } = request.query;
      const rollout = {
        id,
        ownerId,
        file: read.rollout,
        machines,
        requestHash: requestHashOf(request.body),
        madeBy: tokenId,
      };
      const isNew = await writeOrTry(db, dryRun, (tx) => beginRollout(tx, rollout));
      if (dryRun) return { dryRun: true as const, would: `carry out ${read.rollout.workPackages.length} packages` };
      if (!isNew) void reply.header('idempotent-replayed', 'true');
      void reply.header('location', `/v1/rollouts/${id}`);
      return reply.code(201).send(await existing(ownerId, id));
    },
  });

  listRoute(app, {
    url: '/v1/rollouts',
    role: 'reader',
    tag,
    summary: 'Rollouts, the last first',
    item: listedSchema,
    filters: {},
    params: z.object({}),
    key: idSchema('rollout'),
    keyOf: ({ id }) => id,
    rows: async (page) => (await listRollouts(db, page)).map(linked),
  });

  app.route({
    method: 'GET',
    url: '/v1/rollouts/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary:
        'One rollout with its packages and all their steps; the events `rollout.…` tell each change (GET /v1/events)',
      params: rolloutParams,
      response: { 200: rolloutSchema, ...problemResponses },
    },
    handler: async (request) => existing(callerOf(request).ownerId, request.params.id),
  });

  const acts = {
    pause: 'Begins nothing new; what is under way ends',
    resume: 'Goes on; packages that failed are tried again',
    rollback: 'Takes all packages back, the last first, also of a rollout that is done, until another begins',
  };
  for (const act of rolloutActs)
    app.route({
      method: 'POST',
      url: `/v1/rollouts/:id/${act}`,
      config: { role: 'operator' },
      schema: {
        tags: [tag],
        summary: acts[act],
        querystring: writeQuery,
        params: rolloutParams,
        body: emptyBody,
        response: answers,
      },
      handler: (request) =>
        write(request, `${act} ${request.params.id}`, (tx, { ownerId, id }) => actOnRollout(tx, ownerId, id, act)),
    });

  app.route({
    method: 'POST',
    url: '/v1/rollouts/:id/packages/:packageId/skip',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Passes over a package that waits, failed or is stuck; what depends on it goes on without it',
      querystring: writeQuery,
      params: packageParams,
      body: emptyBody,
      response: answers,
    },
    handler: (request) => {
      const { packageId } = request.params;
      return write(request, `pass over ${packageId}`, (tx, { ownerId, id }) => skipPackage(tx, ownerId, id, packageId));
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/rollouts/:id/packages/:packageId/answer',
    config: { role: 'operator' },
    schema: {
      tags: [tag],
      summary: 'Says how a step for a person, or one in doubt, has ended',
      querystring: writeQuery,
      params: packageParams,
      body: z.strictObject({
        outcome: z.enum(['done', 'failed', 'again']).describe('again: of one in doubt, that was surely not done'),
        reason: textSchema(1_000).optional(),
      }),
      response: answers,
    },
    handler: (request) => {
      const { packageId } = request.params;
      const { outcome, reason = '' } = request.body;
      return write(request, `say ${outcome} of ${packageId}`, (tx, of) =>
        answerStep(tx, { ...of, packageId }, { outcome, reason }),
      );
    },
  });

  /** Writes the rows, and tells whichever of the two workflows carries the rollout out. */
  async function write(
    request: FastifyRequest & { params: { id: string }; query: { dryRun?: boolean | undefined } },
    would: string,
    work: (tx: DatabaseTransaction, of: { ownerId: string; id: string }) => Promise<void>,
  ) {
    const { ownerId } = callerOf(request);
    const { id } = request.params;
    await writeOrTry(db, request.query.dryRun, (tx) => work(tx, { ownerId, id }));
    if (request.query.dryRun) return { dryRun: true as const, would };
    await starter.tellRowsChanged(rolloutWorkflowId(id), rollbackWorkflowId(id));
    return existing(ownerId, id);
  }

  async function existing(ownerId: string, id: string) {
    const found = await findRollout(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no rollout ${id}`);
    return linked(found);
  }
}
