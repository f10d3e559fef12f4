import { z } from 'zod';
import { modelVariants } from '../../domain/fleet.ts';
import { nameSchema } from '../../domain/ids.ts';
import { gpuClasses } from '../../domain/task-queues.ts';
import { classOf, footprint, queueOf } from '../../domain/vram.ts';
import { findCurrentPlan } from '../../stores/queries/plans.ts';
import { countAgentsByModel } from '../../stores/queries/agents.ts';
import { readIdleModels } from '../presence.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { controlMachine } from '../control.ts';
import { applyChangedFleet, appliedSchema } from '../fleet-apply.ts';
import { listRoute } from '../lists.ts';
import { fleetUsingOllama, offersOf } from '../model-offers.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, textSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const modelSchema = z
  .object({
    id: z.string(),
    family: z.string(),
    queue: z.string(),
    class: z.enum(gpuClasses).describe('The smallest card it fits'),
    fileGiB: z.number(),
    vramGiB: z.number().describe('With one sequence at its pinned context'),
    smaller: z.string().nullable(),
    agents: z.int(),
    machines: z
      .array(
        z.object({
          machineId: z.string(),
          slots: z.int(),
          idleSince: z.iso
            .datetime()
            .nullable()
            .describe(
              'Since when it is out of memory because nothing called it (modelServer.unloadAfter); null: it is not, or Redis, which says so, is away',
            ),
        }),
      )
      .describe('Where the plan keeps it'),
  })
  .meta({ id: 'Model' });

const offerSchema = z
  .object({
    server: z.literal('ollama'),
    url: z.string(),
    name: z.string(),
    fileGiB: z.number(),
    fleetModelId: z.string().nullable(),
    modelId: z.string(),
    tokensPerSecond: z.number(),
    secondsPerAgent: z.number(),
    basis: z.string(),
  })
  .meta({ id: 'ModelOffer' });

export function modelRoutes(app: Api, context: ApiContext): void {
  const { db, ollamaUrl } = context;

  listRoute(app, {
    url: '/v1/models',
    role: 'reader',
    tag: 'models',
    summary: 'Models of fleet.yaml, and where the plan keeps them',
    item: modelSchema,
    filters: {},
    params: z.object({}),
    key: nameSchema,
    keyOf: (model) => model.id,
    rows: async ({ ownerId, limit, after }) => {
      const { fleet } = await fleetOf(context, ownerId);
      const [plan, agents] = await Promise.all([findCurrentPlan(db, ownerId), countAgentsByModel(db, ownerId)]);
      const idleSince = await readIdleModels(context, fleet);
      const rest = modelVariants(fleet)
        .filter((variant) => after === undefined || variant.id > after)
        .toSorted((a, b) => (a.id < b.id ? -1 : 1));
      return rest.slice(0, limit).map((variant) => {
        const { fixedGiB, sequenceGiB } = footprint(variant);
        return {
          id: variant.id,
          family: variant.model.family,
          queue: queueOf(variant),
          class: classOf(variant),
          fileGiB: variant.fileGiB,
          vramGiB: Math.round((fixedGiB + sequenceGiB) * 100) / 100,
          smaller: variant.smaller ?? null,
          agents: agents.get(variant.id) ?? 0,
          machines: (plan?.plan?.machines ?? []).flatMap(({ machineId, models }) =>
            models
              .filter(({ modelId }) => modelId === variant.id)
              .map(({ slots }) => ({
                machineId,
                slots,
                idleSince: idleSince.get(machineId)?.get(variant.id) ?? null,
              })),
          ),
        };
      });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/models/offers',
    config: { role: 'reader' },
    schema: {
      tags: ['models'],
      summary:
        'What an Ollama of this host has installed, with the time it would take; nothing is pulled or used unasked',
      response: { 200: z.object({ machineId: z.string(), items: z.array(offerSchema) }), ...problemResponses },
    },
    handler: async (request) => {
      const { fleet } = await fleetOf(context, callerOf(request).ownerId);
      const { machineId, offers } = await offersOf(fleet, ollamaUrl);
      return { machineId, items: offers };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/models/use',
    config: { role: 'operator' },
    schema: {
      tags: ['models'],
      summary: 'Makes this host’s Ollama a machine of the fleet that serves so many agents; a new fleet version',
      querystring: writeQuery,
      body: z.strictObject({
        server: z.literal('ollama'),
        agents: z.int().min(0).max(10_000),
        model: textSchema(200).optional().describe('As Ollama calls it; default: the fastest installed one that fits'),
      }),
      response: {
        200: appliedSchema.extend({
          machineId: z.string(),
          offer: offerSchema,
          worker: z.enum(['runs', 'started', 'start by hand']),
        }),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      const { agents, model } = request.body;
      const dryRun = request.query.dryRun ?? false;
      const used = await fleetUsingOllama({ fleet, ollamaUrl, agents, model });
      const applied = await applyChangedFleet(context, { ownerId, fleet: used.fleet, dryRun });
      const { machineId, offer } = used;
      if (!used.added) return { ...applied, machineId, offer, worker: 'runs' as const };
      if (dryRun || context.controlSocket === undefined) {
        return { ...applied, machineId, offer, worker: 'start by hand' as const };
      }
      await controlMachine(context.controlSocket, machineId, 'start');
      return { ...applied, machineId, offer, worker: 'started' as const };
    },
  });
}
