import {
  CancellationScope,
  ChildWorkflowCancellationType,
  ChildWorkflowFailure,
  condition,
  continueAsNew,
  defineSignal,
  isCancellation,
  log,
  ParentClosePolicy,
  proxyLocalActivities,
  setCurrentDetails,
  setHandler,
  sleep,
  startChild,
  workflowInfo,
  WorkflowIdReusePolicy,
} from '@temporalio/workflow';
import type { SweepActivities } from '../activities/sweeps.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import { childWindow } from './child-window.ts';
import { reflectAgent } from './reflect-agent.ts';
import { scheduledPeriod } from './scheduled-period.ts';

export interface ReflectFleetInput {
  /** Only agents of this cadence; null for every agent. */
  cadence: string | null;
  trigger: 'schedule' | 'call';
  /** `call-<requestId>`; a scheduled sweep takes the scheduled time instead. */
  period?: string;
  /** What an earlier execution of this sweep had done; `lost`: it may have taken runs that it did not start. */
  resume?: { sweepId: string; period: string; refill: number; started: number; lost?: boolean };
}
export interface ReflectFleetResult {
  sweepId: string;
  started: number;
}

const { beginSweep, refillSweep, settleRun, endSweep } = proxyLocalActivities<SweepActivities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumInterval: '2 seconds' },
});
const rowsChanged = defineSignal(rowsChangedSignal);
/** Children of an earlier execution and machines that come back are seen at this pace at the latest. */
const lookEvery = '5 seconds';

/**
 * One sweep over the agents that are due: a sliding window of children per queue, longest expected work first. The
 * window's truth is in Postgres; this workflow only refills it and starts what the refill says.
 */
export async function reflectFleet(input: ReflectFleetInput): Promise<ReflectFleetResult> {
  const { workflowId } = workflowInfo();
  const period = input.resume?.period ?? input.period ?? scheduledPeriod();
  // Canceled in the middle of it, the runs it writes would stay open: the sweep is begun, then ended as canceled.
  const begun =
    input.resume ??
    (await CancellationScope.nonCancellable(() =>
      beginSweep({ workflowId, trigger: input.trigger, cadence: input.cadence, period }),
    ));
  const { sweepId } = begun;
  // A workflow comes back to the machine that keeps it, and a sweep is a fourth of all workflow tasks. Begun where little
  // coordination belongs, it begins once more: its next execution goes by the pollers' weight again.
  if ('outweighed' in begun && begun.outweighed && !CancellationScope.current().consideredCancelled) {
    await continueAsNew<typeof reflectFleet>({ ...input, resume: { sweepId, period, refill: 0, started: 0 } });
  }
  let refill = input.resume?.refill ?? 0;
  let started = input.resume?.started ?? 0;
  let changed = true;
  let retake = input.resume?.lost ?? false;
  setHandler(rowsChanged, () => {
    changed = true;
  });
  try {
    return await CancellationScope.cancellable(async () => {
      // One ticking timer for the whole execution, not one a wait: 297 waits would be 594 events.
      void tick(() => {
        changed = true;
      });
      for (;;) {
        await condition(() => changed);
        changed = false;
        refill += 1;
        const { start, waiting, open } = await refillSweep(retake ? { sweepId, refill, retake } : { sweepId, refill });
        retake = false;
        await Promise.all(
          start.map(async ({ agentId, workflowId: childId }) => {
            const run = await startRun(agentId, childId, period, input.trigger, workflowId);
            if (!run) return;
            started += 1;
            void run.closed.then(() => {
              changed = true;
            });
          }),
        );
        setCurrentDetails(
          `**${started} started**, ${open} open, ${waiting} wait for room in the window (refill ${refill})`,
        );
        if (start.length === 0 && waiting === 0 && open === 0) break;
        if (workflowInfo().continueAsNewSuggested) {
          await continueAsNew<typeof reflectFleet>({ ...input, resume: { sweepId, period, refill, started } });
        }
      }
      await endSweep({ sweepId, state: 'done', reason: '' });
      setCurrentDetails(`Done: ${started} agents started`);
      return { sweepId, started };
    });
  } catch (err) {
    if (!isCancellation(err)) throw err;
    await CancellationScope.nonCancellable(() =>
      endSweep({ sweepId, state: 'canceled', reason: 'the sweep was canceled' }),
    );
    throw err;
  }
}

/** @returns undefined when the id is taken: a workflow of that id runs, or ran and its row is gone */
async function startRun(
  agentId: string,
  childId: string,
  period: string,
  trigger: 'schedule' | 'call',
  sweepWorkflowId: string,
): Promise<{ closed: Promise<void> } | undefined> {
  const input = { agentId, period, trigger, sweepWorkflowId };
  try {
    // A start that is abandoned by a cancellation before the server has confirmed it never resolves: the sweep would hang.
    const child = await CancellationScope.nonCancellable(() =>
      startChild(reflectAgent, {
        ...childWindow('reflectAgent', input),
        workflowId: childId,
        args: [input],
        parentClosePolicy: ParentClosePolicy.ABANDON,
        cancellationType: ChildWorkflowCancellationType.ABANDON,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        workflowTaskTimeout: '2 seconds',
      }),
    );
    // A child that fails has written its own end and reason, unless it was terminated; the sweep goes on without it.
    const closed = child.result().then(
      () => undefined,
      async (err: unknown) => {
        if (CancellationScope.current().consideredCancelled) return;
        const reason = reasonOf(err);
        log.info('run did not complete', { agentId, reason });
        const state = isCancellation(err) ? 'canceled' : 'failed';
        await CancellationScope.nonCancellable(() =>
          settleRun({ workflowId: childId, temporalRunId: child.firstExecutionRunId, state, reason }),
        );
      },
    );
    return { closed };
  } catch (err) {
    if (isCancellation(err)) throw err;
    const reason = reasonOf(err);
    log.warn('run not started', { agentId, childId, reason });
    await settleRun({ workflowId: childId, temporalRunId: null, state: 'canceled', reason: `not started: ${reason}` });
    return undefined;
  }
}

/** The cause says what happened; the failure around it only that a child failed. */
function reasonOf(err: unknown): string {
  if (err instanceof ChildWorkflowFailure && err.cause) return err.cause.message;
  return err instanceof Error ? err.message : String(err);
}

async function tick(mark: () => void): Promise<void> {
  try {
    for (;;) {
      await sleep(lookEvery, { summary: 'look at the window again' });
      mark();
    }
  } catch (err) {
    if (!isCancellation(err)) throw err;
  }
}
