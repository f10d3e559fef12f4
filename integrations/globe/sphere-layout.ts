import { UMAP } from 'umap-js';
import { type GlobeVectors, leastPlaced, startOf } from '../../domain/globe.ts';
import { createRandom } from '../../domain/random.ts';

const seed = 180_203_426;
/** Whoever stood somewhere before is nudged, not thrown; measured in docs/globe.md. */
const pace = { anew: { epochs: 300, learningRate: 1 }, known: { epochs: 30, learningRate: 0.005 } };
/** The sphere's radius for one point, in UMAP's unit of length; it grows with the root of their number. */
const radiusOfOne = 0.03;
const leastRadius = 1.5;

/**
 * Places on the unit sphere, three numbers each, memories first: UMAP (McInnes, Healy, Melville 2018, arXiv 1802.03426), each
 * step of its descent put back onto a sphere that has room for so many. The same input gives the same places.
 */
export function layOnSphere(vectors: GlobeVectors): Float64Array {
  const size = vectors.memories.size + vectors.agents.size;
  const { neighbours, places, isKnown } = startOf(vectors);
  if (vectors.memories.size < leastPlaced) return places;
  const { epochs, learningRate } = isKnown ? pace.known : pace.anew;
  const random = createRandom(seed);
  const umap = new UMAP({
    nComponents: 3,
    nNeighbors: neighbours.indices[0]!.length,
    nEpochs: epochs,
    learningRate,
    random: () => random.next(),
  });
  umap.setPrecomputedKNN(neighbours.indices, neighbours.distances);
  // It reads only how many there are: who is near whom is known.
  umap.initializeFit(Array.from({ length: size }, () => []));
  const embedding = umap.getEmbedding();
  const radius = Math.max(leastRadius, radiusOfOne * Math.sqrt(size));
  for (const [i, row] of embedding.entries()) {
    for (let axis = 0; axis < 3; axis += 1) {
      // Points on one spot have no direction to part in.
      const apart = isKnown ? 0 : 0.01 * (random.next() - 0.5);
      row[axis] = (places[i * 3 + axis]! + apart) * radius;
    }
  }
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    umap.step();
    for (const row of embedding) {
      const length = Math.hypot(row[0]!, row[1]!, row[2]!) || 1;
      for (let axis = 0; axis < 3; axis += 1) row[axis] = (row[axis]! / length) * radius;
    }
  }
  const laid = new Float64Array(size * 3);
  for (const [i, row] of embedding.entries()) {
    for (let axis = 0; axis < 3; axis += 1) laid[i * 3 + axis] = row[axis]! / radius;
  }
  return laid;
}
