import { z } from 'zod';
import { DomainError, isDomainError } from './errors.ts';

/** Turns texts into vectors: what means much the same points much the same way. Implementations: integrations/embeddings. */
export interface Embedder {
  /** Stored with each vector: vectors of two models are never compared. */
  readonly model: string;
  /**
   * One vector of unit length per text, in order; all of one length.
   * @throws EMBEDDINGS_FAILED, retryable; as `UnusableText` where the texts are to blame, not the server
   */
  embed(texts: readonly string[], signal?: AbortSignal): Promise<Float32Array[]>;
}

/** The model answered, but not with a vector for each of these texts: one by one it may. */
export class UnusableText extends DomainError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('EMBEDDINGS_FAILED', message, options);
    this.name = 'UnusableText';
  }
}

/** What any model that works has a vector for. */
const plainText = 'water';

/**
 * Embeds what can be embedded: where a text of a batch has no usable vector, one by one.
 * @returns undefined in the place of a text that has none although the model embeds others
 * @throws EMBEDDINGS_FAILED where the model does not answer, or answers nothing usable for any text
 */
export async function embedEach(
  embedder: Embedder,
  texts: readonly string[],
  signal?: AbortSignal,
): Promise<Array<Float32Array | undefined>> {
  try {
    return await embedder.embed(texts, signal);
  } catch (err) {
    if (!isOfTexts(err, signal)) throw err;
    const vectors: Array<Float32Array | undefined> = [];
    let works = false;
    for (const text of texts) {
      const vector = await embedOne(embedder, text, signal);
      // Without one vector that is good, the model may be the one that is broken: this throws if so.
      if (vector === undefined && !works) await embedPlain(embedder, signal);
      works = true;
      vectors.push(vector);
    }
    return vectors;
  }
}

/** @throws EMBEDDINGS_FAILED: what fails for plain words fails for the model's sake, whatever it says of the words */
async function embedPlain(embedder: Embedder, signal: AbortSignal | undefined): Promise<void> {
  try {
    await embedder.embed([plainText], signal);
  } catch (err) {
    if (!isOfTexts(err, signal)) throw err;
    const why = err instanceof Error ? err.message : String(err);
    throw new DomainError('EMBEDDINGS_FAILED', `${embedder.model} embeds not even plain words: ${why}`, { cause: err });
  }
}

async function embedOne(embedder: Embedder, text: string, signal: AbortSignal | undefined) {
  try {
    return (await embedder.embed([text], signal))[0];
  } catch (err) {
    if (isOfTexts(err, signal)) return undefined;
    throw err;
  }
}

/** A model that does not answer says so by its code; what else goes wrong with a text, goes wrong with it each time. */
function isOfTexts(err: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted) return false;
  return err instanceof UnusableText || !isDomainError(err);
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

/** What services may call the embedding model by, whichever it is. */
export const embeddingsAlias = 'embeddings';

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

/**
 * Each vector of an answer at unit length.
 * @param from place of the first one among all texts that were asked for
 * @throws EMBEDDINGS_FAILED as `UnusableText`, which names the first text without a usable vector by its place
 */
export function unitVectors(
  model: string,
  vectors: ReadonlyArray<ArrayLike<number> | undefined>,
  from: number,
): Float32Array[] {
  return vectors.map((vector, i) => {
    if (vector === undefined) throw new UnusableText(`${model} answered no vector for text ${from + i + 1}`);
    try {
      return toUnitLength(vector);
    } catch (err) {
      if (!(err instanceof RangeError)) throw err;
      throw new UnusableText(`${model}: text ${from + i + 1}: ${err.message}`, { cause: err });
    }
  });
}

/** @throws RangeError for a vector without length or with a part that is no number */
export function toUnitLength(vector: ArrayLike<number>): Float32Array {
  let squares = 0;
  for (let i = 0; i < vector.length; i += 1) squares += vector[i]! * vector[i]!;
  const length = Math.sqrt(squares);
  if (!(length > 0) || !Number.isFinite(length)) throw new RangeError('a vector must have a finite length over 0');
  return Float32Array.from({ length: vector.length }, (_, i) => vector[i]! / length);
}
