import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hdbscan, type Points } from '../../domain/hdbscan.ts';
import { createRandom } from '../../domain/random.ts';
import { adjustedRandIndex } from '../../bench/support/adjusted-rand.ts';
import { scatteredPoints } from '../support/scattered-points.ts';

/** Labels of scikit-learn 1.9.1, HDBSCAN(algorithm='brute'), over the points that `scatteredPoints` makes of each seed. */
const reference = JSON.parse(
  readFileSync(new URL('../support/hdbscan-reference.json', import.meta.url), 'utf8'),
) as Array<{ seed: number; minClusterSize: number; minSamples: number; labels: number[] }>;

test.each(reference)(
  'seed $seed: the same clusters and the same noise as scikit-learn',
  ({ labels, seed, ...options }) => {
    const found = hdbscan(scatteredPoints(seed), options).labels;
    expect(adjustedRandIndex(labels, found)).toBe(1);
    expect([...found].map((label) => label < 0)).toEqual(labels.map((label) => label < 0));
  },
);

test('the reference has clusters, noise and both', () => {
  expect(reference.length).toBeGreaterThanOrEqual(20);
  expect(
    new Set(reference.map(({ labels }) => new Set(labels.filter((label) => label >= 0)).size)).size,
  ).toBeGreaterThan(3);
  expect(reference.some(({ labels }) => labels.includes(-1))).toBe(true);
});

const smallPoints = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 2, max: 24 }),
    fc.integer({ min: 0, max: 1_000_000 }),
    fc.boolean(),
  )
  .map(([dimensions, size, seed, coarse]): Points => {
    const random = createRandom(seed);
    // Coarse coordinates meet often, so that many distances are equal.
    const values = Float64Array.from({ length: size * dimensions }, () =>
      coarse ? random.int(6) : random.next() * 10,
    );
    return { values, size, dimensions };
  });
const options = fc.record({
  minClusterSize: fc.integer({ min: 2, max: 5 }),
  minSamples: fc.integer({ min: 1, max: 4 }),
});

test('as the definition says, threshold by threshold, also where distances are equal', () => {
  fc.assert(
    fc.property(smallPoints, options, (points, given) => {
      expect([...hdbscan(points, given).labels]).toEqual(byDefinition(points, given));
    }),
    { numRuns: 400 },
  );
});

test('the order of the points has no say', () => {
  fc.assert(
    fc.property(smallPoints, options, fc.integer(), (points, given, seed) => {
      const order = createRandom(seed).shuffle(Array.from({ length: points.size }, (_, i) => i));
      const moved = order.flatMap((from) => [
        ...points.values.subarray(from * points.dimensions, (from + 1) * points.dimensions),
      ]);
      const labels = hdbscan(points, given).labels;
      const again = hdbscan({ ...points, values: Float64Array.from(moved) }, given).labels;
      const back = new Int32Array(points.size);
      order.forEach((from, to) => {
        back[from] = again[to]!;
      });
      expect(together(back)).toEqual(together(labels));
    }),
    { numRuns: 200 },
  );
});

test('points on one spot, one point, none, and options that are none', () => {
  const spot = { values: new Float64Array(20), size: 10, dimensions: 2 };
  expect([...hdbscan(spot, { minClusterSize: 3 }).labels]).toEqual(Array(10).fill(-1));
  const two = { values: Float64Array.from([...Array(6).fill(0), ...Array(6).fill(9)]), size: 12, dimensions: 1 };
  expect([...hdbscan(two, { minClusterSize: 3 }).labels]).toEqual([...Array(6).fill(0), ...Array(6).fill(1)]);
  expect([...hdbscan({ values: new Float64Array(2), size: 1, dimensions: 2 }, { minClusterSize: 2 }).labels]).toEqual([
    -1,
  ]);
  expect([...hdbscan({ values: new Float64Array(0), size: 0, dimensions: 2 }, { minClusterSize: 2 }).labels]).toEqual(
    [],
  );
  expect(() => hdbscan(spot, { minClusterSize: 1 })).toThrow(RangeError);
  expect(() => hdbscan(spot, { minClusterSize: 2, minSamples: 0 })).toThrow(RangeError);
});

/** For each pair whether both are in one cluster. */
function together(labels: ArrayLike<number>): string {
  let text = '';
  for (let a = 0; a < labels.length; a += 1) {
    for (let b = 0; b < a; b += 1) text += labels[a]! >= 0 && labels[a] === labels[b] ? '1' : '0';
  }
  return text;
}

/** From the definition, by another way: the whole matrix, and connected components anew at every threshold. */
function byDefinition(
  { values, size, dimensions }: Points,
  { minClusterSize, minSamples }: { minClusterSize: number; minSamples: number },
): number[] {
  if (size < minClusterSize) return Array<number>(size).fill(-1);
  const points = Array.from({ length: size }, (_, i) => [...values.subarray(i * dimensions, (i + 1) * dimensions)]);
  const far = points.map((a) =>
    points.map((b) => Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) * (value - b[i]!), 0))),
  );
  const core = far.map((row) => row.toSorted((a, b) => a - b)[Math.min(minSamples, size) - 1]!);
  const reach = far.map((row, a) => row.map((each, b) => Math.max(each, core[a]!, core[b]!)));
  const thresholds = [...new Set(reach.flatMap((row, a) => row.filter((_, b) => b !== a)))].sort((a, b) => b - a);
  const density = (at: number) => 1 / Math.max(at, 1e-9);

  /** Components of these points where only what lies nearer than the threshold is connected. */
  const parts = (members: readonly number[], under: number): number[][] => {
    const left = new Set(members);
    const found: number[][] = [];
    for (const start of members) {
      if (!left.delete(start)) continue;
      const part = [start];
      for (const at of part)
        for (const other of left) if (reach[at]![other]! < under && left.delete(other)) part.push(other);
      found.push(part);
    }
    return found;
  };

  interface Cluster {
    members: number[];
    stability: number;
    children: Cluster[];
  }
  const grow = (members: number[], born: number, from: number): Cluster => {
    let current = members;
    let stability = 0;
    for (let i = from; i < thresholds.length; i += 1) {
      const at = thresholds[i]!;
      const split = parts(current, at);
      if (split.length === 1) continue;
      const large = split.filter((part) => part.length >= minClusterSize);
      const lost = large.length === 1 ? current.length - large[0]!.length : current.length;
      stability += lost * (density(at) - density(born));
      if (large.length !== 1) {
        return { members, stability, children: large.map((part) => grow(part, at, i + 1)) };
      }
      current = large[0]!;
    }
    return { members, stability, children: [] };
  };
  const best = (cluster: Cluster): { value: number; chosen: Cluster[] } => {
    const below = cluster.children.map(best);
    const sum = below.reduce((total, { value }) => total + value, 0);
    return cluster.stability >= sum
      ? { value: cluster.stability, chosen: [cluster] }
      : { value: sum, chosen: below.flatMap(({ chosen }) => chosen) };
  };
  const root = grow(
    Array.from({ length: size }, (_, i) => i),
    Number.POSITIVE_INFINITY,
    0,
  );
  const chosen = root.children.flatMap((child) => best(child).chosen);
  const labels = Array<number>(size).fill(-1);
  const ordered = chosen.toSorted((a, b) => Math.min(...a.members) - Math.min(...b.members));
  ordered.forEach(({ members }, label) => {
    for (const member of members) labels[member] = label;
  });
  return labels;
}
