import { z } from 'zod';
import { type ModelServerKind, type ModelVariant, modelVariants } from '../../domain/fleet.ts';
import { DomainError } from '../../domain/errors.ts';
import { modelSyncWorkflowId, nameSchema } from '../../domain/ids.ts';
import { modelVersion, syncOutcomes, type SyncStep, versionStates } from '../../domain/model-manifest.ts';
import { gpuClasses } from '../../domain/task-queues.ts';
import { classOf, footprint, queueOf } from '../../domain/vram.ts';
import { findCurrentPlan } from '../../stores/queries/plans.ts';
import { countAgentsByModel } from '../../stores/queries/agents.ts';
import { listMachineReports, type StoredReport } from '../../stores/machine-reports.ts';
import { readIdleModels } from '../presence.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { controlMachine } from '../control.ts';
import { applyChangedFleet, appliedSchema } from '../fleet-apply.ts';
import { listRoute } from '../lists.ts';
import { fleetUsingOllama, offersOf } from '../model-offers.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, writeQuery } from '../schemas.ts';
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
    license: z.string().nullable(),
    digests: z
      .record(z.string(), z.array(z.string()))
      .describe(
        'Versions that may be served, by kind of server, the wanted one first; none of a kind: whatever it has',
      ),
    bytes: z.int().nullable().describe('Of the wanted version, as fleet.yaml says'),
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
          version: z.object({
            state: z
              .enum(versionStates)
              .describe(
                'verified: it serves the wanted version; behind: another accepted one; refused: it serves none, since it has no accepted one or none of these gave an answer; unpinned: no digest is named, or its server tells none; unknown: it has not said',
              ),
            digest: z.string().nullable(),
            bytes: z.int().nullable(),
            reason: z.string().nullable(),
            saidSecondsAgo: z.int().nullable().describe('How long ago its worker said so; null: it has not'),
          }),
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
      const [plan, agents, reports] = await Promise.all([
        findCurrentPlan(db, ownerId),
        countAgentsByModel(db, ownerId),
        listMachineReports(db, ownerId),
      ]);
      const kinds = new Map(fleet.machines.map(({ id, modelServer }) => [id, modelServer?.kind]));
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
          license: variant.model.license ?? null,
          digests: Object.fromEntries(Object.entries(variant.digests ?? {}).map(([kind, all]) => [kind, [...all]])),
          bytes: variant.bytes ?? null,
          agents: agents.get(variant.id) ?? 0,
          machines: (plan?.plan?.machines ?? []).flatMap(({ machineId, models }) =>
            models
              .filter(({ modelId }) => modelId === variant.id)
              .map(({ slots }) => ({
                machineId,
                slots,
                idleSince: idleSince.get(machineId)?.get(variant.id) ?? null,
                version: versionOn(
                  variant,
                  kinds.get(machineId),
                  reports.find((each) => each.machineId === machineId),
                ),
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
    url: '/v1/models/sync',
    config: { role: 'operator' },
    schema: {
      tags: ['models'],
      summary: 'Brings the machines to the versions that fleet.yaml names, one after the other; one such run at a time',
      querystring: writeQuery,
      body: z.strictObject({
        models: z.array(nameSchema).min(1).max(200).optional().describe('Default: all that have a digest'),
      }),
      response: {
        200: dryRunSchema,
        202: z.object({ workflowId: z.string(), started: z.boolean().describe('false: one runs already') }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      const pinned = modelVariants(fleet).filter(({ digests }) => digests !== undefined);
      const { models } = request.body;
      const unpinned = models?.find((id) => !pinned.some((variant) => variant.id === id));
      if (unpinned !== undefined)
        throw new DomainError(
          'NOT_FOUND',
          `fleet.yaml names no digest of ${unpinned}; of ${pinned.map(({ id }) => id).join(', ') || 'no model'}`,
        );
      if (pinned.length === 0)
        throw new DomainError('CONFLICT', 'fleet.yaml names no digest of any model: `soulfra models pin` writes them');
      const what = (models ?? pinned.map(({ id }) => id)).join(', ');
      if (request.query.dryRun) return { dryRun: true as const, would: `bring machines to their versions of ${what}` };
      const workflowId = modelSyncWorkflowId;
      const started = await context.starter.start({
        type: 'syncModels',
        ownerId,
        workflowId,
        args: [models === undefined ? {} : { modelIds: models }],
        again: 'ended',
        summary: what.slice(0, 150),
        content: '',
      });
      void reply.header('location', '/v1/models/sync');
      return reply.code(202).send({ workflowId, started });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/models/sync',
    config: { role: 'reader' },
    schema: {
      tags: ['models'],
      summary: 'How the last run that brought machines to their versions ended',
      response: {
        200: z.object({
          running: z.boolean(),
          steps: z
            .array(
              z.object({
                machineId: z.string(),
                modelId: z.string(),
                outcome: z
                  .enum(syncOutcomes)
                  .describe('returned: the wanted version gave no answer, and the one before is served again'),
                reason: z.string(),
              }),
            )
            .nullable()
            .describe('null: it runs still, was broken off, or there was none'),
        }),
        ...problemResponses,
      },
    },
    handler: async () => {
      const running = await context.starter.runs(modelSyncWorkflowId);
      const answer = await context.starter.answerOf<{ steps: SyncStep[] }>(modelSyncWorkflowId);
      return { running, steps: answer?.steps ?? null };
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

function versionOn(variant: ModelVariant, kind: ModelServerKind | undefined, said: StoredReport | undefined) {
  const model = {
    id: variant.id,
    servedAs: (kind && variant.servedAs[kind]) ?? variant.id,
    accepted: kind && variant.digests?.[kind],
  };
  return {
    ...modelVersion(model, said?.report.models),
    saidSecondsAgo: said === undefined ? null : Math.max(0, Math.round(said.ageSeconds)),
  };
}
