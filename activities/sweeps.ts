import { isOutweighed } from '../domain/fleet.ts';
import { queueSlots } from '../domain/plan.ts';
import { isInService } from '../domain/states.ts';
import { childLimit } from '../domain/sweeps.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunEnd, RunStore } from '../stores/runs.ts';
import type { NewSweep, Refill, SweepStore } from '../stores/sweeps.ts';
import type { FleetReader } from './fleet-view.ts';

export interface RefillInput {
  sweepId: string;
  refill: number;
  /** Also what earlier refills have taken and nobody has begun. */
  retake?: boolean;
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
  /** The machine whose worker this is. */
  machineId: string;
}) {
  const { sweeps, runs, machines, plans, fleet, machineId } = deps;
  const livingMachines = async () => (await machines.list()).filter((machine) => machine.alive && isInService(machine));
  return {
    /** @property outweighed whether a machine that should rather coordinate lives; a local activity runs where its workflow does */
    async beginSweep(input: NewSweep): Promise<{ sweepId: string; outweighed: boolean }> {
      const view = await fleet();
      const { sweepId } = await sweeps.begin(input, view.queues);
      const living = (await livingMachines()).map(({ id }) => id);
      return { sweepId, outweighed: isOutweighed(machineId, living, view.fleet) };
    },

    /** Reads slots and the states of children from Postgres each time, so that a plan change or a loss shows at once. */
    async refillSweep({ sweepId, refill, retake = false }: RefillInput): Promise<Refill> {
      const { limits } = (await fleet()).fleet;
      const current = await plans.residency();
      const living = await livingMachines();
      const slots = current
        ? queueSlots(current.machines, new Set(living.map((machine) => machine.id)))
        : new Map<string, number>();
      return sweeps.refill({ sweepId, refill, slots, windowOverSlots: limits.windowOverSlots, childLimit, retake });
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
