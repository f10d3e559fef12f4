import type { Fleet } from './fleet.ts';
import { loadsOf, mostLoad } from './placement-cadence.ts';
import { type PlacementAgent, placementInputOf } from './placement-input.ts';
import { planPlacement } from './placement.ts';
import type { PlaceableService } from './service-placement.ts';
import type { MeasuredRate } from './rates.ts';

/**
 * Why the fleet, all its machines alive, has no room for one more agent: a class would be asked for more than 85 % of its
 * hours (the rule of CADENCE_TOO_FAST), or no card would take the agent. Undefined where there is room.
 * @param services that hold memory of the cards
 * @param agents all that live and are coming, the one in question among them
 */
export function roomRefusal(
  fleet: Fleet,
  measuredRates: readonly MeasuredRate[],
  agents: readonly PlacementAgent[],
  childId: string,
  services: readonly PlaceableService[],
): string | undefined {
  const aliveMachineIds = new Set(fleet.machines.map((machine) => machine.id));
  const plan = planPlacement(placementInputOf(fleet, { aliveMachineIds, measuredRates, agents, services }));
  const over = loadsOf(plan).filter(({ load }) => load > mostLoad);
  if (over.length > 0) {
    const loads = over.map(({ gpuClass, load }) => `${gpuClass} to ${Math.round(load * 100)} %`).join(', ');
    return `with one more agent the cards would be loaded ${loads}; the limit is ${mostLoad * 100} %`;
  }
  const unplaced = plan.unplaced.find(({ agentId }) => agentId === childId);
  return unplaced && `no card would take it: ${unplaced.reason}`;
}
