import { z } from 'zod';
import { timeZoneSchema, wallMinutes } from './drop-times.ts';
import { durationSchema } from './durations.ts';

/** When a machine gives its GPUs back to the person who owns it. Pure: what was seen and the time come in. */
const span = z
  .string()
  .regex(/^(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be two times such as 18:00-23:30');

export const yieldSchema = z.strictObject({
  /** Every day from … to …, over midnight too. */
  quietHours: z.array(span).max(10).default([]),
  timeZone: timeZoneSchema.default('UTC'),
  /** Yields while programs other than the model server and the fleet's services hold more than this. */
  foreignVramGiB: z.number().positive().max(1024).optional(),
  /** Yields while a program of one of these names runs. */
  processes: z.array(z.string().min(1).max(100)).max(100).default([]),
  /** After the last sign of its owner it waits so long before it works again; after quiet hours not at all. */
  returnAfter: durationSchema.default('10m'),
});
export type YieldRule = z.infer<typeof yieldSchema>;

/** What stands against working now. */
export interface YieldCause {
  reason: string;
  /** Whether the owner may be back in a moment: quiet hours are over when they are over. */
  lingers: boolean;
}

/** What the worker sees of its host; absent: not looked at, or not to be seen now. */
export interface OwnerSigns {
  /** Memory of the cards that is not the model server's. */
  foreignGiB?: number | undefined;
  /** Programs that run, by name. */
  programs?: readonly string[] | undefined;
}

export function yieldCause(rule: YieldRule, signs: OwnerSigns, now: Date): YieldCause | null {
  const wanted = new Map(rule.processes.map((name) => [name.toLowerCase(), name]));
  const running = signs.programs?.find((name) => wanted.has(name.toLowerCase()));
  if (running !== undefined) return { reason: `${running} runs`, lingers: true };
  const { foreignVramGiB: most } = rule;
  if (most !== undefined && signs.foreignGiB !== undefined && signs.foreignGiB > most)
    return {
      reason: `other programs hold ${signs.foreignGiB.toFixed(1)} GiB of its VRAM, over ${most}`,
      lingers: true,
    };
  const minute = wallMinutes(now, rule.timeZone);
  const quiet = rule.quietHours.find((hours) => isWithin(minute, hours));
  return quiet === undefined ? null : { reason: `quiet hours ${quiet} ${rule.timeZone}`, lingers: false };
}

function isWithin(minute: number, hours: string): boolean {
  const [from = 0, to = 0] = hours.split('-').map((clock) => {
    const [hour = 0, past = 0] = clock.split(':').map(Number);
    return hour * 60 + past;
  });
  return from <= to ? minute >= from && minute < to : minute >= from || minute < to;
}

export interface Yielding {
  reason: string;
  lingers: boolean;
  /** Milliseconds of the clock by which `now` is told. */
  seenAt: number;
}

/**
 * Whether the machine yields after this look; null: it works. A sign that could not be seen changes nothing: it drives nobody out, and
 * is no word that the owner has gone.
 */
export function nextYielding(
  before: Yielding | null,
  cause: YieldCause | null,
  at: { now: number; returnAfterMs: number; unseen?: boolean },
): Yielding | null {
  if (cause !== null) {
    // A figure that moves is no new reason.
    const same = before !== null && kindOf(before.reason) === kindOf(cause.reason);
    return { ...cause, reason: same ? before.reason : cause.reason, seenAt: at.now };
  }
  if (before?.lingers && at.unseen) return { ...before, seenAt: at.now };
  return before?.lingers && at.now - before.seenAt < at.returnAfterMs ? before : null;
}

const kindOf = (reason: string) => reason.replaceAll(/[\d.]+/g, '');
