import type { PlannedService } from './service-placement.ts';
import type { GpuClass } from './task-queues.ts';

/** What the planner decides and `replanFleet` applies: plain JSON, stored as one versioned row. */
export interface Plan {
  machines: PlannedMachine[];
  /** Home machine of each placed agent: where the plan counts its load, not a route. */
  homes: Record<string, string>;
  /** Agents without a home, each with its reason; such an agent waits, parks or degrades. */
  unplaced: Array<{ agentId: string; reason: string }>;
  /** GPU-hours a day per class: needed ÷ available is the load. */
  hours: Array<{ gpuClass: GpuClass; needed: number; available: number }>;
  /** Models that services ask for and that stand nowhere; absent where there are none. */
  unserved?: Array<{ modelId: string; reason: string }>;
  /** Where the owner's services stand; absent where there are none. */
  services?: PlannedService[];
}

export interface PlannedMachine {
  machineId: string;
  models: ResidentModel[];
  /** Σ over its GPUs, by the estimator. */
  vramUsedGiB: number;
  /** By models: without the reserve and what services hold. */
  vramUsableGiB: number;
}

export interface ResidentModel {
  modelId: string;
  /** The model's one queue. */
  queue: string;
  /** Indexes into the machine's `gpus`; more than one only where the model is declared to span. */
  gpus: number[];
  /**
   * Sequences at once that its KV memory allows, at most the server's limit: what its queue is polled with. Queues of one machine may
   * overlap, a permit in the worker keeps the sum within the server's limit.
   */
  slots: number;
  /** Of those the sequences that the plan counts on to serve demand: over a machine they add up to at most the server's limit; 0 is a spare replica. */
  counted: number;
  vramGiB: number;
}

/** Slots that poll each queue under the plan, over the machines given (default: all). */
export function queueSlots(machines: readonly PlannedMachine[], machineIds?: ReadonlySet<string>): Map<string, number> {
  const slots = new Map<string, number>();
  for (const machine of machines) {
    if (machineIds && !machineIds.has(machine.machineId)) continue;
    for (const model of machine.models) slots.set(model.queue, (slots.get(model.queue) ?? 0) + model.slots);
  }
  return slots;
}

export function plannedMachine(plan: Plan, machineId: string): PlannedMachine | undefined {
  return plan.machines.find((machine) => machine.machineId === machineId);
}

/** A resident model with its queue's rank: how many machines of the plan serve it. The fewer, the sooner a machine gives it a slot. */
export interface RankedModel extends ResidentModel {
  rank: number;
}

export function rankedModels(machines: readonly PlannedMachine[], machineId: string): RankedModel[] {
  const serving = new Map<string, Set<string>>();
  for (const machine of machines) {
    for (const { queue } of machine.models)
      serving.set(queue, (serving.get(queue) ?? new Set()).add(machine.machineId));
  }
  const ranked = new Map<string, RankedModel>();
  for (const model of machines.find((machine) => machine.machineId === machineId)?.models ?? []) {
    // One model on several cards of a machine is one queue with the slots of all of them.
    const known = ranked.get(model.queue);
    if (known)
      ranked.set(model.queue, { ...known, slots: known.slots + model.slots, gpus: [...known.gpus, ...model.gpus] });
    else ranked.set(model.queue, { ...model, rank: serving.get(model.queue)?.size ?? 1 });
  }
  return [...ranked.values()];
}
