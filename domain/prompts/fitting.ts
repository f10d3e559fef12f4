import { z } from 'zod';
import { earlierFirst, insightLimits, type ReflectableMemory, type ReflectingAgent } from '../reflections.ts';
import { questionLimits } from '../reflection-calls.ts';
import { estimateMessageTokens, estimateTokens } from '../token-estimate.ts';
import type { ChatMessage } from './chat.ts';
import { aliasOf, recordOf } from './prompt-input.ts';
import { promptMessages, type PromptVersion, questionsPrompt, reflectPrompt } from './versions.ts';

export interface FittedPrompt {
  version: PromptVersion;
  messages: ChatMessage[];
  schemaName: string;
  /** JSON schema of the answer, with the aliases of this prompt as the only evidence there is. */
  jsonSchema: Record<string, unknown>;
  /** Ids in the order shown: the first is `m1`. */
  used: string[];
  left: string[];
  estimatedTokens: number;
}

export interface PromptRequest {
  agent: ReflectingAgent;
  /** The first are kept first where not all fit. */
  memories: readonly ReflectableMemory[];
  question?: string | null;
  contextTokens: number;
  maxTokens: number;
}

/** Kept free for the sentence that tells a model what was wrong with its first answer. */
export const repairReserveTokens = 192;

/** Asks for insights over as many of the memories as fit the context, in order of time; what does not fit is said. */
export function reflectionPrompt(request: PromptRequest): FittedPrompt {
  const fitted = fit(reflectPrompt, request);
  return { ...fitted, schemaName: 'reflection', jsonSchema: insightsSchema(fitted.used.map((_, i) => aliasOf(i))) };
}

/** Asks for focal questions over as many of the new memories as fit. */
export function focalQuestionsPrompt(request: PromptRequest): FittedPrompt {
  return { ...fit(questionsPrompt, request), schemaName: 'questions', jsonSchema: questionsSchema() };
}

/** Heaviest first: importance and lateness count alike, each scaled to 0–1. */
export function byWeight(memories: readonly ReflectableMemory[]): ReflectableMemory[] {
  const lateness = new Map(
    [...memories].sort(earlierFirst).map((memory, i) => [memory.id, i / Math.max(1, memories.length - 1)]),
  );
  const weight = (memory: ReflectableMemory) => memory.importance / 10 + (lateness.get(memory.id) ?? 0);
  return [...memories].sort((a, b) => weight(b) - weight(a) || earlierFirst(b, a));
}

function fit(version: PromptVersion, { agent, memories, question = null, contextTokens, maxTokens }: PromptRequest) {
  const frame = estimateMessageTokens(
    promptMessages(version, { agent, question, memories: [], unshown: memories.length }),
  );
  const budget = contextTokens - maxTokens - repairReserveTokens - frame;
  const chosen = new Set<string>();
  let spent = 0;
  for (const memory of memories) {
    const cost = estimateTokens(recordOf(aliasOf(memories.length), memory)) + 1;
    if (spent + cost > budget) continue;
    spent += cost;
    chosen.add(memory.id);
  }
  const shown = memories.filter((memory) => chosen.has(memory.id)).sort(earlierFirst);
  const left = memories.filter((memory) => !chosen.has(memory.id)).map((memory) => memory.id);
  const messages = promptMessages(version, { agent, question, memories: shown, unshown: left.length });
  return {
    version,
    messages,
    used: shown.map((memory) => memory.id),
    left,
    estimatedTokens: estimateMessageTokens(messages),
  };
}

function insightsSchema(aliases: readonly string[]): Record<string, unknown> {
  const evidence = z.enum(aliases as [string, ...string[]]);
  const schema = z.object({
    insights: z
      .array(
        z.object({
          text: z.string().min(1).max(insightLimits.textChars),
          evidence: z.array(evidence).min(1).max(insightLimits.evidence),
        }),
      )
      .max(insightLimits.count),
  });
  return jsonSchemaOf(schema);
}

function questionsSchema(): Record<string, unknown> {
  const question = z.string().min(1).max(questionLimits.textChars);
  return jsonSchemaOf(z.object({ questions: z.array(question).min(1).max(questionLimits.count) }));
}

function jsonSchemaOf(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _draft, ...json } = z.toJSONSchema(schema);
  return json;
}
