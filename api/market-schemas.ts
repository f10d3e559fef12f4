import { z } from 'zod';
import { idSchema } from '../domain/ids.ts';
import { amountSchema, currencySchema } from '../domain/money.ts';
import { purchaseStates } from '../domain/states.ts';
import { packageHashSchema } from './license-schemas.ts';
import { linksSchema, timeSchema } from './schemas.ts';

/** Pieces that the routes of listings, purchases and refunds share. */

/** The least price of each currency is a rule of domain/listings.ts. */
export const priceSchema = z
  .strictObject({ amount: amountSchema.min(1), currency: currencySchema })
  .meta({ id: 'Price' });

export const purchaseSchema = z
  .object({
    id: idSchema('purchase'),
    buyer: z.string(),
    buyerAgentId: z.string().nullable().describe('The buyer’s agent that asked for it'),
    seller: z.string(),
    listingId: idSchema('listing'),
    listingVersion: z.int().describe('As it was when it was bought'),
    termsVersion: z.string(),
    licenseKind: z.string(),
    packageId: z.string(),
    contentHash: packageHashSchema,
    payment: z.string(),
    payUrl: z.string().nullable().describe('Where its buyer pays, while that is open; shown to nobody else'),
    state: z.enum(purchaseStates),
    reasonCode: z.string().describe('Why it came to nothing; empty: it did not'),
    reason: z.string(),
    price: priceSchema.describe('Frozen with the split when it began'),
    tax: amountSchema,
    split: z.object({
      creators: z.array(z.object({ userId: z.string(), amount: amountSchema })),
      platform: amountSchema,
      blessings: amountSchema,
      tax: amountSchema,
    }),
    refunded: amountSchema,
    licenseId: idSchema('license').nullable(),
    createdAt: timeSchema,
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'Purchase' });
