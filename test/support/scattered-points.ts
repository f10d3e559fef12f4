import type { Points } from '../../domain/hdbscan.ts';
import { createRandom } from '../../domain/random.ts';

/** Blobs of different number, width and dimension, with points in between that belong to none. */
export function scatteredPoints(seed: number): Points {
  const random = createRandom(seed);
  const gauss = () => Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  const dimensions = 2 + random.int(4);
  const blobs = Array.from({ length: 1 + random.int(6) }, () => ({
    centre: Array.from({ length: dimensions }, () => random.next() * 10),
    width: 0.1 + random.next() * 1.2,
  }));
  const size = 40 + random.int(160);
  const points = Array.from({ length: size }, () => {
    if (random.next() < 0.15) return Array.from({ length: dimensions }, () => random.next() * 10);
    const { centre, width } = random.pick(blobs);
    return centre.map((value) => value + width * gauss());
  });
  return { values: Float64Array.from(points.flat()), size, dimensions };
}
