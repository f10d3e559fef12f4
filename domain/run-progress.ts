import { insightsStep } from './messages.ts';
import { questionsStep } from './reflection-calls.ts';
import type { RunState } from './states.ts';

/**
 * What an open run is at. reading: its first call, of which nothing is stored yet. drawing: insights, one question after the other.
 * storing: all are drawn; they are held against what was known, and stored.
 */
export const runStages = ['waiting', 'parked', 'reading', 'drawing', 'storing'] as const;

export interface RunProgress {
  stage: (typeof runStages)[number];
  /** Calls whose results are stored. */
  done: number;
  /** Of so many; null while nobody knows. */
  of: number | null;
}

/** A stored step of a run; `questions`: how many it has asked itself, of the step that asks them. */
export interface StoredStep {
  step: string;
  questions: number | null;
}

/** @returns null of a run that has ended */
export function runProgress(state: RunState, steps: readonly StoredStep[]): RunProgress | null {
  if (state === 'queued') return { stage: 'waiting', done: 0, of: null };
  if (state === 'parked') return { stage: 'parked', done: 0, of: null };
  if (state !== 'running') return null;
  const calls = steps.filter(({ step }) => step !== insightsStep).length;
  // A question that brought nothing to mind takes no call.
  if (calls < steps.length) return { stage: 'storing', done: calls, of: calls };
  if (calls === 0) return { stage: 'reading', done: 0, of: null };
  const asked = steps.find(({ step }) => step === questionsStep);
  // Without questions what is new is read in one call.
  const focuses = Math.max(1, asked?.questions ?? 1);
  return { stage: 'drawing', done: calls, of: Math.max(calls, focuses + (asked === undefined ? 0 : 1)) };
}
