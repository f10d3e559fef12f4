import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Claim, settleClaims } from '../../domain/evidence-order.ts';

const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const claimsOf = fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 8 }).chain((own) =>
  fc.tuple(
    ...own.map((key) =>
      fc.record({
        key: fc.constant(key),
        evidence: fc.uniqueArray(fc.constantFrom(...keys, 'here', 'also-here', 'nowhere'), { maxLength: 4 }),
      }),
    ),
  ),
) as fc.Arbitrary<Claim[]>;
const isHere = (key: string) => key.endsWith('here') && key !== 'nowhere';

test('each claim is settled once, after its evidence; what is kept rests on what is there', () => {
  fc.assert(
    fc.property(claimsOf, (claims) => {
      const settled = settleClaims(claims, isHere);
      expect(settled.map(({ claim }) => claim).sort((a, b) => a - b)).toEqual(claims.map((_, place) => place));
      const there = new Set(['here', 'also-here']);
      for (const { claim, evidence, missing } of settled) {
        expect([...evidence, ...missing].sort()).toEqual([...claims[claim]!.evidence].sort());
        for (const key of evidence) expect(there.has(key)).toBe(true);
        if (evidence.length > 0) there.add(claims[claim]!.key);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('without a ring nothing that is there is missed', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(keys, { minLength: 8 }), fc.infiniteStream(fc.nat(7)), (order, picks) => {
      // Each rests on some that come before it in another order than they are given in.
      const claims = order.map((key, place) => ({
        key,
        evidence: place === 0 ? ['here'] : [order[picks.next().value! % place]!],
      }));
      const given = [...claims].sort((a, b) => (a.key < b.key ? -1 : 1));
      expect(settleClaims(given, isHere).flatMap(({ missing }) => missing)).toEqual([]);
    }),
  );
});

test('a ring loses what it has in the ring, and goes with it where it has nothing else', () => {
  const pair = (more: string[]): Claim[] => [
    { key: 'a', evidence: ['b', ...more] },
    { key: 'b', evidence: ['a'] },
  ];
  expect(settleClaims(pair(['here']), isHere)).toEqual([
    { claim: 0, evidence: ['here'], missing: ['b'] },
    { claim: 1, evidence: ['a'], missing: [] },
  ]);
  expect(settleClaims(pair([]), isHere).every(({ evidence }) => evidence.length === 0)).toBe(true);
});

test('twenty thousand that each rest on the next are settled in one go', () => {
  const claims = Array.from({ length: 20_000 }, (_, i) => ({ key: `k${i}`, evidence: [`k${i + 1}`] }));
  const settled = settleClaims([...claims, { key: 'k20000', evidence: ['here'] }], isHere);
  expect(settled.every(({ missing }) => missing.length === 0)).toBe(true);
});
