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
import {
  type PlaceableService,
  type PlannedService,
  placeServices,
  type ServiceStanding,
} from './service-placement.ts';
import { type MeasuredRate, withMeasuredRates } from './rates.ts';
import type { GpuClass } from './task-queues.ts';

/** What the planner needs to know, and nothing else: the same for `replanFleet`, `fleet simulate` and the bench. */
export interface PlacementInput {
  /** Only machines that live and do not drain. */
  machines: readonly PlacementMachine[];
  /** With measured rates laid over those of the file. */
  models: readonly ModelVariant[];
  agents: readonly PlacementAgent[];
  /** Where the owner's services stand: decided first, and the models are planned around what they hold. */
  services?: readonly PlannedService[];
  /** What services ask of models through the gateway. Default: nothing. */
  asked?: readonly ServiceDemand[];
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
  /** Held by services that stand on the card: no model has it. Default: nothing. */
  servicesGiB?: number;
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
  /** A service that asks through the gateway, planned as an agent that has no home and takes no other model. */
  isService?: true;
}

export interface ServiceDemand {
  serviceId: string;
  modelId: string;
  tokensPerSecond: number;
}

export interface PlacementFacts {
  aliveMachineIds: ReadonlySet<string>;
  measuredRates?: readonly MeasuredRate[];
  previous?: Plan;
  /** Services of fleet.d; default: none. */
  services?: readonly PlaceableService[];
  /** How each machine stands for services, also one without a model server. Default: those alive are in service, the others are away. */
  standings?: ReadonlyMap<string, ServiceStanding>;
  /** The agents as they live in the database. Default: those of the file. */
  agents?: readonly PlacementAgent[];
}

const secondsPerDay = 86_400;

/** Builds the planner's input from a fleet; every caller goes through here, so all of them plan alike. */
export function placementInputOf(fleet: Fleet, facts: PlacementFacts): PlacementInput {
  const services = servicesOf(fleet, facts);
  const asked = (facts.services ?? []).flatMap(({ id, models }) =>
    models.map(({ model, tokensPerDay }) => ({
      serviceId: id,
      modelId: model,
      tokensPerSecond: tokensPerDay / secondsPerDay,
    })),
  );
  const held = (machineId: string, gpu: number) =>
    services
      .filter((service) => service.machineId === machineId && service.gpu === gpu)
      .reduce((sum, { vramGiB }) => sum + vramGiB, 0);
  return {
    machines: fleet.machines
      .filter((machine) => facts.aliveMachineIds.has(machine.id))
      .flatMap((machine) => placementMachine(machine, (gpu) => held(machine.id, gpu))),
    models: withMeasuredRates(modelVariants(fleet), facts.measuredRates ?? []),
    agents: facts.agents ?? fleetAgents(fleet).map(placementAgent),
    ...(services.length === 0 ? {} : { services }),
    ...(asked.length === 0 ? {} : { asked }),
    ...(facts.previous === undefined ? {} : { previous: facts.previous }),
  };
}

function servicesOf(fleet: Fleet, { services = [], standings, aliveMachineIds, previous }: PlacementFacts) {
  if (services.length === 0) return [];
  return placeServices({
    services,
    machines: fleet.machines.map(({ id, gpus, roles }) => ({
      id,
      gpus,
      pollers: roles.coordination?.pollers ?? 0,
      standing:
        standings === undefined ? (aliveMachineIds.has(id) ? 'in_service' : 'away') : (standings.get(id) ?? 'away'),
    })),
    ...(previous?.services === undefined ? {} : { previous: previous.services }),
  });
}

/** Whether the file lets a machine hold a model at all; whether it fits is another question. */
export function mayHold(variant: Pick<ModelVariant, 'model'>, machineId: string): boolean {
  return variant.model.machines?.includes(machineId) ?? true;
}

function placementMachine(machine: FleetMachine, servicesGiB: (gpu: number) => number): PlacementMachine[] {
  if (machine.gpus.length === 0 || !machine.modelServer) return [];
  const gpus = machine.gpus.map((gpu, index) => {
    const held = servicesGiB(index);
    const own = { class: gpu.class, vramGiB: gpu.vramGiB, reserveGiB: gpu.reserveGiB };
    return held === 0 ? own : { ...own, servicesGiB: held };
  });
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
