import {
  ActivityCancelledError,
  ActivityCompletionError,
  ActivityNotFoundError,
  ActivityPausedError,
  ActivityResetError,
  ApplicationFailure,
  type Client,
} from '@temporalio/client';
import type { Logger } from 'pino';
import { DomainError } from '../domain/errors.ts';
import { workRetrySeconds } from '../domain/work.ts';
import type { Answered, WorkAnswer } from '../stores/work.ts';

const deadlineMs = 5_000;
/** So that Temporal offers it anew at once. */
const atOnce = '10 milliseconds';

export type WorkLeases = ReturnType<typeof createWorkLeases>;

/** Temporal's side of a claim: an attempt of an activity that our worker has left to the claimer. */
export function createWorkLeases({ temporal, log }: { temporal: Client; log: Logger }) {
  const within = <T>(call: () => Promise<T>) => temporal.withDeadline(Date.now() + deadlineMs, call);

  /** What is decided in the row may be heard late: where this fails, the end of the lease has the next attempt find the row. */
  async function telling(workId: string, call: () => Promise<void>): Promise<void> {
    try {
      await within(call);
    } catch (err) {
      if (err instanceof ActivityNotFoundError) log.debug({ workId }, 'Temporal has given the attempt up before');
      else log.warn({ err, workId }, 'Temporal was not told of an attempt; its lease will end');
    }
  }

  return {
    /** Begins the lease anew. @returns false where Temporal has given the attempt up @throws UNAVAILABLE */
    async renew(taskToken: Uint8Array): Promise<boolean> {
      try {
        await within(() => temporal.activity.heartbeat(taskToken));
        return true;
      } catch (err) {
        if (err instanceof ActivityNotFoundError || err instanceof ActivityCancelledError) return false;
        if (err instanceof ActivityResetError) return false;
        // Somebody paused it in Temporal's UI: no further attempt is made, and this one goes on.
        if (err instanceof ActivityPausedError) return true;
        if (err instanceof ActivityCompletionError)
          throw new DomainError('UNAVAILABLE', 'Temporal does not answer', { cause: err });
        throw err;
      }
    },

    /** Ends the attempt as the claimer has answered. */
    told({ workId, attempt, state, taskToken }: Answered, answer: WorkAnswer): Promise<void> {
      if (answer.kind === 'completed' || state !== 'queued')
        return telling(workId, () => temporal.activity.complete(taskToken, { state }));
      const failure = ApplicationFailure.create({
        type: 'WORK_FAILED',
        message: answer.reason,
        nextRetryDelay: `${workRetrySeconds(attempt)} seconds`,
      });
      return telling(workId, () => temporal.activity.fail(taskToken, failure));
    },

    /** Nobody got the claim. */
    release({ workId, taskToken }: { workId: string; taskToken: Uint8Array }): Promise<void> {
      const failure = ApplicationFailure.create({
        type: 'CLAIMER_GONE',
        message: 'whoever claimed it was gone before the answer',
        nextRetryDelay: atOnce,
      });
      return telling(workId, () => temporal.activity.fail(taskToken, failure));
    },
  };
}
