import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import type { Fleet, FleetMachine } from '../../domain/fleet.ts';
import { slugSchema } from '../../domain/ids.ts';
import { inServiceStates, type MachineState } from '../../domain/states.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { controlMachine } from '../control.ts';
import { applyChangedFleet, appliedSchema } from '../fleet-apply.ts';
import { listRoute } from '../lists.ts';
import { machineAnswerOf, machineAnswers, machineSchema } from '../machine-views.ts';
import { modelServerKind, parseGpu } from '../model-servers.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, textSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const machineParams = z.strictObject({ id: slugSchema });
/** What a server without a stated limit is given. */
const defaultSequences = 4;

const newMachineBody = z.strictObject({
  id: slugSchema,
  gpu: textSchema(80).optional().describe('A new machine’s card as name:GiB, such as RTX 4090:24'),
  modelServer: z.url({ protocol: /^https?$/ }).describe('OpenAI-compatible base, such as http://10.0.0.5:11434/v1'),
  kind: z.enum(['ollama', 'vllm', 'llamacpp', 'openai']).optional().describe('Default: what answers there says'),
  sequences: z.int().min(1).max(1024).optional(),
});

export function machineRoutes(app: Api, context: ApiContext): void {
  const { machines } = context;

  listRoute(app, {
    url: '/v1/machines',
    role: 'reader',
    tag: 'machines',
    summary: 'Machines of the fleet: what they are, how they do, what the plan gives them',
    item: machineSchema,
    filters: {},
    params: z.object({}),
    key: slugSchema,
    keyOf: (machine) => machine.id,
    rows: (page) => machineAnswers(context, page),
  });

  app.route({
    method: 'GET',
    url: '/v1/machines/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['machines'],
      summary: 'One machine',
      params: machineParams,
      response: { 200: machineSchema, ...problemResponses },
    },
    handler: (request) => machineAnswerOf(context, callerOf(request).ownerId, request.params.id),
  });

  app.route({
    method: 'POST',
    url: '/v1/machines',
    config: { role: 'operator' },
    schema: {
      tags: ['machines'],
      summary: 'Adds a machine to the fleet, or gives an existing one its model server; a new fleet version',
      querystring: writeQuery,
      body: newMachineBody,
      response: { 200: appliedSchema, 201: appliedSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      const { kind: stated, modelServer: url, ...asked } = request.body;
      const kind = stated ?? (await modelServerKind(url));
      const next = withMachine(fleet, asked, { kind, url });
      const dryRun = request.query.dryRun ?? false;
      const applied = await applyChangedFleet(context, { ownerId, fleet: next, dryRun });
      return reply.code(dryRun ? 200 : 201).send(applied);
    },
  });

  for (const [verb, summary] of [
    ['drain', 'Takes a machine out of service in order: work in hand ends, its models move'],
    ['undrain', 'Takes a drained machine back in'],
  ] as const) {
    app.route({
      method: 'POST',
      url: `/v1/machines/:id/${verb}`,
      config: { role: 'operator' },
      schema: {
        tags: ['machines'],
        summary,
        querystring: writeQuery,
        params: machineParams,
        body: emptyBody,
        response: { 200: machineSchema.or(dryRunSchema), 202: machineSchema, ...problemResponses },
      },
      handler: async (request, reply) => {
        const { ownerId } = callerOf(request);
        const { id } = request.params;
        if (request.query.dryRun) {
          const { state } = await machineAnswerOf(context, ownerId, id);
          const fitting: readonly MachineState[] = verb === 'drain' ? inServiceStates : ['draining', 'drained'];
          if (!fitting.includes(state)) {
            throw new DomainError('CONFLICT', `${id} is ${state}; this needs it ${fitting.join(' or ')}`);
          }
          return { dryRun: true as const, would: `${verb} ${id}` };
        }
        if (verb === 'drain') await machines.requestDrain(id, ownerId);
        else await machines.undrain(id, ownerId);
        return reply.code(202).send(await machineAnswerOf(context, ownerId, id));
      },
    });
  }

  for (const [verb, summary] of [
    ['kill', 'SIGKILLs the machine’s worker, as a pulled plug would; only where `npm start` runs it'],
    ['start', 'Starts the machine’s worker again; only where `npm start` runs it'],
  ] as const) {
    app.route({
      method: 'POST',
      url: `/v1/machines/:id/${verb}`,
      config: { role: 'operator' },
      schema: {
        tags: ['machines'],
        summary,
        querystring: writeQuery,
        params: machineParams,
        body: emptyBody,
        response: { 200: machineSchema.or(dryRunSchema), ...problemResponses },
      },
      handler: async (request) => {
        const { ownerId } = callerOf(request);
        const { id } = request.params;
        await machineAnswerOf(context, ownerId, id);
        if (context.controlSocket === undefined || !request.query.dryRun) {
          await controlMachine(context.controlSocket, id, verb);
          return machineAnswerOf(context, ownerId, id);
        }
        return { dryRun: true as const, would: `${verb} the worker of ${id}` };
      },
    });
  }
}

function withMachine(
  fleet: Fleet,
  asked: { id: string; gpu?: string | undefined; sequences?: number | undefined },
  server: { kind: NonNullable<FleetMachine['modelServer']>['kind']; url: string },
): Fleet {
  const known = fleet.machines.find(({ id }) => id === asked.id);
  if (known === undefined && asked.gpu === undefined) {
    const field = { path: 'gpu', rule: 'is required for a new machine', mend: 'Write it like `RTX 4090:24`.' };
    throw new DomainError('INVALID_INPUT', `gpu ${field.rule}`, { fields: [field] });
  }
  const sequences = asked.sequences ?? known?.modelServer?.sequences ?? defaultSequences;
  const machine: FleetMachine = {
    ...(known ?? { id: asked.id, labels: [], gpus: [], roles: {} }),
    ...(asked.gpu === undefined ? {} : { gpus: [parseGpu(asked.gpu)] }),
    modelServer: { ...server, sequences },
  };
  const machines = known
    ? fleet.machines.map((other) => (other.id === asked.id ? machine : other))
    : [...fleet.machines, machine];
  return { ...fleet, machines };
}
