import { Readable } from 'node:stream';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import { fieldError } from '../../domain/field-errors.ts';
import { memoryBody, memoryLineSchema } from '../../domain/memory-lines.ts';
import { memoryKinds } from '../../domain/states.ts';
import { generativeAgentsImporter } from '../../integrations/importers/generative-agents.ts';
import { writeMemoryStream } from '../../integrations/importers/generative-agents-writer.ts';
import { ndjsonImporter } from '../../integrations/importers/ndjson.ts';
import type { AsOf } from '../../domain/validity.ts';
import type { NewMemory } from '../../stores/memories.ts';
import { exportedLines, exportedRows } from '../../stores/queries/memory-export.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { findMemory, findMemoryByKey, listMemories } from '../../stores/queries/memories.ts';
import { quotationSource } from '../../stores/quotations.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { importReportSchema } from '../import-report.ts';
import { importMemories, refuseIfNothingGood } from '../memory-import.ts';
import { bodyLimit, registerStreamBodies } from '../plugins/bodies.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, textSchema, timeSchema, writeQuery } from '../schemas.ts';
import { newMemory } from '../told-memories.ts';
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

const asOfShape = {
  at: timeSchema.optional().describe('Only what held then'),
  knownAt: timeSchema.optional().describe('Only what was known then: recorded, and not deleted or superseded yet'),
};
const agentParams = z.strictObject({ id: slugSchema });
const memoryParams = z.strictObject({ id: idSchema('memory') });
const reasonSchema = textSchema(500).refine((reason) => reason !== quotationSource, {
  error: `must not be "${quotationSource}", which says that a limit took it`,
});
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
      validTo: timeSchema.nullable().describe('Until when it held; null: it still does'),
      score: z.number().describe('recency + importance + relevance'),
      parts: z.object({ recency: share, importance: share, relevance: share }),
    }),
  ),
  scored: z.int().describe('Living memories, or those that held and were known then; all of them were scored'),
  unembedded: z.int().describe('Of these, without a vector: found by their words alone'),
  model: z.string().nullable().describe('Whose vectors were compared; null: it did not answer, words alone were'),
});
const forgottenSchema = z.object({
  id: idSchema('memory'),
  reflections: z.array(idSchema('reflection')).describe('Rest on it and keep their texts'),
  forgotten: z
    .array(idSchema('reflection').or(idSchema('message')))
    .describe('Quoted it, or rested on it where dependents are forgotten: lost their texts'),
  copies: z.array(idSchema('memory')).describe('Memories with the very same text; each is for a request of its own'),
  messages: z.array(idSchema('message')).describe('Their answers cite it and keep their texts'),
  packages: z.array(idSchema('loopPackage')).describe('Loop packages that hold the very text, and keep it'),
});

/** A whole memory stream of a simulated persona is a few MB. */
const fileLimit = 64 * 1024 * 1024;
const importers = {
  ndjson: () => ndjsonImporter({ lineLimit: bodyLimit }),
  'generative-agents': () => generativeAgentsImporter({ fileLimit }),
} as const;
const memoryFormats = Object.keys(importers) as [keyof typeof importers];
const importQuery = writeQuery.extend({
  format: z
    .enum(memoryFormats)
    .default('ndjson')
    .describe('ndjson: lines of MemoryLine; generative-agents: associative_memory/nodes.json, as application/json'),
  agentId: slugSchema.optional().describe('Everything goes to this agent, whoever the lines name'),
});

