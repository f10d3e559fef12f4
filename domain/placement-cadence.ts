import { durationSeconds } from './durations.ts';
import { DomainError } from './errors.ts';
import { type Fleet, fleetAgents } from './fleet.ts';
import { planPlacement } from './placement.ts';
import { type PlacementAgent, placementAgent, placementInputOf } from './placement-input.ts';
import type { Plan } from './plan.ts';
import type { PlaceableService } from './service-placement.ts';
import type { MeasuredRate } from './rates.ts';
import type { GpuClass } from './task-queues.ts';

/** Beyond this load a late sweep never catches up: what is left absorbs long answers, retries and a lost hour. */
export const mostLoad = 0.85;
/** Rounds of slowing down and planning again until every class fits. */
const mostRounds = 16;

/** GPU-hours needed ÷ available of each class that has cards. A model that no card holds is a matter of placement, not of load. */
export function loadsOf(plan: Pick<Plan, 'hours'>): Array<{ gpuClass: GpuClass; load: number }> {
  return plan.hours
    .filter(({ available }) => available > 0)
    .map(({ gpuClass, needed, available }) => ({ gpuClass, load: needed / available }));
}

/**
 * Throws CADENCE_TOO_FAST where the fleet, all its machines alive, asks for more than 85 % of the hours of a class; names
 * the cadences that fit.
 * @param others what agents born outside the file ask for
 * @param services that hold memory of the cards
 */
export function checkCadence(
  fleet: Fleet,
  measuredRates: readonly MeasuredRate[] = [],
  others: readonly PlacementAgent[] = [],
  services: readonly PlaceableService[] = [],
): void {
  const slower = new Map<string, string>();
  const first = planAt(fleet, measuredRates, others, slower, services);
  const over = loadsOf(first).filter(({ load }) => load > mostLoad);
  if (over.length === 0) return;
  let plan = first;
  for (let round = 0; round < mostRounds && slowDown(fleet, plan, slower); round += 1) {
    plan = planAt(fleet, measuredRates, others, slower, services);
  }
  const loads = over.map(({ gpuClass, load }) => `${gpuClass} to ${Math.round(load * 100)} %`).join(', ');
  const fields = fleet.archetypes.flatMap((archetype, i) => {
    const cadence = slower.get(archetype.id);
    if (cadence === undefined) return [];
    const rule = `${archetype.cadence} is too fast: the cards are loaded ${loads}, the limit is ${mostLoad * 100} %`;
    return [{ path: `archetypes.${i}.cadence`, rule, mend: `Use ${cadence} or slower.` }];
  });
  const named = fleet.archetypes.flatMap(({ id, cadence }) =>
    slower.has(id) ? [`${id} ${slower.get(id)} (is ${cadence})`] : [],
  );
  throw new DomainError(
    'CADENCE_TOO_FAST',
    `the cadences load the cards beyond ${mostLoad * 100} %: ${loads}; the fastest that fit: ${named.join(', ')}`,
    { fields },
  );
}

function planAt(
  fleet: Fleet,
  measuredRates: readonly MeasuredRate[],
  others: readonly PlacementAgent[],
  slower: ReadonlyMap<string, string>,
  services: readonly PlaceableService[],
): Plan {
  const own = fleetAgents(fleet).map((agent) => {
    const cadence = slower.get(agent.archetype.id);
    const demand = placementAgent(agent);
    if (cadence === undefined) return demand;
    // An agent with a cadence of its own is slowed in proportion.
    const factor = durationSeconds(agent.archetype.cadence) / durationSeconds(cadence);
    return { ...demand, tokensPerSecond: demand.tokensPerSecond * factor };
  });
  const aliveMachineIds = new Set(fleet.machines.map((machine) => machine.id));
  return planPlacement(
    placementInputOf(fleet, { aliveMachineIds, measuredRates, agents: [...own, ...others], services }),
  );
}

/** Slows every archetype that works on an overloaded class by as much as that class is over; false where none is. */
function slowDown(fleet: Fleet, plan: Plan, slower: Map<string, string>): boolean {
  const over = new Map(
    loadsOf(plan)
      .filter(({ load }) => load > mostLoad)
      .map(({ gpuClass, load }) => [gpuClass, load]),
  );
  if (over.size === 0) return false;
  const loadOfModel = modelLoads(fleet, plan, over);
  const agents = Map.groupBy(fleetAgents(fleet), (agent) => agent.archetype.id);
  const highest = Math.max(...over.values());
  for (const archetype of fleet.archetypes) {
    const own = agents.get(archetype.id) ?? [];
    const loads = own.map(
      (agent) => loadOfModel.get(agent.model) ?? (plan.homes[agent.id] === undefined ? highest : 0),
    );
    const load = Math.max(0, ...new Set(loads));
    if (load <= mostLoad) continue;
    const now = durationSeconds(slower.get(archetype.id) ?? archetype.cadence);
    slower.set(archetype.id, durationAtLeast(now * (load / mostLoad)));
  }
  return true;
}

/** The highest overload among the classes that a model stands on. */
function modelLoads(fleet: Fleet, plan: Plan, over: ReadonlyMap<GpuClass, number>): Map<string, number> {
  const machines = new Map(fleet.machines.map((machine) => [machine.id, machine]));
  const loads = new Map<string, number>();
  for (const { machineId, models } of plan.machines) {
    for (const { modelId, gpus } of models) {
      for (const index of gpus) {
        const load = over.get(machines.get(machineId)!.gpus[index]!.class) ?? 0;
        loads.set(modelId, Math.max(load, loads.get(modelId) ?? 0));
      }
    }
  }
  return loads;
}

/** The shortest cadence of at least so many seconds that reads well: whole hours or days where that adds no more than 5 %. */
export function durationAtLeast(seconds: number): string {
  const units: Array<['d' | 'h' | 'm', number]> = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
  ];
  for (const [unit, size] of units) {
    const count = Math.ceil(seconds / size - 1e-9);
    if (count * size <= seconds * 1.05) return `${count}${unit}`;
  }
  return `${Math.max(1, Math.ceil(seconds - 1e-6))}s`;
}
