import { ApplicationFailure, CancelledFailure, CompleteAsyncError, type Context } from '@temporalio/activity';
import type {
  ActivityExecuteInput,
  ActivityInboundCallsInterceptor,
  ActivityInterceptorsFactory,
  Next,
} from '@temporalio/worker';
import { DomainError, errorTable } from '../domain/errors.ts';
import type { WorkerMetrics } from '../observability/worker-metrics.ts';

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

class MetricsInterceptor implements ActivityInboundCallsInterceptor {
  private readonly activity: string;
  private readonly metrics: ActivityMetrics;

  constructor(activity: string, metrics: ActivityMetrics) {
    this.activity = activity;
    this.metrics = metrics;
  }

  async execute(input: ActivityExecuteInput, next: Next<ActivityInboundCallsInterceptor, 'execute'>): Promise<unknown> {
    const { activity } = this;
    const since = performance.now();
    let outcome = 'done';
    try {
      return await next(input);
    } catch (err) {
      outcome = outcomeOf(err);
      if (outcome === 'failed') this.metrics.activityFailures.inc({ activity, code: codeOf(err) });
      throw err;
    } finally {
      this.metrics.activities.observe({ activity, outcome }, (performance.now() - since) / 1000);
    }
  }
}

type ActivityMetrics = Pick<WorkerMetrics, 'activities' | 'activityFailures'>;

/** How an execution ended that threw. */
function outcomeOf(err: unknown): 'failed' | 'canceled' {
  return err instanceof CancelledFailure || err instanceof CompleteAsyncError ? 'canceled' : 'failed';
}

/** A label must stay within what is known: types of failures are free texts. */
function codeOf(err: unknown): string {
  return err instanceof ApplicationFailure && typeof err.type === 'string' && err.type in errorTable
    ? err.type
    : 'OTHER';
}

export const activityInterceptors: ActivityInterceptorsFactory[] = [
  (context) => ({ inbound: new ErrorInterceptor(context) }),
];

/** Those of a worker process: its metrics see what Temporal is told. */
export function createActivityInterceptors(metrics: ActivityMetrics): ActivityInterceptorsFactory[] {
  return [
    (context) => ({ inbound: new MetricsInterceptor(context.info.activityType, metrics) }),
    ...activityInterceptors,
  ];
}
