/** Dates, numbers and money as the reader's own browser writes them. */
const dateTimes = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const dates = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto', style: 'short' });
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const decimals = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const fines = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 3 });
const shares = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 0 });

interface Weeks {
  getWeekInfo?: () => { firstDay: number };
  weekInfo?: { firstDay: number };
}
const readers = new Intl.Locale(new Intl.DateTimeFormat().resolvedOptions().locale) as Weeks;
/** The day that a week begins with where the reader lives, 0 is Sunday; Monday where the browser does not know. */
export const firstWeekday = ((readers.getWeekInfo?.() ?? readers.weekInfo)?.firstDay ?? 1) % 7;

export const dateTime = (iso: string) => dateTimes.format(new Date(iso));
/** @public */
export const date = (iso: string) => dates.format(new Date(iso));
export const count = (value: number) => whole.format(value);
export const decimal = (value: number) => decimals.format(value);
/** @public */
export const share = (value: number) => shares.format(value);
/** For values of which less than a tenth counts, such as scores. */
export const fine = (value: number) => fines.format(value);
export const gib = (value: number) => `${decimals.format(value)} GiB`;

const steps: ReadonlyArray<[seconds: number, unit: Intl.RelativeTimeFormatUnit]> = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** `5 min. ago`, `in 2 hr.`; further away than a week, the date. */
export function ago(iso: string, now = Date.now()): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (Math.abs(seconds) > 7 * 86_400) return date(iso);
  const [size, unit] = steps.find(([least]) => Math.abs(seconds) >= least) ?? [1, 'second'];
  return relative.format(Math.trunc(seconds / size), unit);
}

const units: ReadonlyArray<[seconds: number, unit: string]> = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** `6 hours`: in the largest unit of which it is a whole number. */
export function durationWords(seconds: number): string {
  const [size, unit] = units.find(([each]) => seconds >= each && seconds % each === 0) ?? [1, 'second'];
  return new Intl.NumberFormat(undefined, { style: 'unit', unit, unitDisplay: 'long' }).format(seconds / size);
}

const unitOf: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** A duration as fleet.yaml has it: `6h` is `6 hours`. */
export function cadenceWords(cadence: string): string {
  const size = unitOf[cadence.slice(-1)];
  const count = Number(cadence.slice(0, -1));
  return size === undefined || !Number.isInteger(count) ? cadence : durationWords(count * size);
}

/** An amount in minor units of its currency, as the API has it. */
export function money({ amount, currency }: { amount: number; currency: string }): string {
  const format = new Intl.NumberFormat(undefined, { style: 'currency', currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  // As text, so that no unit is lost on the way through a fraction.
  const text = String(Math.abs(amount)).padStart(digits + 1, '0');
  const value = digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
  return format.format(`${amount < 0 ? '-' : ''}${value}` as Intl.StringNumericLiteral);
}

/** `1 agent`, `297 agents`. */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
