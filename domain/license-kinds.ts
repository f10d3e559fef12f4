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

const unlimited = { uses: null, activations: null, seats: null, termSeconds: null, graceSeconds: 0 };

/** The rows that the database begins with. */
export const firstLicenseKinds: readonly LicenseKind[] = [
  {
    ...unlimited,
    id: 'single_use',
    summary: 'One redemption.',
    uses: 1,
    activations: 0,
    transferable: false,
    commercial: false,
  },
  {
    ...unlimited,
    id: 'personal',
    summary: 'One person, on up to three machines.',
    activations: 3,
    seats: 1,
    transferable: false,
    commercial: false,
  },
  {
    ...unlimited,
    id: 'commercial',
    summary: 'Five people at work, for a year, on any of their machines; may be passed on.',
    seats: 5,
    termSeconds: 365 * 86_400,
    graceSeconds: 14 * 86_400,
    transferable: true,
    commercial: true,
  },
  {
    ...unlimited,
    id: 'unlimited',
    summary: 'Any number of people and machines, for ever.',
    transferable: false,
    commercial: true,
  },
];
