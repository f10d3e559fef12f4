import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  consolidated,
  groupsOf,
  keptOf,
  type KeptMemory,
  leastUsefulFirst,
  memoryLimitOf,
  usefulness,
} from '../../domain/consolidation.ts';
import { fleetChanges } from '../../domain/fleet-changes.ts';
import { testFleet } from '../support/fleets.ts';

const now = new Date('2026-06-01T00:00:00Z');
let made = 0;
function memory(change: Partial<KeptMemory> = {}): KeptMemory {
  made += 1;
  const text = change.text ?? `memory ${made}`;
  const occurredAt = change.occurredAt ?? '2026-01-01T00:00:00.000Z';
  return {
    id: `mem_${String(made).padStart(4, '0')}`,
    kind: 'observation',
    text,
    importance: 5,
    occurredAt,
    validTo: null,
    usedAt: occurredAt,
    contentHash: text,
    ...change,
  };
}
const never = () => Number.NaN;

describe('what gives way', () => {
  test('is what matters little and has long not been used', () => {
    const trivial = memory({ importance: 1 });
    const weighty = memory({ importance: 9 });
    const used = memory({ importance: 1, usedAt: '2026-05-31T20:00:00.000Z' });
    expect([weighty, used, trivial].sort(leastUsefulFirst(now)).map(({ id }) => id)).toEqual([
      trivial.id,
      weighty.id,
      used.id,
    ]);
    expect(usefulness(used, now)).toBeCloseTo(0.1 + 0.995 ** 4);
    // What is to come is as recent as can be.
    expect(usefulness(memory({ importance: 1, usedAt: '2027-01-01T00:00:00.000Z' }), now)).toBeCloseTo(1.1);
  });

  test('says the same as another before anything else, also where that is less useful', () => {
    const memories = [memory(), memory(), memory({ text: 'twice' }), memory({ text: 'twice' })];
    const [group, ...rest] = groupsOf(memories, 1, never);
    expect(rest).toEqual([]);
    expect(group!.members.map(({ text }) => text)).toEqual(['twice', 'twice']);
  });

  test('stands with what is most like it and of its kind; what nothing is like leaves a tombstone last', () => {
    const [a, b, c, d, e] = [memory(), memory(), memory({ kind: 'conversation' }), memory(), memory()];
    const like = new Set([`${a!.id} ${b!.id}`, `${a!.id} ${c!.id}`, `${a!.id} ${d!.id}`]);
    const memories = [a!, b!, c!, d!, e!];
    const cosine = (i: number, j: number) => {
      const pair = [memories[i]!.id, memories[j]!.id].sort().join(' ');
      return like.has(pair) ? 0.8 : 0.1;
    };
    expect(groupsOf(memories, 2, cosine).map(({ members }) => members.map(({ id }) => id))).toEqual([
      [a!.id, b!.id, d!.id],
    ]);
    expect(groupsOf(memories, 3, cosine).map(({ members }) => members.length)).toEqual([3, 1]);
  });
});

describe('what takes its place', () => {
  test('quotes each text once with its day, and nothing else; weighs as the heaviest; spans them all', () => {
    const members = [
      memory({ text: 'The lamp went out.', occurredAt: '2026-01-02T10:00:00.000Z', importance: 2 }),
      memory({
        text: 'The lamp went out.',
        occurredAt: '2026-01-03T10:00:00.000Z',
        importance: 7,
        usedAt: '2026-05-01T00:00:00.000Z',
      }),
      memory({
        text: 'Somebody lit it again.',
        occurredAt: '2026-01-04T10:00:00.000Z',
        validTo: '2026-02-01T00:00:00.000Z',
      }),
    ];
    expect(consolidated({ members })).toEqual({
      kind: 'observation',
      text: '2026-01-03: “The lamp went out.” 2026-01-04 to 2026-02-01: “Somebody lit it again.”',
      importance: 7,
      occurredAt: '2026-01-02T10:00:00.000Z',
      validTo: null,
      usedAt: '2026-05-01T00:00:00.000Z',
    });
  });

  test('ends when all of them have ended; long texts are cut and show it', () => {
    const long = Array.from({ length: 8 }, (_, i) =>
      memory({ text: `${i} ${'word '.repeat(300)}😀`, validTo: `2026-02-0${i + 1}T00:00:00.000Z` }),
    );
    const { text, validTo } = consolidated({ members: long });
    expect(validTo).toBe('2026-02-08T00:00:00.000Z');
    expect(text.length).toBeLessThanOrEqual(2_000);
    expect(text.match(/…”/g)).toHaveLength(8);
    expect(text.isWellFormed()).toBe(true);
  });
});

test('frees as many as asked for where there are as many, each memory in one group at the most', () => {
  const kinds = fc.constantFrom<KeptMemory['kind']>('observation', 'conversation');
  const texts = fc.constantFrom('a', 'b', 'c', 'd');
  fc.assert(
    fc.property(
      fc.array(fc.record({ kind: kinds, text: texts, importance: fc.integer({ min: 1, max: 10 }) }), { maxLength: 40 }),
      fc.integer({ min: 0, max: 50 }),
      fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 7, maxLength: 7 }),
      (parts, free, cosines) => {
        const memories = parts.map((part) => memory(part)).sort(leastUsefulFirst(now));
        const groups = groupsOf(memories, free, (a, b) => cosines[(a * b + a + b) % 7]!);
        const ids = groups.flatMap(({ members }) => members.map(({ id }) => id));
        expect(new Set(ids).size).toBe(ids.length);
        const freed = groups.reduce((sum, { members }) => sum + (members.length === 1 ? 1 : members.length - 1), 0);
        expect(freed).toBeLessThanOrEqual(free);
        // A group's own memory stays, so with enough groups a few may be missing; never where tombstones are left to make.
        if (ids.length < memories.length) expect(freed).toBe(free);
        for (const { members } of groups) expect(new Set(members.map(({ kind }) => kind)).size).toBe(1);
      },
    ),
  );
});

test('the limit is the agent’s own, else its archetype’s, else the fleet’s; a tenth of it is room', () => {
  const fleet = testFleet({ limits: { memoriesPerAgent: 1_000 } });
  expect(memoryLimitOf(fleet, { id: 'light-001', archetype: 'light' })).toBe(1_000);
  fleet.archetypes.find(({ id }) => id === 'light')!.memoriesPerAgent = 500;
  fleet.agents['light-002'] = { memoriesPerAgent: 200 };
  expect(memoryLimitOf(fleet, { id: 'light-001', archetype: 'light' })).toBe(500);
  expect(memoryLimitOf(fleet, { id: 'light-002', archetype: 'light' })).toBe(200);
  expect(memoryLimitOf(fleet, { id: 'born-elsewhere', archetype: 'gone' })).toBe(1_000);
  expect(keptOf(1_000)).toBe(900);
});

test('an apply that changes only windows of threads or a limit of memories is told, and so goes through', () => {
  const before = testFleet();
  const windows = testFleet();
  windows.threads.eventWindow = '1h';
  const limit = testFleet();
  limit.archetypes[2]!.memoriesPerAgent = 500;
  const told = (next: typeof before) => fleetChanges(before, next, []).filter(({ kind }) => kind === 'setting');
  expect(told(before)).toEqual([]);
  expect(told(windows)).toMatchObject([{ id: 'threads', fields: [{ field: 'eventWindow', from: '2h', to: '1h' }] }]);
  expect(told(limit)).toMatchObject([{ id: 'memoriesPerAgent', fields: [{ field: 'light', to: 500 }] }]);
});
