import OpenAI from 'openai';
import { type Embedder, UnusableText, unitVectors } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';

/** Texts a request: what Ollama, vLLM and the hosted API all take. */
const batch = 64;
const requestMs = 60_000;
/** Of a text: not taken, too long, or (Ollama's 500) made into numbers that JSON cannot hold. Whether it was the text, `embedEach` finds out. */
const refusesText: ReadonlySet<number | undefined> = new Set([400, 413, 422, 500]);

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
        vectors.push(...(await request(client, options.model, { input, from }, signal)));
      }
      return vectors;
    },
  };
}

async function request(
  client: OpenAI,
  model: string,
  { input, from }: { input: string[]; from: number },
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  let answer: OpenAI.CreateEmbeddingResponse;
  try {
    answer = await client.embeddings.create({ model, input, encoding_format: 'float' }, signal ? { signal } : {});
  } catch (err) {
    signal?.throwIfAborted();
    // Its address is the first to look at; a name and password in it are nobody's business.
    const message = `${model} at ${new URL(client.baseURL).host}: ${deepestReason(err)}`;
    if (err instanceof OpenAI.APIError && refusesText.has(err.status)) throw new UnusableText(message, { cause: err });
    throw new DomainError('EMBEDDINGS_FAILED', message, { cause: err });
  }
  const byIndex = new Map(answer.data.map(({ index, embedding }) => [index, embedding]));
  return unitVectors(
    model,
    input.map((_, index) => byIndex.get(index)),
    from,
  );
}

/** The client says `Connection error.`; what was refused, and where, stands in the cause of its cause. */
function deepestReason(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  return err.cause instanceof Error && err.cause.message !== '' ? deepestReason(err.cause) : err.message;
}
