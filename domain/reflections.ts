import { z } from 'zod';
import { addressesIn } from './addresses.ts';
import { cleanLine } from './clean-text.ts';
import { nearlySameWords, normalisedText } from './plain-text.ts';

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
  /** ISO time at which it ceased to hold; absent while it holds. */
  until?: string;
  /** An earlier conclusion of the agent's own. */
  isReflection?: boolean;
}

export interface Insight {
  text: string;
  /** Ids of the memories it rests on, at least one. */
  evidence: string[];
}

export type ReflectionSource = 'extractive' | 'model';

/** Why an insight is not stored. */
export const dropKinds = ['duplicates', 'empty', 'withoutEvidence', 'tooDeep', 'other'] as const;
export type DropKind = (typeof dropKinds)[number];

export interface RefusedInsight {
  kind: DropKind;
  reason: string;
}

/** What one call for insights brought. */
export interface ReflectionOutcome extends AskedCall {
  insights: Insight[];
  refused: RefusedInsight[];
  /** Ids of evidence that named nothing that was shown. */
  droppedEvidence: number;
}

/** How a model was asked, and what that took. */
export interface AskedCall {
  source: ReflectionSource;
  promptVersion: string;
  /** Memories that were shown, in the order of the prompt, and those that did not fit: together all that were given. */
  used: string[];
  left: string[];
  /** What the model was told of its first answer; null where that followed the schema. */
  repair: string | null;
  /** Why the last answer was of no use either: it followed no schema. */
  invalid?: string;
  /** 0 without a model. */
  modelCalls: number;
  /** Output tokens over all tries. */
  tokens: number;
  /** Prompt tokens over all tries, where the server counts them. */
  promptTokens?: number;
}

/** What one call for focal questions brought. */
export interface QuestionsOutcome extends AskedCall {
  questions: string[];
}

export const insightLimits = { count: 5, textChars: 600, evidence: 12 } as const;

/** What a model must answer; evidence are the aliases of the prompt. */
export const reflectionOutputSchema = z.object({
  insights: z
    .array(z.object({ text: z.string().max(insightLimits.textChars), evidence: z.array(z.string().max(64)).max(64) }))
    .max(insightLimits.count),
});
export type ReflectionOutput = z.infer<typeof reflectionOutputSchema>;

/** Keeps insights that rest on at least one of the memories shown; ids outside them are dropped and counted. */
export function acceptInsights(
  output: ReflectionOutput,
  shown: ReadonlyArray<Pick<ReflectableMemory, 'id' | 'text'>>,
): Pick<ReflectionOutcome, 'insights' | 'refused' | 'droppedEvidence'> {
  const texts = new Map(shown.map(({ id, text }) => [id, text]));
  const insights: Insight[] = [];
  const refused: RefusedInsight[] = [];
  let droppedEvidence = 0;
  for (const { text: raw, evidence: claimed } of output.insights) {
    const text = cleanLine(raw);
    const named = [...new Set(claimed)];
    const known = named.filter((id) => texts.has(id));
    droppedEvidence += named.length - known.length;
    const evidence = known.slice(0, insightLimits.evidence);
    const refusal = refusalOf(text, claimed, evidence, insights, texts);
    if (refusal) refused.push(refusal);
    else insights.push({ text, evidence });
  }
  return { insights, refused, droppedEvidence };
}

function refusalOf(
  text: string,
  claimed: readonly string[],
  evidence: readonly string[],
  accepted: readonly Insight[],
  texts: ReadonlyMap<string, string>,
): RefusedInsight | undefined {
  if (normalisedText(text) === '') return { kind: 'empty', reason: 'empty text' };
  if (text.length > insightLimits.textChars)
    return { kind: 'other', reason: `over ${insightLimits.textChars} characters` };
  if (claimed.length === 0) return { kind: 'withoutEvidence', reason: 'names no evidence' };
  if (evidence.length === 0) return { kind: 'withoutEvidence', reason: 'names no memory that was given' };
  if (accepted.some((other) => nearlySameWords(other.text, text)))
    return { kind: 'duplicates', reason: 'says the same as another insight' };
  const held = evidence.map((id) => texts.get(id)!);
  if (addressesIn(text).some((link) => !held.some((of) => of.includes(link))))
    return { kind: 'other', reason: 'holds a link that its evidence does not' };
  if (accepted.length >= insightLimits.count)
    return { kind: 'other', reason: `more than ${insightLimits.count} insights` };
  return undefined;
}

/** The depth of a reflection: one above the deepest of what it rests on. */
export function depthOf(evidence: readonly number[]): number {
  return Math.max(...evidence) + 1;
}

/** How much a reflection matters: as much as what it rests on, on average; a model does not rate its own thoughts. */
export function importanceOf(evidence: readonly number[]): number {
  return Math.ceil(evidence.reduce((sum, each) => sum + each, 0) / evidence.length);
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
