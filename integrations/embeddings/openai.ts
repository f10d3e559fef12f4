import OpenAI from 'openai';
import { type Embedder, toUnitLength } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';

/** Texts a request: what Ollama, vLLM and the hosted API all take. */
const batch = 64;
const requestMs = 60_000;

/** `/v1/embeddings` of any OpenAI-compatible server. */
export function createOpenAiEmbedder(options: { baseUrl: string; model: string; apiKey?: string }): Embedder {
  const client = new OpenAI({
    baseURL: options.baseUrl,
    apiKey: options.apiKey ?? 'none',
    // Temporal is the one retry loop.
    maxRetries: 0,
    timeout: requestMs,
    logLevel: 'off',
  });
  return {
    model: options.model,
    async embed(texts, signal) {
      const vectors: Float32Array[] = [];
      for (let from = 0; from < texts.length; from += batch) {
        const input = texts.slice(from, from + batch);
        vectors.push(...(await request(client, options.model, input, signal)));
      }
      return vectors;
    },
  };
}

async function request(
  client: OpenAI,
  model: string,
  input: string[],
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  let answer: OpenAI.CreateEmbeddingResponse;
  try {
    answer = await client.embeddings.create({ model, input, encoding_format: 'float' }, signal ? { signal } : {});
  } catch (err) {
    signal?.throwIfAborted();
    throw new DomainError('EMBEDDINGS_FAILED', `${model}: ${err instanceof Error ? err.message : String(err)}`, {
      cause: err,
    });
  }
  const byIndex = new Map(answer.data.map(({ index, embedding }) => [index, embedding]));
  const vectors = input.flatMap((_, index) => {
    const embedding = byIndex.get(index);
    return embedding ? [toUnitLength(embedding)] : [];
  });
  if (vectors.length !== input.length) {
    throw new DomainError(
      'EMBEDDINGS_FAILED',
      `${model} answered ${answer.data.length} vectors for ${input.length} texts`,
    );
  }
  return vectors;
}
