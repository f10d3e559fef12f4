import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decimalText } from '../../domain/money.ts';
import { minorUnits } from '../../ui/market/amounts.ts';

test('what is typed is the amount that is meant, in any currency, and never a float', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 ** 12 }), fc.constantFrom('EUR', 'JPY', 'KWD'), (amount, currency) => {
      const typed = decimalText({ amount, currency });
      expect(minorUnits(typed, currency)).toBe(amount);
      expect(minorUnits(` ${typed.replace('.', ',')} `, currency)).toBe(amount);
    }),
  );
  expect(minorUnits('0.1', 'EUR')).toBe(10);
  for (const wrong of ['', '0', '-1', '1.234', '1e3', '1 000', '1,2,3', 'abc'])
    expect(minorUnits(wrong, 'EUR')).toBeUndefined();
  expect(minorUnits('1.5', 'JPY')).toBeUndefined();
  expect(minorUnits('1', 'E')).toBeUndefined();
});
