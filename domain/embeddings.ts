import { z } from 'zod';

/** Turns texts into vectors: what means much the same points much the same way. Implementations: integrations/embeddings. */
export interface Embedder {
  /** Stored with each vector: vectors of two models are never compared. */
  readonly model: string;
  /**
   * One vector of unit length per text, in order; all of one length.
   * @throws EMBEDDINGS_FAILED, retryable
   */
  embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]>;
}

/** `embeddings` of fleet.yaml. */
export const embeddingSettingsSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('built-in') }),
  z.strictObject({
    kind: z.literal('openai'),
    /** OpenAI-compatible base, such as http://127.0.0.1:11434/v1. */
    url: z.url({ protocol: /^https?$/ }),
    model: z.string().min(1).max(120),
  }),
]);
export type EmbeddingSettings = z.infer<typeof embeddingSettingsSchema>;

/** Universal Sentence Encoder Lite, 512 dimensions, English. */
export const builtInModel = 'use-lite-en';

/** What the vectors of a setting are stored under. */
export function embeddingModelOf(settings: EmbeddingSettings): string {
  return settings.kind === 'built-in' ? builtInModel : settings.model;
}

/** Of two vectors of unit length. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[i]!;
  return sum;
}

/** @throws RangeError for a vector without length or with a part that is no number */
export function toUnitLength(vector: ArrayLike<number>): Float32Array {
  let squares = 0;
  for (let i = 0; i < vector.length; i += 1) squares += vector[i]! * vector[i]!;
  const length = Math.sqrt(squares);
  if (!(length > 0) || !Number.isFinite(length)) throw new RangeError('a vector must have a finite length over 0');
  return Float32Array.from({ length: vector.length }, (_, i) => vector[i]! / length);
}
