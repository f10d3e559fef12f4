import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { findReflection, listReflections } from '../../stores/queries/reflections.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { problemResponses, timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const reflectionSchema = z
  .object({
    id: idSchema('reflection'),
    agentId: z.string(),
    agentName: z.string(),
    runId: idSchema('run').nullable().describe('Null for an imported one'),
    ordinal: z.int(),
    text: z.string(),
    modelId: z.string(),
    source: z
      .enum(['extractive', 'model', 'import'])
      .describe('extractive: quotes memories, no model was used; import: made elsewhere, as it was told'),
    promptVersion: z.string(),
    seed: z.int().nullable().describe('What the model server was given; null without a model'),
    depth: z.int().describe('1 over what was lived; one above the deepest reflection it rests on'),
    memoryId: idSchema('memory').describe('The memory that it is to the agent'),
    degraded: z.boolean(),
    machineId: z.string().nullable(),
    tokens: z.int(),
    seconds: z.number(),
    memories: z.int().describe('How many memories it rests on'),
    createdAt: timeSchema,
  })
  .meta({ id: 'Reflection' });

const reflectionDetailSchema = reflectionSchema
  .extend({
    evidence: z.array(
      z.object({
        memoryId: idSchema('memory'),
        seq: z.int(),
        text: z.string(),
        depth: z.int().describe('0: lived; above: a reflection'),
        importance: z.int(),
        occurredAt: timeSchema,
      }),
    ),
  })
  .meta({ id: 'ReflectionDetail' });

export function reflectionRoutes(app: Api, { db }: ApiContext): void {
  listRoute(app, {
    url: '/v1/reflections',
    role: 'reader',
    tag: 'reflections',
    summary: 'Reflections, the last made first',
    item: reflectionSchema,
    filters: { agentId: slugSchema.optional(), runId: idSchema('run').optional() },
    params: z.object({}),
    key: idSchema('reflection'),
    keyOf: (reflection) => reflection.id,
    rows: (page, filters) => listReflections(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/reflections/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['reflections'],
      summary: 'One reflection with the memories it rests on',
      params: z.strictObject({ id: idSchema('reflection') }),
      response: { 200: reflectionDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const reflection = await findReflection(db, callerOf(request).ownerId, request.params.id);
      if (!reflection) throw new DomainError('NOT_FOUND', `no reflection ${request.params.id}`);
      return reflection;
    },
  });
}
