import { createHash } from 'node:crypto';
import { z } from 'zod';
import { messageLimits } from '../../domain/conversations.ts';
import { DomainError } from '../../domain/errors.ts';
import { idOf, idSchema, messageWorkflowId, slugSchema } from '../../domain/ids.ts';
import { talkPriority } from '../../domain/ladder.ts';
import { isEndedMessage, messageStates } from '../../domain/states.ts';
import { refusalCodes, whisperChars, whisperStates } from '../../domain/whispers.ts';
import { findAgent } from '../../stores/queries/agents.ts';
import { findMessage, listMessages, messageContent, type MessageView } from '../../stores/queries/messages.ts';
import { createAnswerFeed } from '../answer-feed.ts';
import { refuseIdle } from '../births.ts';
import type { ApiContext } from '../context.ts';
import { beginStream } from '../event-streams.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import {
  dryRunSchema,
  emptyBody,
  linksSchema,
  problemResponses,
  textSchema,
  timeSchema,
  writeQuery,
} from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, idempotencyHeaders, startedId } from '../workflow-starts.ts';

const messageSchema = z
  .object({
    id: idSchema('message'),
    agentId: z.string(),
    conversationId: idSchema('conversation').describe('Give it with the next message to go on'),
    author: z.string(),
    text: z.string(),
    state: z.enum(messageStates),
    reason: z.string().describe('Why it waits, failed, or is degraded'),
    answer: z.string().describe('Names the memories it rests on as [m1]'),
    source: z.enum(['model', 'extractive']).nullable().describe('extractive: memories quoted, no model was used'),
    citations: z.array(
      z.object({
        alias: z.string().describe('How the answer names it, such as m1'),
        memoryId: idSchema('memory'),
        text: z.string(),
        occurredAt: timeSchema,
      }),
    ),
    wantedModelId: z.string(),
    modelId: z.string(),
    degraded: z.boolean().describe('A smaller model stood in'),
    machineId: z.string().nullable(),
    attempt: z.int(),
    promptVersion: z.string().nullable(),
    seed: z.int().nullable(),
    tokens: z.int().nullable(),
    seconds: z.number().nullable(),
    saidMemoryId: idSchema('memory').nullable().describe('What the agent remembers of the message'),
    replyMemoryId: idSchema('memory').nullable().describe('What the agent remembers of its answer'),
    whisper: z
      .object({
        id: idSchema('whisper'),
        state: z.enum(whisperStates),
        code: z.enum(refusalCodes).nullable().describe('Why it ended without a persona'),
        reason: z.string(),
        agentId: slugSchema.nullable().describe('The persona it became'),
      })
      .nullable()
      .describe('The whisper made of its text; null where none was asked for, or it is not answered'),
    createdAt: timeSchema,
    startedAt: timeSchema.nullable(),
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'Message' });

const agentParams = z.strictObject({ id: slugSchema });
const messageParams = z.strictObject({ id: idSchema('message') });
const entrySchema = z.string().regex(/^\d{1,16}-\d{1,16}$/, 'must be the id of an event of this stream');
const streamed = {
  description: 'queued, token …, restart (what came before is void), then answer or failed',
  content: { 'text/event-stream': { schema: z.string() } },
};
/** So long a request without a stream waits for the answer. */
const answerMs = 5_000;
const cancelMs = 1_500;

