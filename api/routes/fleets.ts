import { z } from 'zod';
import { mostServiceBytes, mostServiceFiles } from '../../config/service-files.ts';
import { DomainError } from '../../domain/errors.ts';
import { parseAddedMachine, simulateFleet } from '../../domain/simulate.ts';
import { slugSchema } from '../../domain/ids.ts';
import { serviceSchema } from '../../domain/services.ts';
import { agentStates, isInService, machineStates, planStates, serviceStates } from '../../domain/states.ts';
import { measuredRates, placementAgents } from '../../stores/placement.ts';
import { countAgents, livingAgents } from '../../stores/queries/agents.ts';
import { fleetMap } from '../../stores/queries/fleet-map.ts';
import { findFleet, listFleetVersions } from '../../stores/queries/fleets.ts';
import { findCurrentPlan } from '../../stores/queries/plans.ts';
import { findServiceFiles } from '../../stores/queries/services.ts';
import { placeableServices } from '../../stores/services.ts';
import { countOpenRuns, openQueues } from '../../stores/queries/runs.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { applyFleet, appliedSchema } from '../fleet-apply.ts';
import { livingFiles } from '../fleet-files.ts';
import { listRoute } from '../lists.ts';
import { machineAnswers, machineSchema } from '../machine-views.ts';
import { planSummary, planSummarySchema } from '../plan-views.ts';
import { callerOf } from '../plugins/roles.ts';
import { ifMatchHeaders } from '../preconditions.ts';
import { emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

/** A fleet of a thousand machines and its overrides by name, written out. */
const sourceLimit = 1024 * 1024;
const mostMachines = 1000;
/** Escaped as JSON, text is longer than it is. */
const applyLimit = sourceLimit + 2 * mostServiceBytes;

const serviceFilesSchema = z
  .array(
    z.strictObject({
      name: z
        .string()
        .max(255)
        .regex(/^[^.\\/\p{Cc}][^\\/\p{Cc}]*\.ya?ml$/u, 'must be the name of a file in fleet.d, such as imported.yaml'),
      source: z.string().max(mostServiceBytes),
    }),
  )
  .max(mostServiceFiles)
  .refine((files) => new Set(files.map(({ name }) => name)).size === files.length, 'must have different names')
  .refine(
    (files) => files.reduce((sum, { source }) => sum + source.length, 0) <= mostServiceBytes,
    `must be at most ${mostServiceBytes} characters together`,
  );

const planHead = {
  version: z.int(),
  state: z.enum(planStates),
  reason: z.string(),
  fleetVersion: z.int().nullable(),
  createdAt: timeSchema,
  appliedAt: timeSchema.nullable(),
};
const planSchema = z.object({ ...planHead, plan: planSummarySchema.nullable() }).meta({ id: 'Plan' });

const fleetSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    appliedAt: timeSchema,
    machines: z.array(machineSchema),
    agents: z.object({
      total: z.int(),
      active: z.int(),
      parked: z.int(),
      dormant: z.int().describe('Brought along to be sold; not in the total'),
      retired: z.int(),
      paused: z.int(),
      unplaced: z.int(),
    }),
    plan: z.object(planHead).nullable(),
    runs: z.object({
      queued: z.int(),
      running: z.int(),
      parked: z.int(),
      degraded: z.int(),
      runningByMachine: z.record(z.string(), z.int()),
      queues: z
        .array(
          z.object({
            queue: z.string(),
            modelId: z.string(),
            waiting: z.int(),
            running: z.int(),
            waitingSince: timeSchema.nullable().describe('Of the run that waits longest; null where none does'),
          }),
        )
        .describe('Queues with open runs, those that wait longest first'),
    }),
  })
  .meta({ id: 'Fleet' });

const agentsOfModel = z.array(z.object({ modelId: z.string(), agents: z.int(), reason: z.string() }));
const modelOnMachine = z.object({ machineId: z.string(), modelId: z.string() });
const simulationSchema = z
  .object({
    before: planSummarySchema,
    after: planSummarySchema,
    moves: z.object({
      loads: z.array(modelOnMachine),
      unloads: z.array(modelOnMachine),
      slots: z.array(modelOnMachine.extend({ before: z.int(), after: z.int() })),
    }),
    homes: z.array(z.object({ from: z.string(), to: z.string(), agents: z.int() })),
    services: z.array(
      z.object({ id: z.string(), from: z.string().nullable(), to: z.string().nullable(), because: z.string() }),
    ),
    waits: agentsOfModel,
    degrades: agentsOfModel,
    parks: agentsOfModel,
  })
  .meta({ id: 'Simulation' });

