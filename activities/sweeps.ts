import { queueSlots } from '../domain/plan.ts';
import { childLimit } from '../domain/sweeps.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunEnd, RunStore } from '../stores/runs.ts';
import type { NewSweep, Refill, SweepStore } from '../stores/sweeps.ts';
import type { FleetReader } from './fleet-view.ts';

export interface RefillInput {
  sweepId: string;
  refill: number;
}

export type SettleRunInput = RunEnd & {
  workflowId: string;
  /** The execution that has closed; null when none was started. */
  temporalRunId: string | null;
};

export function createSweepActivities(deps: {
  sweeps: SweepStore;
  runs: RunStore;
  machines: MachineStore;
  plans: PlanStore;
  fleet: FleetReader;
}) {
  const { sweeps, runs, machines, plans, fleet } = deps;
  return {
    async beginSweep(input: NewSweep): Promise<{ sweepId: string }> {
      return sweeps.begin(input, (await fleet()).queues);
    },

    /** Reads slots and the states of children from Postgres each time, so that a plan change or a loss shows at once. */
    async refillSweep({ sweepId, refill }: RefillInput): Promise<Refill> {
      const { limits } = (await fleet()).fleet;
      const current = await plans.residency();
      const living = (await machines.list()).filter(
        (machine) => machine.alive && (machine.state === 'ready' || machine.state === 'suspect'),
      );
      const slots = current
        ? queueSlots(current.machines, new Set(living.map((machine) => machine.id)))
        : new Map<string, number>();
      return sweeps.refill({ sweepId, refill, slots, windowOverSlots: limits.windowOverSlots, childLimit });
    },

    /** A run that its workflow left open would keep the sweep from ending and its agent from every later run. */
    async settleRun({ workflowId, temporalRunId, ...end }: SettleRunInput): Promise<void> {
      await runs.settle(workflowId, temporalRunId, end);
    },

    async endSweep({
      sweepId,
      state,
      reason,
    }: {
      sweepId: string;
      state: 'done' | 'canceled';
      reason: string;
    }): Promise<void> {
      await sweeps.end(sweepId, state, reason);
    },
  };
}
export type SweepActivities = ReturnType<typeof createSweepActivities>;
