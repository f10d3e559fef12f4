import { z } from 'zod';

/** What a reflection is made of, where it came from, and which insights are worth keeping. */

export interface ReflectingAgent {
  name: string;
  persona: string;
  traits: readonly string[];
}

export interface ReflectableMemory {
  id: string;
  text: string;
  /** ISO time. */
  occurredAt: string;
  /** 1–10. */
  importance: number;
}

export interface Insight {
  text: string;
  /** Ids of the memories it rests on, at least one. */
  evidence: string[];
}

/** `import`: another fleet's, with what it was told of. */
export const reflectionSources = ['extractive', 'model', 'import'] as const;
export type ReflectionSource = (typeof reflectionSources)[number];

/** What one reflection brought, as an activity stores it. */
export interface ReflectionOutcome {
  source: ReflectionSource;
  insights: Insight[];
  /** Insights that were not accepted, each with its reason. */
  refused: RefusedInsight[];
  /** Memories that were read, and those that did not fit the context: together all that were given. */
  used: string[];
  left: string[];
  /** Output tokens over all tries. */
  tokens: number;
  /** Prompt tokens over all tries, where the server counts them. */
  promptTokens?: number;
  promptVersion: string;
  /** Whether the first answer did not follow the schema and the second did. */
  repaired: boolean;
}

export interface RefusedInsight {
  text: string;
  reason: string;
}

/** A chain of reflections on reflections says less with each link: deeper ones count as this deep. */
const deepest = 5;

/** One above the deepest it rests on; what was seen, heard or done is 0 deep. */
export function depthAbove(evidence: readonly number[]): number {
  return Math.min(deepest, 1 + Math.max(0, ...evidence));
}

export const insightLimits = { count: 5, textChars: 600, evidence: 12 } as const;

/** What a model must answer; evidence are the aliases of the prompt. */
export const reflectionOutputSchema = z.object({
  insights: z
    .array(z.object({ text: z.string().max(insightLimits.textChars), evidence: z.array(z.string().max(64)).max(64) }))
    .max(insightLimits.count),
});
export type ReflectionOutput = z.infer<typeof reflectionOutputSchema>;

/** Keeps insights that rest on at least one of the given memories; ids outside them are dropped. */
export function acceptInsights(
  output: ReflectionOutput,
  memoryIds: Iterable<string>,
): { accepted: Insight[]; refused: RefusedInsight[] } {
  const known = new Set(memoryIds);
  const seen = new Set<string>();
  const accepted: Insight[] = [];
  const refused: RefusedInsight[] = [];
  for (const { text: raw, evidence: claimed } of output.insights) {
    const text = raw.replace(/\s+/gu, ' ').trim();
    const key = normalisedText(text);
    const evidence = [...new Set(claimed)].filter((id) => known.has(id)).slice(0, insightLimits.evidence);
    const reason = refusalOf(text, claimed, evidence, accepted.length, seen.has(key));
    if (reason !== undefined) {
      refused.push({ text: text.slice(0, insightLimits.textChars), reason });
      continue;
    }
    seen.add(key);
    accepted.push({ text, evidence });
  }
  return { accepted, refused };
}

function refusalOf(
  text: string,
  claimed: readonly string[],
  evidence: readonly string[],
  acceptedSoFar: number,
  repeated: boolean,
): string | undefined {
  if (normalisedText(text) === '') return 'empty text';
  if (text.length > insightLimits.textChars) return `over ${insightLimits.textChars} characters`;
  if (repeated) return 'says the same as another insight';
  if (claimed.length === 0) return 'names no evidence';
  if (evidence.length === 0) return 'names no memory that was given';
  if (acceptedSoFar >= insightLimits.count) return `more than ${insightLimits.count} insights`;
  return undefined;
}

/** Two texts with the same words are the same insight, whatever their case, marks and spaces. */
export function normalisedText(text: string): string {
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}

/** Output tokens a reflection may take: a quarter of the context, at most what the limits of five insights need. */
export function reflectionMaxTokens(contextTokens: number): number {
  return Math.min(1024, Math.floor(contextTokens / 4));
}

/** Sorts memories by time, ties by id. */
export function earlierFirst(a: ReflectableMemory, b: ReflectableMemory): number {
  if (a.occurredAt !== b.occurredAt) return a.occurredAt < b.occurredAt ? -1 : 1;
  return a.id < b.id ? -1 : Number(a.id !== b.id);
}
