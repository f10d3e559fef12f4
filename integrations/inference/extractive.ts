import { extractInsights, extractiveTokens, extractiveVersion } from '../../domain/extractive.ts';
import { acceptInsights } from '../../domain/reflections.ts';
import type { Inference } from './inference.ts';

/** The built-in default: quotes the memories themselves, uses no model and no seed, whatever model was asked for. */
export function createExtractiveReflector(): Inference {
  return {
    source: 'extractive',
    async reflect({ agent, memories }, watch) {
      watch.signal.throwIfAborted();
      const used = memories.map((memory) => memory.id);
      const { accepted, refused } = acceptInsights({ insights: extractInsights(memories, agent.name) }, used);
      const tokens = extractiveTokens(accepted);
      watch.onProgress({ phase: 'token', tokens });
      return {
        source: 'extractive',
        insights: accepted,
        refused,
        used,
        left: [],
        tokens,
        promptVersion: extractiveVersion,
        repaired: false,
      };
    },
  };
}
