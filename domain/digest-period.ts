import { nextDropTime, wallMinutes } from './drop-times.ts';

export interface DigestClock {
  /** On the wall of the place, such as 08:00. */
  at: string;
  timeZone: string;
}

export interface DigestPeriod {
  /** ISO times. */
  since: string;
  until: string;
}

const dayMs = 86_400_000;
const everyDay = [1, 2, 3, 4, 5, 6, 7];

function nextTime({ at, timeZone }: DigestClock, after: number): number {
  return nextDropTime({ times: [at], weekdays: everyDay, timeZone }, new Date(after)).getTime();
}

/** The last times that the clock showed `at`, by a moment; a time that it skips is as much later, one that it shows twice is the first. */
function timesBy(clock: DigestClock, moment: number): [before: number, last: number] {
  const times: number[] = [];
  for (let at = nextTime(clock, moment - 4 * dayMs); at <= moment; at = nextTime(clock, at)) times.push(at);
  return [times.at(-2)!, times.at(-1)!];
}

function minuteOf(at: string): number {
  return Number(at.slice(0, 2)) * 60 + Number(at.slice(3));
}

/**
 * What a digest tells of: the local day that ends with its time, which has 23 or 25 hours where the clock is changed. Of two
 * starts on the day that shows its time twice, both tell of the same. One that a person asked for, at another time, tells of
 * the last 24 hours. @param asked ISO time that its Schedule meant
 */
export function digestPeriod(clock: DigestClock, asked: string): DigestPeriod {
  const moment = Date.parse(asked);
  const [before, last] = timesBy(clock, moment);
  const isMeant =
    moment === last || (moment % 60_000 === 0 && wallMinutes(new Date(moment), clock.timeZone) === minuteOf(clock.at));
  const [since, until] = isMeant ? [before, last] : [moment - dayMs, moment];
  return { since: new Date(since).toISOString(), until: new Date(until).toISOString() };
}

/** Digests of the coming years that Temporal's calendars leave out, as the clock skips their time on that day. */
export function skippedDigests(clock: DigestClock, from: Date, days = 3 * 366): Date[] {
  const skipped: Date[] = [];
  let at = from.getTime();
  for (let day = 0; day < days; day += 1) {
    at = nextTime(clock, at);
    if (wallMinutes(new Date(at), clock.timeZone) !== minuteOf(clock.at)) skipped.push(new Date(at));
  }
  return skipped;
}
