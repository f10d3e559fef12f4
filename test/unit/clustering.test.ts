import { expect, test } from 'vitest';
import { adjustedRandIndex } from '../../bench/support/adjusted-rand.ts';
import { plantedGroups } from '../../bench/support/planted-groups.ts';
import { clusterTerms, quoteOf } from '../../domain/cluster-terms.ts';
import { type AgentVectors, agentsWithin, assignAgents, clusterAgents, evenlyDrawn } from '../../domain/clustering.ts';
import { principalComponents } from '../../domain/principal-components.ts';
import { project, withoutNoise } from '../../domain/projection.ts';

const planted = { agents: 600, groups: 6, dimensions: 96, spread: 1.2, noise: 0.1, seed: 3 };

test('the adjusted Rand index by known values', () => {
  expect(adjustedRandIndex([0, 0, 1, 1], [5, 5, 9, 9])).toBe(1);
  // Worked example of Hubert and Arabie's formula: 2 pairs together in both, rows 3 pairs, columns 6, of 15.
  expect(adjustedRandIndex([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])).toBeCloseTo(0.242424, 6);
  expect(adjustedRandIndex([0, 0, 1, 1], [0, 1, 0, 1])).toBeCloseTo(-0.5, 6);
  expect(adjustedRandIndex([0, 0, 0], [1, 1, 1])).toBe(1);
});

test('finds planted groups and leaves noise apart', () => {
  const { vectors, truth } = plantedGroups(planted);
  const { labels, clusters } = clusterAgents(vectors);
  expect(clusters).toBe(6);
  expect(adjustedRandIndex(truth, labels)).toBeGreaterThan(0.9);
});

test('agents that were not drawn go where they belong, or nowhere', () => {
  const { vectors, truth } = plantedGroups(planted);
  const drawn = evenlyDrawn(planted.agents, 300);
  const others = Array.from({ length: planted.agents }, (_, i) => i).filter((i) => !drawn.includes(i));
  const { labels, model } = clusterAgents(pick(vectors, [...drawn]));
  const assigned = assignAgents(model, pick(vectors, others));
  const all = new Int32Array(planted.agents);
  drawn.forEach((place, i) => {
    all[place] = labels[i]!;
  });
  others.forEach((place, i) => {
    all[place] = assigned[i]!;
  });
  expect(adjustedRandIndex(truth, all)).toBeGreaterThan(0.85);
});

test('agents that drift otherwise stand apart though they say the same', () => {
  const { vectors, truth } = plantedGroups({ ...planted, groups: 3, noise: 0, spread: 0.8 });
  const drifts = truth.map((_, i) => i % 2);
  const drift = Float64Array.from(drifts, (each, i) => 0.1 + 0.5 * each + (i % 7) / 1_000);
  const both = truth.map((group, i) => 2 * group + drifts[i]!);
  expect(adjustedRandIndex(both, clusterAgents({ ...vectors, drift }).labels)).toBeGreaterThan(0.9);
  const alike = clusterAgents({ ...vectors, drift: new Float64Array(truth.length).fill(0.3) });
  expect(adjustedRandIndex(truth, alike.labels)).toBeGreaterThan(0.9);
});

test('a sample is drawn evenly, each place once, and within the limit', () => {
  expect([...evenlyDrawn(10, 4)]).toEqual([0, 2, 5, 7]);
  expect([...evenlyDrawn(3, 9)]).toEqual([0, 1, 2]);
  expect(agentsWithin(60, 512)).toBe(0);
  expect(agentsWithin(10, 512)).toBe(0);
  expect(agentsWithin(256, 512)).toBeGreaterThan(10_000);
  expect(agentsWithin(256, 4_096)).toBeLessThan(agentsWithin(256, 512));
});

test('components are the strongest directions, at right angles, and noise is left out', () => {
  const { vectors } = plantedGroups(planted);
  const components = principalComponents(vectors, 12);
  const { directions, dimensions, variances, count } = components;
  const row = (i: number) => directions.subarray(i * dimensions, (i + 1) * dimensions);
  const product = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  for (let a = 0; a < count; a += 1) {
    expect(product(row(a), row(a))).toBeCloseTo(1, 9);
    for (let b = 0; b < a; b += 1) expect(Math.abs(product(row(a), row(b)))).toBeLessThan(1e-9);
    if (a > 0) expect(variances[a]!).toBeLessThanOrEqual(variances[a - 1]! * 1.05);
  }
  const points = project(vectors, components);
  const first = Array.from({ length: points.size }, (_, i) => points.values[i * points.dimensions]!);
  const mean = first.reduce((sum, value) => sum + value, 0) / first.length;
  expect(mean).toBeCloseTo(0, 9);
  expect(first.reduce((sum, value) => sum + value ** 2, 0) / first.length).toBeCloseTo(variances[0]!, 6);
  // Six groups span five directions beside their mean.
  expect(withoutNoise(components, vectors).count).toBeGreaterThanOrEqual(4);
  expect(withoutNoise(components, vectors).count).toBeLessThanOrEqual(7);
  expect(() => project({ ...vectors, dimensions: 48 }, components)).toThrow(RangeError);
});

test('words that set a cluster apart are words of at least two members, with what holds them', () => {
  const said = (agentId: string, ...texts: string[]) =>
    texts.map((text, i) => ({ id: `${agentId}-${i}`, agentId, text }));
  const [sea, land] = clusterTerms([
    [
      ...said('a', 'The harbour froze. I saw a lantern.', 'A harbour again.'),
      ...said('b', 'Nets in the harbour.', 'Lonely pelican.'),
    ],
    [...said('c', 'The orchard blooms, I saw it.'), ...said('d', 'An orchard wall. The lantern hung there.')],
  ]);
  expect(sea![0]).toEqual({ term: 'harbour', outputs: ['a-0', 'b-0', 'a-1'] });
  expect(sea!.map(({ term }) => term)).not.toContain('pelican');
  expect(land![0]!.term).toBe('orchard');
  expect(quoteOf('The harbour froze. I saw a lantern.', 'lantern')).toBe('I saw a lantern.');
  expect(quoteOf('', 'lantern')).toBeUndefined();
});

function pick({ values, drift, dimensions }: AgentVectors, places: readonly number[]): AgentVectors {
  return {
    values: Float32Array.from(
      places.flatMap((place) => [...values.subarray(place * dimensions, (place + 1) * dimensions)]),
    ),
    drift: Float64Array.from(places, (place) => drift[place]!),
    size: places.length,
    dimensions,
  };
}
