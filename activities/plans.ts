import { placementInputOf } from '../domain/placement-input.ts';
import { planPlacement } from '../domain/placement.ts';
import type { ServiceStanding } from '../domain/service-placement.ts';
import { placeableServices } from '../stores/services.ts';
import { currentFleet } from '../stores/fleets.ts';
import { listMachines } from '../stores/machines.ts';
import { currentPlan, type PlanStore } from '../stores/plans.ts';
import { measuredRates, placementAgents } from '../stores/placement.ts';
import type { RunStore } from '../stores/runs.ts';
import { DomainError } from '../domain/errors.ts';
import { isInService } from '../domain/states.ts';
import { childLimit } from '../domain/sweeps.ts';

export interface ComputedPlan {
  /** Machines that must be brought to the plan: all that live, also those it leaves empty. */
  machineIds: string[];
  /** Every machine it gives something to lives. */
  unplaced: number;
}

export function createPlanActivities(deps: {
  plans: PlanStore;
  runs: RunStore;
  reconcileSchedules: () => Promise<void>;
}) {
  const { plans, runs } = deps;
  return {
    async computePlan({ planVersion }: { planVersion: number }): Promise<ComputedPlan> {
      let living: string[] = [];
      const stored = await plans.compute(planVersion, async (tx) => {
        const fleet = await currentFleet(tx);
        if (!fleet) throw new DomainError('CONFLICT', 'no fleet.yaml has been applied yet');
        const machines = await listMachines(tx);
        const alive = machines.filter(isInService);
        living = alive.map((machine) => machine.id);
        const previous = await currentPlan(tx);
        const standings = new Map(
          machines.map((machine): [string, ServiceStanding] => [
            machine.id,
            isInService(machine) ? 'in_service' : machine.epoch === 0 ? 'never_started' : 'away',
          ]),
        );
        const plan = planPlacement(
          placementInputOf(fleet.fleet, {
            aliveMachineIds: new Set(
              alive.filter((machine) => machine.modelServerUp && machine.yields === null).map((machine) => machine.id),
            ),
            measuredRates: await measuredRates(tx),
            agents: await placementAgents(tx),
            services: await placeableServices(tx),
            standings,
            ...(previous ? { previous: previous.plan } : {}),
          }),
        );
        return { fleetVersion: fleet.version, plan };
      });
      const planned = stored.plan.machines.map((machine) => machine.machineId);
      return { machineIds: [...new Set([...living, ...planned])].sort(), unplaced: stored.plan.unplaced.length };
    },

    /** @returns false when a newer plan has taken over */
    markApplied: ({ planVersion }: { planVersion: number }) => plans.markApplied(planVersion),

    /** Parked runs that should look again, at most as many as one workflow may signal. */
    parkedRuns: () => runs.parked(childLimit),

    reconcileSchedules: () => deps.reconcileSchedules(),
  };
}
export type PlanActivities = ReturnType<typeof createPlanActivities>;
