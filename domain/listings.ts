import { z } from 'zod';
import { DomainError, type FieldError } from './errors.ts';
import { idSchema, nameSchema } from './ids.ts';
import type { LoopModel } from './loop-manifest.ts';
import type { ListingState } from './states.ts';
import { textSchema } from './text.ts';

export const listingLimits = { titleChars: 120, summaryChars: 2_000, statementChars: 1_000, creators: 20, kinds: 20 };

/** The creator part in hundredths of a percent. */
export const wholeCreatorPart = 10_000;

export const creatorsSchema = z
  .array(
    z.strictObject({
      userId: idSchema('user'),
      weight: z.int().min(1).max(wholeCreatorPart).describe('Hundredths of a percent of the creator part'),
    }),
  )
  .min(1)
  .max(listingLimits.creators)
  .refine((creators) => new Set(creators.map(({ userId }) => userId)).size === creators.length, {
    error: 'must name each creator once',
    params: { mend: 'Add up the weights of the one who stands there twice.' },
  })
  .refine((creators) => creators.reduce((sum, { weight }) => sum + weight, 0) === wholeCreatorPart, {
    error: `must have weights that add up to ${wholeCreatorPart}`,
    params: { mend: 'Write hundredths of a percent: 3334, 3333 and 3333 for thirds.' },
  });
export type Creators = z.output<typeof creatorsSchema>;

export const offeredKindsSchema = z
  .array(nameSchema)
  .min(1)
  .max(listingLimits.kinds)
  .refine((kinds) => new Set(kinds).size === kinds.length, {
    error: 'must name each kind once',
    params: { mend: 'Leave the second one out.' },
  });
export const termsVersionSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/, 'must be 1 to 40 letters, digits, dots, dashes and underscores')
  .describe('Which version of the terms of sale it is sold under');
export const modelStatementSchema = textSchema(listingLimits.statementChars).describe(
  'What you have found out about the models whose license is unknown: that what they wrote may be sold',
);

/**
 * Whether what these models wrote may be sold.
 * @throws LISTING_REFUSED naming each model that stands against it, and why
 */
export function refuseBarredModels(models: readonly LoopModel[], statement: string): void {
  const fields = models.flatMap(({ id, license, commercialUse }): FieldError[] => {
    const named = license === null ? `${id}, whose license nobody gave,` : `${id} (${license})`;
    if (commercialUse === 'barred') {
      return [
        {
          path: 'package.models',
          rule: `${named} bars commercial use`,
          mend: 'Pack the agent without its words, or with a model whose license permits it.',
        },
      ];
    }
    if (commercialUse === 'unknown' && statement.trim() === '') {
      return [
        {
          path: 'modelStatement',
          rule: `${named} is not known to permit commercial use`,
          mend: 'Read its license, and say in `modelStatement` what you have found.',
        },
      ];
    }
    return [];
  });
  if (fields.length > 0)
    throw new DomainError('LISTING_REFUSED', fields.map(({ rule }) => rule).join('; '), { fields });
}

/** From which states a listing comes to this one; a retired one stays so. */
const comesFrom: Record<Exclude<ListingState, 'draft'>, readonly ListingState[]> = {
  listed: ['draft', 'paused'],
  paused: ['listed'],
  retired: ['draft', 'listed', 'paused'],
};

/** @returns false where it is so already. @throws CONFLICT */
export function mayBecome(id: string, from: ListingState, to: Exclude<ListingState, 'draft'>): boolean {
  if (from === to) return false;
  if (comesFrom[to].includes(from)) return true;
  throw new DomainError('CONFLICT', `${id} is ${from}, so it cannot be ${to}`);
}
