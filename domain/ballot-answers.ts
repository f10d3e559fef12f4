import { z } from 'zod';
import { type Choice, choiceSchema } from './ballot-choices.ts';
import { ballotLimits, type VotingMethod } from './ballots.ts';
import { cleanLine } from './clean-text.ts';

/** What an agent's vote came to on a machine, as the step stores it. */
export interface VoteStep {
  choice: Choice | null;
  reason: string;
  /** Ids of memories that were shown and named. */
  evidence: string[];
  tokens: number;
  modelId: string;
  machineId: string;
  promptVersion: string;
}

/** What a model must answer, by method; `choice` as small models write it most surely: numbers and lists of numbers. */
function writtenChoice(method: VotingMethod, options: number): z.ZodType {
  const option = z.int().min(1).max(options);
  switch (method) {
    case 'single':
      return option;
    case 'approval':
    case 'ranked':
      return z.array(option).max(options);
    case 'weighted':
    case 'quadratic':
      // By place: a model that must write keys leaves some out.
      return z.array(z.int().min(0).max(100)).length(options);
  }
}

/** @param aliases of the memories that are shown; an answer may name others only in vain */
export function voteAnswerSchema(method: VotingMethod, options: number, aliases: readonly string[]) {
  return z.object({
    abstain: z.boolean(),
    choice: writtenChoice(method, options),
    reason: z.string().max(ballotLimits.reasonChars),
    evidence: z
      .array(aliases.length === 0 ? z.string().max(8) : z.enum(aliases as [string, ...string[]]))
      .max(ballotLimits.evidence),
  });
}

/** The same as a rule for what comes back; evidence that was never shown is left out, not refused. */
export function voteParser(method: VotingMethod, options: number, aliases: Readonly<Record<string, string>>) {
  const shape = voteAnswerSchema(method, options, []).extend({ choice: z.unknown() });
  const choices = choiceSchema(method, options);
  return shape.transform((answer, ctx): Pick<VoteStep, 'choice' | 'reason' | 'evidence'> => {
    const named = answer.evidence.flatMap((alias) => aliases[alias] ?? []);
    const said = { reason: cleanLine(answer.reason), evidence: [...new Set(named)] };
    if (answer.abstain) return { choice: null, ...said };
    const parsed = choices.safeParse(sharesByOption(method, answer.choice));
    if (parsed.success) return { choice: parsed.data, ...said };
    ctx.addIssue({ code: 'custom', path: ['choice'], message: parsed.error.issues[0]!.message });
    return z.NEVER;
  });
}

function sharesByOption(method: VotingMethod, choice: unknown): unknown {
  if (method !== 'weighted' && method !== 'quadratic') return choice;
  return Array.isArray(choice) ? Object.fromEntries(choice.map((share: unknown, i) => [String(i + 1), share])) : choice;
}
