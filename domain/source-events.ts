import { z } from 'zod';

export const mostEventText = 20_000;
export const mostEventTitle = 300;

/** Text that Postgres can hold and that comes back as it was sent: no NUL, no half of a surrogate pair. */
function words(most: number) {
  return z
    .string()
    .min(1)
    .max(most)
    .refine((text) => !text.includes('\0') && text.isWellFormed(), {
      error: 'must not hold NUL or broken Unicode',
      params: { mend: 'Remove these characters.' },
    });
}

/** One thing as others write it down for us: the body of a webhook's event, a line of an .ndjson file. */
export const sourceEventSchema = z.strictObject({
  text: words(mostEventText).describe('What is remembered'),
  title: words(mostEventTitle).optional(),
  occurredAt: z.iso.datetime({ offset: true }).optional().describe('When it happened; default, and latest: now'),
  importance: z.int().min(1).max(10).optional().describe('Default: that of the source'),
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .optional(),
});
