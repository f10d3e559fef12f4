import fc from 'fast-check';
import { expect, test } from 'vitest';
import { followClusters, type NamedCluster } from '../../domain/cluster-lineage.ts';

const people = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => `agent-${String(from + i).padStart(3, '0')}`);
const was = (id: string, members: string[]): NamedCluster => ({ id, members });
const newIds = ['new-1', 'new-2', 'new-3', 'new-4', 'new-5', 'new-6'];

test('the first clusters are born', () => {
  const { ids, changes } = followClusters([], [people(0, 5), people(5, 9)], newIds);
  expect(ids).toEqual(['new-1', 'new-2']);
  expect(changes).toEqual([
    { kind: 'born', id: 'new-1', members: 5 },
    { kind: 'born', id: 'new-2', members: 4 },
  ]);
});

test('one that loses some and wins some keeps its id', () => {
  const { ids, changes } = followClusters([was('a', people(0, 10))], [people(2, 13)], newIds);
  expect(ids).toEqual(['a']);
  expect(changes).toEqual([{ kind: 'kept', id: 'a', members: 11, joined: 3, left: 2 }]);
});

test('of a split the larger part keeps the id, the other says where it comes from', () => {
  const { ids, changes } = followClusters([was('a', people(0, 12))], [people(8, 12), people(0, 8)], newIds);
  expect(ids).toEqual(['new-1', 'a']);
  expect(changes).toContainEqual({ kind: 'split', id: 'new-1', members: 4, from: 'a' });
});

test('of a merger the larger one keeps its id, the other says where it went', () => {
  const { ids, changes } = followClusters([was('a', people(0, 4)), was('b', people(4, 12))], [people(0, 12)], newIds);
  expect(ids).toEqual(['b']);
  expect(changes).toContainEqual({ kind: 'merged', id: 'a', into: 'b' });
});

test('what scatters is gone; what comes of nothing is born', () => {
  const { changes } = followClusters([was('a', people(0, 6))], [people(20, 26)], newIds);
  expect(changes).toEqual([
    { kind: 'born', id: 'new-1', members: 6 },
    { kind: 'gone', id: 'a' },
  ]);
});

test('equal overlaps go by id, so the same input always gives the same ids', () => {
  const previous = [was('b', people(0, 4)), was('a', people(4, 8))];
  const next = [
    [...people(0, 2), ...people(4, 6)],
    [...people(2, 4), ...people(6, 8)],
  ];
  expect(followClusters(previous, next, newIds).ids).toEqual(['a', 'b']);
  expect(followClusters(previous.toReversed(), next, newIds).ids).toEqual(['a', 'b']);
});

const partition = fc
  .array(fc.integer({ min: -1, max: 4 }), { minLength: 30, maxLength: 30 })
  .map((labels) =>
    [0, 1, 2, 3, 4]
      .map((label) => people(0, 30).filter((_, i) => labels[i] === label))
      .filter((members) => members.length > 0),
  );

test('each cluster has one id, every old one is told of once, and a run after itself changes nothing', () => {
  fc.assert(
    fc.property(partition, partition, (before, after) => {
      const previous = before.map((members, i) => was(`old-${i}`, members));
      const { ids, changes } = followClusters(previous, after, newIds);
      expect(new Set(ids).size).toBe(after.length);
      expect(changes.slice(0, after.length).map(({ id }) => id)).toEqual(ids);
      const told = new Set(changes.map(({ id }) => id));
      for (const { id } of previous) expect(told.has(id)).toBe(true);
      expect(changes.length).toBe(told.size);
      const standing = ids.map((id, i) => was(id, after[i]!));
      for (const change of followClusters(standing, after, newIds).changes) {
        expect(change).toMatchObject({ kind: 'kept', joined: 0, left: 0 });
      }
    }),
  );
});
