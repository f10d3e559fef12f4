import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { callPeriod, pollSourceWorkflowId, slugSchema } from '../../domain/ids.ts';
import { isPolled, machineOf, type Source } from '../../domain/sources.ts';
import { findFleet } from '../../stores/queries/fleets.ts';
import { findSource, listSourceItems, type SourceProgress, sourceProgress } from '../../stores/queries/sources.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const sourceSchema = z
  .object({
    id: slugSchema,
    kind: z.string(),
    state: z.enum(['waiting', 'ok', 'failing']).describe('waiting: never read yet'),
    from: z.string().describe('Where it is read from, or where its events are sent'),
    agents: z.union([z.literal('all'), z.array(z.string())]),
    every: z.string().nullable(),
    importance: z.int(),
    nextPollAt: timeSchema.nullable().describe('null: with the next look of the Schedule, or it is not polled'),
    lastOkAt: timeSchema.nullable(),
    failures: z.int().describe('In a row'),
    lastError: z.string(),
    lastErrorAt: timeSchema.nullable(),
    note: z.string().describe('What to know although it works, such as that its address has moved'),
    items: z.int().describe('Known ones; they are forgotten by retention'),
    pending: z.int().describe('Of these, not yet given to every agent'),
  })
  .meta({ id: 'Source' });

const itemSchema = z
  .object({
    id: z.string(),
    title: z.string(),
    url: z.string().nullable(),
    version: z.int().describe('2 and up: its words have changed'),
    occurredAt: timeSchema,
    receivedAt: timeSchema,
    deliveredAt: timeSchema.nullable().describe('When the last agent was given it'),
    agents: z.int().describe('Agents that were given this version'),
    forgotten: z.boolean().describe('A person asked for it; it never comes again'),
  })
  .meta({ id: 'SourceItem' });

const sourceParams = z.strictObject({ id: slugSchema });

export function sourceRoutes(app: Api, { db, starter }: ApiContext): void {
  listRoute(app, {
    url: '/v1/sources',
    role: 'reader',
    tag: 'sources',
    summary: 'What feeds memories from outside, as fleet.yaml says, and how far it has been read',
    item: sourceSchema,
    filters: {},
    params: z.object({}),
    key: slugSchema,
    keyOf: (source) => source.id,
    rows: async ({ ownerId, limit, after }) => {
      const page = (await sourcesOf(ownerId))
        .filter(({ id }) => after === undefined || id > after)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .slice(0, limit);
      return views(ownerId, page);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/sources/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['sources'],
      summary: 'One source',
      params: sourceParams,
      response: { 200: sourceSchema, ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const [view] = await views(ownerId, [await existing(ownerId, request.params.id)]);
      return view!;
    },
  });

  listRoute(app, {
    url: '/v1/sources/:id/items',
    role: 'reader',
    tag: 'sources',
    summary: 'What came from a source, the last received first',
    item: itemSchema,
    filters: {},
    params: sourceParams,
    key: z.string().regex(/^\d{1,15}$/),
    keyOf: (item) => item.id,
    rows: async (page, _filters, { id }) => {
      await existing(page.ownerId, id);
      return listSourceItems(db, { ...page, sourceId: id });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/sources/:id/poll',
    config: { role: 'member' },
    schema: {
      tags: ['sources'],
      summary: 'Reads a source now, due or not',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      params: sourceParams,
      body: emptyBody,
      response: {
        200: dryRunSchema,
        202: z.object({ id: z.string(), workflowId: z.string(), started: z.boolean() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const source = await existing(ownerId, request.params.id);
      const { id } = source;
      if (!isPolled(source)) throw new DomainError('CONFLICT', `${id} is not read: its events are sent to us`);
      if (request.query.dryRun) return { dryRun: true as const, would: `read ${id} now` };
      const machineId = machineOf(source);
      const workflowId = pollSourceWorkflowId(id, callPeriod(requestIdOf(request)));
      const started = await starter.start({
        type: 'pollSource',
        ownerId,
        workflowId,
        args: [{ sourceId: id, ...(machineId === undefined ? {} : { machineId }) }],
        again: 'never',
        summary: `${id}, by hand`,
        content: id,
      });
      void reply.header('location', `/v1/sources/${id}`);
      return reply.code(202).send({ id, workflowId, started });
    },
  });

  async function sourcesOf(ownerId: string): Promise<Source[]> {
    return (await findFleet(db, ownerId))?.fleet.sources ?? [];
  }

  async function existing(ownerId: string, id: string): Promise<Source> {
    const source = await findSource(db, ownerId, id);
    if (!source) throw new DomainError('NOT_FOUND', `no source ${id}`);
    return source;
  }

  async function views(ownerId: string, sources: readonly Source[]) {
    const ids = sources.map(({ id }) => id);
    const progress = await sourceProgress(db, ownerId, ids);
    return sources.map((source) => sourceView(source, progress.get(source.id)));
  }
}

function sourceView(source: Source, progress: SourceProgress | undefined): z.output<typeof sourceSchema> {
  const { id, kind, agents, importance } = source;
  const polled = isPolled(source) ? source : undefined;
  return {
    id,
    kind,
    state: stateOf(progress),
    from: fromOf(source),
    agents,
    every: polled?.every ?? null,
    importance,
    nextPollAt: (polled && progress?.nextPollAt) ?? null,
    lastOkAt: progress?.lastOkAt ?? null,
    failures: progress?.failures ?? 0,
    lastError: progress?.lastError ?? '',
    lastErrorAt: progress?.lastErrorAt ?? null,
    note: progress?.note ?? '',
    items: progress?.items ?? 0,
    pending: progress?.pending ?? 0,
  };
}

function fromOf(source: Source): string {
  switch (source.kind) {
    case 'feed':
      return source.url;
    case 'webhook':
      return `/v1/sources/${source.id}/events`;
    case 'folder':
      return `${source.machine}:${source.folder}`;
    case 'drops':
      return `drops of ${source.agent}`;
    case 'guild':
      return source.guild;
  }
}

function stateOf(progress: SourceProgress | undefined): 'waiting' | 'ok' | 'failing' {
  if (progress === undefined || (progress.lastOkAt === null && progress.failures === 0)) return 'waiting';
  return progress.failures > 0 ? 'failing' : 'ok';
}
