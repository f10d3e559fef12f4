import fc from 'fast-check';
import { expect, test } from 'vitest';
import { linkContent, readLink } from '../../domain/download-links.ts';
import { creatorsSchema, mayBecome, refuseBarredModels } from '../../domain/listings.ts';
import { refuseSpentLicense } from '../../domain/purchases.ts';
import { listingStates } from '../../domain/states.ts';

test('shares of creators add up to the whole, each creator once', () => {
  const userId = (n: number) => `usr_0192f0a0-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const fits = (weights: number[], ids = weights.map((_, i) => i)) =>
    creatorsSchema.safeParse(weights.map((weight, i) => ({ userId: userId(ids[i]!), weight }))).success;
  expect(fits([10_000])).toBe(true);
  expect(fits([3_334, 3_333, 3_333])).toBe(true);
  expect(fits([3_333, 3_333, 3_333])).toBe(false);
  expect(fits([5_000, 5_000], [1, 1])).toBe(false);
  expect(fits([10_001, -1])).toBe(false);
  expect(fits([])).toBe(false);
});

test('a retired listing stays so, and a draft is never gone back to', () => {
  const moves = listingStates.flatMap((from) =>
    (['listed', 'paused', 'retired'] as const).flatMap((to) => {
      try {
        return mayBecome('lst_x', from, to) ? [`${from} → ${to}`] : [];
      } catch {
        return [];
      }
    }),
  );
  expect(moves).toEqual([
    'draft → listed',
    'draft → retired',
    'listed → paused',
    'listed → retired',
    'paused → listed',
    'paused → retired',
  ]);
});

test('a barred model is refused whatever the seller says, an unknown one until the seller has said something', () => {
  const model = (commercialUse: 'allowed' | 'barred' | 'unknown') => [{ id: 'a_q4', license: 'X', commercialUse }];
  expect(() => refuseBarredModels(model('allowed'), '')).not.toThrow();
  expect(() => refuseBarredModels(model('unknown'), 'I asked.')).not.toThrow();
  expect(() => refuseBarredModels(model('unknown'), ' ')).toThrow('not known to permit');
  expect(() => refuseBarredModels(model('barred'), 'I asked.')).toThrow('bars commercial use');
});

test('what counts uses and has been used, and what was passed on, is spent', () => {
  const license = { id: 'lic_x', uses: 0, usesLimit: 1, holding: 0 };
  expect(() => refuseSpentLicense(license)).not.toThrow();
  expect(() => refuseSpentLicense({ ...license, usesLimit: null, uses: 9 })).not.toThrow();
  expect(() => refuseSpentLicense({ ...license, uses: 1 })).toThrow('used 1 of 1');
  expect(() => refuseSpentLicense({ ...license, holding: 1 })).toThrow('passed on');
});

test('a download link reads back as it was written, and fits in a path', () => {
  fc.assert(
    fc.property(
      fc.uuid({ version: 7 }),
      fc.integer({ min: 0, max: 999_999_999 }),
      fc.integer({ min: 1_000_000_000, max: 99_999_999_999 }),
      (uuid, holding, expiresAt) => {
        const link = { licenseId: `lic_${uuid}`, holding, expiresAt };
        const mark = 'A'.repeat(86);
        const token = `${linkContent(link)}.${mark}`;
        expect(token.length).toBeLessThan(200);
        expect(readLink(token)).toEqual({ link, content: linkContent(link), signature: mark });
      },
    ),
  );
  fc.assert(fc.property(fc.string(), (text) => readLink(text) === undefined));
});
