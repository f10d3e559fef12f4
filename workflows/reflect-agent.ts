import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  condition,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  TimeoutFailure,
  workflowInfo,
} from '@temporalio/workflow';
import type { CompareActivities } from '../activities/compare-insights.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import type { ReflectResult } from '../activities/reflect.ts';
import type { BeganReflection, ReflectionActivities } from '../activities/reflections.ts';
import { backgroundPriority, restartPriority, type Rung } from '../domain/ladder.ts';
import { insightsStep, rowsChangedSignal } from '../domain/messages.ts';
import type { RunState } from '../domain/states.ts';

export interface ReflectAgentInput {
  agentId: string;
  period: string;
  trigger: 'schedule' | 'call' | 'importance';
  /** Workflow id of the sweep that waits for this run; told when the run parks. */
  sweepWorkflowId?: string;
}
export interface ReflectAgentResult {
  runId: string;
  state: RunState;
  reflections: number;
  degraded: boolean;
  reason?: string;
}

const { beginReflection, climb, storeReflections, endRun } = proxyLocalActivities<ReflectionActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { compareInsights } = proxyActivities<CompareActivities>({
  startToCloseTimeout: '5 minutes',
  retry: { maximumInterval: '10 seconds' },
  priority: { priorityKey: backgroundPriority },
});
const rowsChanged = defineSignal(rowsChangedSignal);
/** A parked run looks again this often even if nobody tells it to; so many times at most, as its history grows with each. */
const parkedLookMs = 60_000;
const mostParkedLooks = 1_000;
/** Enough to outlast a database or model server that is away for minutes; a prompt that always stalls ends. */
const mostTries = 60;

type Begun = Extract<BeganReflection, { kind: 'open' }>;

/** One run of one agent: read what is due, have a model draw insights from it, store them once. */
export async function reflectAgent(input: ReflectAgentInput): Promise<ReflectAgentResult> {
  const { workflowId, runId: temporalRunId } = workflowInfo();
  // Canceled in the middle of it, the run it writes would stay open: it is begun, then ended as canceled.
  const begun = await CancellationScope.nonCancellable(() =>
    beginReflection({
      agentId: input.agentId,
      workflowId,
      temporalRunId,
      trigger: input.trigger,
      period: input.period,
      bySweep: input.sweepWorkflowId !== undefined,
    }),
  );
  if (begun.kind === 'ended') return ended(begun);
  try {
    const { rung, toCompare } = await infer(begun, input.sweepWorkflowId);
    const { repeated } = toCompare > 0 ? await compareInsights({ runId: begun.runId }) : { repeated: [] };
    const stored = await storeReflections({ runId: begun.runId, ...(repeated.length > 0 ? { repeated } : {}) });
    const state = stored.state === 'ended' ? 'canceled' : stored.state;
    return { runId: begun.runId, state, reflections: stored.reflections, degraded: rung.degraded };
  } catch (err) {
    const state = isCancellation(err) ? 'canceled' : 'failed';
    await CancellationScope.nonCancellable(() => endRun({ runId: begun.runId, state, reason: reasonOf(err) }));
    throw err;
  }
}

/** Climbs the ladder until a machine has brought a result. */
async function infer(begun: Begun, sweepWorkflowId: string | undefined): Promise<{ rung: Rung; toCompare: number }> {
  let changed = false;
  setHandler(rowsChanged, () => {
    changed = true;
  });
  let { step } = begun;
  let tries = 0;
  let begunBefore = false;
  for (;;) {
    const rung = step.kind === 'work' ? step.rung : await waitParked(step.reason);
    setCurrentDetails(rung.degraded ? `Degraded: ${rung.modelId} stands in` : '');
    try {
      tries += 1;
      const { toCompare } = await callOn(begunBefore ? { ...rung, priority: restartPriority } : rung, begun, tries);
      // Results of 0.1.0 do not say, and were compared by nobody.
      return { rung, toCompare: toCompare ?? 0 };
    } catch (err) {
      if (waitedTooLong(err)) {
        step = await climb({ runId: begun.runId });
        continue;
      }
      if (tries >= mostTries || !mayTryAgain(err)) throw err;
      // A machine that went away has cost its time-out already; what answered with an error is given a moment.
      if (!timedOut(err)) await sleep(Math.min(200 * 2 ** (tries - 1), 2_000), { summary: 'before the next try' });
      begunBefore = true;
      step = { kind: 'work', rung };
    }
  }

  /** Out of the sweep's window until some machine serves one of the run's models again. */
  async function waitParked(reason: string): Promise<Rung> {
    if (sweepWorkflowId !== undefined) await tell(sweepWorkflowId);
    const since = Date.now();
    const { parkedFor } = begun.limits;
    for (;;) {
      setCurrentDetails(`Parked: ${reason}`);
      if (Date.now() - since >= parkedFor) {
        throw ApplicationFailure.nonRetryable(`parked for too long: ${reason}`, 'PARKED_TOO_LONG');
      }
      changed = false;
      await condition(() => changed, Math.min(Math.max(parkedLookMs, parkedFor / mostParkedLooks), parkedFor));
      const again = await climb({ runId: begun.runId });
      if (again.kind === 'work') return again.rung;
    }
  }
}

/** One attempt. Tries again are ours, not the server's: its retry keeps its place at the tail, behind all new work. */
async function callOn(rung: Rung, { runId, limits }: Begun, attempt: number): Promise<ReflectResult> {
  const { reflect } = proxyActivities<InferenceActivities>({
    taskQueue: rung.queue,
    scheduleToStartTimeout: limits.scheduleToStart,
    startToCloseTimeout: limits.callTimeout,
    heartbeatTimeout: limits.heartbeatTimeout,
    retry: { maximumAttempts: 1 },
    priority: { priorityKey: rung.priority },
    summary: rung.modelId,
  });
  return reflect({ runId, step: insightsStep, modelId: rung.modelId, queue: rung.queue, attempt });
}

/** By the type of the time-out: its retry state differs between server versions. */
function waitedTooLong(err: unknown): boolean {
  return (
    err instanceof ActivityFailure &&
    err.cause instanceof TimeoutFailure &&
    err.cause.timeoutType === 'SCHEDULE_TO_START'
  );
}

function timedOut(err: unknown): boolean {
  return err instanceof ActivityFailure && err.cause instanceof TimeoutFailure;
}

function mayTryAgain(err: unknown): boolean {
  if (isCancellation(err) || !(err instanceof ActivityFailure)) return false;
  const { cause } = err;
  if (cause instanceof ApplicationFailure) return cause.type === 'FENCED' || !cause.nonRetryable;
  return cause instanceof TimeoutFailure;
}

async function tell(workflowId: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(workflowId).signal(rowsChangedSignal);
  } catch (err) {
    if (isCancellation(err)) throw err;
    log.info('sweep was gone', { workflowId });
  }
}

function reasonOf(err: unknown): string {
  if (isCancellation(err)) return 'canceled by hand';
  if (err instanceof ActivityFailure && err.cause) return err.cause.message;
  return err instanceof Error ? err.message : String(err);
}

/** A run refused at its start; failed and canceled also end the workflow so, that a retry may start. */
function ended(begun: Extract<BeganReflection, { kind: 'ended' }>): ReflectAgentResult {
  if (begun.state === 'failed' || begun.state === 'canceled') {
    throw ApplicationFailure.nonRetryable(begun.reason, `RUN_${begun.state.toUpperCase()}`);
  }
  return { runId: begun.runId, state: begun.state, reflections: 0, degraded: false, reason: begun.reason };
}
