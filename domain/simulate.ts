import { DomainError } from './errors.ts';
import type { Fleet, FleetMachine } from './fleet.ts';
import { slugSchema } from './ids.ts';
import { planPlacement } from './placement.ts';
import { type PlacementFacts, type PlacementInput, placementInputOf } from './placement-input.ts';
import { smallerFor } from './placement-reasons.ts';
import type { Plan, PlannedMachine } from './plan.ts';
import { classGiB, gpuClasses } from './task-queues.ts';

/** What would happen if machines went or came: planned by the very function that `replanFleet` applies. */
export interface SimulateQuestion extends PlacementFacts {
  fleet: Fleet;
  lose: readonly string[];
  add: readonly FleetMachine[];
}

export interface SimulateReport {
  before: Plan;
  after: Plan;
  moves: PlanMoves;
  /** Agents whose home changes, by where from and where to. */
  homes: Array<{ from: string; to: string; agents: number }>;
  /** Services that move; to null: down. */
  services: Array<{ id: string; from: string | null; to: string | null; because: string }>;
  /** Their model stands on no surviving machine; they wait until the new plan has loaded it. */
  waits: AgentsOfModel[];
  /** A smaller model stands in, and results are marked degraded. */
  degrades: AgentsOfModel[];
  parks: AgentsOfModel[];
}

export interface AgentsOfModel {
  modelId: string;
  agentIds: string[];
  reason: string;
}

export interface PlanMoves {
  loads: Array<{ machineId: string; modelId: string }>;
  unloads: Array<{ machineId: string; modelId: string }>;
  slots: Array<{ machineId: string; modelId: string; before: number; after: number }>;
}

export function simulateFleet(question: SimulateQuestion): SimulateReport {
  const { fleet, lose, add, aliveMachineIds } = question;
  for (const id of lose) {
    if (!fleet.machines.some((machine) => machine.id === id)) {
      const known = fleet.machines.map((machine) => machine.id).join(', ');
      throw new DomainError('MACHINE_UNKNOWN', `there is no machine ${id}; known: ${known}`);
    }
  }
  const taken = add.find(({ id }, i) => [...fleet.machines, ...add.slice(0, i)].some((machine) => machine.id === id));
  if (taken)
    throw new DomainError('CONFLICT', `there is a machine ${taken.id} already; give the added one another name`);
  const before = question.previous ?? planPlacement(placementInputOf(fleet, question));
  const alive = new Set([...[...aliveMachineIds].filter((id) => !lose.includes(id)), ...add.map(({ id }) => id)]);
  const changed = { ...fleet, machines: [...fleet.machines, ...add] };
  const input = placementInputOf(changed, { ...question, aliveMachineIds: alive, previous: before });
  return reportOf(input, before, planPlacement(input));
}

function reportOf(input: PlacementInput, before: Plan, after: Plan): SimulateReport {
  const variants = new Map(input.models.map((variant) => [variant.id, variant]));
  const survivors = new Set(input.machines.map((machine) => machine.id));
  const standing = new Set(
    before.machines
      .filter((machine) => survivors.has(machine.machineId))
      .flatMap(({ models }) => models.map(({ modelId }) => modelId)),
  );
  const resident = new Set(after.machines.flatMap(({ models }) => models.map(({ modelId }) => modelId)));
  const reasons = new Map(after.unplaced.map(({ agentId, reason }) => [agentId, reason]));
  const waits: Grouping = new Map();
  const degrades: Grouping = new Map();
  const parks: Grouping = new Map();
  const homes = new Map<string, { from: string; to: string; agents: number }>();
  for (const agent of input.agents) {
    const from = before.homes[agent.id];
    const to = after.homes[agent.id];
    if (from !== undefined && to !== undefined && from !== to) {
      const moved = homes.get(`${from} ${to}`) ?? { from, to, agents: 0 };
      moved.agents += 1;
      homes.set(`${from} ${to}`, moved);
    }
    if (to !== undefined) {
      if (!standing.has(agent.modelId))
        put(waits, agent.modelId, agent.id, `waits until ${agent.modelId} is loaded on ${to}`);
      continue;
    }
    const smaller = smallerFor(agent, variants);
    const degraded = smaller !== undefined && resident.has(smaller.id);
    put(degraded ? degrades : parks, agent.modelId, agent.id, reasons.get(agent.id) ?? 'it has no place');
  }
  return {
    before,
    after,
    moves: movesBetween(before, after),
    homes: [...homes.values()].toSorted((a, b) => b.agents - a.agents || (a.from + a.to < b.from + b.to ? -1 : 1)),
    services: servicesMoved(before, after),
    waits: grouped(waits),
    degrades: grouped(degrades),
    parks: grouped(parks),
  };
}

