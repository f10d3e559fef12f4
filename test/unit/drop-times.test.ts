import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type DropTimes, dropTimesSchema, localDay, nextDropTime, publishTime } from '../../domain/drop-times.ts';
import '../support/properties.ts';

const times = (change: Record<string, unknown>): DropTimes => dropTimesSchema.parse({ times: ['09:00'], ...change });
/** So many times after a moment, as UTC. */
function following(of: DropTimes, after: string, count: number): string[] {
  const found: string[] = [];
  for (let at = new Date(after); found.length < count; ) {
    at = nextDropTime(of, at);
    found.push(at.toISOString().replace(':00.000Z', 'Z'));
  }
  return found;
}

describe('the clock on the wall', () => {
  test('nine in the morning stays nine in the morning over both changes of the clock', () => {
    const berlin = times({ timeZone: 'Europe/Berlin' });
    expect(following(berlin, '2026-03-27T12:00:00Z', 3)).toEqual([
      '2026-03-28T08:00Z',
      '2026-03-29T07:00Z',
      '2026-03-30T07:00Z',
    ]);
    expect(following(berlin, '2026-10-23T12:00:00Z', 3)).toEqual([
      '2026-10-24T07:00Z',
      '2026-10-25T08:00Z',
      '2026-10-26T08:00Z',
    ]);
  });

  test('a time that is skipped is as much later, one that comes twice is the first', () => {
    const early = times({ times: ['02:30'], timeZone: 'Europe/Berlin' });
    expect(following(early, '2026-03-28T12:00:00Z', 2)).toEqual(['2026-03-29T01:30Z', '2026-03-30T00:30Z']);
    expect(following(early, '2026-10-24T12:00:00Z', 2)).toEqual(['2026-10-25T00:30Z', '2026-10-26T01:30Z']);
    const newYork = times({ times: ['01:30'], timeZone: 'America/New_York' });
    expect(following(newYork, '2026-10-31T12:00:00Z', 2)).toEqual(['2026-11-01T05:30Z', '2026-11-02T06:30Z']);
  });

  test('zones of half hours, of half an hour’s change, and at the date line', () => {
    expect(following(times({ timeZone: 'Asia/Kolkata' }), '2026-11-21T00:00:00Z', 1)).toEqual(['2026-11-21T03:30Z']);
    expect(following(times({ timeZone: 'Australia/Lord_Howe' }), '2026-04-03T23:00:00Z', 2)).toEqual([
      '2026-04-04T22:30Z',
      '2026-04-05T22:30Z',
    ]);
    expect(following(times({ timeZone: 'Pacific/Kiritimati' }), '2026-11-21T00:00:00Z', 1)).toEqual([
      '2026-11-21T19:00Z',
    ]);
  });

  test('weekdays are those of the place', () => {
    const mondays = times({ times: ['00:30'], weekdays: [1], timeZone: 'Pacific/Auckland' });
    expect(following(mondays, '2026-11-21T00:00:00Z', 2)).toEqual(['2026-11-22T11:30Z', '2026-11-29T11:30Z']);
  });

  test('times come in order, each later than the one before, and each local day has each once', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'UTC'),
        fc.uniqueArray(fc.constantFrom('00:00', '02:00', '02:30', '12:00', '23:59'), { minLength: 1 }),
        fc.integer({ min: 0, max: 730 }),
        (timeZone, clocks, day) => {
          const of = times({ times: clocks, timeZone });
          let at = new Date(Date.UTC(2026, 0, 1) + day * 86_400_000);
          const days = new Map<number, number>();
          for (let i = 0; i < clocks.length * 4; i += 1) {
            const next = nextDropTime(of, at);
            expect(next.getTime()).toBeGreaterThan(at.getTime());
            expect(next.getTime() - at.getTime()).toBeLessThan(2 * 86_400_000);
            days.set(localDay(next, timeZone), (days.get(localDay(next, timeZone)) ?? 0) + 1);
            at = next;
          }
          // All but the first and the last day are whole.
          for (const count of [...days.values()].slice(1, -1)) expect(count).toBe(clocks.length);
        },
      ),
    );
  });
});

describe('when it goes out', () => {
  const minutesIn = (at: Date, timeZone: string) => {
    const [hour, minute] = new Intl.DateTimeFormat('en', {
      timeZone,
      hourCycle: 'h23',
      hour: '2-digit',
      minute: '2-digit',
    })
      .format(at)
      .split(':');
    return Number(hour) * 60 + Number(minute);
  };

  test('up to the jitter later, the same each time it is asked, another each day and each schedule', () => {
    const of = times({ jitterMinutes: 60 });
    const day = (n: number) => new Date(Date.UTC(2026, 10, n, 9));
    const delays = [1, 2, 3, 4, 5].map((n) => publishTime(of, day(n), 'a').getTime() - day(n).getTime());
    for (const delay of delays) expect(delay >= 0 && delay <= 3_600_000).toBe(true);
    expect(new Set(delays).size).toBeGreaterThan(3);
    expect(publishTime(of, day(1), 'a')).toEqual(publishTime(of, day(1), 'a'));
    expect(publishTime(of, day(1), 'a')).not.toEqual(publishTime(of, day(1), 'b'));
  });

  test('never in the quiet hours, also over midnight and a change of the clock; it waits until they end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2 * 366 * 1_440 }),
        fc.constantFrom(['22:00', '07:00'], ['12:00', '13:30'], ['00:00', '06:00'], ['23:30', '00:30']),
        fc.constantFrom('Europe/Berlin', 'America/New_York', 'UTC'),
        (minute, [quietFrom, quietTo], timeZone) => {
          const of = times({ jitterMinutes: 90, quietFrom, quietTo, timeZone });
          const period = new Date(Date.UTC(2026, 0, 1) + minute * 60_000);
          const at = publishTime(of, period, 'a');
          const [from, to] = [quietFrom!, quietTo!].map(
            (clock) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3)),
          );
          const now = minutesIn(at, timeZone);
          expect(from! > to! ? now >= from! || now < to! : now >= from! && now < to!).toBe(false);
          expect(at.getTime()).toBeGreaterThanOrEqual(period.getTime());
          expect(at.getTime() - period.getTime()).toBeLessThan(13 * 3_600_000);
        },
      ),
    );
  });
});

test.each([
  [{ times: ['9:00'] }],
  [{ times: ['24:00'] }],
  [{ times: [] }],
  [{ timeZone: 'Europe/Atlantis' }],
  [{ timeZone: '+02:00' }],
  [{ quietFrom: '22:00' }],
  [{ quietFrom: '22:00', quietTo: '22:00' }],
  [{ quietFrom: '00:00', quietTo: '23:59' }],
  [{ quietFrom: '07:00', quietTo: '06:30' }],
  [{ weekdays: [0] }],
  [{ weekdays: [] }],
  [{ perDay: 0 }],
  [{ jitterMinutes: -1 }],
])('%j is refused', (change) => {
  expect(dropTimesSchema.safeParse({ times: ['09:00'], ...change }).success).toBe(false);
});
