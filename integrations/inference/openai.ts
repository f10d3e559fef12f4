import OpenAI, { APIConnectionError, APIError } from 'openai';
import { isDomainError } from '../../domain/errors.ts';
import { createCallWatch, type WatchedCall } from './call-watch.ts';
import type { GenerateRequest, Generation, ModelServerOptions, TextModel } from './inference.ts';
import {
  assertWithinContext,
  cutStreamError,
  modelConnectionError,
  modelStatusError,
  modelStreamError,
} from './model-errors.ts';

type StreamRequest = OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming;

/** A client of a model server that speaks OpenAI's protocol. */
export function openAiClient(options: ModelServerOptions): OpenAI {
  return new OpenAI({
    baseURL: options.baseUrl,
    apiKey: options.apiKey ?? 'none',
    // Temporal is the one retry loop.
    maxRetries: 0,
    timeout: options.callMs,
    logLevel: 'off',
  });
}

/** Chat completions of vLLM, llama.cpp and any other OpenAI-compatible server. Ollama has its own: see ollama.ts. */
export function createOpenAiModel(options: ModelServerOptions): TextModel {
  const client = openAiClient(options);
  const watchCall = createCallWatch(options);
  return {
    generate: (request, watch) => watchCall(request.model, watch, (call) => stream(client, options, request, call)),
  };
}

async function stream(
  client: OpenAI,
  options: ModelServerOptions,
  request: GenerateRequest,
  call: WatchedCall,
): Promise<Generation> {
  let text = '';
  let tokens = 0;
  let promptTokens: number | undefined;
  let finishReason: string | undefined;
  try {
    const chunks = await client.chat.completions.create(bodyFor(options, request), { signal: call.signal });
    call.progressed('headers', 0);
    for await (const chunk of chunks) {
      const choice = chunk.choices?.[0];
      const delta = choice?.delta.content ?? '';
      if (chunk.usage) {
        tokens = chunk.usage.completion_tokens;
        promptTokens = chunk.usage.prompt_tokens;
        assertWithinContext(promptTokens, request.maxTokens, request.contextTokens);
      } else if (delta !== '' || isThinking(choice?.delta)) {
        tokens += 1;
      }
      if (delta !== '' || isThinking(choice?.delta)) call.progressed('token', tokens);
      else if ('prompt_progress' in chunk) call.progressed('prompt', tokens);
      if (delta !== '') call.wrote(delta);
      text += delta;
      finishReason = choice?.finish_reason ?? finishReason;
    }
  } catch (err) {
    throw mappedOpenAiError(err);
  }
  if (finishReason === undefined) throw cutStreamError(tokens);
  return { text, tokens, ...(promptTokens === undefined ? {} : { promptTokens }), finishReason };
}

function bodyFor(options: ModelServerOptions, request: GenerateRequest): StreamRequest {
  const hosted = options.kind === 'openai';
  const body: StreamRequest = {
    model: request.model,
    messages: [...request.messages],
    max_tokens: request.maxTokens,
    stream: true,
    stream_options: { include_usage: true },
    ...formatOf(request, hosted),
    ...(request.seed === undefined ? {} : { seed: request.seed }),
  };
  if (hosted) return body;
  // Thinking would spend the answer's tokens; templates without it ignore the key.
  const local = { chat_template_kwargs: { enable_thinking: false } };
  // Only vLLM counts tokens in each chunk; elsewhere a chunk is a token.
  const counted = { stream_options: { include_usage: true, continuous_usage_stats: true } };
  // A long prompt takes a small card longer than the stall limit; llama.cpp tells of each batch it has read.
  const told = { return_progress: true };
  return {
    ...body,
    ...local,
    ...(options.kind === 'vllm' ? counted : {}),
    ...(options.kind === 'llamacpp' ? told : {}),
  };
}

/** The hosted API refuses length limits in strict mode; local servers turn the whole schema into a grammar. */
function formatOf({ schemaName: name = 'answer', jsonSchema: schema }: GenerateRequest, hosted: boolean) {
  if (schema === undefined) return {};
  return { response_format: { type: 'json_schema' as const, json_schema: { name, schema, strict: !hosted } } };
}

/** Reasoning text is not part of OpenAI's types, but vLLM and llama.cpp stream it, and it is progress. */
function isThinking(delta: object | undefined): boolean {
  if (delta === undefined) return false;
  const thought =
    ('reasoning_content' in delta && delta.reasoning_content) || ('reasoning' in delta && delta.reasoning);
  return typeof thought === 'string' && thought !== '';
}

/** What the client throws, as a code of the table. */
export function mappedOpenAiError(err: unknown): unknown {
  if (isDomainError(err)) return err;
  if (err instanceof APIConnectionError) return modelConnectionError(err);
  if (err instanceof APIError) {
    if (err.status !== undefined) return modelStatusError(err.status, err.message, err);
    return modelStreamError((err.error ?? { message: err.message }) as { code?: unknown; message?: unknown }, err);
  }
  // What remains comes out of the stream: a reset socket, or bytes that are no event.
  return modelConnectionError(err);
}
