import type { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { repaired } from '../../domain/prompts/versions.ts';
import type { GenerateRequest, Generation, TextModel, Watch } from './inference.ts';

export interface StructuredGeneration<T> {
  value: T;
  /** Over both tries. */
  tokens: number;
  promptTokens?: number;
  repaired: boolean;
}

/** What came of one or two tries: a value, or why the last answer was none. */
export interface StructuredTry<T> {
  value?: T;
  /** Why the last answer did not follow the schema; only without a value. */
  invalid?: string;
  /** What the model was told of its first answer, where it was asked twice. */
  repair: string | null;
  modelCalls: number;
  tokens: number;
  promptTokens?: number;
}

/** Generates and parses by schema. An answer that does not parse is told what was wrong, once; then MODEL_OUTPUT_INVALID. */
export async function generateStructured<T>(
  model: TextModel,
  request: GenerateRequest,
  schema: z.ZodType<T>,
  watch: Watch,
): Promise<StructuredGeneration<T>> {
  const { value, invalid, repair, tokens, promptTokens } = await tryStructured(model, request, schema, watch);
  if (value === undefined) throw outputInvalid(repair, invalid);
  return { value, tokens, ...(promptTokens === undefined ? {} : { promptTokens }), repaired: repair !== null };
}

function outputInvalid(repair: string | null, invalid: string | undefined): DomainError {
  const first = repair === null ? invalid : `${repair}), nor did the repaired one (${invalid}`;
  return new DomainError('MODEL_OUTPUT_INVALID', `the answer did not follow the schema (${first})`);
}

/** @param mostCalls 2: an answer that does not parse is told what was wrong and asked for once more */
export async function tryStructured<T>(
  model: TextModel,
  request: GenerateRequest,
  schema: z.ZodType<T>,
  watch: Watch,
  mostCalls = 2,
): Promise<StructuredTry<T>> {
  const first = await model.generate(request, watch);
  const parsed = parse(first, schema);
  if (parsed.ok) return { value: parsed.value, repair: null, ...counts([first]) };
  if (mostCalls < 2) return { invalid: parsed.problem, repair: null, ...counts([first]) };

  const onward: Watch = {
    signal: watch.signal,
    // Progress of a step never goes back: the second try counts on from the first.
    onProgress: ({ phase, tokens }) => watch.onProgress({ phase, tokens: first.tokens + tokens }),
  };
  const again = { ...request, messages: repaired(request.messages, parsed.problem), ...nextSeed(request) };
  const second = await model.generate(again, onward);
  const reparsed = parse(second, schema);
  const told = { repair: parsed.problem, ...counts([first, second]) };
  return reparsed.ok ? { value: reparsed.value, ...told } : { invalid: reparsed.problem, ...told };
}

type Parsed<T> = { ok: true; value: T } | { ok: false; problem: string };

function parse<T>(generation: Generation, schema: z.ZodType<T>): Parsed<T> {
  const cut = generation.finishReason === 'length' ? 'it was cut at the token limit, so write less; ' : '';
  let json: unknown;
  try {
    json = JSON.parse(jsonIn(generation.text));
  } catch (err) {
    return { ok: false, problem: `${cut}it is not one JSON object${placeOf(err)}` };
  }
  const result = schema.safeParse(json);
  if (result.success) return { ok: true, value: result.data };
  const issues = result.error.issues
    .slice(0, 3)
    .map((issue) => `${issue.path.join('.') || 'answer'}: ${ruleOf(issue)}`);
  return { ok: false, problem: `${cut}${clip(issues.join('; '))}` };
}

/** What was wrong, in no words of the answer: the model is told it outside of all data, and it is kept. */
function ruleOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'unrecognized_keys' ? 'has fields that were not asked for' : issue.message;
}

/** Servers without grammars wrap the object in thoughts, fences or politeness. */
function jsonIn(text: string): string {
  const answer = text.replace(/^\s*<think>[\s\S]*?<\/think>/, '');
  const from = answer.indexOf('{');
  const to = answer.lastIndexOf('}');
  return from === -1 || to < from ? answer : answer.slice(from, to + 1);
}

/** Where it breaks, without the words around it: the problem is kept, and answers quote memories that may be forgotten. */
function placeOf(err: unknown): string {
  const at = /at position \d+/.exec(err instanceof Error ? err.message : '');
  return at === null ? '' : ` (${at[0]})`;
}

/** With the same seed a server would give the same answer. */
function nextSeed(request: GenerateRequest): { seed?: number } {
  return request.seed === undefined ? {} : { seed: request.seed + 1 };
}

function counts(generations: readonly Generation[]): { modelCalls: number; tokens: number; promptTokens?: number } {
  const modelCalls = generations.length;
  const tokens = generations.reduce((sum, generation) => sum + generation.tokens, 0);
  const prompts = generations.flatMap(({ promptTokens }) => (promptTokens === undefined ? [] : [promptTokens]));
  return prompts.length < generations.length
    ? { modelCalls, tokens }
    : { modelCalls, tokens, promptTokens: prompts.reduce((a, b) => a + b, 0) };
}

function clip(text: string): string {
  return text.length > 240 ? `${text.slice(0, 240)}…` : text;
}
