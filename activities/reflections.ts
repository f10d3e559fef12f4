import { durationSeconds } from '../domain/fleet.ts';
import { backgroundPriority, type LadderStep } from '../domain/ladder.ts';
import { insightsStep } from '../domain/messages.ts';
import { mostModelCalls } from '../domain/reflection-calls.ts';
import type { ReflectionStep } from '../domain/run-steps.ts';
import type { RunState } from '../domain/states.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { ReflectionStore, StoredReflections } from '../stores/reflections.ts';
import type { BeginRun, RunEnd, RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { WorkerMetrics } from '../observability/worker-metrics.ts';
import type { FleetReader } from './fleet-view.ts';
import { createLadder } from './ladder.ts';
import { DomainError } from '../domain/errors.ts';

/** Time limits of a run in milliseconds, fixed when it begins. */
export interface RunLimits {
  heartbeatTimeout: number;
  /** Of one attempt, in which all calls of the run may be made. */
  callTimeout: number;
  scheduleToStart: number;
  parkedFor: number;
}

export type BeganReflection =
  | { kind: 'open'; runId: string; step: LadderStep; limits: RunLimits }
  | { kind: 'ended'; runId: string; state: RunState; reason: string };

export function createReflectionActivities(deps: {
  runs: RunStore;
  reflections: ReflectionStore;
  steps: StepResultStore;
  machines: MachineStore;
  plans: PlanStore;
  fleet: FleetReader;
  metrics?: Pick<WorkerMetrics, 'runs' | 'parked' | 'reflections'>;
}) {
  const { runs, reflections, steps, fleet, metrics } = deps;
  const decide = createLadder(deps);

  async function park(runId: string, reason: string): Promise<void> {
    if (await runs.park(runId, reason)) metrics?.parked.inc();
  }

  return {
    /** Begins the run and finds its first rung: where it is known that nobody serves the model, nothing waits to find out. */
    async beginReflection(input: BeginRun): Promise<BeganReflection> {
      const view = await fleet();
      const begun = await runs.begin(input, (modelId) => view.queues.get(modelId));
      if (begun.kind === 'ended') return begun;
      const { runId } = begun.run;
      const step = await decide(begun.run, view);
      if (step.kind === 'park') await park(runId, step.reason);
      else if (step.rung.queue !== begun.run.queue) await runs.moveTo(runId, step.rung);
      const { limits } = view.fleet;
      return {
        kind: 'open',
        runId,
        // What only begins has waited for nobody yet.
        step: step.kind === 'work' ? { kind: 'work', rung: { ...step.rung, priority: backgroundPriority } } : step,
        limits: {
          heartbeatTimeout: durationSeconds(limits.heartbeatTimeout) * 1000,
          callTimeout: durationSeconds(limits.callTimeout) * 1000 * mostModelCalls,
          scheduleToStart: durationSeconds(limits.scheduleToStart) * 1000,
          parkedFor: durationSeconds(limits.parkedFor) * 1000,
        },
      };
    },

    /** Nobody took the work in time, or it was parked: asks the leases and the plan where the run stands on its ladder. */
    async climb({ runId }: { runId: string }): Promise<LadderStep> {
      const run = await runs.openRun(runId);
      if (!run) throw new DomainError('CONFLICT', `run ${runId} has ended`);
      const step = await decide(run, await fleet());
      if (step.kind === 'work') await runs.moveTo(runId, step.rung);
      else await park(runId, step.reason);
      return step;
    },

    /**
     * Stores what the inference step brought and ends the run, in one transaction.
     * @param repeated places of insights that say nothing new
     */
    async storeReflections({
      runId,
      repeated = [],
    }: {
      runId: string;
      repeated?: number[];
    }): Promise<StoredReflections> {
      const step = await steps.read<ReflectionStep>({ workId: runId, step: insightsStep });
      if (!step) throw new DomainError('NOT_FOUND', `run ${runId} has no result of ${insightsStep}`);
      const { limits } = (await fleet()).fleet;
      const { degraded: ended, ...stored } = await reflections.complete({
        runId,
        step,
        repeated,
        mostDepth: limits.reflectionDepth,
      });
      if (ended !== undefined && stored.state !== 'ended') {
        const degraded = yesNo(ended);
        metrics?.runs.inc({ state: stored.state, degraded });
        metrics?.reflections.inc({ degraded }, stored.reflections);
      }
      return stored;
    },

    async endRun({ runId, ...end }: { runId: string } & RunEnd): Promise<void> {
      const ended = await runs.end(runId, end);
      if (ended) metrics?.runs.inc({ state: end.state, degraded: yesNo(ended.degraded) });
    },
  };
}
export type ReflectionActivities = ReturnType<typeof createReflectionActivities>;

function yesNo(is: boolean): 'yes' | 'no' {
  return is ? 'yes' : 'no';
}
