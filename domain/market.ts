import { z } from 'zod';
import { currencyDecimals } from './currencies.ts';
import { durationSchema, durationSeconds } from './durations.ts';
import { usualFeePercent } from './least-prices.ts';
import { amountSchema, currencySchema } from './money.ts';
import { defaultSaleWeights } from './shares.ts';

/** What a payout must reach, in minor units, where fleet.yaml names none: about 25 euros. */
const usualThresholds: Readonly<Record<string, number>> = {
  EUR: 2_500,
  USD: 2_500,
  GBP: 2_500,
  CHF: 2_500,
  JPY: 4_000,
  KWD: 8_000,
};

/** Percent of a sale's price net of tax. */
export const saleWeightsSchema = z
  .strictObject({
    creator: z.int().min(1).max(100).default(defaultSaleWeights.creator),
    /** A provider's fee comes out of it. */
    platform: z
      .int()
      .max(100)
      .default(defaultSaleWeights.platform)
      .refine((percent) => percent > usualFeePercent, {
        error: `must be over ${usualFeePercent}: the provider's fee comes out of it`,
        params: { mend: 'Write 20, for instance.' },
      }),
    blessings: z.int().min(0).max(100).default(defaultSaleWeights.blessings),
  })
  .refine(({ creator, platform, blessings }) => creator + platform + blessings === 100, {
    error: 'must add up to 100',
    params: { mend: 'Write percent of the price, such as creator 70, platform 20 and blessings 10.' },
  });

/** `market` of fleet.yaml. */
export const marketSchema = z.strictObject({
  /** Who gets what of a sale; frozen on each purchase, so that a change is of later ones alone. */
  saleWeights: saleWeightsSchema.prefault({}),
  /** By currency, in minor units. @default what the platform's part needs to pay a usual fee (domain/least-prices.ts) */
  leastPrices: z.record(currencySchema, amountSchema.min(1)).default({}),
  /** How long a buyer may take on the provider's page. */
  payWithin: durationSchema
    .default('1h')
    .refine((text) => durationSeconds(text) >= 2_700 && durationSeconds(text) <= 86_000, {
      error: 'must be between 45m and 23h',
      params: {
        mend: 'Write 1h, for instance: Stripe takes no less than 30 minutes from when the page opens, for which it is tried five, and no more than a day.',
      },
    }),
  /** Where the provider's page sends the buyer back to; needed before anything can be paid there. */
  returnUrl: z.url({ protocol: /^https?$/ }).optional(),
  payouts: z
    .strictObject({
      /** A sale is not paid out before it is this old: most refunds and disputes come earlier. */
      hold: durationSchema.default('14d'),
      /** By currency, in minor units; one that is not named is not paid out. */
      threshold: z.record(currencySchema, amountSchema.min(1)).default(usualThresholds),
    })
    .prefault({}),
});

export type Market = z.output<typeof marketSchema>;

/** Providers take no less than this many minor units at a time, and multiples of it. */
export function payoutUnit(currency: string): number {
  if (currency === 'MGA') return 100;
  return currencyDecimals.get(currency) === 3 ? 10 : 1;
}

/** What of a creator's balance may be paid out now; 0 where that is under the threshold. */
export function payable(
  { balance, held }: { balance: number; held: number },
  { threshold, unit }: { threshold: number; unit: number },
): number {
  // Of sales that lost what they brought, more may be gone than they held.
  const free = balance - Math.max(0, held);
  if (free < threshold) return 0;
  return free - (free % unit);
}
