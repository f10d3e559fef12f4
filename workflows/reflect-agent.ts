import {
  ApplicationFailure,
  CancellationScope,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { CompareActivities } from '../activities/compare-insights.ts';
import type { InferenceActivities } from '../activities/inference.ts';
import type { ReflectResult } from '../activities/reflect.ts';
import type { BeganReflection, ReflectionActivities } from '../activities/reflections.ts';
import { backgroundPriority, restartPriority, type Rung } from '../domain/ladder.ts';
import { insightsStep, rowsChangedSignal } from '../domain/messages.ts';
import type { RunState } from '../domain/states.ts';
import { climbLadder, climbSummary, onRung, reasonOf } from './inference-ladder.ts';

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

const { beginReflection, storeReflections, endRun } = proxyLocalActivities<ReflectionActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const { climb } = proxyLocalActivities<ReflectionActivities>({
  startToCloseTimeout: '5 seconds',
  retry: { maximumInterval: '2 seconds' },
  summary: climbSummary,
});
const { compareInsights } = proxyActivities<CompareActivities>({
  startToCloseTimeout: '5 minutes',
  // A machine that is killed with it in hand must not hold a run for all of that.
  heartbeatTimeout: '5 seconds',
  retry: { maximumInterval: '10 seconds', maximumAttempts: 20 },
  priority: { priorityKey: backgroundPriority },
  summary: 'which insights say nothing new',
});
/** A parked run looks again this often even if nobody tells it to. */
const parkedLookMs = 60_000;

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
    const repeated = toCompare > 0 ? await repeatedOf(begun.runId) : [];
    const stored = await storeReflections({ runId: begun.runId, ...(repeated.length > 0 ? { repeated } : {}) });
    const state = stored.state === 'ended' ? 'canceled' : stored.state;
    return { runId: begun.runId, state, reflections: stored.reflections, degraded: rung.degraded };
  } catch (err) {
    const state = isCancellation(err) ? 'canceled' : 'failed';
    await CancellationScope.nonCancellable(() => endRun({ runId: begun.runId, state, reason: reasonOf(err) }));
    throw err;
  }
}

/** Places of insights that say nothing new; a comparison that keeps failing does not keep the agent from reflecting. */
async function repeatedOf(runId: string): Promise<number[]> {
  try {
    return (await compareInsights({ runId })).repeated;
  } catch (err) {
    if (isCancellation(err)) throw err;
    log.warn('insights are stored without having been compared', { runId, reason: reasonOf(err) });
    return [];
  }
}

/** Has a machine reflect; out of the sweep's window while no machine serves one of the run's models. */
async function infer(
  { runId, step, limits }: Begun,
  sweepWorkflowId: string | undefined,
): Promise<{ rung: Rung; toCompare: number }> {
  const { rung, result } = await climbLadder({
    step,
    climb: () => climb({ runId }),
    call(on, attempt): Promise<ReflectResult> {
      const { reflect } = proxyActivities<InferenceActivities>(onRung(on, limits));
      return reflect({ runId, step: insightsStep, modelId: on.modelId, queue: on.queue, attempt });
    },
    async onPark() {
      if (sweepWorkflowId !== undefined) await tell(sweepWorkflowId);
    },
    parkedFor: limits.parkedFor,
    lookEvery: parkedLookMs,
    restartPriority,
  });
  // Results of 0.1.0 do not say, and were compared by nobody.
  return { rung, toCompare: result.toCompare ?? 0 };
}

async function tell(workflowId: string): Promise<void> {
  try {
    await getExternalWorkflowHandle(workflowId).signal(rowsChangedSignal);
  } catch (err) {
    if (isCancellation(err)) throw err;
    log.info('sweep was gone', { workflowId });
  }
}

/** A run refused at its start; failed and canceled also end the workflow so, that a retry may start. */
function ended(begun: Extract<BeganReflection, { kind: 'ended' }>): ReflectAgentResult {
  if (begun.state === 'failed' || begun.state === 'canceled') {
    throw ApplicationFailure.nonRetryable(begun.reason, `RUN_${begun.state.toUpperCase()}`);
  }
  return { runId: begun.runId, state: begun.state, reflections: 0, degraded: false, reason: begun.reason };
}
