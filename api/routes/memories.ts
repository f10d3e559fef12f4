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
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
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
    occurredAt: timeSchema,
    recordedAt: timeSchema,
  })
  .meta({ id: 'Memory' });

const agentParams = z.strictObject({ id: slugSchema });
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
  const { db, memories, metrics } = context;

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
      params: z.strictObject({ id: idSchema('memory') }),
      response: { 200: memorySchema, ...problemResponses },
    },
    handler: async (request) => {
      const memory = await findMemory(db, callerOf(request).ownerId, request.params.id);
      if (!memory) throw new DomainError('NOT_FOUND', `no memory ${request.params.id}`);
      return memory;
    },
  });

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
