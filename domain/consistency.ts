import { z } from 'zod';

/**
 * The three judgements of Abdulhai et al. 2025 (arXiv 2511.00222), each the mean of a judge's {0, 1}: whether lines fit the
 * persona, whether they fit each other, and whether what they answer to questions about the persona is what the persona answers.
 */
export const judgementKinds = ['prompt_to_line', 'line_to_line', 'answers'] as const;
export type JudgementKind = (typeof judgementKinds)[number];

export const judgementStates = ['pending', 'done', 'none'] as const;
export type JudgementState = (typeof judgementStates)[number];

export const judgementLimits = {
  /** Lines that are judged: the last things the agent said. */
  lines: 12,
  questions: 8,
  /** Output tokens of a call: about ten for each verdict. */
  maxTokens: 256,
} as const;

/** One sample of one judgement, as a machine brought it. */
export interface JudgementSample {
  kind: JudgementKind;
  /** Mean of the verdicts, 0 to 1. */
  share: number;
  verdicts: number;
  tokens: number;
  modelId: string;
  machineId: string;
  promptVersion: string;
}

export const verdictsSchema = z.object({
  verdicts: z.array(z.object({ id: z.string().max(8), consistent: z.union([z.literal(0), z.literal(1)]) })).max(64),
});
export type Verdicts = z.infer<typeof verdictsSchema>;

/** A judge that leaves out more than half of what was asked has not judged it. */
const leastJudged = 0.5;

/** The mean verdict over the ids asked about; the first of each id counts, others do not. Undefined where too few were judged. */
export function shareOf(answer: Verdicts, asked: readonly string[]): { share: number; verdicts: number } | undefined {
  const first = new Map<string, number>();
  for (const { id, consistent } of answer.verdicts) {
    if (asked.includes(id) && !first.has(id)) first.set(id, consistent);
  }
  if (first.size === 0 || first.size < asked.length * leastJudged) return undefined;
  const sum = [...first.values()].reduce((total, each) => total + each, 0);
  return { share: sum / first.size, verdicts: first.size };
}

export interface Score {
  /** 1 is consistent throughout. */
  mean: number;
  /** Standard deviation over the samples: identical calls differ, at times more than personas do. */
  spread: number;
  samples: number[];
}
export type Scores = Record<JudgementKind, Score>;

/** Scores of all three, or undefined while any has fewer samples than asked for. */
export function scoresOf(samples: readonly JudgementSample[], wanted: number): Scores | undefined {
  const scores = judgementKinds.map((kind) => {
    const shares = samples.filter((sample) => sample.kind === kind).map(({ share }) => share);
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    const squares = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0);
    return [kind, { mean, spread: Math.sqrt(squares / Math.max(1, shares.length - 1)), samples: shares }] as const;
  });
  return scores.every(([, { samples: shares }]) => shares.length >= wanted)
    ? (Object.fromEntries(scores) as Scores)
    : undefined;
}

export function judgementStep(kind: JudgementKind, sample: number): string {
  return `${kind}-${sample}`;
}

/** What is asked of a persona: each sentence of its text, and its traits, as far as there is room. */
export function personaQuestions({ persona, traits }: { persona: string; traits: readonly string[] }): string[] {
  const sentences = persona.match(/[^.!?]+[.!?]*/gu)?.map((sentence) => sentence.trim()) ?? [];
  const asked = [
    ...sentences.filter((sentence) => sentence.length > 1),
    ...traits.map((trait) => `The character is ${trait}.`),
  ];
  return asked.slice(0, judgementLimits.questions).map((claim) => `Is this so? ${claim}`);
}
