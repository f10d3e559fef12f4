import fc from 'fast-check';
import { expect, test } from 'vitest';
import { newPasswordSchema, passwordOf, waitSeconds } from '../../domain/passwords.ts';

test('some wrong tries cost nothing; each further one a wait twice as long, up to the most', () => {
  expect([1, 5, 6, 7, 8, 9, 10, 11, 12, 100].map((failures) => waitSeconds('account', failures))).toEqual([
    0, 0, 30, 60, 120, 240, 480, 900, 900, 900,
  ]);
  expect([20, 21, 22, 27, 5_000].map((failures) => waitSeconds('network', failures))).toEqual([0, 60, 120, 3600, 3600]);
  fc.assert(
    fc.property(fc.nat({ max: 1_000_000 }), (failures) => {
      expect(waitSeconds('account', failures + 1)).toBeGreaterThanOrEqual(waitSeconds('account', failures));
    }),
  );
});

test('a password is long and not one letter; its spelling in Unicode does not matter', () => {
  expect(newPasswordSchema.safeParse('short').success).toBe(false);
  expect(newPasswordSchema.safeParse('a'.repeat(20)).success).toBe(false);
  expect(newPasswordSchema.safeParse('harbour lamp seven').success).toBe(true);
  expect(passwordOf('caf\u0065\u0301 harbour')).toBe(passwordOf('caf\u00e9 harbour'));
});
