import { z } from 'zod';
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

const partSchema = z.object({
  message: z.object({ content: z.string().default(''), thinking: z.string().default('') }).optional(),
  done: z.boolean().default(false),
  done_reason: z.string().optional(),
  prompt_eval_count: z.number().optional(),
  eval_count: z.number().optional(),
  error: z.string().optional(),
});

/**
 * Ollama by its own API: its OpenAI endpoint takes no context length and cuts a longer prompt without a word, while
 * /api/chat takes `num_ctx` and refuses with `truncate: false`.
 */
export function createOllamaModel(options: ModelServerOptions): TextModel {
  const url = `${ollamaRoot(options.baseUrl)}/api/chat`;
  const watchCall = createCallWatch(options);
  return {
    generate: (request, watch) => watchCall(request.model, watch, (call) => stream(url, options, request, call)),
  };
}

/** The server without the `/v1` of its OpenAI-compatible base. */
export function ollamaRoot(baseUrl: string): string {
  return baseUrl.replace(/\/+$/, '').replace(/\/v1$/, '');
}

async function stream(
  url: string,
  options: ModelServerOptions,
  request: GenerateRequest,
  call: WatchedCall,
): Promise<Generation> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
    },
    body: JSON.stringify(bodyFor(request)),
    signal: call.signal,
  }).catch((err: unknown) => {
    throw modelConnectionError(err);
  });
  if (!response.ok) throw modelStatusError(response.status, await response.text().catch(String));
  call.progressed('headers', 0);
  let text = '';
  let tokens = 0;
  try {
    for await (const line of linesOf(response.body)) {
      const part = partSchema.parse(JSON.parse(line));
      if (part.error !== undefined) throw modelStreamError({ message: part.error });
      const content = part.message?.content ?? '';
      if (content !== '') call.wrote(content);
      if (content !== '' || (part.message?.thinking ?? '') !== '') call.progressed('token', (tokens += 1));
      text += content;
      if (!part.done) continue;
      const promptTokens = part.prompt_eval_count;
      if (promptTokens !== undefined) assertWithinContext(promptTokens, request.maxTokens, request.contextTokens);
      return {
        text,
        tokens: part.eval_count ?? tokens,
        ...(promptTokens === undefined ? {} : { promptTokens }),
        finishReason: part.done_reason ?? 'stop',
      };
    }
  } catch (err) {
    if (isDomainError(err)) throw err;
    throw modelConnectionError(err);
  }
  throw cutStreamError(tokens);
}

function bodyFor(request: GenerateRequest): Record<string, unknown> {
  return {
    model: request.model,
    messages: request.messages,
    stream: true,
    think: false,
    ...(request.jsonSchema === undefined ? {} : { format: request.jsonSchema }),
    truncate: false,
    shift: false,
    // The plan loads and unloads; without this each call would set the model to leave after five minutes.
    keep_alive: -1,
    options: {
      num_ctx: request.loadedTokens ?? request.contextTokens,
      num_predict: request.maxTokens,
      ...(request.seed === undefined ? {} : { seed: request.seed }),
    },
  };
}

export async function* linesOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<string> {
  if (body === null) return;
  let rest = '';
  const decoder = new TextDecoder();
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines.filter((line) => line.trim() !== '');
  }
  if (rest.trim() !== '') yield rest;
}
