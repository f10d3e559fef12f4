import type { AgentVectors } from '../../domain/clustering.ts';
import { createRandom, type Random } from '../../domain/random.ts';

/** How planted groups lie. */
export interface Planted {
  agents: number;
  groups: number;
  dimensions: number;
  /** Length of what is an agent's own beside what is its group's, which is 1 long. */
  spread: number;
  /** Share of agents in no group. */
  noise: number;
  seed: number;
}

/**
 * Unit vectors with one common part, as sentence vectors have, a part of their group, and a part of their own in all
 * dimensions. Groups are of unequal size. The truth of noise is −1.
 */
export function plantedGroups({ agents, groups, dimensions, spread, noise, seed }: Planted): {
  vectors: AgentVectors;
  truth: Int32Array;
} {
  const random = createRandom(seed);
  const direction = () => unitVector(random, dimensions);
  const common = direction();
  const centres = Array.from({ length: groups }, direction);
  const drifts = centres.map(() => 0.2 + 0.3 * random.next());
  const weights = centres.map((_, i) => 1 / (1 + i / 6));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const values = new Float32Array(agents * dimensions);
  const drift = new Float64Array(agents);
  const truth = new Int32Array(agents);
  for (let row = 0; row < agents; row += 1) {
    const group = random.next() < noise ? -1 : drawn(random, weights, total);
    truth[row] = group;
    const centre = group < 0 ? direction() : centres[group]!;
    const own = direction();
    let squares = 0;
    for (let i = 0; i < dimensions; i += 1) {
      const value = common[i]! + centre[i]! + spread * own[i]!;
      values[row * dimensions + i] = value;
      squares += value * value;
    }
    const length = Math.sqrt(squares);
    for (let i = 0; i < dimensions; i += 1) values[row * dimensions + i]! /= length;
    drift[row] = (group < 0 ? 0.2 + 0.3 * random.next() : drifts[group]!) + 0.05 * gauss(random);
  }
  return { vectors: { values, drift, size: agents, dimensions }, truth };
}

function drawn(random: Random, weights: readonly number[], total: number): number {
  let left = random.next() * total;
  for (const [i, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return i;
  }
  return weights.length - 1;
}

function unitVector(random: Random, dimensions: number): Float64Array {
  const vector = Float64Array.from({ length: dimensions }, () => gauss(random));
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** Box and Muller 1958. */
function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}
