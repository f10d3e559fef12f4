import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { findReflection, listReflections } from '../../stores/queries/reflections.ts';
import { explainReflection } from '../explain-reflection.ts';
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
    forgottenAt: timeSchema.nullable().describe('When its text went: it told what a person asked to forget'),
    createdAt: timeSchema,
  })
  .meta({ id: 'Reflection' });

const evidenceSchema = z.object({
  memoryId: idSchema('memory'),
  seq: z.int(),
  text: z.string(),
  depth: z.int().describe('0: lived; above: a reflection'),
  importance: z.int(),
  occurredAt: timeSchema,
});

const reflectionDetailSchema = reflectionSchema
  .extend({ evidence: z.array(evidenceSchema) })
  .meta({ id: 'ReflectionDetail' });

const share = z.number().min(0).max(1);
const scoredSchema = z
  .object({ score: z.number(), recency: share, importance: share, relevance: share })
  .describe('Why a question brought it to mind; see docs/memory.md');
const explainedSchema = reflectionSchema
  .extend({
    evidence: z.array(
      evidenceSchema.extend({
        alias: z.string().nullable().describe('What the prompt called it'),
        scored: scoredSchema.nullable(),
      }),
    ),
    call: z
      .object({
        step: z.string(),
        modelId: z.string(),
        machineId: z.string(),
        promptVersion: z.string(),
        seed: z.int().nullable().describe('As it was sent with this prompt'),
        modelCalls: z.int(),
        tokens: z.int(),
        promptTokens: z.int().nullable(),
        seconds: z.number(),
        question: z.string().nullable().describe('The focal question it answers; null: what was new was read as it is'),
        shown: z.array(
          z.object({
            memoryId: idSchema('memory'),
            until: timeSchema.optional().describe('Had ceased to hold then, and the prompt said so'),
            scored: scoredSchema.optional(),
          }),
        ),
      })
      .nullable()
      .describe('The call it came of; null where that was not kept'),
    prompt: z
      .object({
        messages: z.array(z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string() })),
        exact: z
          .boolean()
          .describe('Byte for byte as it was sent; false where something it showed was forgotten since'),
      })
      .nullable()
      .describe('Null without a model'),
    note: z.string(),
  })
  .meta({ id: 'ReflectionExplained' });

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

  app.route({
    method: 'GET',
    url: '/v1/reflections/:id/explain',
    config: { role: 'reader' },
    schema: {
      tags: ['reflections'],
      summary: 'How a reflection came to be: evidence with scores, the call, the exact prompt',
      params: z.strictObject({ id: idSchema('reflection') }),
      response: { 200: explainedSchema, ...problemResponses },
    },
    handler: async (request) => {
      const explained = await explainReflection(db, callerOf(request).ownerId, request.params.id);
      if (!explained) throw new DomainError('NOT_FOUND', `no reflection ${request.params.id}`);
      return explained;
    },
  });
}
