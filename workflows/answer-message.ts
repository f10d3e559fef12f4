import {
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
} from '@temporalio/workflow';
import type { AnswerActivities } from '../activities/answers.ts';
import type { BeganAnswer, MessageActivities } from '../activities/messages.ts';
import { talkPriority } from '../domain/ladder.ts';
import type { MessageState } from '../domain/states.ts';
import { climbLadder, climbSummary, onRung, reasonOf } from './inference-ladder.ts';

export interface AnswerMessageInput {
  messageId: string;
  ownerId: string;
  agentId: string;
  conversationId: string;
  authorId: string;
  author: string;
  text: string;
  contentHash: string;
  whisper?: boolean;
}
export interface AnswerMessageResult {
  messageId: string;
  state: MessageState;
}

const { beginAnswer, storeAnswer, endMessage } = proxyLocalActivities<MessageActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { climbAnswer } = proxyLocalActivities<MessageActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
/** While no machine serves it, a message looks this often. */
const lookEveryMs = 2_000;
/** A person who has things forgotten faster than an agent answers is waited for no longer. */
const mostRounds = 5;

/** One message to an agent: written, answered by a machine, remembered once. */
export async function answerMessage(input: AnswerMessageInput): Promise<AnswerMessageResult> {
  const { messageId } = input;
  // Canceled in the middle of it, the row it writes would stay open: it is begun, then ended as canceled.
  const begun = await CancellationScope.nonCancellable(() => beginAnswer(input));
  if (begun.kind === 'ended') return ended(begun);
  const { step, limits } = begun;
  try {
    let asked = 0;
    for (let round = 1; round <= mostRounds; round += 1) {
      const before = asked;
      await climbLadder({
        step: round === 1 ? step : await climbAnswer({ messageId }),
        climb: () => climbAnswer({ messageId }),
        async call(rung, attempt) {
          const { answer } = proxyActivities<AnswerActivities>(onRung(rung, limits));
          asked = before + attempt;
          await answer({ messageId, modelId: rung.modelId, queue: rung.queue, attempt: asked });
        },
        parkedFor: limits.waitFor,
        lookEvery: lookEveryMs,
        restartPriority: talkPriority,
      });
      const state = await storeAnswer({ messageId });
      if (state !== 'answering') return { messageId, state };
    }
    throw ApplicationFailure.nonRetryable(
      `what it was shown was forgotten while it answered, ${mostRounds} times in a row`,
      'FORGOTTEN_MEANWHILE',
    );
  } catch (err) {
    const state = isCancellation(err) ? 'canceled' : 'failed';
    await CancellationScope.nonCancellable(() => endMessage({ messageId, state, reason: reasonOf(err) }));
    throw err;
  }
}

/** A message that was refused at its start, or had ended when this execution began. */
function ended({ messageId, state, reason }: Extract<BeganAnswer, { kind: 'ended' }>): AnswerMessageResult {
  if (state === 'failed') throw ApplicationFailure.nonRetryable(reason, 'MESSAGE_FAILED');
  return { messageId, state };
}
