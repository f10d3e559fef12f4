import { ApplicationFailure, type Context } from '@temporalio/activity';
import type {
  ActivityExecuteInput,
  ActivityInboundCallsInterceptor,
  ActivityInterceptorsFactory,
  Next,
} from '@temporalio/worker';
import { DomainError, errorTable } from '../domain/errors.ts';

/** The one place where a code of the error table becomes a failure that Temporal understands. */
function failureOf(err: DomainError): ApplicationFailure {
  return ApplicationFailure.create({
    type: err.code,
    message: err.message,
    nonRetryable: !errorTable[err.code].retryable,
    cause: err,
  });
}

class ErrorInterceptor implements ActivityInboundCallsInterceptor {
  private readonly context: Context;

  constructor(context: Context) {
    this.context = context;
  }

  async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>): Promise<unknown> {
    try {
      return await next(input);
    } catch (err) {
      if (!(err instanceof DomainError)) throw err;
      this.context.log.warn(err.message, { code: err.code });
      throw failureOf(err);
    }
  }
}

export const activityInterceptors: ActivityInterceptorsFactory[] = [
  (context) => ({ inbound: new ErrorInterceptor(context) }),
];
