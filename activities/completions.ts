import { createChatAssembly } from '../domain/chat-pieces.ts';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { type ChatAsked, isAboutContext } from '../domain/openai-requests.ts';
import { loadedContext } from '../domain/vram.ts';
import type { BegunRequest, GatewayRequestStore } from '../stores/gateway-requests.ts';
import type { AnswerStream } from './answers.ts';
import { type Awaited, createAwaited } from './awaited.ts';
import { createOnMachine, type MachineCallDeps } from './machine-calls.ts';

export interface CompletionDeps extends MachineCallDeps {
  gatewayRequests: GatewayRequestStore;
  stream: AnswerStream;
}

export interface WriteCompletionInput extends Awaited {
  modelId: string;
  queue: string;
  /** How many times the request has asked a machine, this one included. */
  attempt: number;
}

/** How often it is asked whether somebody waits still. */
const awaitedLookMs = 2_000;

/** What inference queues run for services: their requests, as they came. */
export function createCompletionActivities(deps: CompletionDeps) {
  const { gatewayRequests, stream } = deps;
  const onMachine = createOnMachine(deps);
  const assertAwaited = createAwaited(gatewayRequests);

  return {
    /** One answer, stored under the machine's epoch. Of a stream only the attempt that shows its first words goes on. */
    async writeCompletion({
      requestId,
      caller,
      modelId,
      queue,
      attempt,
    }: WriteCompletionInput): Promise<{ tokens: number }> {
      const begun = await gatewayRequests.begin(requestId, attempt, deps.lease().machineId);
      if (begun.kind === 'answered') return { tokens: begun.tokens };
      const { asked, tokenId, ownerId } = stillOpen(begun, requestId);
      const spends = ({ model }: { model: Parameters<typeof loadedContext>[0]['model'] }) => ({
        key: `${requestId}/completion`,
        ownerId,
        askedBy: tokenId,
        most: asked.maxTokens ?? loadedContext({ model }),
      });
      const awaited = { requestId, ...(caller === undefined ? {} : { caller }) };
      // Before a sequence is asked for: what nobody waits for takes none.
      const before = () => assertAwaited(awaited);
      return onMachine({ modelId, queue, once: true, before, spends }, async ({ held, call, watch, wrote }) => {
        if (!call.chat) throw new DomainError('MODEL_UNSERVED', `${held.machineId} has no model server for ${modelId}`);
        const assembly = createChatAssembly();
        let writing: ReturnType<AnswerStream['begin']> | undefined;
        const letGo = new AbortController();
        const looks = setInterval(() => {
          assertAwaited(awaited).catch((err: unknown) => {
            // What cannot be asked now is asked at the next look.
            if (isDomainError(err, 'CONFLICT')) letGo.abort(err);
          });
        }, awaitedLookMs);
        const end = await call.chat
          .chat(
            {
              model: call.servedAs,
              messages: asked.messages,
              parameters: asked.parameters,
              maxTokens: asked.maxTokens,
              loadedTokens: loadedContext(call.variant),
            },
            {
              ...watch,
              signal: AbortSignal.any([watch.signal, letGo.signal]),
              async onPiece(piece) {
                assembly.add(piece);
                if (!asked.stream) return;
                if (!writing) {
                  await gatewayRequests.show(requestId, attempt, held);
                  writing = stream.begin({ messageId: requestId, attempt, machineId: held.machineId });
                }
                writing.write(`${JSON.stringify(piece)}\n`);
              },
            },
          )
          .catch((err: unknown) => {
            throw told(err);
          })
          .finally(() => clearInterval(looks));
        wrote(end.usage.completion_tokens);
        await writing?.end();
        await gatewayRequests.answer(requestId, attempt, held, assembly.end(end));
        return { tokens: end.usage.completion_tokens };
      });
    },
  };
}
export type CompletionActivities = ReturnType<typeof createCompletionActivities>;

function stillOpen(
  begun: Exclude<BegunRequest, { kind: 'answered' }>,
  requestId: string,
): { asked: ChatAsked; tokenId: string; ownerId: string } {
  if (begun.kind === 'gone') throw new DomainError('CONFLICT', `nobody waits for ${requestId} any more`);
  if (begun.kind === 'shown') throw new DomainError('ANSWER_CUT', 'another machine had begun to answer, and went away');
  return begun;
}

/** Model servers refuse what is too long as they refuse anything; whoever asked is told which it was. */
function told(err: unknown): unknown {
  if (isDomainError(err, 'MODEL_REFUSED') && isAboutContext(err.message))
    return new DomainError('CONTEXT_TOO_LONG', err.message, { cause: err });
  return err;
}
