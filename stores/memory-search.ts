import { embedEach, type Embedder, type EmbeddingSettings } from '../domain/embeddings.ts';
import { isDomainError } from '../domain/errors.ts';
import { evenWeights, type RetrievalWeights } from '../domain/retrieval.ts';
import type { AsOf } from '../domain/validity.ts';
import type { Database } from './database.ts';
import { contentHash, createEmbeddingStore } from './embeddings.ts';
import { createMemoryIndex } from './memory-index.ts';
import { createMemoryStore, type Memory } from './memories.ts';

/** New memories are embedded by the first search that meets them, so many at most; the rest by `reembedMemories`. */
const embeddedBySearch = 64;

export interface MemorySearchRequest {
  ownerId: string;
  agentId: string;
  /** What it is about, in plain words. */
  text: string;
  limit: number;
  now: Date;
  weights?: RetrievalWeights;
  /** Whether what is found was used, which makes it recent again; not for a look from outside. */
  used: boolean;
  /** What held or was known then, instead of what is living now; scored as of now all the same. */
  asOf?: AsOf | undefined;
}

export interface FoundMemory extends Memory {
  score: number;
  /** What the score is the weighted sum of: each in [0, 1] among the agent's memories. */
  parts: { recency: number; importance: number; relevance: number };
}

export interface FoundMemories {
  found: FoundMemory[];
  /** Living memories, or those that held and were known then; all of them were scored. */
  scored: number;
  /** Of these, without a vector: found by their words alone. */
  unembedded: number;
  /** Whose vectors were compared; null where it did not answer, so that words alone were. */
  model: string | null;
}

export interface MemorySearchOptions {
  db: Database;
  embedderOf: (settings: EmbeddingSettings) => Embedder;
  /** `embeddings` of the fleet in force. */
  settings: (ownerId: string) => Promise<EmbeddingSettings>;
  /** Asked at each search, so that a fleet applied meanwhile counts. */
  cacheBytes: () => number | Promise<number>;
  /** The model did not answer; the search went on without it. */
  onFailure: (err: unknown) => void;
  /** Each search, and whether it had to do without vectors. */
  onSearched?: (search: { seconds: number; byWords: boolean }) => void;
}

/** What an agent remembers of something: every living memory scored, the best answered. See domain/retrieval.ts. */
export function createMemorySearch(options: MemorySearchOptions) {
  const { db } = options;
  const index = createMemoryIndex(db, options);
  const embeddings = createEmbeddingStore(db);
  const memories = createMemoryStore(db);

  /** The text's vector, after those of the agent's memories that had none. */
  async function vectorOf(
    { ownerId, agentId, text }: MemorySearchRequest,
    embedder: Embedder,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array | undefined> {
    try {
      const { model } = embedder;
      const missing = await embeddings.missing({ ownerId, model, agentId, limit: embeddedBySearch });
      const [vector, ...vectors] = await embedEach(embedder, [text, ...missing.map((each) => each.text)], signal);
      await embeddings.put(
        model,
        missing.flatMap((each, i) => (vectors[i] ? [{ ...each, vector: vectors[i] }] : [])),
      );
      await embeddings.markUnusable(
        model,
        missing.filter((_, i) => vectors[i] === undefined),
      );
      return vector;
    } catch (err) {
      if (!isDomainError(err, 'EMBEDDINGS_FAILED')) throw err;
      options.onFailure(err);
      return undefined;
    }
  }

  async function serving(ownerId: string) {
    return (
      (await embeddings.serving(ownerId)) ?? (await embeddings.models(ownerId, await options.settings(ownerId))).serving
    );
  }

  return {
    /** Bytes of vectors in memory now. */
    cachedBytes: index.cachedBytes,

    /** Vectors of texts by the model that searches go by, stored by content; undefined where it does not answer. */
    async embed(
      { ownerId, texts }: { ownerId: string; texts: readonly string[] },
      signal?: AbortSignal,
    ): Promise<{ model: string; vectors: Float32Array[] } | undefined> {
      const { model, settings } = await serving(ownerId);
      try {
        const vectors = await options.embedderOf(settings).embed(texts, signal);
        const rows = texts.map((text, i) => ({ ownerId, contentHash: contentHash(text), vector: vectors[i]! }));
        await embeddings.putAhead(model, rows);
        return { model, vectors };
      } catch (err) {
        if (!isDomainError(err, 'EMBEDDINGS_FAILED')) throw err;
        options.onFailure(err);
        return undefined;
      }
    },

    async search(request: MemorySearchRequest, signal?: AbortSignal): Promise<FoundMemories> {
      const { ownerId, agentId, text, limit, now, asOf } = request;
      const since = performance.now();
      const { model, settings } = await serving(ownerId);
      const vector = await vectorOf(request, options.embedderOf(settings), signal);
      const { found, scored, unembedded } = await index.search(
        { ownerId, agentId, model, vector, text, now, asOf },
        { weights: request.weights ?? evenWeights, limit },
      );
      const ids = found.map(({ id }) => id);
      const byId = new Map((await memories.byIds(ownerId, ids, asOf)).map((memory) => [memory.id, memory]));
      if (request.used) await memories.markUsed(ownerId, agentId, ids, now);
      options.onSearched?.({ seconds: (performance.now() - since) / 1000, byWords: vector === undefined });
      return {
        // What was deleted between the two reads is left out.
        found: found.flatMap(({ id, score, recency, importance, relevance }) => {
          const memory = byId.get(id);
          return memory ? [{ ...memory, score, parts: { recency, importance, relevance } }] : [];
        }),
        scored,
        unembedded: vector ? unembedded : scored,
        model: vector ? model : null,
      };
    },
  };
}
export type MemorySearch = ReturnType<typeof createMemorySearch>;
