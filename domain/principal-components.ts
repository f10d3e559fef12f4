import { createRandom } from './random.ts';

/** Directions in which vectors differ most, the strongest first. */
export interface Components {
  mean: Float64Array;
  /** Rows of `dimensions` numbers, of unit length and at right angles to each other; the first `count` of them hold. */
  directions: Float64Array;
  /** Along each row. */
  variances: Float64Array;
  count: number;
  dimensions: number;
}

export interface Vectors {
  values: Float32Array;
  size: number;
  dimensions: number;
}

const rounds = 6;
/** More directions than wanted are followed, which makes the wanted ones exact sooner (Halko et al. 2011, section 4). */
const oversampling = 8;
/** Of the variance of the first component: less is rounding. */
const leastShare = 1e-9;

/**
 * Principal components by subspace iteration from a seeded start (Halko, Martinsson, Tropp 2011, arXiv 0909.4061), without a
 * covariance matrix: at most `most`, fewer where the vectors differ in fewer directions.
 */
export function principalComponents(vectors: Vectors, most: number): Components {
  const { size, dimensions, values } = vectors;
  const mean = new Float64Array(dimensions);
  for (let row = 0; row < size; row += 1) {
    for (let i = 0; i < dimensions; i += 1) mean[i]! += values[row * dimensions + i]! / size;
  }
  const wanted = Math.min(most, dimensions, Math.max(1, size - 1));
  const followed = Math.min(wanted + oversampling, dimensions);
  const random = createRandom(20_090);
  let basis = Float64Array.from({ length: followed * dimensions }, () => random.next() + random.next() - 1);
  orthonormalise(basis, followed, dimensions);
  for (let round = 0; round < rounds; round += 1) {
    basis = covarianceTimes(vectors, mean, basis, followed).image;
    orthonormalise(basis, followed, dimensions);
  }
  // Rows of the basis come out ordered by strength, since each is made orthogonal to the ones before it.
  const { variances } = covarianceTimes(vectors, mean, basis, followed);
  let count = 1;
  while (count < wanted && variances[count]! > variances[0]! * leastShare) count += 1;
  return { mean, directions: basis, variances, count, dimensions };
}

/** The covariance times each row of the basis, and the variance along each row. */
function covarianceTimes(
  { values, size, dimensions }: Vectors,
  mean: Float64Array,
  basis: Float64Array,
  count: number,
): { image: Float64Array<ArrayBuffer>; variances: Float64Array<ArrayBuffer> } {
  const image = new Float64Array(count * dimensions);
  const variances = new Float64Array(count);
  const centred = new Float64Array(dimensions);
  for (let row = 0; row < size; row += 1) {
    for (let i = 0; i < dimensions; i += 1) centred[i] = values[row * dimensions + i]! - mean[i]!;
    for (let c = 0; c < count; c += 1) {
      const from = c * dimensions;
      let along = 0;
      for (let i = 0; i < dimensions; i += 1) along += centred[i]! * basis[from + i]!;
      variances[c]! += (along * along) / size;
      along /= size;
      for (let i = 0; i < dimensions; i += 1) image[from + i]! += along * centred[i]!;
    }
  }
  return { image, variances };
}

/** Gram and Schmidt, twice for the sake of precision; a row that is nothing beside the others becomes zero. */
function orthonormalise(rows: Float64Array, count: number, dimensions: number): void {
  for (let row = 0; row < count; row += 1) {
    const from = row * dimensions;
    for (let pass = 0; pass < 2; pass += 1) {
      for (let other = 0; other < row; other += 1) {
        const against = other * dimensions;
        let along = 0;
        for (let i = 0; i < dimensions; i += 1) along += rows[from + i]! * rows[against + i]!;
        for (let i = 0; i < dimensions; i += 1) rows[from + i]! -= along * rows[against + i]!;
      }
    }
    let squares = 0;
    for (let i = 0; i < dimensions; i += 1) squares += rows[from + i]! ** 2;
    const length = Math.sqrt(squares);
    for (let i = 0; i < dimensions; i += 1) rows[from + i] = length > 1e-12 ? rows[from + i]! / length : 0;
  }
}
