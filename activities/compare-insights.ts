import { Context } from '@temporalio/activity';
import { insightsStep } from '../domain/messages.ts';
import { nearlySameWords, repeatedCosine } from '../domain/plain-text.ts';
import type { ReflectionStep } from '../domain/run-steps.ts';
import { dot } from '../stores/memory-columns.ts';
import type { MemorySearch } from '../stores/memory-search.ts';
import type { ReflectionStore } from '../stores/reflections.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import { beating } from './beating.ts';

export interface CompareDeps {
  runs: Pick<RunStore, 'openRun'>;
  steps: StepResultStore;
  reflections: Pick<ReflectionStore, 'earlier'>;
  memorySearch: Pick<MemorySearch, 'embed'>;
}

/** From this attempt on words are compared alone: the vectors are what may stand in the way. */
const byWordsFrom = 4;

interface Said {
  text: string;
  vector: Float32Array | undefined;
}

export function createCompareActivities({ runs, steps, reflections, memorySearch }: CompareDeps) {
  return {
    /**
     * Holds a run's new insights against each other and against all living reflections of its agent: by vectors where both
     * have one, else by words. Away from the model's machine, whose sequence must not wait for it; the vectors it makes
     * are those of the memories that the insights become. Quotes (`extractive`) are held by their words: no model is asked.
     * @returns places of insights that say nothing new
     */
    compareInsights: ({ runId }: { runId: string }): Promise<{ repeated: number[] }> => beating(() => compared(runId)),
  };

  async function compared(runId: string): Promise<{ repeated: number[] }> {
    const step = await steps.read<ReflectionStep>({ workId: runId, step: insightsStep });
    const run = await runs.openRun(runId);
    // Ended meanwhile: what follows finds that out and stores nothing.
    if (!step || !run || step.insights.length === 0) return { repeated: [] };
    const { ownerId, agentId } = run;
    const { cancellationSignal: signal, info } = Context.current();
    const texts = step.insights.map(({ text }) => text);
    const byModel = step.calls.some(({ source }) => source === 'model');
    const embedded =
      byModel && info.attempt < byWordsFrom ? await memorySearch.embed({ ownerId, texts }, signal) : undefined;
    const fresh = texts.map((text, place): Said => ({ text, vector: embedded?.vectors[place] }));
    const repeated = new Set<number>();
    for await (const earlier of reflections.earlier({ ownerId, agentId, model: embedded?.model })) {
      for (const [place, insight] of fresh.entries()) {
        if (!repeated.has(place) && earlier.some((other) => saysTheSame(insight, other))) repeated.add(place);
      }
    }
    for (const [place, insight] of fresh.entries()) {
      const before = fresh.slice(0, place).filter((_, i) => !repeated.has(i));
      if (before.some((other) => saysTheSame(insight, other))) repeated.add(place);
    }
    return { repeated: [...repeated].sort((a, b) => a - b) };
  }
}
export type CompareActivities = ReturnType<typeof createCompareActivities>;

function saysTheSame(a: Said, b: Said): boolean {
  if (a.vector && b.vector && a.vector.length === b.vector.length) return dot(a.vector, 0, b.vector) >= repeatedCosine;
  return nearlySameWords(a.text, b.text);
}
