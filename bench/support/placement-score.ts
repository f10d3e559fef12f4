import type { PlacementInput } from '../../domain/placement-input.ts';
import type { Plan } from '../../domain/plan.ts';
import { rateAt } from '../../domain/rates.ts';
import { footprint } from '../../domain/vram.ts';

/** Sequences counted of a model on one GPU of a machine: all that the worth of a plan depends on. */
export interface Counted {
  machineId: string;
  gpu: number;
  modelId: string;
  sequences: number;
}

export function countedOf(plan: Plan): Counted[] {
  return plan.machines.flatMap(({ machineId, models }) =>
    models.map(({ modelId, gpus, counted }) => ({ machineId, gpu: gpus[0]!, modelId, sequences: counted })),
  );
}

/** Σ priority × tokens/s served, reckoned from the input alone. */
export function worthOfCounted(input: PlacementInput, counted: readonly Counted[]): number {
  const machines = new Map(input.machines.map((machine) => [machine.id, machine]));
  const models = new Map(input.models.map((model) => [model.id, model]));
  const rates = new Map<string, number>();
  for (const { machineId, gpu, modelId, sequences } of counted) {
    const rate = models.get(modelId)!.rates[machines.get(machineId)!.gpus[gpu]!.class]!;
    rates.set(modelId, (rates.get(modelId) ?? 0) + rateAt(rate, sequences));
  }
  let worth = 0;
  for (const agent of input.agents.toSorted((a, b) => b.priority - a.priority)) {
    const left = rates.get(agent.modelId) ?? 0;
    const served = Math.min(left, agent.tokensPerSecond);
    rates.set(agent.modelId, left - served);
    worth += served * agent.priority;
  }
  return worth;
}

/** Cards over their memory with all the slots that the plan polls, and machines over their server's sequences: a sound plan has none. */
export function breachesOf(input: PlacementInput, plan: Plan): string[] {
  const models = new Map(input.models.map((model) => [model.id, model]));
  return input.machines.flatMap((machine) => {
    const residents = plan.machines.find((planned) => planned.machineId === machine.id)?.models ?? [];
    const breaches: string[] = [];
    machine.gpus.forEach((gpu, index) => {
      const gib = residents
        .filter((resident) => resident.gpus.length === 1 && resident.gpus[0] === index)
        .reduce((sum, { modelId, slots }) => {
          const { fixedGiB, sequenceGiB } = footprint(models.get(modelId)!);
          return sum + fixedGiB + slots * sequenceGiB;
        }, 0);
      if (gib > gpu.vramGiB - gpu.reserveGiB + 1e-6) breaches.push(`${machine.id} gpu ${index}: ${gib} GiB`);
    });
    const sequences = residents.reduce((sum, resident) => sum + resident.counted, 0);
    if (sequences > machine.sequences) breaches.push(`${machine.id}: ${sequences} sequences`);
    for (const { modelId, slots, counted } of residents) {
      if (slots < Math.max(1, counted) || slots > machine.sequences)
        breaches.push(`${machine.id} ${modelId}: ${slots} slots`);
    }
    return breaches;
  });
}
