import type { Embedder, EmbeddingSettings } from '../../domain/embeddings.ts';
import { createBuiltInEmbedder } from './built-in.ts';
import { createOpenAiEmbedder } from './openai.ts';

/** The embedder of each setting, made once: the built-in one holds its model in memory. */
export function createEmbedders({ apiKey }: { apiKey?: string | undefined } = {}) {
  const builtIn = createBuiltInEmbedder();
  const made = new Map<string, Embedder>();
  return {
    of: (settings: EmbeddingSettings): Embedder => {
      if (settings.kind === 'built-in') return builtIn;
      const key = `${settings.url} ${settings.model}`;
      const known = made.get(key);
      if (known) return known;
      const { url, model } = settings;
      const embedder = createOpenAiEmbedder({ baseUrl: url, model, ...(apiKey === undefined ? {} : { apiKey }) });
      made.set(key, embedder);
      return embedder;
    },
    close: () => builtIn.close(),
  };
}
