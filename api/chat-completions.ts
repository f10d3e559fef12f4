import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import {
  type ChatAnswer,
  type ChatDelta,
  type ChatPiece,
  type ChatUsage,
  createChatAssembly,
  restOf,
} from '../domain/chat-pieces.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError, isErrorCode } from '../domain/errors.ts';
import { completionWorkflowId } from '../domain/ids.ts';
import { type ChatAsked, refuseOverContext } from '../domain/openai-requests.ts';
import { loadedContext } from '../domain/vram.ts';
import type { ApiMetrics } from '../observability/api-metrics.ts';
import type { EndedRequest, GatewayRequestStore } from '../stores/gateway-requests.ts';
import { newId } from '../stores/ids.ts';
import type { Principal } from '../stores/principals.ts';
import type { ApiContext } from './context.ts';
import { beginStream, heartbeatMs, write } from './event-streams.ts';
import type { GatewayFeed } from './gateway-feed.ts';
import type { GatewayView } from './gateway-models.ts';
import { createTurns } from './gateway-places.ts';
import { openAiErrorOf } from './openai-errors.ts';

export interface CompletionWanted {
  caller: Principal;
  asked: ChatAsked;
  modelId: string;
  view: GatewayView;
  priority: number;
  includeUsage: boolean;
}

export interface CompletionDone {
  usage: ChatUsage;
  /** Absent: it was streamed. */
  sent?: { object: 'chat.completion'; [field: string]: unknown };
}

/** Workflows that are being started at once: Temporal answers each sooner than all together. */
const startsAtOnce = 32;
/** Once more where a machine went away that had begun an answer, and nothing of it has reached the reader. */
const mostRounds = 3;

type Ended = EndedRequest & { answer: ChatAnswer };

/**
 * Has the fleet answer one request. The row is written before its workflow is started: should this process die in between, the sweep of
 * the coordination workers takes it away. Whoever goes away takes the workflow along.
 */
export function createChatCompletions({
  requests,
  feed,
  starter,
  metrics,
  log,
}: Pick<ApiContext, 'starter' | 'log'> & { requests: GatewayRequestStore; feed: GatewayFeed; metrics: ApiMetrics }) {
  const inTurn = createTurns(startsAtOnce);

  async function run(
    wanted: CompletionWanted,
    signal: AbortSignal,
    onPieces?: (pieces: ChatPiece[]) => Promise<void>,
  ): Promise<Ended> {
    const { caller, asked, modelId, view, priority } = wanted;
    const id = newId('completion');
    const { limits, gateway } = view.fleet;
    const ms = (duration: string) => durationSeconds(duration) * 1000;
    const begin = () =>
      inTurn(async () => {
        signal.throwIfAborted();
        await requests.open({
          id,
          ownerId: caller.ownerId,
          tokenId: caller.tokenId,
          modelId,
          asked,
          caller: feed.caller,
        });
        await starter.start({
          type: 'completeChat',
          workflowId: completionWorkflowId(id),
          args: [
            {
              requestId: id,
              caller: feed.caller,
              modelId,
              queue: view.queueOf(modelId),
              priority,
              limits: {
                heartbeatTimeout: ms(limits.heartbeatTimeout),
                callTimeout: ms(limits.callTimeout),
                scheduleToStart: ms(limits.scheduleToStart),
                waitFor: ms(gateway.waitFor),
              },
              askedAt: Date.now(),
            },
          ],
          again: 'never',
          summary: caller.service ?? 'people',
          ownerId: caller.ownerId,
          content: id,
          priority,
        });
      });
    let ended: EndedRequest | undefined;
    try {
      ended = await feed.follow(id, { signal, ...(onPieces && { onPieces }) }, begin);
      if (ended.answer) return ended as Ended;
      const code = ended.errorCode !== null && isErrorCode(ended.errorCode) ? ended.errorCode : 'INTERNAL';
      throw new DomainError(code, ended.errorMessage ?? 'the request ended without an answer');
    } finally {
      await letGo(id, ended !== undefined);
    }
  }

  /** Nobody waits for it any more: what is left of it goes. What cannot be reached now goes with retention. */
  async function letGo(id: string, ended: boolean): Promise<void> {
    // One by one: whoever answers it ends as soon as it finds the row gone, also where its workflow cannot be reached now.
    const left: Array<() => Promise<unknown>> = [() => requests.forget(id)];
    if (!ended) left.push(() => starter.cancel(completionWorkflowId(id)));
    for (const step of left)
      await step().catch((err: unknown) => log.warn({ err, requestId: id }, 'a request of a service was left behind'));
  }

  async function whole(wanted: CompletionWanted, signal: AbortSignal, reply: FastifyReply) {
    const ended = await run(wanted, signal);
    const { message, logprobs, finishReason: finish_reason, usage } = ended.answer;
    void reply.header('x-soulfra-machine', ended.machineId ?? '');
    const sent = {
      ...chunkBase(ended.id, wanted.modelId),
      object: 'chat.completion' as const,
      choices: [{ index: 0, message, logprobs, finish_reason }],
      usage,
    };
    return { usage, sent };
  }

  async function streamed(wanted: CompletionWanted, signal: AbortSignal, reply: FastifyReply) {
    const since = performance.now();
    const stream = createChunks(reply, wanted, signal);
    try {
      for (let round = 1; ; round += 1) {
        try {
          const ended = await run(wanted, signal, async (pieces) => {
            if (!stream.hasSaid())
              metrics.gatewayFirst.observe({ model: wanted.modelId }, (performance.now() - since) / 1000);
            await stream.pieces(pieces);
          });
          await stream.end(ended.answer);
          return { usage: ended.answer.usage };
        } catch (err) {
          const untold = err instanceof DomainError && err.code === 'ANSWER_CUT' && !stream.hasSaid();
          if (!untold || round >= mostRounds) throw err;
        }
      }
    } catch (err) {
      if (!(await stream.fail(err))) throw err;
      throw new ToldError(err);
    } finally {
      stream.close();
    }
  }

  return async (wanted: CompletionWanted, reply: FastifyReply): Promise<CompletionDone> => {
    const variant = wanted.view.variants.get(wanted.modelId)!;
    refuseOverContext(wanted.asked, loadedContext(variant));
    wanted.view.assertServed(wanted.modelId);
    const gone = new AbortController();
    const leave = () => gone.abort();
    reply.raw.once('close', leave);
    // Who went away before is not told of again.
    if (reply.raw.destroyed) leave();
    try {
      return await (wanted.asked.stream ? streamed : whole)(wanted, gone.signal, reply);
    } finally {
      reply.raw.off('close', leave);
    }
  };
}

