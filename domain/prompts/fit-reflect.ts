import { z } from 'zod';
import { earlierFirst, insightLimits, type ReflectableMemory, type ReflectingAgent } from '../reflections.ts';
import { questionLimits } from '../reflection-calls.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { jsonSchemaOf } from './answer-schema.ts';
import { firstThatFit, repairReserveTokens } from './budget.ts';
import type { ChatMessage } from './chat.ts';
import { aliasOf, recordWithEnd } from './records.ts';
import { questionsVersion, type ReflectPromptVersion, reflectPromptMessages, reflectVersion } from './versions.ts';

export interface ReflectPrompt {
  version: ReflectPromptVersion;
  messages: ChatMessage[];
  schemaName: string;
  /** JSON schema of the answer, with the aliases of this prompt as the only evidence there is. */
  jsonSchema: Record<string, unknown>;
  /** Ids in the order shown: the first is `m1`. */
  used: string[];
  left: string[];
  estimatedTokens: number;
}

export interface ReflectPromptRequest {
  agent: ReflectingAgent;
  /** The first are kept first where not all fit. */
  memories: readonly ReflectableMemory[];
  question?: string | null;
  contextTokens: number;
  maxTokens: number;
}

/** Asks for insights over as many of the memories as fit the context, in order of time; what does not fit is said. */
export function reflectPrompt(request: ReflectPromptRequest): ReflectPrompt {
  const fitted = fit(reflectVersion, request);
  return { ...fitted, schemaName: 'reflection', jsonSchema: insightsSchema(fitted.used.map((_, i) => aliasOf(i))) };
}

/** Asks for focal questions over as many of the new memories as fit. */
export function questionsPrompt(request: ReflectPromptRequest): ReflectPrompt {
  return { ...fit(questionsVersion, request), schemaName: 'questions', jsonSchema: questionsSchema() };
}

/** Heaviest first: importance and lateness count alike, each scaled to 0–1. */
export function byWeight(memories: readonly ReflectableMemory[]): ReflectableMemory[] {
  const lateness = new Map(
    [...memories].sort(earlierFirst).map((memory, i) => [memory.id, i / Math.max(1, memories.length - 1)]),
  );
  const weight = (memory: ReflectableMemory) => memory.importance / 10 + (lateness.get(memory.id) ?? 0);
  return [...memories].sort((a, b) => weight(b) - weight(a) || earlierFirst(b, a));
}

function fit(
  version: ReflectPromptVersion,
  { agent, memories, question = null, contextTokens, maxTokens }: ReflectPromptRequest,
) {
  const frame = estimateMessageTokens(
    reflectPromptMessages(version, { agent, question, memories: [], unshown: memories.length }),
  );
  const budget = contextTokens - maxTokens - repairReserveTokens - frame;
  const longestAlias = aliasOf(memories.length);
  const chosen = firstThatFit(memories, budget, (memory) => recordWithEnd(longestAlias, memory));
  const used = new Set(chosen.map((memory) => memory.id));
  const shown = chosen.sort(earlierFirst);
  const left = memories.filter((memory) => !used.has(memory.id)).map((memory) => memory.id);
  const messages = reflectPromptMessages(version, { agent, question, memories: shown, unshown: left.length });
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
