import { DefaultLogger, type LogEntry, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';
import { metricsPortTaken } from '../observability/metrics-server.ts';

const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/**
 * What the SDK knows of who speaks, under our names: its `runId` is Temporal's and not that of one of our runs, unless a
 * workflow or activity says its own.
 */
function asOurs(meta: Record<string | symbol, unknown>): { part: string; fields: Record<string, unknown> } {
  const { error, sdkComponent, runId, workflowRunId, workflow_id, run_id, namespace: _, taskToken: _t, ...rest } = meta;
  // Workflows, activities and Core have a name each for the same.
  const temporalRunId = workflowRunId ?? run_id ?? (isOwnRun(runId) ? undefined : runId);
  return {
    part: partOf(sdkComponent, rest),
    fields: {
      ...rest,
      ...(workflow_id === undefined ? {} : { workflowId: workflow_id }),
      ...(isOwnRun(runId) ? { runId } : {}),
      ...(temporalRunId === undefined ? {} : { temporalRunId }),
      ...(error === undefined ? {} : { err: error }),
    },
  };
}

/** The beginning and end of a workflow, which the SDK tells in the worker's name, are the workflow's. */
function partOf(component: unknown, { workflowType, activityType }: Record<string, unknown>): string {
  if (component === 'worker' && workflowType !== undefined && activityType === undefined) return 'workflow';
  return typeof component === 'string' ? component : 'worker';
}

function isOwnRun(runId: unknown): boolean {
  return typeof runId === 'string' && runId.startsWith('run_');
}

/** Bounds in seconds that tell 5 ms from 600 s; Core's own end at one in ten seconds' steps. */
const bounds = {
  calls: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
  waits: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600],
  work: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
};
const histogramBucketOverrides = {
  request_latency: bounds.calls,
  long_request_latency: bounds.calls,
  workflow_task_schedule_to_start_latency: bounds.waits,
  workflow_task_execution_latency: bounds.calls,
  workflow_task_replay_latency: bounds.calls,
  workflow_endtoend_latency: [...bounds.work, 3_600, 86_400],
  activity_schedule_to_start_latency: bounds.waits,
  activity_execution_latency: bounds.work,
  activity_succeed_endtoend_latency: bounds.work,
  local_activity_execution_latency: bounds.calls,
  local_activity_succeed_endtoend_latency: bounds.calls,
};

/**
 * Sends what the SDK, Core, workflows and activities log to the part's own logger, serves Core's metrics, and lets us do
 * the shutdown. Once a process. A port that is taken costs the metrics and not the work.
 */
export function installRuntime(
  log: Logger,
  { logOf, metrics }: { logOf?: (part: string) => Logger; metrics?: { host: string; port: number } | undefined } = {},
): void {
  const others = new Map(logOf && ['activity', 'workflow', 'core'].map((part) => [part, logOf(part)]));
  const wordy = log.isLevelEnabled('debug');
  const logger = new DefaultLogger(wordy ? 'DEBUG' : 'INFO', ({ level, message, meta = {} }: LogEntry) => {
    const { part, fields } = asOurs(meta);
    (others.get(part) ?? log)[levels[level]](fields, message);
  });
  const install = (served: typeof metrics) =>
    Runtime.install({
      logger,
      shutdownSignals: [],
      telemetryOptions: {
        logging: { filter: makeTelemetryFilterString({ core: wordy ? 'DEBUG' : 'WARN', other: 'ERROR' }), forward: {} },
        ...(served && {
          metrics: {
            prometheus: {
              bindAddress: `${served.host}:${served.port}`,
              countersTotalSuffix: true,
              unitSuffix: true,
              useSecondsForDurations: true,
              histogramBucketOverrides,
            },
          },
        }),
      },
    });
  try {
    install(metrics);
  } catch (err) {
    if (metrics === undefined) throw err;
    log.error({ err }, metricsPortTaken(metrics.host, metrics.port, err));
    install(undefined);
  }
}
