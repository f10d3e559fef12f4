/**
 * HDBSCAN* (Campello, Moulavi, Zimek, Sander 2015, doi 10.1145/2733381): density clusters of any number, the rest is noise.
 * The distance matrix is never held: core distances and the spanning tree take O(n) memory and O(n²) time.
 */
export interface HdbscanOptions {
  /** A group smaller than this is noise; at least 2. */
  minClusterSize: number;
  /** The how-manieth nearest point, itself counted, makes the core distance. @default minClusterSize */
  minSamples?: number;
}

export interface DensityClusters {
  /** Cluster of each point from 0 on, in the order of their first points; −1 for noise. */
  labels: Int32Array;
  /** Distance at which each cluster parted from its parent: what joins it must be nearer. */
  bornAt: Float64Array;
  /** Core distance of each point. */
  cores: Float64Array;
}

/** `size` points of `dimensions` numbers each, one after the other. */
export interface Points {
  values: Float64Array;
  size: number;
  dimensions: number;
}

/** Points on one spot would otherwise have infinite density, and infinities cannot be compared. */
const leastDistance = 1e-9;

export function hdbscan(points: Points, options: HdbscanOptions): DensityClusters {
  const { minClusterSize, minSamples = minClusterSize } = options;
  if (!Number.isInteger(minClusterSize) || minClusterSize < 2) throw new RangeError('minClusterSize must be 2 or more');
  if (!Number.isInteger(minSamples) || minSamples < 1) throw new RangeError('minSamples must be 1 or more');
  const { size } = points;
  const cores = coreDistances(points, minSamples);
  if (size < minClusterSize) return { labels: new Int32Array(size).fill(-1), bornAt: new Float64Array(0), cores };
  const tree = condense(singleLinkage(spanningTree(points, cores)), size, minClusterSize);
  const selected = excessOfMass(tree);
  return { ...labelled(tree, selected, size), cores };
}

/** Squared Euclidean distance of points `a` and `b`. */
function squared({ values, dimensions }: Points, a: number, b: number): number {
  let sum = 0;
  let i = a * dimensions;
  let j = b * dimensions;
  for (const end = i + dimensions; i < end; i += 1, j += 1) {
    const difference = values[i]! - values[j]!;
    sum += difference * difference;
  }
  return sum;
}

/** Distance to the `rank`-th nearest point, the point itself counted as the first; each pair is looked at once. */
function coreDistances(points: Points, rank: number): Float64Array {
  const { size } = points;
  const kept = Math.min(rank, size) - 1;
  const cores = new Float64Array(size);
  if (kept < 1) return cores;
  const nearest = new Float64Array(size * kept).fill(Number.POSITIVE_INFINITY);
  const take = (point: number, distance: number) => {
    const first = point * kept;
    let at = first + kept - 1;
    if (distance >= nearest[at]!) return;
    for (; at > first && nearest[at - 1]! > distance; at -= 1) nearest[at] = nearest[at - 1]!;
    nearest[at] = distance;
  };
  for (let a = 0; a < size; a += 1) {
    for (let b = a + 1; b < size; b += 1) {
      const distance = squared(points, a, b);
      take(a, distance);
      take(b, distance);
    }
  }
  for (let point = 0; point < size; point += 1) cores[point] = Math.sqrt(nearest[point * kept + kept - 1]!);
  return cores;
}

/** Edges of a tree over all points, the shortest first. */
interface Edges {
  from: Int32Array;
  to: Int32Array;
  distance: Float64Array;
}

/** Prim's tree over mutual reachability: max(distance, both core distances). Ties go to the lower point. */
function spanningTree(points: Points, cores: Float64Array): Edges {
  const { size } = points;
  const from = new Int32Array(size - 1);
  const to = new Int32Array(size - 1);
  const distance = new Float64Array(size - 1);
  const best = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
  const via = new Int32Array(size);
  const outside = Int32Array.from({ length: size }, (_, i) => i);
  let left = size;
  let current = 0;
  let place = 0;
  for (let edge = 0; edge < size - 1; edge += 1) {
    left -= 1;
    outside[place] = outside[left]!;
    const core = cores[current]!;
    let next = -1;
    for (let i = 0; i < left; i += 1) {
      const point = outside[i]!;
      // Neither core distance can be undercut, so most distances need not be computed.
      if (best[point]! > core && best[point]! > cores[point]!) {
        const reach = Math.max(Math.sqrt(squared(points, current, point)), core, cores[point]!);
        if (reach < best[point]!) {
          best[point] = reach;
          via[point] = current;
        }
      }
      if (next === -1 || best[point]! < best[next]! || (best[point] === best[next] && point < next)) {
        next = point;
        place = i;
      }
    }
    from[edge] = via[next]!;
    to[edge] = next;
    distance[edge] = best[next]!;
    current = next;
  }
  const order = Int32Array.from({ length: size - 1 }, (_, i) => i).sort((a, b) => distance[a]! - distance[b]! || a - b);
  return {
    from: order.map((edge) => from[edge]!),
    to: order.map((edge) => to[edge]!),
    distance: Float64Array.from(order, (edge) => distance[edge]!),
  };
}

