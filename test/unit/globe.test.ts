import { expect, test } from 'vitest';
import { plantedGroups } from '../../bench/support/planted-groups.ts';
import { angleBetween, type GlobeVectors, type Place, regionAround } from '../../domain/globe.ts';
import type { Vectors } from '../../domain/principal-components.ts';
import { layOnSphere } from '../../integrations/globe/sphere-layout.ts';
import { foundPoints, happenedUntil, nextPoint, type Point } from '../../ui/globe/points.ts';

const planted = { agents: 420, groups: 6, dimensions: 64, spread: 1, noise: 0.1, seed: 11 };
const { vectors, truth } = plantedGroups(planted);
const agentCount = 20;
const memoryCount = planted.agents - agentCount;

/** The first are memories, the last agents. */
function globeOf({ from = 0, before }: { from?: number; before?: Float64Array } = {}): GlobeVectors {
  const { values, dimensions } = vectors;
  const part = (first: number, last: number): Vectors => ({
    values: values.slice(first * dimensions, last * dimensions),
    size: last - first,
    dimensions,
  });
  return {
    memories: part(from, memoryCount),
    agents: part(memoryCount, planted.agents),
    before: before ?? new Float64Array((planted.agents - from) * 3).fill(Number.NaN),
  };
}

const placeIn = (places: Float64Array, i: number): Place => [places[i * 3]!, places[i * 3 + 1]!, places[i * 3 + 2]!];
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const moved = (before: Float64Array, after: Float64Array, indices: readonly number[]) =>
  indices.map((i) => angleBetween(placeIn(before, i), placeIn(after, i)));
const all = Array.from({ length: planted.agents }, (_, i) => i);
const laid = layOnSphere(globeOf());

test('every point stands on the sphere, and the same input gives the same places', () => {
  for (const i of all) expect(Math.hypot(...placeIn(laid, i))).toBeCloseTo(1, 9);
  expect(layOnSphere(globeOf())).toEqual(laid);
});

test('who is nearest by meaning is near on the sphere: by rank, and by group', () => {
  const cosine = (a: number, b: number) => {
    let sum = 0;
    for (let i = 0; i < planted.dimensions; i += 1) {
      sum += vectors.values[a * planted.dimensions + i]! * vectors.values[b * planted.dimensions + i]!;
    }
    return sum;
  };
  const memories = all.slice(0, memoryCount);
  const grouped = memories.filter((i) => truth[i]! >= 0);
  const ranks: number[] = [];
  let same = 0;
  for (const i of grouped) {
    const others = memories.filter((other) => other !== i);
    const byMeaning = others.toSorted((a, b) => cosine(i, b) - cosine(i, a));
    const bySphere = others.toSorted(
      (a, b) => angleBetween(placeIn(laid, i), placeIn(laid, a)) - angleBetween(placeIn(laid, i), placeIn(laid, b)),
    );
    ranks.push(bySphere.indexOf(byMeaning[0]!) / others.length);
    same += bySphere.slice(0, 10).filter((other) => truth[other] === truth[i]).length / 10;
  }
  // By chance 0.5 and about a sixth.
  expect(median(ranks)).toBeLessThan(0.08);
  expect(same / grouped.length).toBeGreaterThan(0.85);
});

test('an agent stands among the memories that say what it says', () => {
  const agents = all.slice(memoryCount).filter((i) => truth[i]! >= 0);
  const share = agents.map((agent) => {
    const nearest = all
      .slice(0, memoryCount)
      .toSorted(
        (a, b) =>
          angleBetween(placeIn(laid, agent), placeIn(laid, a)) - angleBetween(placeIn(laid, agent), placeIn(laid, b)),
      )
      .slice(0, 10);
    return nearest.filter((memory) => truth[memory] === truth[agent]).length / 10;
  });
  expect(share.reduce((sum, each) => sum + each, 0) / share.length).toBeGreaterThan(0.85);
});

