import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { addressOf } from '../../domain/fleet-map.ts';
import { slugSchema } from '../../domain/ids.ts';
import { serviceIdSchema, serviceSchema } from '../../domain/services.ts';
import { hostsOf } from '../../stores/queries/fleet-map.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import { serviceRunStates, serviceStates } from '../../domain/states.ts';
import { dependantsOf, findService, listServices, type ServiceView } from '../../stores/queries/services.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, switchSchema, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const tag = 'services';

const listedSchema = z
  .object({
    id: z.string(),
    kind: serviceSchema.shape.kind,
    state: z.enum(serviceStates).describe('unknown: nothing has looked at it yet'),
    reason: z.string(),
    machineId: z.string().nullable().describe('Where the plan puts it; null: nowhere'),
    why: z.string().describe('Why it is there, or why nowhere'),
    wantedMachine: z.string().nullable().describe('The machine that the file names'),
    required: z.boolean().describe('Whether the fleet is unwell without it'),
    needsGpu: z.boolean(),
    vramGiB: z.number().nullable(),
    ports: serviceSchema.shape.ports.unwrap(),
    address: z
      .string()
      .nullable()
      .describe('host:port of its main port, while it is up; bound to one address alone, that one'),
    run: z
      .object({
        wanted: z.enum(['running', 'stopped']),
        state: z.enum(serviceRunStates),
        reason: z.string(),
        machineId: z.string().nullable().describe('That runs it, or may'),
        requestId: z.string().describe('Who may act on it'),
      })
      .nullable()
      .describe('What starting and stopping it has come to; null: it was never asked for, and is only watched'),
    changedAt: timeSchema,
    retiredAt: timeSchema.nullable().describe('Since when no file of fleet.d names it'),
  })
  .meta({ id: 'ListedService' });

const shownSchema = listedSchema
  .extend({
    spec: serviceSchema.describe('As fleet.d describes it'),
    dependants: z.array(z.string()).describe('Services that need it'),
  })
  .meta({ id: 'Service' });

export function serviceRoutes(app: Api, { db }: ApiContext): void {
  const hostsFor = async (ownerId: string) => hostsOf((await findFleet(db, ownerId))?.fleet ?? { machines: [] });

  listRoute(app, {
    url: '/v1/services',
    role: 'reader',
    tag,
    summary: 'Services of fleet.d: where each is placed and how it does',
    item: listedSchema,
    filters: {
      state: z.enum(serviceStates).optional(),
      machineId: slugSchema.optional().describe('Those placed there'),
      retired: switchSchema.optional().describe('Those that no file names any more in place of those that live'),
    },
    params: z.object({}),
    key: serviceIdSchema,
    keyOf: (service) => service.id,
    rows: async (page, filters) => {
      const hosts = await hostsFor(page.ownerId);
      return (await listServices(db, page, filters)).map((service) => listed(service, hosts));
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/services/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One service, as the files describe it',
      params: z.strictObject({ id: serviceIdSchema }),
      response: { 200: shownSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const service = await findService(db, ownerId, id);
      if (service === undefined) throw new DomainError('NOT_FOUND', `no service ${id}`);
      const hosts = await hostsFor(ownerId);
      return { ...listed(service, hosts), spec: service.spec, dependants: await dependantsOf(db, ownerId, id) };
    },
  });
}

function listed(
  { spec, placedBecause, ...service }: ServiceView,
  hosts: ReadonlyMap<string, string>,
): z.output<typeof listedSchema> {
  return {
    ...service,
    kind: spec.kind,
    why: placedBecause,
    wantedMachine: spec.machine ?? null,
    required: spec.required,
    needsGpu: spec.gpu !== undefined,
    vramGiB: spec.gpu?.vramGiB ?? null,
    ports: spec.ports,
    address: addressOf(spec, service.state, hosts.get(service.machineId ?? '')),
  };
}
