import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { fleetChangeLines } from '../../domain/fleet-change-lines.ts';
import { fleetChanges } from '../../domain/fleet-changes.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { cutText, joinText } from '../../domain/source-text.ts';
import { happenedAt, pollDelaySeconds, sourceItemOfKey, sourceMemoryKey } from '../../domain/sources.ts';
import { smallFleet } from '../support/small-fleet.ts';

function fleetOf(source: string): Fleet {
  const parsed = parseFleet(source);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  return parsed.fleet;
}
const withSources = (sources: string) => `${smallFleet}sources:\n${sources}`;
const feed = '  - { id: news, kind: feed, url: https://harbour.example/feed, agents: [vesper, rook-001] }\n';

describe('fleet.yaml', () => {
  test('takes a source with its defaults', () => {
    expect(fleetOf(withSources(feed)).sources).toEqual([
      {
        id: 'news',
        kind: 'feed',
        url: 'https://harbour.example/feed',
        agents: ['vesper', 'rook-001'],
        every: '30m',
        importance: 5,
        itemsPerPoll: 50,
        charactersPerItem: 2_000,
        whispersPerDay: 0,
        allowPrivate: [],
        updates: 'replace',
      },
    ]);
    expect(fleetOf(smallFleet).sources).toEqual([]);
  });

  test.each([
    ['a kind that is none', feed.replace('feed,', 'fed,'), 'kind'],
    ['no address', feed.replace('https://harbour.example/feed', 'harbour'), 'url'],
    ['an address that is no web address', feed.replace('https:', 'file:'), 'url'],
    ['an address with a password', feed.replace('harbour.example', 'me:pw@harbour.example'), 'url'],
    ['a pace under a minute', feed.replace('}', ', every: 30s }'), 'every'],
    ['an unknown key', feed.replace('}', ', colour: red }'), 'colour'],
    ['no agents', feed.replace('[vesper, rook-001]', '[]'), 'agents'],
    ['an agent that is none', feed.replace('rook-001', 'rook-002'), 'agents.1'],
    ['an archetype that is none', feed.replace('vesper', 'vespers'), 'agents.0'],
    ['an id twice', feed + feed, 'id'],
    ['a folder of no machine', '  - { id: a, kind: folder, machine: mars, folder: /srv, agents: all }\n', 'machine'],
    ['a folder that climbs', '  - { id: a, kind: folder, machine: big, folder: /srv/../etc, agents: all }\n', 'folder'],
    ['drops of nobody', '  - { id: a, kind: drops, agent: rook-009, agents: all }\n', 'agent'],
    [
      'a pointer that is none',
      '  - { id: a, kind: webhook, agents: all, pointers: { text: issue } }\n',
      'pointers.text',
    ],
    ['importance over 10', feed.replace('}', ', importance: 11 }'), 'importance'],
  ])('refuses %s', (_name, source, field) => {
    const parsed = parseFleet(withSources(source));
    const errors = 'errors' in parsed ? parsed.errors : [];
    expect(errors.map(({ path }) => path.replace(/\d/, 'n'))).toContain(`sources.n.${field}`);
  });

  test('an apply tells what becomes of sources', () => {
    const none = fleetOf(smallFleet);
    const one = fleetOf(withSources(feed));
    const often = fleetOf(withSources(feed.replace('}', ', every: 1h }')));
    const lines = (from: typeof one, to: typeof one) =>
      fleetChangeLines(fleetChanges(from, to, []).filter(({ kind }) => kind === 'source'));
    expect(lines(none, one)).toEqual(['+ create source news']);
    expect(lines(one, often)).toEqual(['~ change source news  every 30m → 1h']);
    expect(lines(one, none)).toEqual(['- retire source news  is read no more; its memories stay']);
  });
});

describe('the next poll', () => {
  const poll = { sourceId: 'news', every: '30m' };
  test('comes at the pace of the source, sooner where something is left', () => {
    expect(pollDelaySeconds({ ...poll, failures: 0 })).toBe(1_800);
    expect(pollDelaySeconds({ ...poll, failures: 0, left: 3 })).toBe(60);
  });
  test('comes later with each failure in a row, at most a day later, and not before it is asked for', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), fc.stringMatching(/^[a-z]{1,10}$/), (failures, sourceId) => {
        const pace = Math.min(1_800 * 2 ** (failures - 1), 86_400);
        const delay = pollDelaySeconds({ ...poll, sourceId, failures });
        expect(delay).toBeGreaterThanOrEqual(Math.floor(pace * 0.9));
        expect(delay).toBeLessThanOrEqual(Math.ceil(pace * 1.1));
      }),
    );
    expect(pollDelaySeconds({ ...poll, failures: 1, retryAfterSeconds: 7_200 })).toBe(7_200);
    expect(pollDelaySeconds({ ...poll, failures: 1, retryAfterSeconds: 10 ** 9 })).toBe(86_400);
    expect(pollDelaySeconds({ ...poll, every: '7d', failures: 9 })).toBeGreaterThan(500_000);
  });
  test('of many sources that failed together does not come at once', () => {
    const delays = Array.from({ length: 50 }, (_, i) => pollDelaySeconds({ ...poll, sourceId: `s${i}`, failures: 1 }));
    expect(new Set(delays).size).toBeGreaterThan(30);
  });
});

test('what happened later than we heard of it, or has no time, happened now', () => {
  const now = new Date('2026-11-21T10:00:00Z');
  expect(happenedAt('2026-11-20T10:00:00+02:00', now)).toBe('2026-11-20T08:00:00.000Z');
  for (const said of ['2030-01-01T00:00:00Z', '0099-01-01', 'never', '', null, undefined]) {
    expect(happenedAt(said, now)).toBe(now.toISOString());
  }
});

test('the key of a memory tells its item', () => {
  const hash = 'ab'.repeat(32);
  expect(sourceItemOfKey(sourceMemoryKey('harbour-news', hash, 12))).toEqual({
    sourceId: 'harbour-news',
    itemHash: hash,
  });
  expect(sourceItemOfKey('sha256:ab')).toBeUndefined();
});

describe('text of others', () => {
  test('is cut between words, never through a character', () => {
    expect(cutText('short', 10)).toBe('short');
    expect(cutText('the tide turned at noon', 18)).toBe('the tide turned…');
    expect(cutText(`${'x'.repeat(8)}😀😀`, 10)).toBe('xxxxxxxx…');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.integer({ min: 2, max: 60 }), (text, most) => {
        const cut = cutText(text.toWellFormed(), most);
        expect(cut.length).toBeLessThanOrEqual(most);
        expect(cut.isWellFormed()).toBe(true);
      }),
    );
  });
  test('and its title are one, and nothing is said twice', () => {
    expect(joinText('Tide', 'It turned.')).toBe('Tide\n\nIt turned.');
    expect(joinText('Tide', 'Tide turned.')).toBe('Tide turned.');
    expect(joinText('', 'It turned.')).toBe('It turned.');
    expect(joinText('Tide', '')).toBe('Tide');
  });
});
