import type { Vectors } from '../../domain/principal-components.ts';
import { createRandom } from '../../domain/random.ts';

/** The baseline: Lloyd's k-means from k-means++ (Arthur and Vassilvitskii 2007), told the true number of groups. */
export function kMeans({ values, size, dimensions }: Vectors, k: number, seed: number): Int32Array {
  const random = createRandom(seed);
  const distance = (row: number, centre: Float64Array) => {
    let sum = 0;
    for (let i = 0; i < dimensions; i += 1) sum += (values[row * dimensions + i]! - centre[i]!) ** 2;
    return sum;
  };
  const rowOf = (row: number) => Float64Array.from(values.subarray(row * dimensions, (row + 1) * dimensions));
  const centres = [rowOf(random.int(size))];
  const nearest = new Float64Array(size).fill(Number.POSITIVE_INFINITY);
  while (centres.length < k) {
    let total = 0;
    for (let row = 0; row < size; row += 1) {
      nearest[row] = Math.min(nearest[row]!, distance(row, centres.at(-1)!));
      total += nearest[row]!;
    }
    let left = random.next() * total;
    let row = 0;
    while (row < size - 1 && (left -= nearest[row]!) > 0) row += 1;
    centres.push(rowOf(row));
  }
  const labels = new Int32Array(size).fill(-1);
  for (let round = 0; round < 25; round += 1) {
    let moved = 0;
    const sums = centres.map(() => new Float64Array(dimensions));
    const counts = new Int32Array(k);
    for (let row = 0; row < size; row += 1) {
      let best = 0;
      let least = Number.POSITIVE_INFINITY;
      for (const [c, centre] of centres.entries()) {
        const far = distance(row, centre);
        if (far < least) [best, least] = [c, far];
      }
      if (labels[row] !== best) moved += 1;
      labels[row] = best;
      counts[best]! += 1;
      for (let i = 0; i < dimensions; i += 1) sums[best]![i]! += values[row * dimensions + i]!;
    }
    for (const [c, sum] of sums.entries()) if (counts[c]! > 0) centres[c] = sum.map((value) => value / counts[c]!);
    if (moved === 0) break;
  }
  return labels;
}
