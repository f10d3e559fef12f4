import { z } from 'zod';
import { createRandom, seedOf } from './random.ts';

/** When drops are composed and when they go out, by the clock on the wall of a place. Pure: the time now comes in. */

const dayMinutes = 1_440;
/** Else a worker that was away for that moment would put everything off for a day, day by day. */
const leastOpenMinutes = 60;

export const clockSchema = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be a time such as 09:30');

export const timeZoneSchema = z
  .string()
  .max(60)
  .refine(isTimeZone, { error: 'must be a time zone', params: { mend: 'Write it such as Europe/Berlin.' } });

export const dropTimesSchema = z
  .strictObject({
    times: z
      .array(clockSchema)
      .min(1)
      .max(24)
      .transform((times) => [...new Set(times)].sort())
      .describe('Local times at which a drop is composed'),
    weekdays: z
      .array(z.int().min(1).max(7))
      .min(1)
      .max(7)
      .transform((days) => [...new Set(days)].sort((a, b) => a - b))
      .default([1, 2, 3, 4, 5, 6, 7])
      .describe('1 is Monday'),
    timeZone: timeZoneSchema.default('UTC'),
    jitterMinutes: z
      .int()
      .min(0)
      .max(720)
      .default(0)
      .describe('It goes out up to so much later, another time each day'),
    quietFrom: clockSchema.nullable().default(null).describe('Nothing goes out from then …'),
    quietTo: clockSchema.nullable().default(null).describe('… to then; it waits until the end'),
    perDay: z.int().min(1).max(24).default(3).describe('Drops of a local day, at most'),
  })
  .refine(({ quietFrom, quietTo }) => (quietFrom === null) === (quietTo === null), {
    path: ['quietTo'],
    error: 'must stand with quietFrom',
    params: { mend: 'Give both, such as 22:00 and 07:00, or neither.' },
  })
  .refine((times) => quietMinutes(times) <= dayMinutes - leastOpenMinutes, {
    path: ['quietTo'],
    error: `must leave ${leastOpenMinutes} minutes of the day in which something goes out`,
    params: { mend: 'Make the quiet hours shorter, such as 22:00 to 07:00; to post nothing, pause the schedule.' },
  });
export type DropTimes = z.output<typeof dropTimesSchema>;

export type QuietHours = Pick<DropTimes, 'quietFrom' | 'quietTo' | 'timeZone'>;

/** How long the quiet hours of a day are; from a time to itself it is all of it. */
function quietMinutes({ quietFrom, quietTo }: { quietFrom: string | null; quietTo: string | null }): number {
  if (quietFrom === null || quietTo === null) return 0;
  const minutes = minutesOf(quietTo) - minutesOf(quietFrom);
  return minutes > 0 ? minutes : minutes + dayMinutes;
}

/** Whether this Node knows the clock of a place; which ones there are changes from one to the next. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    // Offsets are taken too, and have no daylight saving: a place is meant.
    return !/^[+-]/.test(name);
  } catch {
    return false;
  }
}

interface Wall {
  /** Days since 1970 of the local date. */
  day: number;
  /** Minutes since the local midnight. */
  minute: number;
}

const dayMs = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** The clock on the wall, as if it were UTC. */
function wallMs(at: number, timeZone: string): number {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(timeZone, format);
  }
  const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  return Date.UTC(part['year']!, part['month']! - 1, part['day'], part['hour'], part['minute'], part['second']);
}

function wallAt(at: Date, timeZone: string): Wall {
  const wall = wallMs(at.getTime(), timeZone);
  return { day: Math.floor(wall / dayMs), minute: Math.floor((wall % dayMs) / 60_000) };
}

/** What a clock on the wall of a place shows, to the minute: `2026-11-22 08:00`. */
export function wallText(at: Date, timeZone: string): string {
  return new Date(wallMs(at.getTime(), timeZone)).toISOString().slice(0, 16).replace('T', ' ');
}

/** Minutes since midnight on the wall of a place. */
export function wallMinutes(at: Date, timeZone: string): number {
  return wallAt(at, timeZone).minute;
}

/**
 * The moment at which a clock on the wall shows a time. One that it shows twice is the first of them; one that it skips is as
 * much later as was skipped.
 */
function momentOf({ day, minute }: Wall, timeZone: string): Date {
  const wanted = day * dayMs + minute * 60_000;
  const before = wanted - (wallMs(wanted - dayMs, timeZone) - (wanted - dayMs));
  const after = wanted - (wallMs(wanted + dayMs, timeZone) - (wanted + dayMs));
  const shown = [before, after].filter((at) => wallMs(at, timeZone) === wanted);
  return new Date(shown.length > 0 ? Math.min(...shown) : before);
}

function minutesOf(clock: string): number {
  return Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
}

/** The next time that comes after a moment. */
export function nextDropTime(
  { times, weekdays, timeZone }: Pick<DropTimes, 'times' | 'weekdays' | 'timeZone'>,
  after: Date,
): Date {
  const { day: today } = wallAt(after, timeZone);
  // A week and the days around it: what is skipped or shown twice never moves a time by a day.
  for (let day = today - 1; day <= today + 8; day += 1) {
    // 1970 began on a Thursday.
    if (!weekdays.includes(((day + 3) % 7) + 1)) continue;
    const found = times
      .map((clock) => momentOf({ day, minute: minutesOf(clock) }, timeZone))
      .filter((at) => at.getTime() > after.getTime())
      .sort((one, other) => one.getTime() - other.getTime())[0];
    if (found !== undefined) return found;
  }
  throw new RangeError('a week has no such day');
}

/** When the drop of a time goes out: a little later, by chance that is the same each time it is asked, and never in the quiet hours. */
export function publishTime(times: DropTimes, period: Date, seed: string): Date {
  const random = createRandom(seedOf(`${seed}/${period.toISOString()}`));
  const jittered = new Date(period.getTime() + Math.floor(random.next() * times.jitterMinutes * 60) * 1000);
  return afterQuiet(times, jittered);
}

/** The end of the quiet hours, where a moment lies in them; else that moment. */
export function afterQuiet({ quietFrom, quietTo, timeZone }: QuietHours, at: Date): Date {
  if (quietFrom === null || quietTo === null) return at;
  const { day, minute } = wallAt(at, timeZone);
  const [from, to] = [minutesOf(quietFrom), minutesOf(quietTo)];
  const overnight = from > to;
  const isQuiet = overnight ? minute >= from || minute < to : minute >= from && minute < to;
  if (!isQuiet) return at;
  return momentOf({ day: overnight && minute >= from ? day + 1 : day, minute: to }, timeZone);
}

/** The local date of a moment, as days since 1970: what the cap of a day is counted by. */
export function localDay(at: Date, timeZone: string): number {
  return wallAt(at, timeZone).day;
}
