import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fleetSchema } from '../../domain/fleet.ts';
import { egoShareOf, spawningSchema } from '../../domain/spawn-policy.ts';
import { testFleet } from '../support/fleets.ts';

test('shares of ego are whole, leave the parent its floor, and end', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000_000 }),
      // Less than this and a rich parent gives one unit a child, for longer than a test should take.
      fc.double({ min: 0.01, max: 0.5, noNaN: true }),
      fc.integer({ min: 0, max: 1_000_000 }),
      (ego, egoShare, egoFloor) => {
        const policy = { ...spawningSchema.parse({}), egoShare, egoFloor };
        let held = ego;
        for (let children = 0; children < 2_000; children += 1) {
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
