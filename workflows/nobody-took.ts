import { ActivityFailure, TimeoutFailure } from '@temporalio/workflow';

/** Whether an activity was offered on a queue that nobody took it from in time. */
export function nobodyTook(err: unknown): boolean {
  return (
    err instanceof ActivityFailure &&
    err.cause instanceof TimeoutFailure &&
    err.cause.timeoutType === 'SCHEDULE_TO_START'
  );
}
