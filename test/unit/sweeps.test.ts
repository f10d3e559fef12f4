import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectedTokens, roomByQueue, skipReason, unservedWindow, windowOf } from '../../domain/sweeps.ts';

describe('the window of a queue', () => {
  test.each([
    [1, 2],
    [6, 7],
    [16, 19],
    [20, 23],
    [100, 115],
  ])('of %i slots is %i at 1.15', (slots, window) => {
    expect(windowOf(slots, 1.15)).toBe(window);
  });

  test('is small but not zero where nobody polls, so that its agents climb the ladder', () => {
    expect(windowOf(0, 1.15)).toBe(unservedWindow);
  });

  test('gives room for what is missing, and never takes back what is open', () => {
    const load = fc.record({
      queue: fc.constantFrom('a', 'b', 'c'),
      slots: fc.nat({ max: 500 }),
      open: fc.nat({ max: 600 }),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(load, { selector: ({ queue }) => queue }),
        fc.double({ min: 1, max: 4, noNaN: true }),
        (loads, over) => {
          const room = roomByQueue(loads, over);
          for (const { queue, slots, open } of loads) {
            const given = room.get(queue)!;
            expect(given).toBeGreaterThanOrEqual(0);
            if (given > 0) expect(open + given).toBe(windowOf(slots, over));
            else expect(open).toBeGreaterThanOrEqual(windowOf(slots, over));
          }
        },
      ),
    );
  });
});

describe('what a run is expected to take', () => {
  test('is what the archetype says until runs have been seen', () => {
    expect(expectedTokens([], 400)).toBe(400);
  });

  test('is the median of the runs seen, whatever their order', () => {
    expect(expectedTokens([90], 400)).toBe(90);
    expect(expectedTokens([500, 100, 300], 400)).toBe(300);
    expect(expectedTokens([500, 100, 301, 300], 400)).toBe(301);
    expect(expectedTokens([10, 10, 10, 9_000, 10], 400)).toBe(10);
  });
});

test('an agent left out is told which run of it is open, and why that waits', () => {
  expect(skipReason('run_1', 'running', '')).toBe('skipped: run_1 is still running');
  expect(skipReason('run_1', 'parked', 'no machine')).toBe('skipped: run_1 is still parked (no machine)');
});