export function messageRoutes(app: Api, context: ApiContext): void {
  const { db, starter, messages, principals, temporal, linksTo } = context;
  const linked = (message: MessageView) => ({ ...message, links: linksTo(messageWorkflowId(message.id)) });
  const feed = createAnswerFeed({
    ...context,
    shown: linked,
    onStreams: (open) => context.metrics.answerStreams.set(open),
  });
  // Before the server waits for its connections to end, or it would wait for these for ever.
  app.addHook('preClose', () => feed.close());

  app.route({
    method: 'POST',
    url: '/v1/agents/:id/messages',
    config: { role: 'member' },
    schema: {
      tags: ['messages'],
      summary: 'Says something to an agent; with Accept: text/event-stream the answer is streamed as it is written',
      querystring: writeQuery,
      params: agentParams,
      headers: idempotencyHeaders,
      body: z
        .strictObject({
          text: textSchema(messageLimits.textChars),
          conversationId: idSchema('conversation').optional().describe('Of an earlier message; default: a new one'),
          author: textSchema(messageLimits.authorChars)
            .optional()
            .describe('Who speaks; default: the name of the token'),
          whisper: z
            .boolean()
            .optional()
            .describe(
              'Once answered, the text is also a whisper (request) for a child of the agent; what is answered has no part in it',
            ),
        })
        .refine(whispersWords, {
          path: ['text'],
          error: `must be 1 to ${whisperChars} characters of words to whisper`,
          params: { mend: 'Say it shorter, or without whisper.' },
        }),
      response: {
        200: {
          description: 'The answer, or a stream',
          content: { 'application/json': { schema: messageSchema.or(dryRunSchema) }, ...streamed.content },
        },
        202: messageSchema,
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      const agentId = request.params.id;
      const { text, author, whisper = false } = request.body;
      const agent = await findAgent(db, ownerId, agentId);
      if (!agent) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
      const messageId = startedId('message', request);
      const conversationId = request.body.conversationId ?? idOf('conversation', messageId.slice('msg_'.length));
      const contentHash = createHash('sha256')
        .update(JSON.stringify([agentId, text, conversationId, author ?? null, ...(whisper ? ['whisper'] : [])]))
        .digest('hex');
      const known = await messageContent(db, ownerId, messageId);
      if (known !== undefined && known !== contentHash)
        throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
      if (known === undefined) refuseIdle(agent);
      if (request.query.dryRun)
        return {
          dryRun: true as const,
          would: known
            ? `answer with ${messageId}`
            : `ask ${agentId}${whisper ? ', and whisper for a child of it' : ''}`,
        };
      const streams = wantsStream(request.headers.accept);
      if (streams) feed.admit(tokenId);
      if (known === undefined) {
        const message = {
          messageId,
          ownerId,
          agentId,
          conversationId,
          text,
          contentHash,
          authorId: tokenId,
          author: author ?? (await principals.nameOf(tokenId)).slice(0, messageLimits.authorChars),
          ...(whisper ? { whisper } : {}),
        };
        await starter.start({
          type: 'answerMessage',
          ownerId,
          workflowId: messageWorkflowId(messageId),
          args: [message],
          again: 'never',
          summary: agentId,
          content: contentHash,
          memo: { agentId, conversationId, author: message.author },
          priority: talkPriority,
        });
      }
      const queued = { id: messageId, agentId, conversationId };
      if (streams) {
        const isAllowed = () => principals.isLive(tokenId);
        const wanted = { ownerId, tokenId, messageId, after: undefined, queued, isAllowed };
        await feed.follow(beginStream(reply), wanted);
        return;
      }
      const message = await feed.ended(ownerId, messageId, answerMs);
      void reply.header('location', `/v1/messages/${messageId}`);
      const done = message !== undefined && isEndedMessage(message);
      return reply.code(done ? 200 : 202).send(linked(message ?? (await existing(ownerId, messageId, 0))));
    },
  });

  listRoute(app, {
    url: '/v1/agents/:id/messages',
    role: 'reader',
    tag: 'messages',
    summary: 'What was said to an agent and what it answered, the last first',
    item: messageSchema,
    filters: { conversationId: idSchema('conversation').optional() },
    params: agentParams,
    key: z.string().regex(/^[\d\-T:.Z]{20,32}\|msg_[0-9a-f-]{36}$/),
    keyOf: (message) => `${message.createdAt}|${message.id}`,
    rows: async (page, filters, { id }) => {
      if (!(await findAgent(db, page.ownerId, id))) throw new DomainError('NOT_FOUND', `no agent ${id}`);
      return (await listMessages(db, { ...page, ...filters, agentId: id })).map(linked);
    },
  });

  app.route({
    method: 'GET',
    url: '/v1/messages/:id',
    config: { role: 'reader' },
    schema: {
      tags: ['messages'],
      summary: 'One message with its answer and the memories it rests on',
      params: messageParams,
      response: { 200: messageSchema, ...problemResponses },
    },
    handler: async (request) => linked(await existing(callerOf(request).ownerId, request.params.id)),
  });

  app.route({
    method: 'GET',
    url: '/v1/messages/:id/events',
    config: { role: 'reader' },
    schema: {
      tags: ['messages'],
      summary: 'The answer as it is written; Last-Event-ID goes on after that event',
      params: messageParams,
      headers: z.looseObject({ 'last-event-id': z.union([entrySchema, z.literal('')]).optional() }),
      response: { 200: streamed, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId, tokenId } = callerOf(request);
      feed.admit(tokenId);
      const { id, agentId, conversationId } = await existing(ownerId, request.params.id);
      const last = request.headers['last-event-id'];
      await feed.follow(beginStream(reply), {
        ownerId,
        tokenId,
        messageId: id,
        after: typeof last === 'string' && last !== '' ? last : undefined,
        queued: { id, agentId, conversationId },
        isAllowed: () => principals.isLive(tokenId),
      });
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/messages/:id/cancel',
    config: { role: 'member' },
    schema: {
      tags: ['messages'],
      summary: 'Ends an open message; nothing of it is remembered',
      querystring: writeQuery,
      params: messageParams,
      body: emptyBody,
      response: { 200: dryRunSchema, 202: messageSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const message = await existing(ownerId, request.params.id);
      const { id } = message;
      if (isEndedMessage(message)) throw new DomainError('CONFLICT', `${id} is ${message.state} already`);
      if (request.query.dryRun) return { dryRun: true as const, would: `cancel ${id}, which is ${message.state}` };
      if (!(await starter.cancel(messageWorkflowId(id))))
        await messages.end(id, { state: 'canceled', reason: 'canceled by hand; its workflow was gone' });
      void reply.header('location', `/v1/messages/${id}`);
      return reply.code(202).send(linked((await feed.ended(ownerId, id, cancelMs)) ?? message));
    },
  });

  /** A message's row is written by its workflow, which may have begun a moment ago, or wait for a worker. */
  async function existing(ownerId: string, id: string, waitMs = answerMs): Promise<MessageView> {
    const message = await findMessage(db, ownerId, id);
    if (message) return message;
    const workflow = await starter.within(() => temporal.workflow.getHandle(messageWorkflowId(id)).describe());
    const own = workflow.memo?.['ownerId'] === ownerId;
    const written = own ? await awaitRow(() => findMessage(db, ownerId, id), waitMs) : undefined;
    if (written) return written;
    if (!own || workflow.status.name !== 'RUNNING') throw new DomainError('NOT_FOUND', `no message ${id}`);
    return notBegun(id, workflow.memo ?? {}, workflow.startTime);
  }
}

/** What is known of a message that no worker has written down yet: its text stands with its workflow alone. */
function notBegun(id: string, memo: Record<string, unknown>, startedAt: Date): MessageView {
  const { agentId, conversationId, author } = memo as Record<'agentId' | 'conversationId' | 'author', string>;
  return {
    id,
    agentId,
    conversationId,
    author,
    text: '',
    state: 'received',
    reason: 'waits for a worker that coordinates',
    answer: '',
    source: null,
    citations: [],
    wantedModelId: '',
    modelId: '',
    degraded: false,
    machineId: null,
    attempt: 0,
    promptVersion: null,
    seed: null,
    tokens: null,
    seconds: null,
    saidMemoryId: null,
    replyMemoryId: null,
    whisper: null,
    createdAt: startedAt.toISOString(),
    startedAt: null,
    endedAt: null,
  };
}

function whispersWords({ text, whisper }: { text: string; whisper?: boolean | undefined }): boolean {
  return whisper !== true || (text.length <= whisperChars && text.trim() !== '');
}

function wantsStream(accept = ''): boolean {
  return accept.split(',').some((part) => part.split(';')[0]!.trim() === 'text/event-stream');
}