const fleetVersionSchema = z
  .object({ version: z.int(), changes: z.int(), undoOf: z.int().nullable(), appliedAt: timeSchema })
  .meta({ id: 'FleetVersion' });

const mapSchema = z
  .object({
    name: z.string(),
    version: z.int(),
    planVersion: z.int().nullable(),
    machines: z.array(
      z.object({
        id: z.string(),
        host: z.string(),
        state: z.enum(machineStates),
        models: z.array(z.string()),
        agents: z.int(),
        services: z.int(),
      }),
    ),
    agents: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        state: z.enum(agentStates),
        modelId: z.string(),
        machineId: z.string().nullable(),
        why: z.string(),
      }),
    ),
    services: z.array(
      z.object({
        id: z.string(),
        kind: serviceSchema.shape.kind,
        state: z.enum(serviceStates),
        reason: z.string(),
        machineId: z.string().nullable(),
        why: z.string(),
        address: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: 'FleetMap' });

const filesSchema = z
  .object({
    files: z.array(z.object({ path: z.string(), source: z.string() })),
    etag: z.string().describe('As the header `ETag`: sent as `If-Match` with what is made of these files'),
    version: z.number().int().describe('Of the fleet; an apply answers the one that it made'),
  })
  .meta({ id: 'FleetFiles' });

export function fleetRoutes(app: Api, context: ApiContext): void {
  const { db } = context;

  async function filesOf(ownerId: string) {
    const fleet = await fleetOf(context, ownerId);
    const files = livingFiles(fleet.fleet, await livingAgents(db, ownerId), await findServiceFiles(db, ownerId));
    return { ...files, version: fleet.version };
  }

  app.route({
    method: 'GET',
    url: '/v1/fleet',
    config: { role: 'reader' },
    schema: {
      tags: ['fleet'],
      summary: 'The fleet at a glance: machines, agents, plan, open runs',
      response: { 200: fleetSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const fleet = await fleetOf(context, ownerId);
      const [machines, { byMachine: _homes, ...agents }, plan, runs, queues] = await Promise.all([
        machineAnswers(context, { ownerId, limit: mostMachines }),
        countAgents(db, ownerId),
        findCurrentPlan(db, ownerId),
        countOpenRuns(db, ownerId),
        openQueues(db, ownerId),
      ]);
      return {
        name: fleet.fleet.name,
        version: fleet.version,
        appliedAt: fleet.appliedAt,
        machines,
        agents,
        plan: plan ?? null,
        runs: { ...runs, queues },
      };
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/fleet/plan',
    config: { role: 'reader' },
    schema: {
      tags: ['fleet'],
      summary: 'The plan that work goes by: models, slots and agents by machine, GPU-hours, and who has no place',
      response: { 200: planSchema, ...problemResponses },
    },
    handler: async (request) => {
      const found = await findCurrentPlan(db, callerOf(request).ownerId);
      if (!found) throw new DomainError('NOT_FOUND', 'there is no plan before the first apply');
      return { ...found, plan: found.plan && planSummary(found.plan) };
    },
  });

  listRoute(app, {
    url: '/v1/fleet/versions',
    role: 'reader',
    tag: 'fleet',
    summary: 'Applied versions of fleet.yaml, the last first',
    item: fleetVersionSchema,
    filters: {},
    params: z.object({}),
    key: z.string().regex(/^\d{1,9}$/),
    keyOf: (version) => String(version.version),
    rows: (page) => listFleetVersions(db, page),
  });

  app.route({
    method: 'GET',
    url: '/v1/fleet/export',
    config: { role: 'reader' },
    schema: {
      tags: ['fleet'],
      summary:
        'The living fleet as fleet.yaml, what has become of its agents written as overrides; agents born outside it are named in a comment',
      response: {
        200: { description: 'fleet.yaml', content: { 'application/yaml': { schema: z.string() } } },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { files, etag } = await filesOf(ownerId);
      return reply.header('etag', etag).type('application/yaml; charset=utf-8').send(files[0].source);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/fleet/files',
    config: { role: 'reader' },
    schema: {
      tags: ['fleet'],
      summary: 'The living fleet as files: fleet.yaml as exported, and those of fleet.d as they were applied',
      response: { 200: filesSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const living = await filesOf(callerOf(request).ownerId);
      void reply.header('etag', living.etag);
      return living;
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/fleet/map',
    config: { role: 'reader' },
    schema: {
      tags: ['fleet'],
      summary: 'Who stands where: every agent and service with its machine and why',
      response: { 200: mapSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { fleet, version } = await fleetOf(context, ownerId);
      return fleetMap(db, { ownerId, fleet, version });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/fleet/apply',
    config: { role: 'operator' },
    bodyLimit: applyLimit,
    schema: {
      tags: ['fleet'],
      summary:
        'Makes the fleet what fleet.yaml and fleet.d say; nothing is deleted, who is no longer named is retired. With If-Match only where nobody has changed it since it was read',
      querystring: writeQuery,
      headers: ifMatchHeaders,
      body: z.strictObject({
        source: z.string().min(1).max(sourceLimit).describe('The text of fleet.yaml'),
        serviceFiles: serviceFilesSchema
          .optional()
          .describe('The files of fleet.d, all of them; without the field services stay as they are'),
      }),
      response: { 200: appliedSchema, ...problemResponses },
    },
    handler: (request) =>
      applyFleet(context, {
        ownerId: callerOf(request).ownerId,
        source: request.body.source,
        serviceFiles: request.body.serviceFiles,
        ifMatch: request.headers['if-match'],
        dryRun: request.query.dryRun ?? false,
      }),
  });

  app.route({
    method: 'POST',
    url: '/v1/fleet/undo',
    config: { role: 'operator' },
    schema: {
      tags: ['fleet'],
      summary: 'Applies the version before this one again, as a new version',
      querystring: writeQuery,
      body: emptyBody,
      response: { 200: appliedSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const current = await fleetOf(context, ownerId);
      // An undo of an undo goes one further back, not to and fro.
      const undone = current.undoOf ?? current.version;
      const before = await findFleet(db, ownerId, undone - 1);
      if (!before) throw new DomainError('CONFLICT', `version ${undone} is the first; there is nothing before it`);
      const dryRun = request.query.dryRun ?? false;
      const serviceFiles = await findServiceFiles(db, ownerId, before.version);
      return applyFleet(context, { ownerId, source: before.source, serviceFiles, dryRun, undoOf: before.version });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/fleet/simulate',
    config: { role: 'reader', reads: true },
    schema: {
      tags: ['fleet'],
      summary: 'What would move, wait, degrade or park if machines went or came; changes nothing',
      querystring: writeQuery,
      body: z.strictObject({
        lose: z.array(slugSchema).max(100).default([]),
        add: z
          .array(z.string().max(160))
          .max(100)
          .default([])
          .describe('Each as id:card:GiB, such as spare:rtx3090:24'),
      }),
      response: { 200: simulationSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      const [machines, plan, rates, agents, services] = await Promise.all([
        machineAnswers(context, { ownerId, limit: mostMachines }),
        findCurrentPlan(db, ownerId),
        measuredRates(db),
        placementAgents(db),
        placeableServices(db),
      ]);
      const living = machines.filter(isInService);
      const alive = living.length > 0 ? living : machines;
      const { lose, add } = request.body;
      const report = simulateFleet({
        fleet,
        lose,
        add: add.map((text) => parseAddedMachine(text, fleet)),
        aliveMachineIds: new Set(alive.map((machine) => machine.id)),
        measuredRates: rates,
        agents,
        services,
        ...(plan?.plan ? { previous: plan.plan } : {}),
      });
      const counted = (groups: typeof report.waits) =>
        groups.map(({ modelId, agentIds, reason }) => ({ modelId, agents: agentIds.length, reason }));
      return {
        before: planSummary(report.before),
        after: planSummary(report.after),
        moves: report.moves,
        homes: report.homes,
        services: report.services,
        waits: counted(report.waits),
        degrades: counted(report.degrades),
        parks: counted(report.parks),
      };
    },
  });
}
