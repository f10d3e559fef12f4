import { expect, test } from 'vitest';
import { nextYielding, yieldCause, yieldSchema } from '../../domain/yield.ts';

const at = (clock: string) => new Date(`2026-01-15T${clock}:00Z`);

test('quiet hours hold over midnight and by the clock of their place', () => {
  const rule = yieldSchema.parse({ quietHours: ['22:00-06:30'], timeZone: 'Europe/Berlin' });
  const quiet = (clock: string) => yieldCause(rule, {}, at(clock)) !== null;
  // Berlin is an hour ahead in winter.
  expect(['20:59', '21:00', '23:30', '05:29', '05:30', '12:00'].map(quiet)).toEqual([
    false,
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(yieldCause(rule, {}, at('23:00'))).toEqual({
    reason: 'quiet hours 22:00-06:30 Europe/Berlin',
    lingers: false,
  });
});

test('a program of the name and memory over the limit are signs of the owner; memory up to it is none', () => {
  const rule = yieldSchema.parse({ processes: ['Blender'], foreignVramGiB: 4 });
  const cause = (signs: Parameters<typeof yieldCause>[1]) => yieldCause(rule, signs, at('12:00'))?.reason;
  expect(cause({ programs: ['bash', 'blender'] })).toBe('blender runs');
  expect(cause({ programs: ['blenderer'], foreignGiB: 4 })).toBeUndefined();
  expect(cause({ foreignGiB: 4.1 })).toBe('other programs hold 4.1 GiB of its VRAM, over 4');
  expect(cause({})).toBeUndefined();
});

test('it comes back after a quiet while since the last sign, and at once when quiet hours end', () => {
  const returnAfterMs = 600_000;
  const sign = { reason: 'steam runs', lingers: true };
  const first = nextYielding(null, sign, { now: 0, returnAfterMs });
  const again = nextYielding(first, sign, { now: 500_000, returnAfterMs });
  const gone = nextYielding(again, null, { now: 1_099_999, returnAfterMs });
  expect([first?.reason, again?.seenAt, gone?.reason]).toEqual(['steam runs', 500_000, 'steam runs']);
  expect(nextYielding(gone, null, { now: 1_100_000, returnAfterMs })).toBeNull();
  const quiet = nextYielding(null, { reason: 'quiet hours', lingers: false }, { now: 0, returnAfterMs });
  expect(nextYielding(quiet, null, { now: 1, returnAfterMs })).toBeNull();
});

test('a sign that cannot be seen drives nobody out, and is no word that the owner has gone', () => {
  const at = { now: 5_000, returnAfterMs: 1_000, unseen: true };
  expect(nextYielding(null, null, at)).toBeNull();
  const kept = nextYielding({ reason: 'steam runs', lingers: true, seenAt: 0 }, null, at);
  expect(kept).toEqual({ reason: 'steam runs', lingers: true, seenAt: 5_000 });
  // Seen again, the quiet while begins.
  expect(nextYielding(kept, null, { now: 5_999, returnAfterMs: 1_000 })).toEqual(kept);
  expect(nextYielding(kept, null, { now: 6_000, returnAfterMs: 1_000 })).toBeNull();
  // A clock is always seen.
  expect(nextYielding({ reason: 'quiet hours', lingers: false, seenAt: 0 }, null, at)).toBeNull();
});

test('a figure that moves is told once; another reason is told anew', () => {
  const cause = (reason: string) => ({ reason, lingers: true });
  const at = { now: 0, returnAfterMs: 1 };
  const first = nextYielding(null, cause('other programs hold 5.1 GiB of its VRAM, over 4'), at);
  const second = nextYielding(first, cause('other programs hold 6.4 GiB of its VRAM, over 4'), at);
  expect(second?.reason).toBe(first?.reason);
  expect(nextYielding(second, cause('steam runs'), at)?.reason).toBe('steam runs');
});
