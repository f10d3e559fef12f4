import { z } from 'zod';
import { currencyDecimals } from './currencies.ts';
import { DomainError } from './errors.ts';
import { fieldError } from './field-errors.ts';
import { nearest } from './nearest.ts';

/** Whole minor units of a currency, a safe integer: 1250 with USD is 12.50, with JPY 1250, with KWD 1.250. */
export interface Money {
  amount: number;
  currency: string;
}

export const currencySchema = z
  .string()
  .refine((code) => currencyDecimals.has(code), {
    error: 'must be a currency of ISO 4217, three capital letters',
    params: { mend: 'Write its code, such as EUR, USD or JPY.' },
  })
  .describe('ISO 4217, such as EUR');

/** Whole minor units; zod takes no whole number that is not a safe one. */
export const amountSchema = z.int().describe('Whole minor units of the currency: 1250 is 12.50 EUR');

/** @throws INVALID_INPUT for what is no currency of ISO 4217 */
function decimalsOf(currency: string): number {
  const decimals = currencyDecimals.get(currency);
  if (decimals !== undefined) return decimals;
  const meant = nearest(currency.toUpperCase(), [...currencyDecimals.keys()]);
  throw fieldError(
    'currency',
    'must be a currency of ISO 4217, three capital letters',
    meant === undefined ? 'Write its code, such as EUR, USD or JPY.' : `Did you mean \`${meant}\`?`,
  );
}

/**
 * Reads decimal text as people write it, such as `12.50`: a dot, no marks of thousands, no more decimals than the
 * currency has.
 * @param path what the error calls the field
 * @throws INVALID_INPUT with field, rule and mend
 */
export function parseMoney(text: string, currency: string, path = 'amount'): Money {
  const decimals = decimalsOf(currency);
  const form = decimals === 0 ? '1250' : `12.${'50'.padEnd(decimals, '0')}`;
  const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (!parts) {
    throw fieldError(path, 'must be a decimal number', `Write digits and at most one dot, such as ${form}.`);
  }
  const [, sign, whole, fraction = ''] = parts;
  if (fraction.length > decimals) {
    throw fieldError(path, `must have at most ${decimals} decimals in ${currency}`, `Write it such as ${form}.`);
  }
  const amount = Number(`${sign}${whole}${fraction.padEnd(decimals, '0')}`);
  if (!Number.isSafeInteger(amount)) {
    const most = decimalText({ amount: Number.MAX_SAFE_INTEGER, currency });
    throw fieldError(path, `must be at most ${most} ${currency}`, 'Write a smaller amount.');
  }
  // A zero has no sign.
  return { amount: amount === 0 ? 0 : amount, currency };
}

/** `12.50`: the form that `parseMoney` reads. */
export function decimalText({ amount, currency }: Money): string {
  const decimals = decimalsOf(currency);
  const digits = String(Math.abs(amount)).padStart(decimals + 1, '0');
  const sign = amount < 0 ? '-' : '';
  if (decimals === 0) return `${sign}${digits}`;
  return `${sign}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** `12.50 EUR`. */
export function moneyText(money: Money): string {
  return `${decimalText(money)} ${money.currency}`;
}

export function isSameMoney(a: Money, b: Money): boolean {
  return a.amount === b.amount && a.currency === b.currency;
}

/** @throws INTERNAL where the sum is no safe integer any more: nothing is ever rounded */
export function sumOf(amounts: readonly number[]): number {
  let sum = 0;
  for (const amount of amounts) {
    sum += amount;
    if (!Number.isSafeInteger(sum))
      throw new DomainError('INTERNAL', `a sum of money left the safe integers at ${sum}`);
  }
  return sum;
}

/** @throws INVALID_INPUT unless it is a whole number of minor units, `least` or more */
export function requireAmount(amount: number, least: number, path = 'amount'): void {
  if (Number.isSafeInteger(amount) && amount >= least) return;
  throw fieldError(path, `must be a whole number of minor units, at least ${least}`, `Write ${least} or more.`);
}
