import type { Readable } from 'node:stream';
import { z } from 'zod';
import { DomainError, errorTable } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { memoryKinds } from '../../domain/states.ts';
import type { NewMemory } from '../../stores/memories.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { agentsTakingMemories, findMemory, findMemoryByKey, listMemories } from '../../stores/queries/memories.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { importMemories, memoryBody, newMemory, refuseIfNothingGood } from '../memory-import.ts';
import { registerLineBodies } from '../plugins/bodies.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders } from '../workflow-starts.ts';

const memorySchema = z
  .object({
    id: idSchema('memory'),
    agentId: z.string(),
    seq: z.int(),
    kind: z.enum(memoryKinds),
    text: z.string(),
    importance: z.int(),
    source: z.string(),
    externalKey: z.string(),
    occurredAt: timeSchema.describe('When it happened; it holds from then on'),
    recordedAt: timeSchema,
    validTo: timeSchema.nullable().describe('Until when it held; null: it still does'),
    supersededBy: z.string().nullable().describe('The memory that took its place'),
    deletedAt: timeSchema.nullable(),
    deletedReason: z.string().nullable(),
    lastUsedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Memory' });

const agentParams = z.strictObject({ id: slugSchema });
const memoryParams = z.strictObject({ id: idSchema('memory') });
const reasonSchema = textSchema(500);
const share = z.number().min(0).max(1);
const foundSchema = z.object({
  items: z.array(
    z.object({
      id: idSchema('memory'),
      agentId: z.string(),
      seq: z.int(),
      kind: z.enum(memoryKinds),
      text: z.string(),
      importance: z.int(),
      source: z.string(),
      occurredAt: timeSchema,
      score: z.number().describe('recency + importance + relevance'),
      parts: z.object({ recency: share, importance: share, relevance: share }),
    }),
  ),
  scored: z.int().describe('Living memories, all of which were scored'),
  unembedded: z.int().describe('Of these, without a vector: found by their words alone'),
  model: z.string().nullable().describe('Whose vectors were compared; null: it did not answer, words alone were'),
});
const forgottenSchema = z.object({
  id: idSchema('memory'),
  reflections: z.array(idSchema('reflection')).describe('Rest on it and keep their texts'),
  forgotten: z
    .array(idSchema('reflection'))
    .describe('Quoted it, or rested on it where dependents are forgotten: lost their texts'),
  copies: z.array(idSchema('memory')).describe('Memories with the very same text; each is for a request of its own'),
});
const fieldErrorSchema = z.object({ path: z.string(), rule: z.string(), mend: z.string() });
const importSchema = z
  .object({
    added: z.int(),
    known: z.int().describe('Came before under the same key'),
    refused: z.int(),
    errors: z.array(
      z.object({
        line: z.int(),
        code: z.enum(Object.keys(errorTable) as [keyof typeof errorTable]),
        detail: z.string(),
        errors: z.array(fieldErrorSchema).optional(),
      }),
    ),
    errorsLeftOut: z.int(),
    dryRun: z.literal(true).optional(),
  })
  .meta({ id: 'MemoryImport' });

export function memoryRoutes(app: Api, context: ApiContext): void {
  const { db, memories, memorySearch, metrics } = context;

  listRoute(app, {
    url: '/v1/agents/:id/memories',
    role: 'reader',
    tag: 'memories',
    summary: 'Memories of an agent, the last recorded first',
    item: memorySchema,
    filters: {},
    params: agentParams,
    key: z.string().regex(/^\d{1,15}$/),
    keyOf: (memory) => String(memory.seq),
    rows: async (page, _filters, { id }) => {
      if (!(await findAgent(db, page.ownerId, id))) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      return listMemories(db, { ...page, agentId: id });
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/memories/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['memories'],
      summary: 'One memory',
      params: memoryParams,
      response: { 200: memorySchema, ...problemResponses },
    },
    handler: (request) => existing(callerOf(request).ownerId, request.params.id),
  });

  app.route({
    method: 'GET',
    url: '/v1/agents/:id/memories/search',
    config: { role: 'reader' },
    schema: {
      tags: ['memories'],
      summary: 'What an agent remembers of something: every living memory scored, the best answered',
      params: agentParams,
      querystring: z.strictObject({
        q: textSchema(2_000).describe('In plain words'),
        limit: z.coerce.number().int().min(1).max(200).default(10),
      }),
      response: { 200: foundSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      if (!(await findAgent(db, ownerId, id))) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      const { q, limit } = request.query;
      const { found, ...about } = await memorySearch.search({
        ownerId,
        agentId: id,
        text: q,
        limit,
        now: new Date(),
        used: false,
      });
      return { items: found, ...about };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/memories/:id/supersede',
    config: { role: 'member' },
    schema: {
      tags: ['memories'],
      summary: 'What held gives way to what holds now; the old memory stays, with its end and its successor',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      params: memoryParams,
      body: memoryBody.omit({ kind: true }),
      response: { 200: dryRunSchema, 201: memorySchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const old = await existing(ownerId, request.params.id);
      const key = request.body.externalKey ?? request.headers['idempotency-key'];
      const successor = newMemory(
        old.agentId,
        { ...request.body, kind: old.kind, ...(typeof key === 'string' ? { externalKey: key } : {}) },
        new Date(),
      );
      if (request.query.dryRun) return { dryRun: true as const, would: `supersede ${old.id} of ${old.agentId}` };
      const id = await memories.supersede(ownerId, old.id, successor);
      void reply.header('location', `/v1/memories/${id}`);
      return reply.code(201).send(await existing(ownerId, id));
    },
  });

  app.route({
    method: 'DELETE',
    url: '/v1/memories/:id',
    config: { role: 'member' },
    schema: {
      tags: ['memories'],
      summary: 'Takes a memory away: it never comes to mind again; what rests on it still shows it',
      querystring: writeQuery.extend({ reason: reasonSchema }),
      params: memoryParams,
      response: { 200: memorySchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = await existing(ownerId, request.params.id);
      if (request.query.dryRun) return { dryRun: true as const, would: `delete ${id}` };
      await memories.delete(ownerId, id, request.query.reason);
      return existing(ownerId, id);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/memories/:id/forget',
    config: { role: 'operator' },
    schema: {
      tags: ['memories'],
      summary: 'For a person’s request: text, vectors and every reflection that quotes it are gone for good',
      querystring: writeQuery,
      params: memoryParams,
      body: z.strictObject({
        reason: reasonSchema,
        dependents: z
          .enum(['keep', 'forget'])
          .default('keep')
          .describe('forget: also reflections that rest on it without quoting it, and what rests on those'),
      }),
      response: { 200: forgottenSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = await existing(ownerId, request.params.id);
      if (request.query.dryRun) {
        const { forgotten, reflections } = await memories.forgettable(ownerId, id, request.body);
        const would = `forget ${id} and ${forgotten.length} reflections for good; ${reflections.length} that rest on it stay`;
        return { dryRun: true as const, would };
      }
      return { id, ...(await memories.forget(ownerId, id, request.body)) };
    },
  });

  async function existing(ownerId: string, id: string) {
    const memory = await findMemory(db, ownerId, id);
    if (!memory) throw new DomainError('NOT_FOUND', `no memory ${id}`);
    return memory;
  }

  app.route({
    method: 'POST',
    url: '/v1/agents/:id/memories',
    config: { role: 'member' },
    schema: {
      tags: ['memories'],
      summary: 'Gives an agent one memory; the same key again answers with the one that is there',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      params: agentParams,
      body: memoryBody,
      response: { 200: memorySchema.or(dryRunSchema), 201: memorySchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const agent = await findAgent(db, ownerId, id);
      if (!agent) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      if (agent.state === 'retired') throw new DomainError('AGENT_RETIRED', `${id} is retired`);
      const key = request.body.externalKey ?? request.headers['idempotency-key'];
      const memory = newMemory(
        id,
        { ...request.body, ...(typeof key === 'string' ? { externalKey: key } : {}) },
        new Date(),
      );
      if (request.query.dryRun) {
        const known = await findMemoryByKey(db, ownerId, memory);
        if (known) refuseOther(known.text, memory);
        return { dryRun: true as const, would: known ? `answer with ${known.id}` : `add a memory to ${id}` };
      }
      const { added } = await memories.add(ownerId, [memory]);
      const stored = await findMemoryByKey(db, ownerId, memory);
      if (!stored) throw new DomainError('CONFLICT', `${id} was retired meanwhile`);
      if (added === 0) refuseOther(stored.text, memory);
      metrics.memories.inc(added);
      void reply.header('location', `/v1/memories/${stored.id}`);
      return reply.code(added === 1 ? 201 : 200).send(stored);
    },
  });

  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    registerLineBodies(scope as unknown as Api);
    (scope as unknown as Api).route({
      method: 'POST',
      url: '/v1/memories',
      config: { role: 'member' },
      schema: {
        tags: ['memories'],
        summary: 'Gives many memories as NDJSON: a line each, with agentId and the fields of one memory',
        consumes: ['application/x-ndjson'],
        querystring: writeQuery,
        response: { 200: importSchema, ...problemResponses },
      },
      handler: async (request) => {
        const { ownerId } = callerOf(request);
        if (!isStream(request.body)) throw new DomainError('MALFORMED_BODY', 'the request has no body');
        const { dryRun } = request.query;
        const result = await importMemories(request.body, {
          ownerId,
          add: dryRun ? wouldAdd : (owner, batch) => memories.add(owner, batch),
        });
        refuseIfNothingGood(result);
        if (dryRun) return { ...result, dryRun: true as const };
        metrics.memories.inc(result.added);
        return result;
      },
    });
  });

  /** Counts as added what has an agent to go to; whether a key is known shows only at the real import. */
  async function wouldAdd(ownerId: string, batch: readonly NewMemory[]) {
    const wanted = [...new Set(batch.map((memory) => memory.agentId))];
    const taking = await agentsTakingMemories(db, ownerId, wanted);
    return {
      added: batch.filter((memory) => taking.has(memory.agentId)).length,
      known: 0,
      unknown: wanted.filter((agentId) => !taking.has(agentId)),
    };
  }
}

function refuseOther(text: string, memory: NewMemory): void {
  if (text === memory.text) return;
  throw new DomainError('CONFLICT', `the key ${memory.externalKey} came before with another text`);
}

function isStream(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
