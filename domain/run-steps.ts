import { DomainError } from './errors.ts';
import type { Insight, RefusedInsight, ReflectingAgent, ReflectionSource } from './reflections.ts';

/** What an inference attempt stores as the results of a run's steps, until the run has ended. */

export interface ShownMemory {
  memoryId: string;
  /** ISO time at which what it tells had ceased to hold when it was shown; its row may end later. */
  until?: string;
  /** Why a question brought it to mind; not there for what is simply new. */
  scored?: { score: number; recency: number; importance: number; relevance: number };
}

/** What a prompt was made of; with its version and the memories' texts it can be made again. */
export interface CallPrompt {
  /** As the prompt showed it; null where 0.1.0 did not keep it. */
  agent: ReflectingAgent | null;
  question: string | null;
  /** In the order of the prompt: the first is `m1`. */
  shown: ShownMemory[];
  unshown: number;
  /** What the model was told of its first answer. */
  repair: string | null;
}

/** What stands where a text was that a person asked to forget. */
export const forgottenMark = '[forgotten]';

export interface RunCall {
  step: string;
  source: ReflectionSource;
  modelId: string;
  machineId: string;
  promptVersion: string;
  /** Null without a model. */
  seed: number | null;
  modelCalls: number;
  tokens: number;
  /** Null where the server does not count them. */
  promptTokens: number | null;
  seconds: number;
  prompt: CallPrompt;
}

export interface QuestionsStep {
  call: RunCall;
  questions: string[];
  invalid?: string;
}

export interface FocusStep {
  call: RunCall;
  insights: Insight[];
  refused: RefusedInsight[];
  droppedEvidence: number;
  invalid?: string;
}

/** What all calls of a run came to. */
export interface ReflectionStep {
  calls: RunCall[];
  /** Each with the place of its call. */
  insights: Array<Insight & { call: number }>;
  refused: RefusedInsight[];
  droppedEvidence: number;
  /** New memories that no prompt of the run showed for what they are. */
  unread: number;
  tokens: number;
}

/** @throws MODEL_OUTPUT_INVALID where not one answer for insights followed the schema */
export function whole(steps: ReadonlyArray<QuestionsStep | FocusStep>, unread: number): ReflectionStep {
  const calls = steps.map(({ call }) => call);
  const focused = steps.flatMap((step, call) => ('insights' in step ? [{ step, call }] : []));
  const invalid = focused.find(({ step }) => step.invalid !== undefined);
  if (invalid && focused.every(({ step }) => step.invalid !== undefined)) {
    throw new DomainError(
      'MODEL_OUTPUT_INVALID',
      `no answer of ${calls.reduce((sum, { modelCalls }) => sum + modelCalls, 0)} followed the schema (${invalid.step.invalid})`,
    );
  }
  return {
    calls,
    insights: focused.flatMap(({ step, call }) => step.insights.map((insight) => ({ ...insight, call }))),
    refused: focused.flatMap(({ step }) => step.refused),
    droppedEvidence: focused.reduce((sum, { step }) => sum + step.droppedEvidence, 0),
    unread,
    tokens: calls.reduce((sum, { tokens }) => sum + tokens, 0),
  };
}
