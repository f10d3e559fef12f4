import type { Points } from './hdbscan.ts';
import type { Components, Vectors } from './principal-components.ts';

/**
 * Without the components that differ no more than noise would: those under the edge σ²(1 + √(d/n))² of Marchenko and Pastur
 * (1967), σ² taken from what all of them leave over. Two stay at least.
 */
export function withoutNoise(components: Components, vectors: Vectors): Components {
  const { count, dimensions, mean, variances } = components;
  let rest = totalVariance(vectors, mean);
  for (let i = 0; i < count; i += 1) rest -= variances[i]!;
  const noise = Math.max(0, rest) / Math.max(1, Math.min(dimensions, vectors.size) - count);
  const edge = noise * (1 + Math.sqrt(dimensions / vectors.size)) ** 2;
  let kept = 0;
  while (kept < count && variances[kept]! > edge) kept += 1;
  return { ...components, count: Math.min(count, Math.max(2, kept)) };
}

/** Coordinates of vectors along the components. `extra` columns are left free at the end of each row. */
export function project({ values, size, dimensions }: Vectors, components: Components, extra = 0): Points {
  const { mean, directions, count } = components;
  if (dimensions !== components.dimensions) {
    throw new RangeError(`vectors of ${dimensions} numbers on components of ${components.dimensions}`);
  }
  const width = count + extra;
  const points = new Float64Array(size * width);
  for (let row = 0; row < size; row += 1) {
    for (let c = 0; c < count; c += 1) {
      let sum = 0;
      for (let i = 0; i < dimensions; i += 1) {
        sum += (values[row * dimensions + i]! - mean[i]!) * directions[c * dimensions + i]!;
      }
      points[row * width + c] = sum;
    }
  }
  return { values: points, size, dimensions: width };
}

function totalVariance({ values, size, dimensions }: Vectors, mean: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < size * dimensions; at += 1) sum += (values[at]! - mean[at % dimensions]!) ** 2;
  return sum / size;
}
