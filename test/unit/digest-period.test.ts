import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestPeriod, skippedDigests } from '../../domain/digest-period.ts';
import { localDay, nextDropTime } from '../../domain/drop-times.ts';
import '../support/properties.ts';

const hours = ({ since, until }: { since: string; until: string }) =>
  (Date.parse(until) - Date.parse(since)) / 3_600_000;

test.each([
  ['Europe/Berlin', '08:00', '2026-03-29T06:00:00.000Z', '2026-03-28T07:00:00.000Z', 23],
  ['Europe/Berlin', '08:00', '2026-10-25T07:00:00.000Z', '2026-10-24T06:00:00.000Z', 25],
  ['Europe/Berlin', '00:00', '2026-03-29T22:00:00.000Z', '2026-03-28T23:00:00.000Z', 23],
  ['America/New_York', '21:30', '2026-03-09T01:30:00.000Z', '2026-03-08T02:30:00.000Z', 23],
  ['America/New_York', '08:00', '2026-11-01T13:00:00.000Z', '2026-10-31T12:00:00.000Z', 25],
  ['Australia/Lord_Howe', '08:00', '2026-10-03T21:00:00.000Z', '2026-10-02T21:30:00.000Z', 23.5],
  ['America/Sao_Paulo', '08:00', '2026-10-18T11:00:00.000Z', '2026-10-17T11:00:00.000Z', 24],
  ['UTC', '08:00', '2026-10-25T08:00:00.000Z', '2026-10-24T08:00:00.000Z', 24],
])('%s at %s: the digest of %s begins where the one before ended', (timeZone, at, until, since, length) => {
  const period = digestPeriod({ at, timeZone }, until);
  expect(period).toEqual({ since, until });
  expect(hours(period)).toBe(length);
});

test('on the day that shows its time twice, both starts tell of the same', () => {
  const clock = { at: '02:30', timeZone: 'Europe/Berlin' };
  const first = digestPeriod(clock, '2026-10-25T00:30:00.000Z');
  expect(digestPeriod(clock, '2026-10-25T01:30:00.000Z')).toEqual(first);
  expect(digestPeriod(clock, '2026-10-26T01:30:00.000Z')).toEqual({
    since: first.until,
    until: '2026-10-26T01:30:00.000Z',
  });
});

test('a time that the clock skips comes as much later, on a day that its calendar is told of', () => {
  const clock = { at: '02:30', timeZone: 'Europe/Berlin' };
  expect(skippedDigests(clock, new Date('2026-01-01T00:00:00Z')).map((at) => at.toISOString())).toEqual([
    '2026-03-29T01:30:00.000Z',
    '2027-03-28T01:30:00.000Z',
    '2028-03-26T01:30:00.000Z',
  ]);
  expect(digestPeriod(clock, '2026-03-29T01:30:00.000Z')).toEqual({
    since: '2026-03-28T01:30:00.000Z',
    until: '2026-03-29T01:30:00.000Z',
  });
  expect(skippedDigests({ at: '08:00', timeZone: 'Europe/Berlin' }, new Date('2026-01-01T00:00:00Z'))).toEqual([]);
});

test('one that is asked for by hand tells of the last 24 hours', () => {
  expect(digestPeriod({ at: '08:00', timeZone: 'Europe/Berlin' }, '2026-11-22T10:11:12.345Z')).toEqual({
    since: '2026-11-21T10:11:12.345Z',
    until: '2026-11-22T10:11:12.345Z',
  });
});

test('whatever the place and the time, the digests of a year follow each other without gap or overlap, one a local day', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(
        'Europe/Berlin',
        'America/New_York',
        'Australia/Lord_Howe',
        'Africa/Casablanca',
        'Asia/Kolkata',
        'Pacific/Auckland',
      ),
      fc.constantFrom('00:00', '00:30', '01:30', '02:00', '02:15', '02:30', '03:00', '08:00', '23:59'),
      fc.integer({ min: 0, max: 330 }),
      (timeZone, time, day) => {
        const clock = { at: time, timeZone };
        const days = new Set<number>();
        let at = new Date(Date.UTC(2026, 0, 1) + day * 86_400_000);
        let before: string | undefined;
        for (let i = 0; i < 45; i += 1) {
          at = nextDropTime({ times: [clock.at], weekdays: [1, 2, 3, 4, 5, 6, 7], timeZone }, at);
          const period = digestPeriod(clock, at.toISOString());
          expect(period).toEqual({ since: before ?? period.since, until: at.toISOString() });
          expect(Math.abs(hours(period) - 24)).toBeLessThanOrEqual(1);
          before = period.until;
          days.add(localDay(at, timeZone));
        }
        expect(days.size).toBe(45);
      },
    ),
    { numRuns: 60 },
  );
});