export function memoryRoutes(app: Api, context: ApiContext): void {
  const { db, memories, memorySearch, metrics } = context;

  listRoute(app, {
    url: '/v1/agents/:id/memories',
    role: 'reader',
    tag: 'memories',
    summary: 'Memories of an agent, the last recorded first; with a time those that held or were known then',
    item: memorySchema,
    filters: asOfShape,
    params: agentParams,
    key: z.string().regex(/^\d{1,15}$/),
    keyOf: (memory) => String(memory.seq),
    rows: async (page, times, { id }) => {
      await existingAgent(page.ownerId, id);
      return listMemories(db, { ...page, agentId: id, asOf: asOfOf(times) });
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
      summary: 'What an agent remembers of something, now or as of a time: every such memory scored, the best answered',
      params: agentParams,
      querystring: z.strictObject({
        q: textSchema(2_000).describe('In plain words'),
        limit: z.coerce.number().int().min(1).max(200).default(10),
        ...asOfShape,
      }),
      response: { 200: foundSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      await existingAgent(ownerId, id);
      const { q, limit, ...times } = request.query;
      const { found, ...about } = await memorySearch.search({
        ownerId,
        agentId: id,
        text: q,
        limit,
        now: new Date(),
        used: false,
        asOf: asOfOf(times),
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
        const { forgotten, reflections } = await memories.forgettable(ownerId, id, request.body.dependents);
        const would = `forget ${id} and ${forgotten.length} reflections and answers for good; ${reflections.length} reflections that rest on it stay`;
        return { dryRun: true as const, would };
      }
      const { reason, dependents } = request.body;
      return { id, ...(await memories.forget(ownerId, id, reason, dependents)) };
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
      refuseRetired(await existingAgent(ownerId, id));
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
    registerStreamBodies(scope as unknown as Api);
    (scope as unknown as Api).route({
      method: 'POST',
      url: '/v1/memories',
      config: { role: 'member' },
      schema: {
        tags: ['memories'],
        summary: 'Takes in a file of memories: good lines go in, each bad one is told; what comes again adds nothing',
        consumes: ['application/x-ndjson', 'application/json'],
        querystring: importQuery,
        response: { 200: importReportSchema, ...problemResponses },
      },
      handler: async (request) => {
        const { ownerId } = callerOf(request);
        const { dryRun = false, agentId, format } = request.query;
        const importer = importers[format]();
        if (!isStream(request.body)) throw new DomainError('MALFORMED_BODY', 'the request has no body');
        refuseOtherMedia(request.headers['content-type'], importer.mediaType);
        if (agentId !== undefined) refuseRetired(await existingAgent(ownerId, agentId));
        else if (format !== 'ndjson') throw fieldError('query.agentId', 'is required', 'Say whose memories they are.');
        const report = await importMemories(request.body, importer, { db, memories, ownerId, agentId, dryRun });
        refuseIfNothingGood(report);
        if (dryRun) return { ...report, dryRun: true as const };
        metrics.memories.inc(report.added);
        return report;
      },
    });
  });

  app.route({
    method: 'GET',
    url: '/v1/agents/:id/memories/export',
    config: { role: 'reader' },
    schema: {
      tags: ['memories'],
      summary:
        'What an agent remembers, as POST /v1/memories takes it in again; `x-soulfra-lost` names what has no place in the format',
      params: agentParams,
      querystring: z.strictObject({
        format: z
          .enum(memoryFormats)
          .default('ndjson')
          .describe(
            'ndjson: everything, as lines of MemoryLine; generative-agents: what is in mind, as associative_memory/nodes.json',
          ),
      }),
      response: {
        200: {
          description: 'Lines of MemoryLine, or nodes by their number',
          content: {
            'application/x-ndjson': { schema: memoryLineSchema },
            'application/json': { schema: z.looseObject({}) },
          },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const agent = await existingAgent(ownerId, request.params.id);
      if (request.query.format === 'generative-agents') {
        const { pieces, lost } = writeMemoryStream(agent.name, await exportedRows(db, ownerId, agent.id));
        void reply
          .type('application/json; charset=utf-8')
          .header('content-disposition', `attachment; filename="${agent.id}.nodes.json"`)
          .header('x-soulfra-lost', lost.map(({ field }) => encodeURIComponent(field)).join(','));
        return reply.send(Readable.from(pieces) as never);
      }
      void reply
        .type('application/x-ndjson; charset=utf-8')
        .header('content-disposition', `attachment; filename="${agent.id}.memories.ndjson"`);
      return reply.send(Readable.from(exportedLines(db, { ownerId, agent, now: new Date() })) as never);
    },
  });

  async function existingAgent(ownerId: string, id: string) {
    const agent = await findAgent(db, ownerId, id);
    if (!agent) throw new DomainError('NOT_FOUND', `no agent ${id}`);
    return agent;
  }
}

function asOfOf({ at, knownAt }: { at?: string | undefined; knownAt?: string | undefined }): AsOf | undefined {
  if (at === undefined && knownAt === undefined) return undefined;
  return { at: at === undefined ? at : new Date(at), knownAt: knownAt === undefined ? knownAt : new Date(knownAt) };
}

function refuseRetired({ id, state }: { id: string; state: string }): void {
  if (state === 'retired') throw new DomainError('AGENT_RETIRED', `${id} is retired`);
}

function refuseOtherMedia(came: string | undefined, wanted: string): void {
  if (came?.split(';')[0]!.trim().toLowerCase() === wanted) return;
  throw new DomainError('UNSUPPORTED_MEDIA_TYPE', `this format comes as ${wanted}`);
}

function refuseOther(text: string, memory: NewMemory): void {
  if (text === memory.text) return;
  throw new DomainError('CONFLICT', `the key ${memory.externalKey} came before with another text`);
}

function isStream(body: unknown): body is AsyncIterable<Buffer> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body;
}
