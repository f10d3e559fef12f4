import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { slugSchema } from '../../domain/ids.ts';
import { roomRefusal } from '../../domain/spawn-room.ts';
import { agentOrigins, agentStates } from '../../domain/states.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { listLineages } from '../../stores/queries/lineages.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const memberSchema = z
  .object({
    id: slugSchema,
    name: z.string(),
    origin: z.enum(agentOrigins),
    parentId: slugSchema.nullable(),
    lineageId: slugSchema,
    generation: z.int(),
    state: z.enum(agentStates),
    ego: z.int().describe('Micro-ego (voting weight)'),
  })
  .meta({ id: 'LineageMember' });

const agentParams = z.strictObject({ id: slugSchema });

export function lineageRoutes(app: Api, context: ApiContext): void {
  const { db, retirement, starter, runs } = context;

  listRoute(app, {
    url: '/v1/lineages',
    role: 'reader',
    tag: 'agents',
    summary: 'Members of lineages that have children, or of the one that `agentId` belongs to, lineage by lineage',
    item: memberSchema,
    filters: { agentId: slugSchema.optional() },
    params: z.object({}),
    key: z.string().regex(/^[a-z0-9-]{1,63}\/[a-z0-9-]{1,63}$/),
    keyOf: (member) => `${member.lineageId}/${member.id}`,
    rows: (page, filters) => listLineages(db, { ...page, ...filters }),
  });

  app.route({
    method: 'POST',
    url: '/v1/agents/:id/retire',
    config: { role: 'operator' },
    schema: {
      tags: ['agents'],
      summary:
        'Takes an agent out of the fleet; it keeps its memories, its ego (voting weight) goes to its nearest living ancestor',
      querystring: writeQuery,
      params: agentParams,
      body: emptyBody,
      response: {
        200: z.object({ id: slugSchema, ego: z.int(), egoTo: slugSchema.nullable() }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { id } = request.params;
      const { ownerId } = callerOf(request);
      const { state } = await existing(ownerId, id);
      if (request.query.dryRun) {
        return { dryRun: true as const, would: `retire ${id}${state === 'retired' ? ' (it is retired already)' : ''}` };
      }
      const { openRun, ...retired } = await retirement.retire(id, ownerId);
      if (openRun !== null && !(await starter.cancel(openRun))) {
        await runs.settle(openRun, null, { state: 'canceled', reason: `${id} is retired` });
      }
      return { id, ...retired };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/agents/:id/revive',
    config: { role: 'operator' },
    schema: {
      tags: ['agents'],
      summary: 'Brings a retired agent back where the cards have room, with its ego as far as its holder still has it',
      querystring: writeQuery,
      params: agentParams,
      body: emptyBody,
      response: {
        200: z.object({ id: slugSchema, ego: z.int(), egoFrom: slugSchema.nullable() }).or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request) => {
      const { id } = request.params;
      const { ownerId } = callerOf(request);
      const { fleet } = await fleetOf(context, ownerId);
      const { state } = await existing(ownerId, id);
      if (request.query.dryRun) {
        return { dryRun: true as const, would: `revive ${id}${state === 'retired' ? '' : ' (it is not retired)'}` };
      }
      const revived = await retirement.revive(id, ownerId, (agents, rates, services) =>
        roomRefusal(fleet, rates, agents, id, services),
      );
      return { id, ...revived };
    },
  });

  async function existing(ownerId: string, id: string) {
    const agent = await findAgent(db, ownerId, id);
    if (!agent) throw new DomainError('NOT_FOUND', `no agent ${id}`);
    return agent;
  }
}