/** Node `size + i` joins `left[i]` and `right[i]` at `distance[i]`; nodes under `size` are points. */
interface Dendrogram {
  left: Int32Array;
  right: Int32Array;
  distance: Float64Array;
  /** Points under each joining node. */
  count: Int32Array;
}

function singleLinkage({ from, to, distance }: Edges): Dendrogram {
  const joins = from.length;
  const size = joins + 1;
  const parent = Int32Array.from({ length: size + joins }, (_, i) => i);
  const top = (node: number): number => {
    let root = node;
    while (parent[root] !== root) root = parent[root]!;
    for (let at = node; parent[at] !== root; ) {
      const above = parent[at]!;
      parent[at] = root;
      at = above;
    }
    return root;
  };
  const left = new Int32Array(joins);
  const right = new Int32Array(joins);
  const count = new Int32Array(joins);
  const under = (node: number) => (node < size ? 1 : count[node - size]!);
  for (let join = 0; join < joins; join += 1) {
    left[join] = top(from[join]!);
    right[join] = top(to[join]!);
    count[join] = under(left[join]!) + under(right[join]!);
    parent[left[join]!] = size + join;
    parent[right[join]!] = size + join;
  }
  return { left, right, distance, count };
}

/** Cluster 0 holds all points; a child is always numbered after its parent. */
interface CondensedTree {
  parent: number[];
  bornAt: number[];
  /** Σ over the points of 1 ÷ distance at which each left it − 1 ÷ distance at which it was born. */
  stability: number[];
  /** The last cluster that each point belonged to. */
  clusterOf: Int32Array;
}

/**
 * Where a cluster splits into two or more groups of enough points, each is a new cluster; smaller ones fall out. What parts at
 * one distance parts at once, as in the paper: so the order of the points, and of equal edges, has no say.
 */
function condense({ left, right, distance, count }: Dendrogram, size: number, least: number): CondensedTree {
  const root = size + left.length - 1;
  const parent = [-1];
  const bornAt = [Number.POSITIVE_INFINITY];
  const stability = [0];
  const clusterOf = new Int32Array(size);
  const under = (node: number) => (node < size ? 1 : count[node - size]!);
  const density = (at: number) => 1 / Math.max(at, leastDistance);
  const leave = (cluster: number, points: number, at: number) => {
    stability[cluster]! += points * (density(at) - density(bornAt[cluster]!));
  };
  const fallOut = (node: number, cluster: number, at: number) => {
    leave(cluster, under(node), at);
    const open = [node];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if (next < size) clusterOf[next] = cluster;
      else open.push(left[next - size]!, right[next - size]!);
    }
  };
  const sidesOf = (node: number, at: number): number[] => {
    const sides: number[] = [];
    const joined = [node];
    for (let next = joined.pop(); next !== undefined; next = joined.pop()) {
      for (const side of [left[next - size]!, right[next - size]!]) {
        if (side >= size && distance[side - size] === at) joined.push(side);
        else sides.push(side);
      }
    }
    return sides;
  };
  const open: Array<[node: number, cluster: number]> = [[root, 0]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [node, cluster] = next;
    const at = distance[node - size]!;
    const sides = sidesOf(node, at);
    const large = sides.filter((side) => under(side) >= least);
    for (const side of sides) if (!large.includes(side)) fallOut(side, cluster, at);
    if (large.length === 1) open.push([large[0]!, cluster]);
    if (large.length < 2) continue;
    for (const side of large) {
      leave(cluster, under(side), at);
      parent.push(cluster);
      bornAt.push(at);
      stability.push(0);
      open.push([side, parent.length - 1]);
    }
  }
  return { parent, bornAt, stability, clusterOf };
}

/** The flat clustering of most stability: a cluster stands where it weighs at least as much as all below it. Never the root. */
function excessOfMass({ parent, stability }: CondensedTree): boolean[] {
  const selected = parent.map(() => false);
  const below = parent.map(() => 0);
  for (let cluster = parent.length - 1; cluster > 0; cluster -= 1) {
    const own = stability[cluster]!;
    selected[cluster] = own >= below[cluster]!;
    below[parent[cluster]!]! += Math.max(own, below[cluster]!);
  }
  for (let cluster = 1; cluster < parent.length; cluster += 1) {
    // What stands under a selected one is part of it; selected ones are marked down to the leaves in passing.
    if (isUnder(cluster)) selected[cluster] = false;
  }
  return selected;

  function isUnder(cluster: number): boolean {
    for (let above = parent[cluster]!; above > 0; above = parent[above]!) if (selected[above]) return true;
    return false;
  }
}

function labelled(
  { parent, bornAt, clusterOf }: CondensedTree,
  selected: readonly boolean[],
  size: number,
): Pick<DensityClusters, 'labels' | 'bornAt'> {
  const labels = new Int32Array(size);
  const numbers = new Map<number, number>();
  const born: number[] = [];
  for (let point = 0; point < size; point += 1) {
    let cluster = clusterOf[point]!;
    while (cluster > 0 && !selected[cluster]) cluster = parent[cluster]!;
    if (cluster <= 0) {
      labels[point] = -1;
      continue;
    }
    if (!numbers.has(cluster)) {
      numbers.set(cluster, numbers.size);
      born.push(bornAt[cluster]!);
    }
    labels[point] = numbers.get(cluster)!;
  }
  return { labels, bornAt: Float64Array.from(born) };
}
