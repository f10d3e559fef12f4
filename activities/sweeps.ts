import { queueSlots } from '../domain/plan.ts';
import { childLimit } from '../domain/sweeps.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { NewSweep, Refill, SweepStore } from '../stores/sweeps.ts';
import type { FleetReader } from './fleet-view.ts';

export interface RefillInput {
  sweepId: string;
  refill: number;
}

export function createSweepActivities(deps: {
  sweeps: SweepStore;
  machines: MachineStore;
  plans: PlanStore;
  fleet: FleetReader;
}) {
  const { sweeps, machines, plans, fleet } = deps;
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
