import { CancellationScope, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { CompositionActivities } from '../activities/compositions.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import type { CompositionState } from '../domain/compositions.ts';
import { restartPriority } from '../domain/ladder.ts';
import { climbLadder, climbSummary, onRung, reasonOf } from './inference-ladder.ts';

export interface ComposeDropWorkflowInput {
  compositionId: string;
}
export interface ComposeDropResult {
  state: CompositionState;
}

const { beginComposition, endComposition } = proxyLocalActivities<CompositionActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { climbComposition } = proxyLocalActivities<CompositionActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
/** Parked, it looks again this often even if nobody tells it to. */
const parkedLookMs = 60_000;

/** One time of a schedule: reflections that may go out → a drop by the speaker's model → on its way, to a person first where a channel asks. */
export async function composeDrop({ compositionId }: ComposeDropWorkflowInput): Promise<ComposeDropResult> {
  try {
    const begun = await beginComposition({ compositionId });
    if (begun.kind === 'ended') return { state: begun.state };
    const { limits } = begun;
    const { rung } = await climbLadder({
      step: begun.step,
      climb: () => climbComposition({ compositionId }),
      async call(on) {
        const activities = proxyActivities<InferenceActivities>(onRung(on, limits));
        await activities.composeDrop({ compositionId, modelId: on.modelId, queue: on.queue });
      },
      parkedFor: limits.parkedFor,
      lookEvery: parkedLookMs,
      restartPriority,
    });
    return await endComposition({ compositionId, degraded: rung.degraded });
  } catch (err) {
    return CancellationScope.nonCancellable(() => endComposition({ compositionId, reason: reasonOf(err) }));
  }
}