function servicesMoved(before: Plan, after: Plan): SimulateReport['services'] {
  const stood = new Map((before.services ?? []).map(({ id, machineId }) => [id, machineId]));
  return (after.services ?? []).flatMap(({ id, machineId: to, because }) => {
    const from = stood.get(id) ?? null;
    return from === to ? [] : [{ id, from, to, because }];
  });
}

type Grouping = Map<string, AgentsOfModel>;

function put(groups: Grouping, modelId: string, agentId: string, reason: string): void {
  const key = `${modelId} ${reason}`;
  const group = groups.get(key) ?? { modelId, agentIds: [], reason };
  group.agentIds.push(agentId);
  groups.set(key, group);
}

function grouped(groups: Grouping): AgentsOfModel[] {
  return [...groups]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => ({ ...group, agentIds: group.agentIds.toSorted() }));
}

/** What has to be loaded and unloaded to come from one plan to another; machines that are gone unload nothing. */
export function movesBetween(before: Plan, after: Plan): PlanMoves {
  const old = new Map(before.machines.map((machine) => [machine.machineId, slotsOf(machine)]));
  const moves: PlanMoves = { loads: [], unloads: [], slots: [] };
  for (const machine of after.machines) {
    const { machineId } = machine;
    const was = old.get(machineId) ?? new Map<string, number>();
    const is = slotsOf(machine);
    for (const [modelId, slots] of is) {
      const earlier = was.get(modelId);
      if (earlier === undefined) moves.loads.push({ machineId, modelId });
      else if (earlier !== slots) moves.slots.push({ machineId, modelId, before: earlier, after: slots });
    }
    for (const modelId of was.keys()) if (!is.has(modelId)) moves.unloads.push({ machineId, modelId });
  }
  return moves;
}

function slotsOf(machine: PlannedMachine): Map<string, number> {
  const slots = new Map<string, number>();
  for (const model of machine.models) slots.set(model.modelId, (slots.get(model.modelId) ?? 0) + model.slots);
  return slots;
}

/** Sequences of a machine that nothing is known of. */
const usualSequences = 8;

/** Reads `spare:rtx3090:24`: id, card and GiB, and where wanted `:16`, the sequences; else those of a machine of that class, else 8. */
export function parseAddedMachine(text: string, fleet: Fleet): FleetMachine {
  const [id = '', card = '', gib = '', sequences, ...rest] = text.split(':');
  const vramGiB = Number(gib);
  const gpuClass = gpuClasses.findLast((one) => classGiB(one) <= vramGiB);
  const wanted = sequences === undefined ? undefined : Number(sequences);
  const sound = slugSchema.safeParse(id).success && card !== '' && rest.length === 0 && vramGiB <= 1024;
  if (
    !sound ||
    gpuClass === undefined ||
    (wanted !== undefined && !(Number.isInteger(wanted) && wanted >= 1 && wanted <= 1024))
  ) {
    throw new DomainError(
      'INVALID_INPUT',
      `cannot read the machine "${text}": write name:card:GiB, such as spare:rtx3090:24`,
      {
        fields: [{ path: 'add', rule: 'must be name:card:GiB, at least 8 GiB', mend: 'Write it as spare:rtx3090:24.' }],
      },
    );
  }
  const alike = fleet.machines.find((machine) => machine.gpus.some((gpu) => gpu.class === gpuClass));
  return {
    id,
    labels: [],
    gpus: [{ name: cardName(card), class: gpuClass, vramGiB, reserveGiB: 1 }],
    modelServer: {
      kind: alike?.modelServer?.kind ?? 'openai',
      sequences: wanted ?? alike?.modelServer?.sequences ?? usualSequences,
    },
    roles: {},
  };
}

function cardName(card: string): string {
  return card
    .toUpperCase()
    .replace(/^([A-Z]+)(?=\d)/, '$1 ')
    .slice(0, 60);
}
