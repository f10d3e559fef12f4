import { z } from 'zod';
import { cleanLine } from './clean-text.ts';
import { nearlySameWords, normalisedText } from './plain-text.ts';
import { seedOf } from './random.ts';

/** How a run spends its model calls: focal questions → retrieval → insights (Park et al. 2023, arXiv 2304.03442), in five calls at most. */

/** Model calls of one run that are answered; what a lost machine had in hand is asked again. The published loop takes about 34. */
export const mostModelCalls = 5;
/** One call for the questions, one for each of them; the one left over is for an answer that did not follow the schema. */
export const questionLimits = { count: 3, textChars: 300 } as const;
/** Up to so many new memories are read in one call with what the agent concluded last: three calls more would show them again. */
const readInOneCall = 12;
/** Earlier reflections shown beside memories that are read in one call. */
export const earlierReflections = 6;
/** Memories looked up for each question. */
export const recalledPerQuestion = 20;

export const questionsStep = 'questions';
export function focusStep(place: number): string {
  return `focus-${place + 1}`;
}

/** Whether focal questions are asked first. */
export function asksQuestions(newMemories: number, allFit: boolean): boolean {
  return newMemories > readInOneCall || !allFit;
}

/** Model calls that the next step may take: two where the run can spare one for a repair. */
export function callsForStep(made: number, stepsToCome: number): number {
  return Math.max(1, Math.min(2, mostModelCalls - made - stepsToCome));
}

/** The same run asks with the same seed on every machine; 31 bits, since some servers take the 32nd for a sign. */
export function callSeed(runId: string, step: string): number {
  return seedOf(`${runId} ${step}`) >>> 1;
}

/** What a model must answer. */
export const questionsOutputSchema = z.object({
  questions: z.array(z.string().max(questionLimits.textChars)).max(questionLimits.count),
});

/** Questions worth looking something up for: neither blank nor the same twice. */
export function acceptQuestions(questions: readonly string[]): string[] {
  const accepted: string[] = [];
  for (const raw of questions) {
    const question = cleanLine(raw);
    if (normalisedText(question) === '' || accepted.some((other) => nearlySameWords(other, question))) continue;
    accepted.push(question);
  }
  return accepted.slice(0, questionLimits.count);
}
