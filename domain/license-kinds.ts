import { z } from 'zod';
import { nameSchema } from './ids.ts';

const limit = (least: number) => z.int().min(least).max(2_147_483_647).nullable();

/** What a license of a kind permits. Kinds are rows; what was issued keeps the terms it was issued with. */
export const licenseKindSchema = z
  .object({
    id: nameSchema,
    summary: z.string(),
    uses: limit(1).describe('Redemptions in all; null: not counted'),
    activations: limit(0).describe('Places where it is in use at once; null: any number'),
    seats: limit(1).describe('People who use it at once; null: any number'),
    termSeconds: z.int().min(1).nullable().describe('From its activation on; null: for ever'),
    graceSeconds: z.int().min(0).describe('What is in use goes on for as long after the term'),
    transferable: z.boolean().describe('Whether its holder may pass it on'),
    commercial: z.boolean().describe('Whether it permits commercial use'),
  })
  .meta({ id: 'LicenseKind' });
export type LicenseKind = z.infer<typeof licenseKindSchema>;
