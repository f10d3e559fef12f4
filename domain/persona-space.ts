import { principalComponents } from './principal-components.ts';

/**
 * The directions in which the personas of a fleet differ, and not what one and the same persona says of this and that.
 * Sentence vectors share a large common part and mostly tell topics: on them the plain cosine hardly knows a persona. So they
 * are centred on the fleet, whitened by the scatter within agents, and laid onto the strongest directions between agents:
 * linear discriminant analysis (Fisher 1936), then cosine, as voices are told apart (Dehak et al. 2011, doi 10.1109/TASL.2010.2064307).
 */
export interface PersonaSpace {
  mean: Float64Array;
  /** `count` rows of `dimensions` numbers. */
  directions: Float64Array;
  count: number;
  dimensions: number;
}

export const spaceLimits = {
  /** With fewer agents or outputs there is no fleet to tell a persona from; the plain cosine must do. */
  leastAgents: 12,
  leastOutputs: 120,
  /** Agents that take part at most, spread evenly over all: more do not make it better, only slower. */
  agents: 300,
  directions: 64,
} as const;

/** How much of the scatter is taken as equal in all directions; what few outputs tell of it is not to be trusted alone. */
const shrinkage = 0.1;

/** Gathers the outputs of one agent after the other, so that not all of them stand in memory. */
export function createSpaceBuilder(dimensions: number) {
  const within = new Float64Array(dimensions * dimensions);
  const means: Float64Array[] = [];
  let outputs = 0;

  return {
    /** @param vectors first outputs of one agent; a single one says nothing of how an agent varies */
    add(vectors: ReadonlyArray<ArrayLike<number>>): void {
      if (vectors.length < 2) return;
      const mean = meanOf(vectors, dimensions);
      means.push(mean);
      outputs += vectors.length;
      const centred = new Float64Array(dimensions);
      for (const vector of vectors) {
        for (let i = 0; i < dimensions; i += 1) centred[i] = vector[i]! - mean[i]!;
        for (let i = 0; i < dimensions; i += 1) {
          const row = i * dimensions;
          const own = centred[i]!;
          for (let j = 0; j <= i; j += 1) within[row + j]! += own * centred[j]!;
        }
      }
    },

    counts: () => ({ agents: means.length, outputs }),

    /** @returns undefined where too few agents or outputs were added */
    build(): PersonaSpace | undefined {
      if (means.length < spaceLimits.leastAgents || outputs < spaceLimits.leastOutputs) return undefined;
      const lower = cholesky(shrunk(within, dimensions, outputs - means.length), dimensions);
      const mean = meanOf(means, dimensions);
      const whitened = new Float32Array(means.length * dimensions);
      for (const [row, agent] of means.entries()) {
        whitened.set(
          forward(
            lower,
            agent.map((value, i) => value - mean[i]!),
          ),
          row * dimensions,
        );
      }
      const between = principalComponents(
        { values: whitened, size: means.length, dimensions },
        Math.min(spaceLimits.directions, means.length - 1),
      );
      const directions = new Float64Array(between.count * dimensions);
      for (let c = 0; c < between.count; c += 1) {
        const from = c * dimensions;
        directions.set(backward(lower, between.directions.subarray(from, from + dimensions)), from);
      }
      return { mean, directions, count: between.count, dimensions };
    },
  };
}

/** Where a vector lies among personas, at unit length; zero where it says nothing of any. */
export function inSpace(
  { mean, directions, count, dimensions }: PersonaSpace,
  vector: ArrayLike<number>,
): Float64Array {
  if (vector.length !== dimensions) throw new RangeError(`a vector of ${vector.length} numbers, not ${dimensions}`);
  const place = new Float64Array(count);
  for (let c = 0; c < count; c += 1) {
    const from = c * dimensions;
    let along = 0;
    for (let i = 0; i < dimensions; i += 1) along += directions[from + i]! * (vector[i]! - mean[i]!);
    place[c] = along;
  }
  return toUnit(place);
}

/** Scales to unit length in place; zero stays zero. */
export function toUnit(vector: Float64Array): Float64Array {
  let squares = 0;
  for (const value of vector) squares += value * value;
  const length = Math.sqrt(squares);
  if (length > 0) for (let i = 0; i < vector.length; i += 1) vector[i]! /= length;
  return vector;
}

function meanOf(vectors: ReadonlyArray<ArrayLike<number>>, dimensions: number): Float64Array {
  const mean = new Float64Array(dimensions);
  for (const vector of vectors) for (let i = 0; i < dimensions; i += 1) mean[i]! += vector[i]! / vectors.length;
  return mean;
}

/** The scatter ÷ its degrees of freedom, drawn towards one variance for all directions (Ledoit and Wolf 2004). Lower half only. */
function shrunk(scatter: Float64Array, size: number, freedom: number): Float64Array {
  let trace = 0;
  for (let i = 0; i < size; i += 1) trace += scatter[i * size + i]! / freedom;
  // Also where all that was said is alike: a matrix of zeros has no root.
  const even = Math.max((shrinkage * trace) / size, 1e-9);
  const result = scatter.map((value) => (value / freedom) * (1 - shrinkage));
  for (let i = 0; i < size; i += 1) result[i * size + i]! += even;
  return result;
}

/** Lower triangular root of a positive definite matrix, of which the lower half is read. */
function cholesky(matrix: Float64Array, size: number): Float64Array {
  const lower = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      let sum = matrix[i * size + j]!;
      for (let k = 0; k < j; k += 1) sum -= lower[i * size + k]! * lower[j * size + k]!;
      lower[i * size + j] = i === j ? Math.sqrt(sum) : sum / lower[j * size + j]!;
    }
  }
  return lower;
}

/** Solves lower · x = vector. */
function forward(lower: Float64Array, vector: ArrayLike<number>): Float64Array {
  const size = vector.length;
  const solved = new Float64Array(size);
  for (let i = 0; i < size; i += 1) {
    let sum = vector[i]!;
    for (let k = 0; k < i; k += 1) sum -= lower[i * size + k]! * solved[k]!;
    solved[i] = sum / lower[i * size + i]!;
  }
  return solved;
}

/** Solves lowerᵀ · x = vector. */
function backward(lower: Float64Array, vector: ArrayLike<number>): Float64Array {
  const size = vector.length;
  const solved = new Float64Array(size);
  for (let i = size - 1; i >= 0; i -= 1) {
    let sum = vector[i]!;
    for (let k = i + 1; k < size; k += 1) sum -= lower[k * size + i]! * solved[k]!;
    solved[i] = sum / lower[i * size + i]!;
  }
  return solved;
}
