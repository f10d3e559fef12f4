import type { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import type { ChatMessage } from '../../domain/prompts/reflect.ts';
import type { GenerateRequest, Generation, TextModel, Watch } from './inference.ts';

export interface StructuredGeneration<T> {
  value: T;
  /** Over both tries. */
  tokens: number;
  promptTokens?: number;
  repaired: boolean;
}

/** Generates and parses by schema. An answer that does not parse is told what was wrong, once; then MODEL_OUTPUT_INVALID. */
export async function generateStructured<T>(
  model: TextModel,
  request: GenerateRequest,
  schema: z.ZodType<T>,
  watch: Watch,
): Promise<StructuredGeneration<T>> {
  const first = await model.generate(request, watch);
  const parsed = parse(first, schema);
  if (parsed.ok) return { value: parsed.value, ...counts([first]), repaired: false };

  const onward: Watch = {
    signal: watch.signal,
    // Progress of a step never goes back: the second try counts on from the first.
    onProgress: ({ phase, tokens }) => watch.onProgress({ phase, tokens: first.tokens + tokens }),
  };
  const again = { ...request, messages: repairMessages(request.messages, parsed.problem), ...nextSeed(request) };
  const second = await model.generate(again, onward);
  const reparsed = parse(second, schema);
  if (reparsed.ok) return { value: reparsed.value, ...counts([first, second]), repaired: true };
  throw new DomainError(
    'MODEL_OUTPUT_INVALID',
    `the answer did not follow the schema (${parsed.problem}), nor did the repaired one (${reparsed.problem})`,
  );
}

type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string };

function parse<T>(generation: Generation, schema: z.ZodType<T>): Parsed<T> {
  const cut = generation.finishReason === 'length' ? 'it was cut at the token limit, so write less; ' : '';
  let json: unknown;
  try {
    json = JSON.parse(jsonIn(generation.text));
  } catch (err) {
    return {
      ok: false,
      problem: `${cut}it is not one JSON object: ${clip(err instanceof Error ? err.message : String(err))}`,
    };
  }
  const result = schema.safeParse(json);
  if (result.success) return { ok: true, value: result.data };
  const issues = result.error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.') || 'answer'}: ${issue.message}`);
  return { ok: false, problem: `${cut}${clip(issues.join('; '))}` };
}

/** Servers without grammars wrap the object in thoughts, fences or politeness. */
function jsonIn(text: string): string {
  const answer = text.replace(/^\s*<think>[\s\S]*?<\/think>/, '');
  const from = answer.indexOf('{');
  const to = answer.lastIndexOf('}');
  return from === -1 || to < from ? answer : answer.slice(from, to + 1);
}

/** The bad answer is not sent back: it could be as long as the answer itself, and the context is full. */
function repairMessages(messages: readonly ChatMessage[], problem: string): ChatMessage[] {
  const told = `\n\nAn earlier answer was not accepted: ${problem}. Answer again with the one JSON object only.`;
  return messages.map((message, i) =>
    i === messages.length - 1 ? { ...message, content: message.content + told } : message,
  );
}

/** With the same seed a server would give the same answer. */
function nextSeed(request: GenerateRequest): { seed?: number } {
  return request.seed === undefined ? {} : { seed: request.seed + 1 };
}

function counts(generations: readonly Generation[]): { tokens: number; promptTokens?: number } {
  const tokens = generations.reduce((sum, generation) => sum + generation.tokens, 0);
  const prompts = generations.flatMap(({ promptTokens }) => (promptTokens === undefined ? [] : [promptTokens]));
  return prompts.length < generations.length
    ? { tokens }
    : { tokens, promptTokens: prompts.reduce((a, b) => a + b, 0) };
}

function clip(text: string): string {
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
}
