import { z } from 'zod';

/**
 * How an answer's text travels from the machine that writes it to whoever reads along: a capped Redis stream a message,
 * for liveness alone. The answer itself is the row in Postgres.
 */
export function answerStreamKey(messageId: string): string {
  return `soulfra:answer:${messageId}`;
}

/** Told the id of a message whenever its stream has grown. */
export const answerChannel = 'soulfra:answers';

/** Entries of a stream at the most: with some tens of milliseconds an entry, minutes of writing. */
export const answerStreamEntries = 4_096;
/** A reader that comes back within this finds what it has missed. */
export const answerStreamSeconds = 600;

/** `start`: an attempt begins on a machine, what earlier ones wrote is void. `text`: a piece of it, `from` characters on. */
export const answerEntrySchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('start'), attempt: z.coerce.number().int(), machineId: z.string() }),
  z.object({
    kind: z.literal('text'),
    attempt: z.coerce.number().int(),
    from: z.coerce.number().int(),
    text: z.string(),
  }),
]);
export type AnswerEntry = z.infer<typeof answerEntrySchema>;
