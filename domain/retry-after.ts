/**
 * What a server means by Retry-After: whole seconds or a date by RFC 9110 (in any of its three spellings), and what others write
 * besides: decimals of a second, a date by ISO 8601. @returns seconds from `now`, 0 or more; undefined for what is none of them
 */
export function retryAfterOf(header: string | undefined, now: Date): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}(?:\.\d{1,9})?$/.test(text)) return Math.ceil(Number(text));
  // Date.parse takes many a number for a year. A date without a zone is UTC, as asctime writes it.
  const asctime = /^[a-z]{3} [a-z]{3} [ \d]\d \d\d:\d\d:\d\d \d{4}$/i.test(text);
  const named = /^[a-z]{3,9}, \d{1,2}[ -][a-z]{3}[ -]\d{2,4} \d\d:\d\d:\d\d (?:GMT|UTC|[+-]\d{4})$/i.test(text);
  const iso = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)$/i.test(text);
  const at = asctime ? Date.parse(`${text} UTC`) : named || iso ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - now.getTime()) / 1000));
}
