import {
  ActivityFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  sleep,
} from '@temporalio/workflow';
import type { InferenceActivities } from '../activities/inference.ts';
import type { BegunJudgement, JudgementActivities } from '../activities/judgements.ts';
import { type JudgementKind, judgementKinds, type JudgementState } from '../domain/consistency.ts';
import { mayTryAgain, reasonOf, timedOut, waitedTooLong } from './inference-ladder.ts';

export interface JudgeDriftInput {
  ratingId: string;
}
export interface JudgeDriftResult {
  state: JudgementState | 'ended';
}

const { beginJudgement, endJudgement } = proxyLocalActivities<JudgementActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});
/** Behind everything else that a model is asked for. */
const judgingPriority = 5;
const mostTries = 3;

type Open = Extract<BegunJudgement, { kind: 'open' }>;

/** Has a model judge an agent that drifts, several times over; where none is there, says so and judges nothing. */
export async function judgeDrift({ ratingId }: JudgeDriftInput): Promise<JudgeDriftResult> {
  let reason: string;
  try {
    const begun = await beginJudgement({ ratingId });
    if (begun.kind === 'ended') return { state: 'ended' };
    reason = await samples(ratingId, begun);
  } catch (err) {
    // Canceled or failed, it does not stay pending: nobody comes back to it.
    await CancellationScope.nonCancellable(() => endJudgement({ ratingId, reason: reasonOf(err) }));
    throw err;
  }
  return CancellationScope.nonCancellable(() => endJudgement({ ratingId, reason }));
}

/** @returns why they are not all there; empty where they are */
async function samples(ratingId: string, begun: Open): Promise<string> {
  for (const kind of judgementKinds) {
    for (let sample = 1; sample <= begun.samples; sample += 1) {
      const reason = await sampled(ratingId, begun, kind, sample);
      if (reason !== '') return reason;
    }
  }
  return '';
}

/** @returns why there is no sample; empty where there is one */
async function sampled(ratingId: string, begun: Open, kind: JudgementKind, sample: number): Promise<string> {
  const { modelId, queue, limits } = begun;
  const { judge } = proxyActivities<InferenceActivities>({
    taskQueue: queue,
    scheduleToStartTimeout: limits.parkedFor,
    startToCloseTimeout: limits.callTimeout,
    heartbeatTimeout: limits.heartbeatTimeout,
    retry: { maximumAttempts: 1 },
    priority: { priorityKey: judgingPriority },
    summary: `${kind} ${sample}`,
  });
  for (let tries = 1; ; tries += 1) {
    try {
      const judged = await judge({ ratingId, kind, sample, modelId, queue });
      return judged.kind === 'none' ? judged.reason : '';
    } catch (err) {
      if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
      if (waitedTooLong(err)) return `no machine took a call to ${modelId} in time`;
      if (tries >= mostTries || !mayTryAgain(err)) return err.cause?.message ?? err.message;
      if (!timedOut(err)) await sleep(2_000 * tries, { summary: 'before the next try' });
    }
  }
}
