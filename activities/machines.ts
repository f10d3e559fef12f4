import { Context } from '@temporalio/activity';
import type { RankedModel } from '../domain/plan.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import { beating } from './beating.ts';

/** What the worker of a machine lets its own activities do; workers/inference-pool.ts is it. */
export interface InferencePool {
  /** Stop polling what goes, drain it, unload, load, poll what comes. Returns when that is done. */
  apply(planVersion: number, models: readonly RankedModel[], signal: AbortSignal): Promise<void>;
  /** Stop polling inference queues and finish the calls in hand. */
  drain(signal: AbortSignal): Promise<void>;
}

/** Activities of one machine's own queue. */
export function createMachineActivities({
  machineId,
  machines,
  plans,
  pool,
}: {
  machineId: string;
  machines: MachineStore;
  plans: PlanStore;
  pool: InferencePool;
}) {
  return {
    /** Brings this machine to a plan; a plan that has been superseded meanwhile is left to its successor. */
    async applyPlan({ planVersion }: { planVersion: number }): Promise<{ applied: boolean }> {
      const current = await plans.currentFor(machineId);
      if (!current || current.version > planVersion) return { applied: false };
      await beating(() => pool.apply(current.version, current.models, Context.current().cancellationSignal));
      return { applied: true };
    },

    /** Nothing where the machine was taken back meanwhile: the plan that followed may have come first. */
    async drainCalls(): Promise<void> {
      const own = (await machines.list()).find(({ id }) => id === machineId);
      if (own?.state !== 'draining') return;
      await beating(() => pool.drain(Context.current().cancellationSignal));
    },
  };
}
export type MachineActivities = ReturnType<typeof createMachineActivities>;

export function createDrainActivities({ machines }: { machines: MachineStore }) {
  return {
    finishDrain: ({ machineId, answered }: { machineId: string; answered?: boolean }) =>
      machines.finishDrain(machineId, answered),
  };
}
export type DrainActivities = ReturnType<typeof createDrainActivities>;
