import { z } from 'zod';
import { errorTable } from '../domain/errors.ts';
import { roles } from '../domain/states.ts';
import { textSchema } from '../domain/text.ts';

export { textSchema };

/** Pieces that routes share; every answer is checked against its schema, and docs/openapi.json is made of them. */

export const timeSchema = z.iso.datetime({ offset: true }).describe('ISO 8601');
export const roleSchema = z.enum(roles);

/** `true` or `false` in an address. */
export const switchSchema = z.enum(['true', 'false']).transform((word) => word === 'true');

/** Every write takes it: the request is checked and the answer says what would happen; nothing is written. */
export const writeQuery = z.strictObject({
  dryRun: switchSchema.optional().describe('Check everything, say what would happen, write nothing'),
});

export const emptyBody = z.strictObject({}).nullish();

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(Object.keys(errorTable) as [keyof typeof errorTable]),
    detail: z.string(),
    mend: z.string(),
    requestId: z.string(),
    errors: z.array(z.looseObject({ path: z.string(), rule: z.string(), mend: z.string() })).optional(),
  })
  .meta({ id: 'Problem' });

/** What a dry run answers besides the thing itself. */
export const dryRunSchema = z.object({ dryRun: z.literal(true), would: z.string() }).meta({ id: 'DryRun' });

/** The problem answers that any route may give, for docs/openapi.json. */
export const problemResponses = {
  '4xx': { description: 'Refused', content: { 'application/problem+json': { schema: problemSchema } } },
  '5xx': { description: 'Failed', content: { 'application/problem+json': { schema: problemSchema } } },
};

/** Of what a workflow carries out. */
export const linksSchema = z.object({
  temporal: z
    .string()
    .nullable()
    .describe('Its workflow in Temporal’s UI; null where this API is not told of one, or there is none yet'),
});
