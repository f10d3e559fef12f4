import { longestPutOffSeconds } from './deliveries.ts';
import { retryAfterOf } from './retry-after.ts';

export interface RateAnswer {
  status: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The body, where it is JSON. */
  json: unknown;
}

/**
 * Seconds for which a service wants to be left alone, by whatever it says it: Retry-After (seconds, decimals, dates), `retry_after`
 * of a JSON body (Discord, Telegram), and a quota that is used up: X-RateLimit-Reset-After (seconds) or a Reset (a date-time, or
 * seconds since 1970). The longest counts. @returns undefined where it says nothing of it
 */
export function waitSecondsOf({ status, headers, json }: RateAnswer, now: Date): number | undefined {
  const one = (name: string) => {
    const value = headers[name];
    return typeof value === 'string' ? value : value?.[0];
  };
  const said = [retryAfterOf(one('retry-after'), now), bodySeconds(json)];
  const usedUp = (['x-ratelimit-remaining', 'ratelimit-remaining'] as const).some((name) => one(name)?.trim() === '0');
  if (usedUp || status === 429) {
    said.push(
      retryAfterOf(one('x-ratelimit-reset-after'), now),
      resetSeconds(one('x-ratelimit-reset'), now),
      resetSeconds(one('ratelimit-reset'), now),
    );
  }
  const known = said.filter((seconds) => seconds !== undefined);
  return known.length === 0 ? undefined : Math.min(longestPutOffSeconds, Math.max(...known));
}

function bodySeconds(json: unknown): number | undefined {
  const { retry_after: own, parameters } = fieldsOf(json);
  const seconds = own ?? fieldsOf(parameters)['retry_after'];
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds >= 0 ? Math.ceil(seconds) : undefined;
}

/** A date-time, or seconds since 1970 with or without decimals; what is far smaller is seconds from now. */
function resetSeconds(text: string | undefined, now: Date): number | undefined {
  const number = /^\d{10}(?:\.\d{1,9})?$/.test(text?.trim() ?? '') ? Number(text) : undefined;
  if (number === undefined) return retryAfterOf(text, now);
  return Math.max(0, Math.ceil(number - now.getTime() / 1000));
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
