import type { ObserveInference } from '../activities/machine-calls.ts';
import type { Generation } from '../integrations/inference/inference.ts';
import type { WorkerMetrics } from '../observability/worker-metrics.ts';

/** Counts what a machine's models do, and how the time of its cards is shared out among them. */
export function createInferenceFigures(metrics: WorkerMetrics) {
  const running = new Map<string, number>();
  const busy = new Map<string, number>();
  let countedAt = performance.now();

  /** Sequences × seconds since the last look, added to each model's. */
  function count(): void {
    const now = performance.now();
    for (const [modelId, sequences] of running) {
      busy.set(modelId, (busy.get(modelId) ?? 0) + (sequences * (now - countedAt)) / 1000);
    }
    countedAt = now;
  }

  const observe: ObserveInference = {
    began: ({ modelId, kind, seconds }) => metrics.inferenceWait.observe({ model: modelId, kind }, seconds),
    holds(modelId, sequences) {
      count();
      running.set(modelId, (running.get(modelId) ?? 0) + sequences);
    },
    ended: ({ modelId, kind, seconds, outcome }) =>
      metrics.inference.observe({ model: modelId, kind, outcome }, seconds),
  };

  return {
    observe,

    generated: (modelId: string, { tokens, promptTokens }: Generation): void => {
      metrics.tokens.inc({ model: modelId, direction: 'written' }, tokens);
      metrics.tokens.inc({ model: modelId, direction: 'prompt' }, promptTokens ?? 0);
    },

    /** Shares energy that was drawn since the last call out by the sequences that ran meanwhile. */
    drew: (joules: number): void => {
      count();
      const total = [...busy.values()].reduce((sum, seconds) => sum + seconds, 0);
      if (total === 0) metrics.energy.inc({ model: 'idle' }, joules);
      for (const [model, seconds] of busy) if (seconds > 0) metrics.energy.inc({ model }, (joules * seconds) / total);
      busy.clear();
    },
  };
}
