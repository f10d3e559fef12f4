import type { ModelVariant } from './fleet.ts';
import { mayHold, type PlacementInput, type PlacementMachine } from './placement-input.ts';
import { byId, sequencesIn, type Span, usableGiB } from './placement-problem.ts';
import { rateAt } from './rates.ts';
import { footprint, perCardGiB } from './vram.ts';

/** Machines tried for one such model: the search runs once for each. */
const mostTried = 4;

/**
 * Ways to lay a model across the cards of one machine, the machine of the applied plan first, then those with the least memory that hold
 * it: big ones may serve others better.
 */
export function spansFor(variant: ModelVariant, demand: number, input: PlacementInput, taken: readonly Span[]): Span[] {
  const before = new Set(
    (input.previous?.machines ?? [])
      .filter((machine) => machine.models.some((model) => model.modelId === variant.id && model.gpus.length > 1))
      .map((machine) => machine.machineId),
  );
  return input.machines
    .filter(
      (machine) =>
        machine.gpus.length > 1 && mayHold(variant, machine.id) && !taken.some((span) => span.machineId === machine.id),
    )
    .flatMap((machine) => {
      const span = spanOn(variant, demand, machine);
      return span ? [{ id: machine.id, span, gib: machine.gpus.reduce((sum, gpu) => sum + usableGiB(gpu), 0) }] : [];
    })
    .toSorted((a, b) => Number(before.has(b.id)) - Number(before.has(a.id)) || a.gib - b.gib || byId(a, b))
    .slice(0, mostTried)
    .map(({ span }) => span);
}

/** Layers are spread by memory, and the slowest card sets the pace. */
function spanOn(variant: ModelVariant, demand: number, machine: PlacementMachine): Span | undefined {
  const usable = machine.gpus.map(usableGiB);
  const total = usable.reduce((a, b) => a + b, 0);
  const { fixedGiB, sequenceGiB } = footprint(variant);
  const fixed = fixedGiB + perCardGiB * (machine.gpus.length - 1);
  const most = Math.min(machine.sequences, sequencesIn({ fixedGiB: fixed, sequenceGiB }, total));
  const rates = machine.gpus.flatMap((gpu) => variant.rates[gpu.class] ?? []);
  if (most < 1 || rates.length < machine.gpus.length) return undefined;
  const slowest = rates.reduce((a, b) => (rateAt(b, most) < rateAt(a, most) ? b : a));
  let sequences = 1;
  while (sequences < most && rateAt(slowest, sequences) < demand) sequences += 1;
  const gib = fixed + sequences * sequenceGiB;
  return {
    modelId: variant.id,
    machineId: machine.id,
    sequences,
    gibPerGpu: usable.map((own) => (gib * own) / total),
    tokensPerSecond: rateAt(slowest, sequences),
  };
}
