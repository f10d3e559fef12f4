import { z } from 'zod';
import { isDeeperThan, mostJsonDepth } from './any-json.ts';
import { DomainError } from './errors.ts';

/** What a request by OpenAI's protocol may ask for; whatever else it names is refused by name, never dropped. */

const mostMessages = 2_000;
const contentSchema = z.union([z.string(), z.array(z.looseObject({ type: z.string() })).max(500)]);
export const chatMessageSchema = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: contentSchema.nullish(),
});
export type GatewayMessage = z.infer<typeof chatMessageSchema>;

/** What model servers are handed as it came; whatever else a request names is refused by name. */
const handedOn = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  response_format: z.looseObject({ type: z.enum(['text', 'json_object', 'json_schema']) }).nullish(),
  tools: z
    .array(z.looseObject({ type: z.string() }))
    .max(256)
    .nullish(),
  tool_choice: z.union([z.string(), z.looseObject({})]).nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  reasoning_effort: z.string().max(20).nullish(),
  user: z.string().max(500).nullish(),
};

export const chatRequestSchema = z
  .looseObject({
    model: z.string().min(1).max(200).describe('As GET /openai/v1/models names it, or by an alias'),
    messages: z.array(chatMessageSchema).min(1).max(mostMessages),
    stream: z.boolean().nullish(),
    stream_options: z.strictObject({ include_usage: z.boolean().nullish() }).nullish(),
    max_tokens: z.int().min(1).nullish(),
    max_completion_tokens: z.int().min(1).nullish(),
    n: z.int().nullish().describe('1 only'),
    ...handedOn,
  })
  .meta({ id: 'ChatCompletionRequest' });

export const embeddingRequestSchema = z
  .looseObject({
    model: z.string().min(1).max(200),
    input: z.union([z.string(), z.array(z.union([z.string(), z.number(), z.array(z.number())])).min(1)]),
    encoding_format: z.enum(['float', 'base64']).nullish(),
    user: z.string().max(500).nullish(),
  })
  .meta({ id: 'EmbeddingRequest' });

export type ChatParameters = { [Name in keyof typeof handedOn]?: NonNullable<z.infer<(typeof handedOn)[Name]>> };

/** A request as it waits for a machine: checked, and nothing in it that would not be heeded. */
export interface ChatAsked {
  messages: GatewayMessage[];
  parameters: ChatParameters;
  /** Absent: until the model ends it, or the context is full. */
  maxTokens?: number;
  stream: boolean;
}

const known = new Set(Object.keys(chatRequestSchema.shape));
const knownOfEmbeddings = new Set(Object.keys(embeddingRequestSchema.shape));

/** @throws PARAMETER_UNSUPPORTED naming the first that is not heeded here */
export function chatAsked(body: z.infer<typeof chatRequestSchema>): ChatAsked {
  refuseUnknown(body, known);
  for (const [name, value] of Object.entries(body)) {
    if (isDeeperThan(value, mostJsonDepth)) throw unsupported(name, `must not be nested deeper than ${mostJsonDepth}`);
  }
  body.messages.forEach(refuseLinks);
  if ((body.n ?? 1) !== 1) throw unsupported('n', 'must be 1: ask once for each answer');
  const older = body.max_tokens ?? undefined;
  const newer = body.max_completion_tokens ?? undefined;
  if (older !== undefined && newer !== undefined && older !== newer)
    throw unsupported('max_tokens', 'must not stand beside another max_completion_tokens');
  if ((body.stream_options ?? undefined) !== undefined && body.stream !== true)
    throw unsupported('stream_options', 'must stand beside stream: true');
  const maxTokens = newer ?? older;
  const parameters = Object.fromEntries(
    Object.keys(handedOn).flatMap((key) => {
      const value = body[key as keyof typeof handedOn] ?? undefined;
      return value === undefined ? [] : [[key, value]];
    }),
  ) as ChatParameters;
  return {
    messages: body.messages,
    parameters,
    ...(maxTokens === undefined ? {} : { maxTokens }),
    stream: body.stream === true,
  };
}

/** @throws PARAMETER_UNSUPPORTED, also for token arrays: which tokens they are only their own model knows */
export function embeddingTexts(body: z.infer<typeof embeddingRequestSchema>): string[] {
  refuseUnknown(body, knownOfEmbeddings);
  const texts = [body.input].flat();
  if (texts.length > mostTexts) throw unsupported('input', `must be ${mostTexts} texts at the most`);
  return texts.map((text, i) => {
    if (typeof text !== 'string') throw unsupported('input', 'must be text, not tokens');
    if (text.trim() === '') throw unsupported(`input.${i}`, 'must not be empty');
    return text;
  });
}
const mostTexts = 256;

function refuseUnknown(body: object, names: ReadonlySet<string>): void {
  for (const [name, value] of Object.entries(body)) {
    if ((value ?? undefined) !== undefined && !names.has(name)) throw unsupported(name, 'is not supported here');
  }
}

/** Model servers fetch what a part links to, from inside of the network: only what comes with the request is handed on. */
function refuseLinks({ content }: GatewayMessage, at: number): void {
  if (!Array.isArray(content)) return;
  for (const [i, part] of content.entries()) {
    const path = `messages.${at}.content.${i}`;
    if (!contentTypes.has(part.type)) throw unsupported(`${path}.type`, `must be ${[...contentTypes].join(', ')}`);
    if (part.type !== 'image_url' && part['image_url'] === undefined) continue;
    const image: unknown = part['image_url'];
    const url: unknown = typeof image === 'object' && image !== null && 'url' in image ? image.url : image;
    if (typeof url !== 'string' || !url.startsWith('data:'))
      throw unsupported(`${path}.image_url.url`, 'must be a data: URL: nothing is fetched for a request');
  }
}
const contentTypes = new Set(['text', 'refusal', 'input_audio', 'image_url']);

export function unsupported(path: string, rule: string): DomainError {
  return new DomainError('PARAMETER_UNSUPPORTED', `${path.slice(0, 100)} ${rule}`, {
    fields: [{ path: path.slice(0, 100), rule, mend: 'Leave it out; docs/gateway.md lists what is heeded.' }],
  });
}

/**
 * Refuses what no tokenizer fits into the context: each word is a token at least. What is over it by less the model server
 * refuses, which counts by its own tokenizer.
 * @throws CONTEXT_TOO_LONG
 */
export function refuseOverContext(asked: ChatAsked, contextTokens: number): void {
  const words = asked.messages.reduce((sum, message) => sum + wordsOf(message), 0);
  const wanted = words + (asked.maxTokens ?? 1);
  if (wanted <= contextTokens) return;
  const rest = asked.maxTokens === undefined ? '' : ` and ${asked.maxTokens} tokens are asked for`;
  throw new DomainError(
    'CONTEXT_TOO_LONG',
    `the model's context is ${contextTokens} tokens; the messages have at least ${words}${rest}`,
  );
}

function wordsOf({ content }: GatewayMessage): number {
  const texts = typeof content === 'string' ? [content] : (content ?? []).map((part) => part['text']);
  return texts.reduce<number>(
    (sum, text) => sum + (typeof text === 'string' ? (text.match(/\S+/g)?.length ?? 0) : 0),
    0,
  );
}

/** Whether what a model server refused was too long for it: each kind says so in words of its own. */
export function isAboutContext(message: string): boolean {
  return /context (size|length|window)|maximum context|max_model_len|exceeds? the (available )?context|prompt is too long|input length exceeds/i.test(
    message,
  );
}
