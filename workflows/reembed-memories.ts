import { continueAsNew, proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import type { EmbeddingActivities } from '../activities/embeddings.ts';

export interface ReembedMemoriesInput {
  /** Texts an earlier execution of this run has embedded. */
  embedded?: number;
}
export interface ReembedMemoriesResult {
  embedded: number;
}

/** Texts an activity: at 20 ms each it ends well within its time. */
const most = 2_000;
const { embedMissing } = proxyActivities<EmbeddingActivities>({
  startToCloseTimeout: '10 minutes',
  // It beats every second, also while a model thinks.
  heartbeatTimeout: '20 seconds',
  // Then the run fails, and the next period begins anew: a Schedule starts none while one is open.
  retry: { maximumInterval: '1 minute', maximumAttempts: 12 },
  summary: 'the next memories without a vector of the model in force',
});

/** Gives every living memory a vector of the model that fleet.yaml names, until none is left without. */
export async function reembedMemories(input: ReembedMemoriesInput): Promise<ReembedMemoriesResult> {
  let total = input.embedded ?? 0;
  for (;;) {
    const { embedded } = await embedMissing({ most });
    total += embedded;
    setCurrentDetails(`${total} memories embedded`);
    if (embedded < most) return { embedded: total };
    if (workflowInfo().continueAsNewSuggested) await continueAsNew<typeof reembedMemories>({ embedded: total });
  }
}
