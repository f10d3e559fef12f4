import { ActivityFailure, ApplicationFailure } from '@temporalio/workflow';

/** What an activity refused for good, with its code; undefined for a failure of another kind. */
export function refusalOf(err: unknown): { code: string; message: string } | undefined {
  if (!(err instanceof ActivityFailure) || !(err.cause instanceof ApplicationFailure)) return undefined;
  const { type, message, nonRetryable } = err.cause;
  return nonRetryable === true ? { code: type ?? 'INTERNAL', message } : undefined;
}
