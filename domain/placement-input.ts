import {
  type Fleet,
  type FleetAgent,
  fleetAgents,
  type FleetMachine,
  type ModelVariant,
  modelVariants,
} from './fleet.ts';
import { durationSeconds } from './durations.ts';
import type { Plan } from './plan.ts';
import { type MeasuredRate, withMeasuredRates } from './rates.ts';
import type { GpuClass } from './task-queues.ts';

/** What the planner needs to know, and nothing else: the same for `replanFleet`, `fleet simulate` and the bench. */
export interface PlacementInput {
  /** Only machines that live and do not drain. */
  machines: readonly PlacementMachine[];
  /** With measured rates laid over those of the file. */
  models: readonly ModelVariant[];
  agents: readonly PlacementAgent[];
  /** The applied plan: among near-equal plans the one that moves least from it is taken. */
  previous?: Plan;
}

export interface PlacementMachine {
  id: string;
  gpus: readonly PlacementGpu[];
  /** Most sequences its model server runs at once, over all its models. */
  sequences: number;
}

export interface PlacementGpu {
  class: GpuClass;
  vramGiB: number;
  reserveGiB: number;
}

export interface PlacementAgent {
  id: string;
  modelId: string;
  /** Expected tokens of a run ÷ seconds of its cadence. */
  tokensPerSecond: number;
  /** Weight of a served token. */
  priority: number;
  mayDegrade: boolean;
  leastClass: GpuClass;
}

export interface PlacementFacts {
  aliveMachineIds: ReadonlySet<string>;
  measuredRates?: readonly MeasuredRate[];
  previous?: Plan;
  /** The agents as they live in the database. Default: those of the file. */
  agents?: readonly PlacementAgent[];
}

/** Builds the planner's input from a fleet; every caller goes through here, so all of them plan alike. */
export function placementInputOf(fleet: Fleet, facts: PlacementFacts): PlacementInput {
  return {
    machines: fleet.machines.filter((machine) => facts.aliveMachineIds.has(machine.id)).flatMap(placementMachine),
    models: withMeasuredRates(modelVariants(fleet), facts.measuredRates ?? []),
    agents: facts.agents ?? fleetAgents(fleet).map(placementAgent),
    ...(facts.previous === undefined ? {} : { previous: facts.previous }),
  };
}

/** Whether the file lets a machine hold a model at all; whether it fits is another question. */
export function mayHold(variant: Pick<ModelVariant, 'model'>, machineId: string): boolean {
  return variant.model.machines?.includes(machineId) ?? true;
}

function placementMachine(machine: FleetMachine): PlacementMachine[] {
  if (machine.gpus.length === 0 || !machine.modelServer) return [];
  const gpus = machine.gpus.map((gpu) => ({ class: gpu.class, vramGiB: gpu.vramGiB, reserveGiB: gpu.reserveGiB }));
  return [{ id: machine.id, gpus, sequences: machine.modelServer.sequences }];
}

/** An agent's demand: what a run is expected to take, spread over its cadence. */
export function placementAgent(
  agent: Pick<FleetAgent, 'id' | 'model' | 'cadence' | 'expectedTokens' | 'priority' | 'mayDegrade' | 'leastClass'>,
): PlacementAgent {
  return {
    id: agent.id,
    modelId: agent.model,
    tokensPerSecond: agent.expectedTokens / durationSeconds(agent.cadence),
    priority: agent.priority,
    mayDegrade: agent.mayDegrade,
    leastClass: agent.leastClass,
  };
}
