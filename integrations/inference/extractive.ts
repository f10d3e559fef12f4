import { extractInsights, extractiveTokens, extractiveVersion } from '../../domain/extractive.ts';
import { acceptInsights } from '../../domain/reflections.ts';
import type { Inference } from './inference.ts';

/** The built-in default: quotes the memories themselves, uses no model and no seed, whatever model was asked for. */
export function createExtractiveReflector(): Inference {
  return {
    source: 'extractive',
    async reflect({ agent, memories }, watch) {
      watch.signal.throwIfAborted();
      const accepted = acceptInsights({ insights: extractInsights(memories, agent.name) }, memories);
      const tokens = extractiveTokens(accepted.insights);
      watch.onProgress({ phase: 'token', tokens });
      return {
        source: 'extractive',
        ...accepted,
        used: memories.map((memory) => memory.id),
        left: [],
        modelCalls: 0,
        tokens,
        promptVersion: extractiveVersion,
        repair: null,
      };
    },
  };
}
