import type { FastifyRequest, preParsingAsyncHookHandler } from 'fastify';
import { z } from 'zod';
import { UnusableText } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';
import { type GatewayPriority, gatewayPriorities, gatewayTarget } from '../../domain/gateway.ts';
import { chatAsked, chatRequestSchema, embeddingRequestSchema, embeddingTexts } from '../../domain/openai-requests.ts';
import { estimateTokens } from '../../domain/token-estimate.ts';
import { createGatewayRequestStore } from '../../stores/gateway-requests.ts';
import { newId } from '../../stores/ids.ts';
import type { Principal } from '../../stores/principals.ts';
import { createTokenBudgetStore } from '../../stores/token-budgets.ts';
import { createChatCompletions, ToldError } from '../chat-completions.ts';
import type { ApiContext } from '../context.ts';
import { type BodyPatience, patientBody } from '../gateway-bodies.ts';
import { createGatewayFeed } from '../gateway-feed.ts';
import { createGatewayModels } from '../gateway-models.ts';
import { type BodyRoom, createGatewayPlaces, createGatewayRoom } from '../gateway-places.ts';
import { sendOpenAiError } from '../openai-errors.ts';
import { callerOf } from '../plugins/roles.ts';
import type { Api } from '../types.ts';

const base = '/openai/v1';
/** Contexts are long, and images come inside of a message. */
const bodyLimit = 8 * 2 ** 20;
const patience: BodyPatience = { silentMs: 10_000, wholeMs: 60_000 };

const errorSchema = z
  .object({
    error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string() }),
  })
  .meta({ id: 'OpenAiError' });
const errors = { '4xx': errorSchema, '5xx': errorSchema };
const modelSchema = z.object({ id: z.string(), object: z.literal('model'), created: z.int(), owned_by: z.string() });
const priorityHeader = z.looseObject({
  'x-soulfra-priority': z
    .enum(Object.keys(gatewayPriorities) as [GatewayPriority, ...GatewayPriority[]])
    .optional()
    .describe('Default: normal, below talk and above what agents do by themselves; low: below that, too'),
});

