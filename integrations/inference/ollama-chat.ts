import { z } from 'zod';
import { isDomainError } from '../../domain/errors.ts';
import { type ChatParameters, type GatewayMessage, unsupported } from '../../domain/openai-requests.ts';
import { createCallWatch, type WatchedCall } from './call-watch.ts';
import type { ChatEnd, ChatModel, ChatRequest, ChatWatch } from './chat.ts';
import type { ModelServerOptions } from './inference.ts';
import { cutStreamError, modelConnectionError, modelStatusError, modelStreamError } from './model-errors.ts';
import { linesOf, ollamaRoot } from './ollama.ts';

const partSchema = z.object({
  message: z
    .object({
      content: z.string().default(''),
      thinking: z.string().default(''),
      tool_calls: z
        .array(z.object({ function: z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()) }) }))
        .default([]),
    })
    .optional(),
  done: z.boolean().default(false),
  done_reason: z.string().optional(),
  prompt_eval_count: z.number().default(0),
  eval_count: z.number().optional(),
  error: z.string().optional(),
});

/** What OpenAI's names are in Ollama's `options`. */
const optionNames = {
  temperature: 'temperature',
  top_p: 'top_p',
  top_k: 'top_k',
  min_p: 'min_p',
  repetition_penalty: 'repeat_penalty',
  presence_penalty: 'presence_penalty',
  frequency_penalty: 'frequency_penalty',
  seed: 'seed',
} as const satisfies Partial<Record<keyof ChatParameters, string>>;

/** Handled below, or (user) said for the records of a hosted service alone. */
const otherNames = new Set<string>(['stop', 'response_format', 'tools', 'reasoning_effort', 'user']);

/**
 * Ollama by its own API, asked in OpenAI's words: its OpenAI endpoint takes no context length, so it would load the model anew with
 * another one and cut what is longer without a word.
 */
export function createOllamaChat(options: ModelServerOptions): ChatModel {
  const url = `${ollamaRoot(options.baseUrl)}/api/chat`;
  const watchCall = createCallWatch(options);
  return {
    async chat(request, watch) {
      const body = bodyFor(request);
      return watchCall(request.model, watch, (call) => stream(url, options, body, watch, call));
    },
  };
}

async function stream(
  url: string,
  options: ModelServerOptions,
  body: object,
  watch: ChatWatch,
  call: WatchedCall,
): Promise<ChatEnd> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }),
    },
    body: JSON.stringify(body),
    signal: call.signal,
  }).catch((err: unknown) => {
    throw modelConnectionError(err);
  });
  if (!response.ok) throw modelStatusError(response.status, await response.text().catch(String));
  call.progressed('headers', 0);
  let tokens = 0;
  let calls = 0;
  try {
    for await (const line of linesOf(response.body)) {
      const part = partSchema.parse(JSON.parse(line));
      if (part.error !== undefined) throw modelStreamError({ message: part.error });
      const { content = '', thinking = '', tool_calls: called = [] } = part.message ?? {};
      if (content !== '' || thinking !== '' || called.length > 0) {
        call.progressed('token', (tokens += 1));
        const delta = {
          ...(content === '' ? {} : { content }),
          ...(thinking === '' ? {} : { reasoning: thinking }),
          ...(called.length === 0 ? {} : { tool_calls: called.map((one) => toolCall(one.function, calls++)) }),
        };
        if (!call.signal.aborted) await watch.onPiece({ delta });
      }
      if (!part.done) continue;
      const { prompt_eval_count: prompt, eval_count: written = tokens, done_reason: reason = 'stop' } = part;
      return {
        finishReason: calls > 0 && reason === 'stop' ? 'tool_calls' : reason,
        usage: { prompt_tokens: prompt, completion_tokens: written, total_tokens: prompt + written },
      };
    }
  } catch (err) {
    if (isDomainError(err)) throw err;
    throw modelConnectionError(err);
  }
  throw cutStreamError(tokens);
}

