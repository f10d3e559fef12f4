import { createHash } from 'node:crypto';
import { type Embedder, toUnitLength } from '../../domain/embeddings.ts';

const dimensions = 64;

/** Vectors of hashed words: texts that share words are near each other. Fast, and the same everywhere. */
export const hashedEmbedder: Embedder = {
  model: 'use-lite-en',
  embed: (texts) => Promise.resolve(texts.map(hashed)),
};

function hashed(text: string): Float32Array {
  const vector = new Float64Array(dimensions);
  vector[0] = 1e-3;
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    const digest = createHash('sha256').update(word).digest();
    vector[digest[0]! % dimensions]! += digest[1]! & 1 ? 1 : -1;
  }
  return toUnitLength(vector);
}