/** OpenAI's protocol for services: whatever speaks it is pointed here by OPENAI_BASE_URL. */
export function gatewayRoutes(app: Api, context: ApiContext): void {
  const { db, metrics } = context;
  const models = createGatewayModels(db);
  const requests = createGatewayRequestStore(db);
  const feed = createGatewayFeed({ ...context, requests });
  const places = createGatewayPlaces((open) => metrics.gatewayOpen.set(open));
  const complete = createChatCompletions({ ...context, requests, feed });
  const room = createGatewayRoom(bodyLimit);
  // Before the server waits for its connections to end, or it would wait for these for ever.
  app.addHook('preClose', () => feed.close());

  const labelOf = ({ service }: Principal) => service ?? 'people';
  const askerOf = ({ service, tokenId }: Principal) => service ?? tokenId;

  /** What cannot be counted now stays reserved for the day: no answer is lost to it. */
  const counted = (counting: Promise<void>) =>
    counting.catch((err: unknown) => context.log.warn({ err }, 'tokens stay reserved that were not counted'));

  /** The models of the fleet that the caller's owner has applied. */
  async function viewOf({ ownerId }: Principal) {
    const view = await models();
    if (view.ownerId !== ownerId) throw new DomainError('NOT_FOUND', 'no fleet.yaml of yours has been applied');
    return view;
  }

  /** Takes room for a body before it is read; one that does not say how long it is counts as the longest until it is there. */
  const takeRoom: preParsingAsyncHookHandler = async (request, reply, payload) => {
    const caller = callerOf(request as FastifyRequest);
    const { fleet } = await viewOf(caller);
    const said = Number(request.headers['content-length'] ?? Number.NaN);
    const refused = () =>
      metrics.gatewayRequests.inc({ service: labelOf(caller), model: 'unknown', outcome: 'refused' });
    let held: BodyRoom;
    try {
      held = room.enter(
        askerOf(caller),
        Number.isSafeInteger(said) ? Math.min(said, bodyLimit) : bodyLimit,
        fleet.gateway.openMiB * 2 ** 20,
      );
    } catch (err) {
      refused();
      throw err;
    }
    const { body, stop } = patientBody(payload, patience, {
      onWhole: (bytes) => held.fit(bytes),
      onSlow() {
        refused();
        // What is left of it is not waited for.
        void reply.header('connection', 'close');
      },
    });
    const leave = () => {
      stop();
      held.leave();
    };
    reply.raw.once('close', leave);
    // Who went away before is not told of again.
    if (reply.raw.destroyed) leave();
    return body;
  };

  /** Finds the model that is asked for, takes a place among the open requests, and counts how it ended. */
  async function admitted<Result>(
    caller: Principal,
    asked: { model: string; kind: 'chat' | 'embeddings' },
    work: (at: { modelId: string; view: Awaited<ReturnType<typeof viewOf>> }) => Promise<Result>,
  ): Promise<Result> {
    const service = labelOf(caller);
    const since = performance.now();
    let model = 'unknown';
    let leave = () => {};
    try {
      const view = await viewOf(caller);
      const target = gatewayTarget(view.names, asked.model);
      model = target.modelId;
      if (target.kind !== asked.kind) {
        const use = target.kind === 'chat' ? 'chat completions' : 'embeddings';
        throw new DomainError('MODEL_UNKNOWN', `${asked.model} is for ${use}, not for ${asked.kind}`, {
          fields: [{ path: 'model', rule: `is for ${use}`, mend: 'See GET /openai/v1/models.' }],
        });
      }
      leave = places.enter(askerOf(caller), view.fleet.gateway.openPerService);
      const result = await work({ modelId: model, view });
      metrics.gatewayRequests.inc({ service, model, outcome: 'answered' });
      metrics.gatewaySeconds.inc({ service, model }, (performance.now() - since) / 1000);
      return result;
    } catch (thrown) {
      const err = thrown instanceof ToldError ? thrown.cause : thrown;
      const gone = err instanceof Error && err.name === 'AbortError';
      const refused = err instanceof DomainError && refusals.has(err.code);
      const outcome = gone ? 'canceled' : refused ? 'refused' : 'failed';
      metrics.gatewayRequests.inc({ service, model, outcome });
      throw thrown;
    } finally {
      leave();
    }
  }

  app.route({
    method: 'POST',
    url: `${base}/chat/completions`,
    config: { role: 'member', services: true, audit: false },
    bodyLimit,
    preParsing: takeRoom,
    errorHandler: sendOpenAiError,
    schema: {
      tags: ['gateway'],
      summary: 'An answer of a model of the fleet, by OpenAI’s protocol; with stream: true as it is written',
      headers: priorityHeader,
      body: chatRequestSchema,
      response: {
        200: {
          description: 'A chat completion, or chunks of it',
          content: {
            'application/json': { schema: z.looseObject({ object: z.literal('chat.completion') }) },
            'text/event-stream': { schema: z.string() },
          },
        },
        ...errors,
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const asked = chatAsked(request.body);
      const priority = gatewayPriorities[request.headers['x-soulfra-priority'] ?? 'normal'];
      const includeUsage = request.body.stream_options?.include_usage === true;
      try {
        return await admitted(caller, { model: request.body.model, kind: 'chat' }, async ({ modelId, view }) => {
          const { usage, sent } = await complete({ caller, asked, modelId, view, priority, includeUsage }, reply);
          const service = labelOf(caller);
          metrics.gatewayTokens.inc({ service, model: modelId, direction: 'prompt' }, usage.prompt_tokens);
          metrics.gatewayTokens.inc({ service, model: modelId, direction: 'written' }, usage.completion_tokens);
          return sent;
        });
      } catch (err) {
        if (err instanceof ToldError) return undefined;
        throw err;
      }
    },
  });

  app.route({
    method: 'POST',
    url: `${base}/embeddings`,
    config: { role: 'member', services: true, audit: false },
    bodyLimit,
    preParsing: takeRoom,
    errorHandler: sendOpenAiError,
    schema: {
      tags: ['gateway'],
      summary: 'Vectors of texts, by the model that memories are embedded with',
      body: embeddingRequestSchema,
      response: {
        200: z.object({
          object: z.literal('list'),
          model: z.string(),
          data: z.array(
            z.object({
              object: z.literal('embedding'),
              index: z.int(),
              embedding: z.union([z.array(z.number()), z.string()]),
            }),
          ),
          usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
        }),
        ...errors,
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const texts = embeddingTexts(request.body);
      return admitted(caller, { model: request.body.model, kind: 'embeddings' }, async ({ modelId, view }) => {
        const gone = new AbortController();
        reply.raw.once('close', () => gone.abort());
        // Who went away before is not told of again.
        if (reply.raw.destroyed) gone.abort();
        const tokens = texts.reduce((sum, text) => sum + estimateTokens(text), 0);
        const budgets = createTokenBudgetStore(db, () => view.fleet.budgets);
        const key = `${newId('completion')}/embeddings`;
        await budgets.reserve({ key, askedBy: caller.tokenId, most: tokens });
        const vectors = await context
          .embedderOf(view.fleet.embeddings)
          .embed(texts, gone.signal)
          .catch(async (err: unknown) => {
            await counted(budgets.release(key));
            if (!(err instanceof UnusableText)) throw err;
            throw new DomainError('INVALID_INPUT', err.message, {
              cause: err,
              fields: [
                { path: 'input', rule: `holds what ${modelId} has no vector for`, mend: 'Send the texts one by one.' },
              ],
            });
          });
        await counted(budgets.settle(key, tokens));
        metrics.gatewayTokens.inc({ service: labelOf(caller), model: modelId, direction: 'prompt' }, tokens);
        const asBase64 = request.body.encoding_format === 'base64';
        return {
          object: 'list' as const,
          model: modelId,
          data: vectors.map((vector, index) => ({
            object: 'embedding' as const,
            index,
            embedding: asBase64 ? base64Of(vector) : [...vector],
          })),
          usage: { prompt_tokens: tokens, total_tokens: tokens },
        };
      });
    },
  });

  const modelOf = (id: string, created: number) => ({ id, object: 'model' as const, created, owned_by: 'soulfra' });
  const startedAt = Math.floor(Date.now() / 1000);

  app.route({
    method: 'GET',
    url: `${base}/models`,
    config: { role: 'reader', services: true },
    errorHandler: sendOpenAiError,
    schema: {
      tags: ['gateway'],
      summary: 'Models that can be asked for now, with the aliases of fleet.yaml',
      response: { 200: z.object({ object: z.literal('list'), data: z.array(modelSchema) }), ...errors },
    },
    handler: async (request) => {
      const { names } = await viewOf(callerOf(request));
      return { object: 'list' as const, data: names.listed.map((id) => modelOf(id, startedAt)) };
    },
  });

  app.route({
    method: 'GET',
    url: `${base}/models/:model`,
    config: { role: 'reader', services: true },
    errorHandler: sendOpenAiError,
    schema: {
      tags: ['gateway'],
      summary: 'One model, by any of its names',
      params: z.strictObject({ model: z.string().max(200) }),
      response: { 200: modelSchema, ...errors },
    },
    handler: async (request) => {
      const { names } = await viewOf(callerOf(request));
      const { model } = request.params;
      gatewayTarget(names, model);
      return modelOf(model, startedAt);
    },
  });

  app.route({
    method: ['GET', 'POST', 'DELETE'],
    url: '/openai/*',
    config: { role: 'reader', services: true, reads: true },
    errorHandler: sendOpenAiError,
    schema: { hide: true, tags: ['gateway'] },
    handler: (request) => {
      throw new DomainError(
        'NOT_FOUND',
        `the gateway has no ${request.method} ${request.url.split('?')[0]}; it has ${base}/chat/completions, /embeddings and /models`,
      );
    },
  });
}

/** Ended before any machine was asked. */
const refusals = new Set([
  'MODEL_UNKNOWN',
  'PARAMETER_UNSUPPORTED',
  'CONTEXT_TOO_LONG',
  'GATEWAY_BUSY',
  'INVALID_INPUT',
]);

/** As the official clients ask for them: the bytes of the numbers, the lowest first. */
function base64Of(vector: Float32Array): string {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4);
  return bytes.toString('base64');
}