test('from run to run each stays about where it stood, and one that is new comes to its like', () => {
  const again = layOnSphere(globeOf({ before: laid.slice() }));
  expect(median(moved(laid, again, all))).toBeLessThan(0.1);

  const isNew = (i: number) => i % 10 === 0;
  const before = Float64Array.from(laid, (value, at) => (isNew(Math.floor(at / 3)) ? Number.NaN : value));
  const grown = layOnSphere(globeOf({ before }));
  expect(
    median(
      moved(
        laid,
        grown,
        all.filter((i) => !isNew(i)),
      ),
    ),
  ).toBeLessThan(0.1);
  const came = moved(
    laid,
    grown,
    all.filter((i) => isNew(i) && truth[i]! >= 0),
  );
  // Two points anywhere are 1.57 apart in the median.
  expect(median(came)).toBeLessThan(0.35);

  // A tenth was forgotten.
  const gone = 40;
  const fewer = layOnSphere(globeOf({ from: gone, before: laid.slice(gone * 3) }));
  expect(median(moved(laid.slice(gone * 3), fewer, all.slice(0, planted.agents - gone)))).toBeLessThan(0.1);
});

test('a handful, one, or many that say the same each have a place', () => {
  const dimensions = 8;
  for (const size of [1, 2, 5, 40]) {
    for (const isSame of [true, false]) {
      const values = Float32Array.from({ length: size * dimensions }, (_, at) =>
        at % dimensions === (isSame ? 0 : Math.floor(at / dimensions) % dimensions) ? 1 : 0,
      );
      const places = layOnSphere({
        memories: { values, size, dimensions },
        agents: { values: values.slice(0, dimensions), size: 1, dimensions },
        before: new Float64Array((size + 1) * 3).fill(Number.NaN),
      });
      for (let i = 0; i <= size; i += 1) expect(Math.hypot(...placeIn(places, i))).toBeCloseTo(1, 6);
    }
  }
});

test('a region holds three quarters of its places', () => {
  const ring = Array.from({ length: 8 }, (_, i): Place => {
    const around = (i * Math.PI) / 4;
    return [Math.sin(0.3) * Math.cos(around), Math.cos(0.3), Math.sin(0.3) * Math.sin(around)];
  });
  const region = regionAround([...ring, [0, 1, 0]])!;
  expect(region.middle[1]).toBeCloseTo(1, 9);
  expect(region.reach).toBeCloseTo(0.3, 9);
  expect(
    regionAround([
      [1, 0, 0],
      [-1, 0, 0],
    ]),
  ).toBeUndefined();
});

const point = (place: Place, says = ''): Point => ({
  id: says,
  kind: 'observation',
  place,
  agent: undefined,
  says,
  time: 0,
  threads: [],
});
const along = (east: number, north: number): Place => {
  const place: Place = [Math.sin(east) * Math.cos(north), Math.sin(north), Math.cos(east) * Math.cos(north)];
  return place;
};

test('arrow keys go to the next point in their direction, and reach those on one spot one by one', () => {
  const points = [
    point(along(0, 0)),
    point(along(0.2, 0.02)),
    point(along(0.1, 0.5)),
    point(along(-0.3, 0)),
    point(along(0, -0.4)),
    point(along(0, 0)),
  ];
  const go = (from: number, direction: 'up' | 'down' | 'left' | 'right') =>
    nextPoint(points, from, direction, () => true);
  expect(go(5, 'right')).toBe(1);
  expect(go(5, 'up')).toBe(2);
  expect(go(0, 'left')).toBe(3);
  expect(go(0, 'down')).toBe(4);
  expect(go(0, 'right')).toBe(5);
  expect(go(5, 'left')).toBe(0);
  expect(nextPoint(points, 5, 'right', (_, i) => i !== 1)).toBeUndefined();
  expect(nextPoint(points.slice(0, 1), 0, 'right', () => true)).toBeUndefined();
});

test('memories until a time, and points that say all of the words', () => {
  const times = [10, 20, 20, 30];
  expect([5, 10, 20, 25, 30, 99].map((until) => happenedUntil(times, until))).toEqual([0, 1, 3, 3, 4, 4]);
  const points = [point(along(0, 0), 'The ferry bell'), point(along(1, 0), 'A bell'), point(along(2, 0), 'ferry BELL')];
  expect(foundPoints(points, 'bell ferry', () => true, 9)).toEqual([0, 2]);
  expect(foundPoints(points, 'bell', (_, i) => i > 0, 1)).toEqual([1]);
  expect(foundPoints(points, '  ', () => true, 9)).toEqual([]);
});
