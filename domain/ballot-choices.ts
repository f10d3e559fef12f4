import { z } from 'zod';
import { ballotLimits, type VotingMethod } from './ballots.ts';

/**
 * What a vote says, by method; options are numbered from 1. single: one number. approval: numbers, ascending. ranked: numbers,
 * the best first; what is left out is ranked nowhere. weighted and quadratic: shares by number.
 */
export type Choice = number | number[] | Record<string, number>;

/** Any choice, before it is known which method it is for. */
export const anyChoiceSchema = z.union([
  z.int(),
  z.array(z.int()).max(ballotLimits.options),
  z.record(z.string().regex(/^\d{1,2}$/, 'must be the number of an option'), z.int()),
]);

/** A choice of one ballot: what parses is as it is stored. */
export function choiceSchema(method: VotingMethod, options: number): z.ZodType<Choice> {
  const option = z.int().min(1).max(options);
  const several = z
    .array(option)
    .min(1)
    .max(options)
    .refine((chosen) => new Set(chosen).size === chosen.length, {
      error: 'must name each option once',
      params: { mend: 'Take out what stands there twice.' },
    });
  switch (method) {
    case 'single':
      return option;
    case 'approval':
      return several.transform((chosen) => chosen.toSorted((a, b) => a - b));
    case 'ranked':
      return several;
    case 'weighted':
    case 'quadratic':
      return z
        .record(
          z.string().refine((key) => /^[1-9]\d?$/.test(key) && Number(key) <= options, {
            error: `must be the number of an option, 1 to ${options}`,
          }),
          z.int().min(0).max(ballotLimits.share),
        )
        .transform((shares) => Object.fromEntries(Object.entries(shares).filter(([, share]) => share > 0)))
        .refine((shares) => Object.keys(shares).length > 0, {
          error: 'must give some option a share',
          params: { mend: 'Give at least one option a whole number over 0, or abstain.' },
        });
  }
}

/** A choice in words, as an agent remembers it. */
export function choiceText(choice: Choice | null, options: readonly string[]): string {
  const name = (option: number) => `“${options[option - 1]}”`;
  if (choice === null) return 'abstained';
  if (typeof choice === 'number') return `chose ${name(choice)}`;
  if (isShares(choice)) {
    const parts = Object.entries(choice).map(([option, share]) => `${share} for ${name(Number(option))}`);
    return `gave ${parts.join(', ')}`;
  }
  return `chose ${choice.map(name).join(', then ')}`;
}

export function isShares(choice: Choice): choice is Record<string, number> {
  return typeof choice === 'object' && !Array.isArray(choice);
}
