import type OpenAI from 'openai';
import { type ChatPiece, type ChatUsage, saysSomething } from '../../domain/chat-pieces.ts';
import type { ChatParameters, GatewayMessage } from '../../domain/openai-requests.ts';
import { createCallWatch, type WatchedCall } from './call-watch.ts';
import type { ModelServerOptions, Watch } from './inference.ts';
import { cutStreamError } from './model-errors.ts';
import { createOllamaChat } from './ollama-chat.ts';
import { mappedOpenAiError, openAiClient } from './openai.ts';

/** A request by OpenAI's protocol, handed on with all that it asks for. */
export interface ChatRequest {
  /** What the model server calls the model. */
  model: string;
  messages: readonly GatewayMessage[];
  parameters: ChatParameters;
  /** Absent: until the model ends it, or the context is full. */
  maxTokens: number | undefined;
  /** Context of a sequence as the model stands loaded. */
  loadedTokens: number;
}

export interface ChatWatch extends Watch {
  /** Each piece as the server streams it, in order; the call waits for the promise. */
  onPiece(piece: ChatPiece): Promise<void>;
}

export interface ChatEnd {
  finishReason: string;
  usage: ChatUsage;
}

/** A model server that answers whatever it is asked, not only our own prompts; throws DomainErrors of the MODEL_ family and PARAMETER_UNSUPPORTED. */
export interface ChatModel {
  chat(request: ChatRequest, watch: ChatWatch): Promise<ChatEnd>;
}

export function createChatModel(options: ModelServerOptions): ChatModel {
  return options.kind === 'ollama' ? createOllamaChat(options) : createOpenAiChat(options);
}

function createOpenAiChat(options: ModelServerOptions): ChatModel {
  const client = openAiClient(options);
  const watchCall = createCallWatch(options);
  return {
    chat: (request, watch) =>
      watchCall(request.model, watch, (call) => stream(client, bodyFor(options, request), watch, call)),
  };
}

type StreamRequest = OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming;

async function stream(client: OpenAI, body: StreamRequest, watch: ChatWatch, call: WatchedCall): Promise<ChatEnd> {
  let tokens = 0;
  let usage: ChatUsage | undefined;
  let finishReason: string | undefined;
  try {
    const chunks = await client.chat.completions.create(body, { signal: call.signal });
    call.progressed('headers', 0);
    for await (const chunk of chunks) {
      const choice = chunk.choices?.[0];
      if (chunk.usage) {
        const { prompt_tokens, completion_tokens, total_tokens } = chunk.usage;
        usage = { prompt_tokens, completion_tokens, total_tokens };
        tokens = completion_tokens;
      }
      if (!choice) continue;
      finishReason = choice.finish_reason ?? finishReason;
      const piece = { delta: choice.delta, logprobs: choice.logprobs ?? null } as ChatPiece;
      if (!saysSomething(piece)) {
        if ('prompt_progress' in chunk) call.progressed('prompt', tokens);
        continue;
      }
      if (!chunk.usage) tokens += 1;
      call.progressed('token', tokens);
      if (!call.signal.aborted) await watch.onPiece(piece);
    }
  } catch (err) {
    throw mappedOpenAiError(err);
  }
  if (finishReason === undefined) throw cutStreamError(tokens);
  // A server that counts nothing is counted by its chunks.
  return { finishReason, usage: usage ?? { prompt_tokens: 0, completion_tokens: tokens, total_tokens: tokens } };
}

function bodyFor(options: ModelServerOptions, { model, messages, parameters, maxTokens }: ChatRequest): StreamRequest {
  const hosted = options.kind === 'openai';
  const limit = maxTokens === undefined ? {} : { max_tokens: maxTokens };
  const body = {
    ...parameters,
    ...limit,
    model,
    // Templates of local models know no developer.
    messages: hosted
      ? messages
      : messages.map((said) => (said.role === 'developer' ? { ...said, role: 'system' } : said)),
    stream: true,
    stream_options: { include_usage: true },
    // A long prompt takes a small card longer than the stall limit; llama.cpp tells of each batch it has read.
    ...(options.kind === 'llamacpp' ? { return_progress: true } : {}),
  };
  return body as unknown as StreamRequest;
}
