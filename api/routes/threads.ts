import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { callPeriod, idSchema, slugSchema, weaveWorkflowId } from '../../domain/ids.ts';
import { memoryKinds, threadEnds, threadKinds, threadStates } from '../../domain/states.ts';
import { countUnwoven, findThread, listThreads } from '../../stores/queries/threads.ts';
import { type ApiContext, fleetOf } from '../context.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, emptyBody, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, requestIdOf } from '../workflow-starts.ts';

const threadSchema = z
  .object({
    id: idSchema('thread'),
    kind: z.enum(threadKinds),
    state: z.enum(threadStates),
    endedBy: z.enum(threadEnds).nullable(),
    title: z.string().nullable().describe('Quotes one of its memories'),
    score: z.number().describe('Mean of each memory’s best link, 0 to 1'),
    memories: z.int(),
    agents: z.int(),
    parentId: z.string().nullable().describe('The thread that it split from'),
    mergedInto: z.string().nullable().describe('The thread that it became part of'),
    firstAt: timeSchema.nullable().describe('When the first of its memories happened'),
    lastAt: timeSchema.nullable(),
    openedAt: timeSchema,
    endedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Thread' });

const threadDetailSchema = threadSchema
  .extend({
    members: z.array(
      z.object({
        memoryId: idSchema('memory'),
        agentId: z.string(),
        agentName: z.string(),
        kind: z.enum(memoryKinds),
        text: z.string(),
        importance: z.int(),
        occurredAt: timeSchema,
        score: z.number().describe('Of its best link'),
      }),
    ),
    links: z
      .array(
        z.object({
          memoryId: idSchema('memory'),
          otherId: idSchema('memory'),
          score: z.number().describe('0.3 · cosine + 0.7 · overlap'),
          cosine: z.number(),
          overlap: z.number().describe('Likeness of words and names; of an echo, how much of a sentence came back'),
          hours: z.number().describe('How much later `memoryId` happened'),
          opposition: z
            .object({ by: z.string(), one: z.string(), other: z.string() })
            .nullable()
            .describe('Of a contradiction: word against word'),
        }),
      )
      .describe('The evidence: which memory was linked to which'),
  })
  .meta({ id: 'ThreadDetail' });

export function threadRoutes(app: Api, context: ApiContext): void {
  const { db, starter } = context;

  listRoute(app, {
    url: '/v1/threads',
    role: 'reader',
    tag: 'threads',
    summary: 'Threads that link memories of different agents, the last opened first',
    item: threadSchema,
    filters: {
      agentId: slugSchema.optional(),
      memoryId: idSchema('memory').optional(),
      kind: z.enum(threadKinds).optional(),
      state: z.enum(threadStates).optional(),
    },
    params: z.object({}),
    key: idSchema('thread'),
    keyOf: (thread) => thread.id,
    rows: (page, filters) => listThreads(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/threads/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['threads'],
      summary: 'One thread with its memories and the links between them',
      params: z.strictObject({ id: idSchema('thread') }),
      response: { 200: threadDetailSchema, ...problemResponses },
    },
    handler: async (request) => {
      const thread = await findThread(db, callerOf(request).ownerId, request.params.id);
      if (!thread) throw new DomainError('NOT_FOUND', `no thread ${request.params.id}`);
      return thread;
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/threads/weave',
    config: { role: 'member' },
    schema: {
      tags: ['threads'],
      summary: 'Weaves what is new now, not only on its hour; the answer does not wait for it',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: emptyBody,
      response: {
        200: dryRunSchema,
        202: z.object({ workflowId: z.string(), started: z.boolean(), unwoven: z.int() }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      await fleetOf(context, ownerId);
      const unwoven = await countUnwoven(db, ownerId);
      if (request.query.dryRun) return { dryRun: true as const, would: `weave ${unwoven} memories` };
      const workflowId = weaveWorkflowId(callPeriod(requestIdOf(request)));
      const started = await starter.start({
        type: 'weaveMemories',
        ownerId,
        workflowId,
        args: [{}],
        again: 'failed',
        summary: 'by hand',
        content: 'weave',
      });
      return reply.code(202).send({ workflowId, started, unwoven });
    },
  });
}
