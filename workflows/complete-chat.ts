import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { CompletionActivities } from '../activities/completions.ts';
import type { GatewayRequestActivities } from '../activities/gateway-requests.ts';
import { type CallLimits, climbLadder, climbSummary, onRung, reasonOf, waitedTooLong } from './inference-ladder.ts';

export interface CompleteChatInput {
  requestId: string;
  /** The process of the API that waits; absent in what a version before has begun. */
  caller?: number;
  modelId: string;
  queue: string;
  /** Temporal's priority key: 1 first, 5 last. */
  priority: number;
  limits: CallLimits & { waitFor: number };
  /** Milliseconds since 1970. */
  askedAt: number;
}
export interface CompleteChatResult {
  requestId: string;
  state: 'answered' | 'failed';
}

const { cutCompletion, failCompletion } = proxyLocalActivities<GatewayRequestActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { climbCompletion } = proxyLocalActivities<GatewayRequestActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
/** While no machine serves its model, a request looks this often. */
const lookEveryMs = 1_000;

/**
 * One request of a service: answered by whichever machine serves its model, by another where that goes away before the reader has
 * been shown a word. Canceled when nobody waits for it any more; where the process that waited has died, it ends by itself.
 */
export async function completeChat(input: CompleteChatInput): Promise<CompleteChatResult> {
  const { requestId, caller, modelId, queue, priority, limits, askedAt } = input;
  const waits = caller === undefined ? {} : { caller };
  try {
    await climbLadder({
      step: { kind: 'work', rung: { modelId, queue, degraded: false, priority } },
      async climb() {
        const step = await climbCompletion({ requestId, ...waits, modelId, queue, askedAt });
        return step.kind === 'park' ? step : { kind: 'work', rung: { ...step.rung, priority } };
      },
      async call(rung, attempt) {
        const { writeCompletion } = proxyActivities<CompletionActivities>(onRung(rung, limits));
        try {
          await writeCompletion({ requestId, ...waits, modelId, queue: rung.queue, attempt });
        } catch (err) {
          if (isCancellation(err) || waitedTooLong(err)) throw err;
          const cut = await cutCompletion({
            requestId,
            reason: `the machine that answered went away: ${reasonOf(err)}`,
          });
          if (cut) throw ApplicationFailure.nonRetryable('its reader had been shown some of it', 'ANSWER_CUT');
          throw err;
        }
      },
      parkedFor: limits.waitFor,
      lookEvery: lookEveryMs,
      restartPriority: Math.min(priority, 2),
    });
    return { requestId, state: 'answered' };
  } catch (err) {
    if (isCancellation(err)) {
      // By whoever waits no more, or by hand: then somebody waits still, and is to hear of it.
      await CancellationScope.nonCancellable(() =>
        failCompletion({ requestId, code: 'UNAVAILABLE', message: 'the workflow of the request was canceled' }),
      );
      throw err;
    }
    // Its row tells who waits for it; the workflow itself has done what it was for.
    await failCompletion({ requestId, ...failureOf(err) });
    return { requestId, state: 'failed' };
  }
}

function failureOf(err: unknown): { code: string; message: string } {
  const cause = err instanceof ActivityFailure ? err.cause : err;
  if (cause instanceof TimeoutFailure) return { code: 'MODEL_STALLED', message: reasonOf(err) };
  const code = cause instanceof ApplicationFailure ? (cause.type ?? 'INTERNAL') : 'INTERNAL';
  return { code, message: reasonOf(err) };
}
