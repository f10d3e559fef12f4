/**
 * How threads live: they open where memories link, grow as new ones link, become one where a memory links two, fall apart
 * where the links between their parts are gone. A thread is a connected component of its links, found anew at each change
 * among the threads that the change touches; ids follow the members by overlap (Greene, Doyle and Cunningham 2010, Tracking
 * the Evolution of Communities in Dynamic Social Networks), so that they are the same from run to run.
 */

export interface ThreadLinkEnds {
  memoryId: string;
  otherId: string;
  score: number;
}

export interface KnownThread {
  id: string;
  /** Order of the older thread: it keeps its id where two become one. */
  openedAt: string;
  members: readonly string[];
  /** Between its members; those that hold no longer are left out by the caller. */
  links: readonly ThreadLinkEnds[];
}

export interface ThreadGroup {
  /** The thread that goes on in it; undefined: it opens. */
  threadId: string | undefined;
  /** The thread that it split from, where it opens out of one. */
  parentId: string | undefined;
  /** In order of their ids. */
  members: string[];
}

export interface Regrouped {
  groups: ThreadGroup[];
  /** New links that were taken. */
  taken: ThreadLinkEnds[];
  /** Threads that go on nowhere; `into` is the group that took most of their members, undefined where none is left. */
  gone: Array<{ threadId: string; into: ThreadGroup | undefined }>;
}

/**
 * Groups the members of some threads anew. New links join by falling score, as in Kruskal's algorithm, and one that would
 * make a thread over `mostMembers` is not taken: the best links decide what a full thread holds. Members without a link leave.
 * The same input in any order gives the same groups.
 */
export function regroup(
  threads: readonly KnownThread[],
  fresh: readonly ThreadLinkEnds[],
  mostMembers: number,
): Regrouped {
  const sets = createDisjointSets();
  for (const { links } of threads) for (const { memoryId, otherId } of links) sets.join(memoryId, otherId);
  const taken = fresh.toSorted(bestFirst).filter(({ memoryId, otherId }) => {
    const together = sets.same(memoryId, otherId);
    if (!together && sets.size(memoryId) + sets.size(otherId) > mostMembers) return false;
    sets.join(memoryId, otherId);
    return true;
  });
  const groups = sets.all().map((members): ThreadGroup => ({ threadId: undefined, parentId: undefined, members }));
  const groupOf = new Map(groups.flatMap((group) => group.members.map((member) => [member, group] as const)));

  const shares = threads.flatMap((thread) => {
    const counts = new Map<ThreadGroup, number>();
    for (const member of thread.members) {
      const group = groupOf.get(member);
      if (group) counts.set(group, (counts.get(group) ?? 0) + 1);
    }
    return [...counts].map(([group, count]) => ({ thread, group, count }));
  });
  shares.sort(
    (a, b) =>
      b.count - a.count ||
      compare(a.thread.openedAt, b.thread.openedAt) ||
      compare(a.thread.id, b.thread.id) ||
      compare(a.group.members[0]!, b.group.members[0]!),
  );
  const placed = new Set<string>();
  for (const { thread, group } of shares) {
    if (placed.has(thread.id) || group.threadId !== undefined) continue;
    group.threadId = thread.id;
    placed.add(thread.id);
  }
  for (const { thread, group } of shares) if (group.threadId === undefined) group.parentId ??= thread.id;
  const gone = threads
    .filter(({ id }) => !placed.has(id))
    .map(({ id }) => ({ threadId: id, into: shares.find(({ thread }) => thread.id === id)?.group }));
  return { groups, taken, gone };
}

/** The best links first; of equal ones by ids, so that their order never matters. */
function bestFirst(a: ThreadLinkEnds, b: ThreadLinkEnds): number {
  return b.score - a.score || compare(a.memoryId, b.memoryId) || compare(a.otherId, b.otherId);
}

/** The best `most` links that each new memory brings: further ones would say the same again. */
export function bestPerMemory<Link extends ThreadLinkEnds>(links: readonly Link[], most: number): Link[] {
  const counts = new Map<string, number>();
  return links.toSorted(bestFirst).filter(({ memoryId }) => {
    const count = counts.get(memoryId) ?? 0;
    counts.set(memoryId, count + 1);
    return count < most;
  });
}

function createDisjointSets() {
  const parents = new Map<string, string>();
  const sizes = new Map<string, number>();
  const find = (member: string): string => {
    let root = member;
    for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next;
    for (let at = member; at !== root; ) {
      const next = parents.get(at)!;
      parents.set(at, root);
      at = next;
    }
    return root;
  };
  const size = (member: string) => sizes.get(find(member)) ?? 1;
  return {
    size,
    same: (a: string, b: string) => find(a) === find(b),
    join(a: string, b: string): void {
      const [one, other] = [find(a), find(b)];
      for (const root of [one, other]) if (!sizes.has(root)) sizes.set(root, 1);
      if (one === other) return;
      const [small, large] = size(one) < size(other) ? [one, other] : [other, one];
      parents.set(small, large);
      sizes.set(large, size(large) + sizes.get(small)!);
      sizes.delete(small);
    },
    /** Each set sorted, the sets by their first member. */
    all(): string[][] {
      const byRoot = new Map<string, string[]>([...sizes.keys()].map((root) => [root, [root]]));
      for (const member of parents.keys()) byRoot.get(find(member))!.push(member);
      return [...byRoot.values()].map((members) => members.sort(compare)).sort((a, b) => compare(a[0]!, b[0]!));
    },
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
