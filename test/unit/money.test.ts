import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { currencyDecimals } from '../../domain/currencies.ts';
import { isDomainError } from '../../domain/errors.ts';
import { amountSchema, currencySchema, decimalText, moneyText, parseMoney, sumOf } from '../../domain/money.ts';

const currencies = fc.constantFrom(...currencyDecimals.keys());

function refusal(act: () => unknown) {
  try {
    act();
  } catch (err) {
    if (isDomainError(err, 'INVALID_INPUT')) return err.fields[0];
    throw err;
  }
  return undefined;
}

test('currencies have the decimals of ISO 4217', () => {
  expect(['JPY', 'KRW', 'ISK', 'UGX', 'XOF'].map((code) => currencyDecimals.get(code))).toEqual([0, 0, 0, 0, 0]);
  expect(['USD', 'EUR', 'MGA', 'MRU', 'HUF'].map((code) => currencyDecimals.get(code))).toEqual([2, 2, 2, 2, 2]);
  expect(['KWD', 'BHD', 'IQD', 'JOD', 'LYD', 'OMR', 'TND'].map((code) => currencyDecimals.get(code))).toEqual(
    Array.from({ length: 7 }, () => 3),
  );
  // Each is one that the runtime knows, too: no misspelt code.
  const known = new Set([...Intl.supportedValuesOf('currency'), 'VED', 'XCG', 'ZWG']);
  expect([...currencyDecimals.keys()].filter((code) => !known.has(code))).toEqual([]);
  expect(currencyDecimals.size).toBeGreaterThan(150);
});

test('text of an amount is read and written in the currency’s decimals', () => {
  expect(parseMoney('12.50', 'USD')).toEqual({ amount: 1250, currency: 'USD' });
  expect(parseMoney('12.5', 'USD').amount).toBe(1250);
  expect(parseMoney('1250', 'JPY').amount).toBe(1250);
  expect(parseMoney('0.005', 'KWD').amount).toBe(5);
  expect(parseMoney('-0.05', 'EUR').amount).toBe(-5);
  expect(Object.is(parseMoney('-0', 'EUR').amount, 0)).toBe(true);
  expect(moneyText({ amount: -5, currency: 'EUR' })).toBe('-0.05 EUR');
  expect(decimalText({ amount: 7, currency: 'KWD' })).toBe('0.007');
  expect(decimalText({ amount: 1250, currency: 'JPY' })).toBe('1250');
});

test('what is written is read as the same amount, in every currency', () => {
  const amounts = fc.maxSafeInteger();
  fc.assert(
    fc.property(amounts, currencies, (amount, currency) => {
      expect(parseMoney(decimalText({ amount, currency }), currency)).toEqual({
        amount: amount === 0 ? 0 : amount,
        currency,
      });
    }),
    { numRuns: 2_000 },
  );
});

describe('refuses, with field, rule and mend:', () => {
  test.each([
    ['12,50', 'USD', 'amount must be a decimal number', 'Write digits and at most one dot, such as 12.50.'],
    ['1,250.00', 'USD', 'amount must be a decimal number', 'such as 12.50'],
    ['12.505', 'USD', 'amount must have at most 2 decimals in USD', '12.50'],
    ['1.5', 'JPY', 'amount must have at most 0 decimals in JPY', 'such as 1250'],
    ['1e3', 'USD', 'amount must be a decimal number', 'digits'],
    ['', 'USD', 'amount must be a decimal number', 'digits'],
    ['.5', 'USD', 'amount must be a decimal number', 'digits'],
    ['90071992547409.92', 'USD', 'amount must be at most 90071992547409.91 USD', 'smaller'],
    ['1', 'EURO', 'currency must be a currency of ISO 4217', 'Did you mean `EUR`?'],
    ['1', 'XXX', 'currency must be a currency of ISO 4217', 'such as EUR'],
  ])('%s %s', (text, currency, rule, mend) => {
    const field = refusal(() => parseMoney(text, currency))!;
    expect(`${field.path} ${field.rule}`).toContain(rule);
    expect(field.mend).toContain(mend);
  });
});

test('schemas take safe whole numbers and known currencies alone', () => {
  for (const amount of [1.5, 2 ** 53, Number.NaN, '1', null])
    expect(amountSchema.safeParse(amount).success).toBe(false);
  for (const currency of ['usd', 'XAU', 'toString', '']) expect(currencySchema.safeParse(currency).success).toBe(false);
  expect(currencySchema.safeParse('KWD').success).toBe(true);
});

test('a sum that leaves the safe integers is refused, not rounded', () => {
  expect(() => sumOf([Number.MAX_SAFE_INTEGER, 1])).toThrow('left the safe integers');
  expect(sumOf([Number.MAX_SAFE_INTEGER, -1])).toBe(Number.MAX_SAFE_INTEGER - 1);
});