/** Ollama gives a call no id; the answer to it comes back with the one that it was told. */
function toolCall({ name, arguments: given }: { name: string; arguments: object }, index: number) {
  return { index, id: `call_${index}`, type: 'function', function: { name, arguments: JSON.stringify(given) } };
}

/** @throws PARAMETER_UNSUPPORTED for what Ollama does not heed */
function bodyFor({ model, messages, parameters, maxTokens, loadedTokens }: ChatRequest): object {
  for (const name of Object.keys(parameters)) {
    if (!(name in optionNames) && !otherNames.has(name)) throw unsupported(name, 'is not heeded by Ollama');
  }
  const named = Object.entries(optionNames).flatMap(([ours, theirs]) => {
    const value = parameters[ours as keyof typeof optionNames];
    return value === undefined ? [] : [[theirs, value] as const];
  });
  const { stop, tools, reasoning_effort: effort } = parameters;
  return {
    model,
    messages: messages.map(messageFor),
    stream: true,
    ...formatOf(parameters.response_format),
    ...(tools === undefined ? {} : { tools }),
    ...(effort === undefined ? {} : { think: effort === 'none' ? false : effort }),
    truncate: false,
    shift: false,
    // The plan loads and unloads; without this each call would set the model to leave after five minutes.
    keep_alive: -1,
    options: {
      ...Object.fromEntries(named),
      ...(stop === undefined ? {} : { stop: [stop].flat() }),
      ...(maxTokens === undefined ? {} : { num_predict: maxTokens }),
      num_ctx: loadedTokens,
    },
  };
}

function formatOf(format: ChatParameters['response_format']): object {
  if (format === undefined || format.type === 'text') return {};
  if (format.type === 'json_object') return { format: 'json' };
  const { schema } = (format['json_schema'] ?? {}) as { schema?: object };
  if (schema === undefined) throw unsupported('response_format.json_schema.schema', 'must be there');
  return { format: schema };
}

function messageFor(message: GatewayMessage): object {
  const { role, content, ...rest } = message as GatewayMessage & { tool_calls?: unknown; tool_call_id?: unknown };
  const parts = typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
  const texts: string[] = [];
  const images: string[] = [];
  for (const part of parts as Array<{ type: string; text?: unknown; image_url?: { url?: unknown } }>) {
    const url = part.image_url?.url;
    const image = typeof url === 'string' ? /^data:image\/[\w.+-]+;base64,(.+)$/s.exec(url)?.[1] : undefined;
    if (part.type === 'text' && typeof part.text === 'string') texts.push(part.text);
    else if (part.type === 'image_url' && image !== undefined) images.push(image);
    else throw unsupported(`messages.content.${part.type}`, 'is not heeded by Ollama: text and data: images are');
  }
  return {
    role: role === 'developer' ? 'system' : role,
    content: texts.join('\n'),
    ...(images.length > 0 ? { images } : {}),
    ...(rest.tool_calls === undefined ? {} : { tool_calls: toolCallsFor(rest.tool_calls) }),
    ...(rest.tool_call_id === undefined ? {} : { tool_call_id: rest.tool_call_id }),
  };
}

const askedCalls = z.array(z.looseObject({ function: z.looseObject({ name: z.string(), arguments: z.string() }) }));

/** OpenAI's arguments are JSON in a text, Ollama's the object itself. */
function toolCallsFor(calls: unknown): object[] {
  const parsed = askedCalls.safeParse(calls);
  if (!parsed.success) throw unsupported('messages.tool_calls', 'must each have a function with a name and arguments');
  return parsed.data.map(({ function: { name, arguments: text } }) => {
    try {
      return { function: { name, arguments: JSON.parse(text === '' ? '{}' : text) as unknown } };
    } catch (err) {
      throw unsupported('messages.tool_calls.function.arguments', `must be JSON (${String(err)})`);
    }
  });
}
