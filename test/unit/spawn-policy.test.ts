import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fleetSchema } from '../../domain/fleet.ts';
import { egoShareOf, growsWithin, mostAdmitted, refilled, spawningSchema } from '../../domain/spawn-policy.ts';
import { testFleet } from '../support/fleets.ts';

const bucket = fc.record({
  burst: fc.integer({ min: 0, max: 100 }),
  perHour: fc.double({ min: 0, max: 100, noNaN: true }),
});

describe('a token bucket', () => {
  test('never holds more than its burst, nor less than it held', () => {
    fc.assert(
      fc.property(
        bucket,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: -5, max: 1e6 }),
        (of, part, seconds) => {
          const tokens = of.burst * part;
          const after = refilled(tokens, seconds, of);
          expect(after).toBeLessThanOrEqual(of.burst);
          expect(after).toBeGreaterThanOrEqual(Math.min(tokens, of.burst));
        },
      ),
    );
  });

  test('admits at most its burst and what flows in, however it is asked', () => {
    fc.assert(
      fc.property(bucket, fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 200 }), (of, waits) => {
        let tokens = of.burst;
        let admitted = 0;
        for (const wait of waits) {
          tokens = refilled(tokens, wait, of);
          if (tokens >= 1) {
            tokens -= 1;
            admitted += 1;
          }
        }
        const seconds = waits.reduce((sum, wait) => sum + wait, 0);
        expect(admitted).toBeLessThanOrEqual(mostAdmitted({ fleet: of }, seconds + 1e-6));
      }),
    );
  });
});

test('a lineage of one may have a child, and in a window fewer are born than live at its end', () => {
  expect(growsWithin(0, 1, 0.5)).toBe(true);
  expect(growsWithin(1, 2, 0.5)).toBe(false);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 500 }), fc.double({ min: 0, max: 0.99, noNaN: true }), (founders, growth) => {
      let born = 0;
      while (growsWithin(born, founders + born, growth)) born += 1;
      expect(born / (founders + born)).toBeLessThan(1);
      expect(born / (founders + born)).toBeLessThanOrEqual(growth);
    }),
  );
});

test('shares of ego are whole, leave the parent its floor, and end', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000_000 }),
      fc.double({ min: 0, max: 0.5, noNaN: true }),
      fc.integer({ min: 0, max: 1_000_000 }),
      (ego, egoShare, egoFloor) => {
        const policy = { ...spawningSchema.parse({}), egoShare, egoFloor };
        let held = ego;
        for (let children = 0; children < 10_000; children += 1) {
          const share = egoShareOf(held, policy);
          if (share === undefined) return;
          expect(Number.isSafeInteger(share)).toBe(true);
          expect(share).toBeGreaterThan(0);
          held -= share;
          expect(held).toBeGreaterThanOrEqual(egoFloor);
        }
        expect.unreachable('a parent gave for ever');
      },
    ),
    { numRuns: 50 },
  );
});

test('a fleet that was stored before spawning existed has its defaults, and growth stays under 1', () => {
  const { spawning: _, ...before } = testFleet();
  expect(fleetSchema.parse(before).spawning).toMatchObject({ growth: 0.5, approval: 'none', mostAlike: 0.9 });
  expect(spawningSchema.safeParse({ growth: 1 }).success).toBe(false);
});
