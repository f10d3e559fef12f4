import type { ModelVariant } from './fleet.ts';
import type { HomeAnswer, HomeQuestion } from './placement-homes.ts';
import { mayHold, type PlacementInput } from './placement-input.ts';
import { fits, sequencesIn, usableGiB } from './placement-problem.ts';
import type { Plan, PlannedMachine } from './plan.ts';
import { rateAt } from './rates.ts';
import { type GpuClass, gpuClasses } from './task-queues.ts';
import { classOf, footprint } from './vram.ts';

const hoursADay = 24;

export interface HoursQuestion {
  machines: readonly PlannedMachine[];
  questions: ReadonlyMap<string, HomeQuestion>;
  answers: ReadonlyMap<string, HomeAnswer>;
  /** Demand on models that stand nowhere. */
  unserved: ReadonlyArray<{ variant: ModelVariant; tokensPerSecond: number }>;
}

/**
 * GPU-hours a day that the demand takes of each class, as if every card worked off its models one after the other with all their slots.
 * Over a day that is what the cards do, since the models of one machine share its sequences.
 */
export function hoursOf(input: PlacementInput, question: HoursQuestion): Plan['hours'] {
  const needed = new Map<GpuClass, number>();
  const available = new Map<GpuClass, number>();
  const need = (gpuClass: GpuClass, hours: number) => needed.set(gpuClass, (needed.get(gpuClass) ?? 0) + hours);
  for (const machine of input.machines) {
    for (const gpu of machine.gpus) available.set(gpu.class, (available.get(gpu.class) ?? 0) + hoursADay);
  }
  const byMachine = new Map(input.machines.map((machine) => [machine.id, machine]));
  const planned = new Map(question.machines.map((machine) => [machine.machineId, machine]));
  for (const [modelId, { places }] of question.questions) {
    const { asked } = question.answers.get(modelId)!;
    places.forEach((place, i) => {
      const { gpus } = byMachine.get(place.machineId)!;
      for (const resident of planned.get(place.machineId)!.models) {
        if (resident.modelId !== modelId) continue;
        // Across several cards each is busy for the whole of a call; side by side each serves its share.
        for (const index of resident.gpus) need(gpus[index]!.class, (hoursADay * asked[i]!) / place.tokensPerSecond);
      }
    });
  }
  for (const { variant, tokensPerSecond } of question.unserved) {
    const best = bestAlone(variant, input);
    if (best.tokensPerSecond > 0) need(best.gpuClass, (hoursADay * tokensPerSecond) / best.tokensPerSecond);
  }
  return gpuClasses
    .filter((gpuClass) => needed.has(gpuClass) || available.has(gpuClass))
    .map((gpuClass) => ({
      gpuClass,
      needed: needed.get(gpuClass) ?? 0,
      available: available.get(gpuClass) ?? 0,
    }));
}

/** The card that would serve a model fastest if it had it alone; where none holds it, one of the model's own class. */
function bestAlone(variant: ModelVariant, input: PlacementInput): { gpuClass: GpuClass; tokensPerSecond: number } {
  const need = footprint(variant);
  let best = { gpuClass: classOf(variant), tokensPerSecond: 0 };
  for (const machine of input.machines) {
    if (!mayHold(variant, machine.id)) continue;
    for (const gpu of machine.gpus) {
      const rate = variant.rates[gpu.class];
      if (!rate || !fits(need, usableGiB(gpu))) continue;
      const tokensPerSecond = rateAt(rate, Math.min(machine.sequences, sequencesIn(need, usableGiB(gpu))));
      if (tokensPerSecond > best.tokensPerSecond) best = { gpuClass: gpu.class, tokensPerSecond };
    }
  }
  if (best.tokensPerSecond > 0) return best;
  const rate = variant.rates[best.gpuClass];
  return rate ? { ...best, tokensPerSecond: rateAt(rate, 1) } : best;
}