/** An answer as chunks of a stream, which begins with its first piece: until then a refusal has a status of its own. */
function createChunks(reply: FastifyReply, { modelId, includeUsage }: CompletionWanted, signal: AbortSignal) {
  const base = { ...chunkBase(newId('completion'), modelId), object: 'chat.completion.chunk' };
  const shown = createChatAssembly();
  let response: ServerResponse | undefined;
  let said = false;
  const begin = () => (response ??= beginStream(reply));
  // Whoever stands between may close what is silent; from here on a refusal comes inside of the stream.
  const beating = setInterval(() => void write(begin(), ': waiting\n\n', signal).catch(() => undefined), heartbeatMs);

  function chunk(delta: ChatDelta, finish: string | null = null, logprobs: unknown = null): string {
    const usage = includeUsage ? { usage: null } : {};
    return event({ ...base, choices: [{ index: 0, delta, logprobs, finish_reason: finish }], ...usage });
  }

  async function tell(deltas: readonly ChatPiece[]): Promise<void> {
    if (deltas.length === 0) return;
    const role = said ? '' : chunk({ role: 'assistant', content: '' });
    said = true;
    for (const piece of deltas) shown.add(piece);
    await write(
      begin(),
      role + deltas.map(({ delta, logprobs }) => chunk(delta, null, logprobs ?? null)).join(''),
      signal,
    );
  }

  return {
    hasSaid: () => said,
    pieces: tell,

    /** @throws ANSWER_CUT where what was shown is no beginning of the answer */
    async end(answer: ChatAnswer): Promise<void> {
      const rest = restOf(answer, said ? shown.end(answer).message : undefined);
      if (!rest) throw new DomainError('ANSWER_CUT', 'what was sent is no beginning of the answer');
      if (!said || Object.keys(rest).length > 0) await tell([{ delta: rest, logprobs: said ? null : answer.logprobs }]);
      const usage = includeUsage ? event({ ...base, choices: [], usage: answer.usage }) : '';
      await write(begin(), `${chunk({}, answer.finishReason)}${usage}data: [DONE]\n\n`, signal);
    },

    /** @returns whether the reader has been told, as the stream had begun */
    async fail(err: unknown): Promise<boolean> {
      if (!response) return false;
      if (!signal.aborted) {
        const known = err instanceof DomainError ? err : new DomainError('INTERNAL', 'something went wrong here');
        await write(response, event(openAiErrorOf(known)), signal).catch(() => undefined);
      }
      return true;
    },

    close(): void {
      clearInterval(beating);
      response?.end();
    },
  };
}

/** Told inside of a stream already: there is nothing left to answer with. */
export class ToldError extends Error {
  constructor(cause: unknown) {
    super('the stream ended with an error', { cause });
    this.name = 'ToldError';
  }
}

function chunkBase(id: string, model: string) {
  return { id: id.replace(/^[a-z]+_/, 'chatcmpl-'), created: Math.floor(Date.now() / 1000), model };
}

function event(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}
