/** What became of clusters between two runs, by the members that both runs know. */
export interface NamedCluster {
  id: string;
  members: readonly string[];
}

export type ClusterChange =
  /** Nobody stood here before, or no old cluster gave most of it. */
  | { kind: 'born'; id: string; members: number }
  /** It goes on under its id. */
  | { kind: 'kept'; id: string; members: number; joined: number; left: number }
  /** Most of it comes from a cluster that goes on beside it. */
  | { kind: 'split'; id: string; members: number; from: string }
  /** Most of what it had goes on in another. */
  | { kind: 'merged'; id: string; into: string }
  | { kind: 'gone'; id: string };

export interface Lineage {
  /** Id of each new cluster, in the order given. */
  ids: string[];
  changes: ClusterChange[];
}

/** Two clusters that share less than this (members of both ÷ members of either) are not the same one. */
const leastOverlap = 0.25;
const most = 0.5;

/**
 * Gives new clusters the ids of old ones by overlap: the pair with the largest Jaccard index first, each id once (greedy, as
 * in the MONIC framework, Spiliopoulou et al. 2006, doi 10.1145/1150402.1150491). Ties go to the lower old id, then to the
 * new cluster with the lower first member, so that the same input always gives the same ids.
 * @param newIds an unused id for each of `next`, in its order; used where a cluster is born or split off
 */
export function followClusters(
  previous: readonly NamedCluster[],
  next: ReadonlyArray<readonly string[]>,
  newIds: readonly string[],
): Lineage {
  const oldOf = new Map(previous.flatMap(({ id, members }) => members.map((member) => [member, id] as const)));
  const sizes = new Map(previous.map(({ id, members }) => [id, members.length]));
  const shared = next.map((members) => {
    const counts = new Map<string, number>();
    for (const member of members) {
      const old = oldOf.get(member);
      if (old !== undefined) counts.set(old, (counts.get(old) ?? 0) + 1);
    }
    return counts;
  });
  const first = next.map((members) => members.reduce((least, member) => (member < least ? member : least)));
  const pairs = shared
    .flatMap((counts, at) =>
      [...counts].map(([id, both]) => ({ id, at, overlap: both / (sizes.get(id)! + next[at]!.length - both) })),
    )
    .filter(({ overlap }) => overlap >= leastOverlap)
    .sort((a, b) => b.overlap - a.overlap || compare(a.id, b.id) || compare(first[a.at]!, first[b.at]!));
  const idAt = new Map<number, string>();
  const placeOf = new Map<string, number>();
  for (const { id, at } of pairs) {
    if (idAt.has(at) || placeOf.has(id)) continue;
    idAt.set(at, id);
    placeOf.set(id, at);
  }
  const ids = next.map((_, at) => idAt.get(at) ?? newIds[at]!);
  const standing = next.map((members, at): ClusterChange => {
    const id = ids[at]!;
    if (idAt.has(at)) {
      const both = shared[at]!.get(id)!;
      return { kind: 'kept', id, members: members.length, joined: members.length - both, left: sizes.get(id)! - both };
    }
    const from = [...shared[at]!].find(([old, both]) => placeOf.has(old) && both > members.length * most)?.[0];
    return from === undefined
      ? { kind: 'born', id, members: members.length }
      : { kind: 'split', id, members: members.length, from };
  });
  const ended = previous
    .filter(({ id }) => !placeOf.has(id))
    .map(({ id, members }): ClusterChange => {
      const at = shared.findIndex((counts) => (counts.get(id) ?? 0) > members.length * most);
      return at === -1 ? { kind: 'gone', id } : { kind: 'merged', id, into: ids[at]! };
    });
  return { ids, changes: [...standing, ...ended] };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a !== b);
}
