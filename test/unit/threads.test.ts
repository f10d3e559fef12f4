import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bestPerMemory, type KnownThread, regroup, type ThreadLinkEnds } from '../../domain/threads.ts';

const link = (memoryId: string, otherId: string, score = 0.5): ThreadLinkEnds => ({ memoryId, otherId, score });
const thread = (id: string, links: ThreadLinkEnds[], openedAt = '2026-01-01'): KnownThread => ({
  id,
  openedAt,
  members: [...new Set(links.flatMap(({ memoryId, otherId }) => [memoryId, otherId]))].sort(),
  links,
});

describe('a thread', () => {
  test('opens where memories link', () => {
    const { groups } = regroup([], [link('b', 'a'), link('d', 'c'), link('c', 'b')], 10);
    expect(groups).toEqual([{ threadId: undefined, parentId: undefined, members: ['a', 'b', 'c', 'd'] }]);
  });

  test('grows and keeps its id', () => {
    const { groups, gone } = regroup([thread('t1', [link('b', 'a')])], [link('c', 'b')], 10);
    expect(groups).toEqual([{ threadId: 't1', parentId: undefined, members: ['a', 'b', 'c'] }]);
    expect(gone).toEqual([]);
  });

  test('goes into the larger, of equals the older, where a memory links two', () => {
    const small = thread('t1', [link('b', 'a')]);
    const large = thread('t2', [link('d', 'c'), link('e', 'd')], '2026-01-02');
    const merged = regroup([small, large], [link('f', 'a'), link('f', 'c')], 10);
    expect(merged.groups).toMatchObject([{ threadId: 't2', members: ['a', 'b', 'c', 'd', 'e', 'f'] }]);
    expect(merged.gone).toEqual([{ threadId: 't1', into: merged.groups[0] }]);
    const equal = thread('t0', [link('d', 'c')], '2026-01-02');
    expect(regroup([equal, small], [link('c', 'a')], 10).groups[0]!.threadId).toBe('t1');
  });

  test('splits where its links fall apart: the larger part keeps the id, the other names it', () => {
    const apart = {
      ...thread('t1', [link('b', 'a'), link('c', 'b'), link('e', 'd')]),
      members: ['a', 'b', 'c', 'd', 'e'],
    };
    const { groups } = regroup([apart], [], 10);
    expect(groups).toEqual([
      { threadId: 't1', parentId: undefined, members: ['a', 'b', 'c'] },
      { threadId: undefined, parentId: 't1', members: ['d', 'e'] },
    ]);
  });

  test('is gone when no link is left, and lets a member without a link go', () => {
    expect(regroup([{ ...thread('t1', []), members: ['a'] }], [], 10)).toEqual({
      groups: [],
      taken: [],
      gone: [{ threadId: 't1', into: undefined }],
    });
    const lonely = { ...thread('t1', [link('b', 'a')]), members: ['a', 'b', 'z'] };
    expect(regroup([lonely], [], 10).groups[0]!.members).toEqual(['a', 'b']);
  });

  test('never grows over its limit: the best links go first', () => {
    const fresh = [link('c', 'a', 0.5), link('b', 'a', 0.9), link('d', 'a', 0.4)];
    const { groups, taken } = regroup([], fresh, 3);
    expect(groups[0]!.members).toEqual(['a', 'b', 'c']);
    expect(taken).toHaveLength(2);
  });
});

const letters = fc.constantFrom(...'abcdefghijklmnop'.split(''));
const links = fc
  .array(fc.tuple(letters, letters, fc.integer({ min: 1, max: 9 })), { maxLength: 40 })
  .map((all) => all.filter(([a, b]) => a !== b).map(([a, b, score]) => link(a, b, score / 10)));

test('any links in any order give the same groups; every group holds together and is within its limit', () => {
  fc.assert(
    fc.property(links, links, fc.integer({ min: 2, max: 16 }), (first, second, most) => {
      const opened = regroup([], first, most);
      const known = opened.groups.map((group, i) => ({
        id: `t${i}`,
        openedAt: '2026-01-01',
        members: group.members,
        links: opened.taken.filter(({ memoryId }) => group.members.includes(memoryId)),
      }));
      const once = regroup(known, second, most);
      const shuffled = regroup(known.toReversed(), second.toReversed(), most);
      expect(shuffled.groups).toEqual(once.groups);
      const members = once.groups.flatMap((group) => group.members);
      expect(new Set(members).size).toBe(members.length);
      for (const group of once.groups) {
        expect(group.members.length).toBeGreaterThanOrEqual(2);
        expect(group.members.length).toBeLessThanOrEqual(most);
      }
      // Each thread goes on in one group, or is named as gone.
      const going = once.groups.flatMap(({ threadId }) => threadId ?? []);
      expect([...going, ...once.gone.map(({ threadId }) => threadId)].sort()).toEqual(known.map(({ id }) => id).sort());
      // Grouped again without anything new, nothing changes.
      const settled = once.groups.map((group, i) => ({
        id: group.threadId ?? `n${i}`,
        openedAt: '2026-01-01',
        members: group.members,
        links: [...known.flatMap((each) => each.links), ...once.taken].filter(({ memoryId }) =>
          group.members.includes(memoryId),
        ),
      }));
      const again = regroup(settled, [], most);
      expect(again.gone).toEqual([]);
      expect(again.groups.map(({ threadId, members: same }) => ({ threadId, same }))).toEqual(
        settled.map(({ id, members: same }) => ({ threadId: id, same })),
      );
    }),
  );
});

test('a memory brings its best links alone', () => {
  const all = [link('b', 'a', 0.4), link('b', 'c', 0.9), link('b', 'd', 0.5), link('e', 'a', 0.1)];
  expect(bestPerMemory(all, 2)).toEqual([link('b', 'c', 0.9), link('b', 'd', 0.5), link('e', 'a', 0.1)]);
});
