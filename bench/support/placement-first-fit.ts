import type { PlacementInput } from '../../domain/placement-input.ts';
import { rateAt } from '../../domain/rates.ts';
import { footprint } from '../../domain/vram.ts';
import type { Counted } from './placement-score.ts';

/**
 * What one would write first: models by priority × demand, the heaviest first; each goes to the first GPU it fits with as many sequences
 * as fit and its demand needs, and on to the next GPU while demand is left.
 */
export function firstFit(input: PlacementInput): Counted[] {
  const asked = new Map<string, { worth: number; tokensPerSecond: number }>();
  for (const { modelId, priority, tokensPerSecond } of input.agents) {
    const sum = asked.get(modelId) ?? { worth: 0, tokensPerSecond: 0 };
    asked.set(modelId, {
      worth: sum.worth + priority * tokensPerSecond,
      tokensPerSecond: sum.tokensPerSecond + tokensPerSecond,
    });
  }
  const cards = input.machines.flatMap((machine) =>
    machine.gpus.map((gpu, index) => ({ machine, gpu, index, free: gpu.vramGiB - gpu.reserveGiB })),
  );
  const sequencesLeft = new Map(input.machines.map((machine) => [machine.id, machine.sequences]));
  const counted: Counted[] = [];
  const models = input.models.filter((model) => asked.has(model.id));
  for (const model of models.toSorted((a, b) => asked.get(b.id)!.worth - asked.get(a.id)!.worth)) {
    const { fixedGiB, sequenceGiB } = footprint(model);
    let left = asked.get(model.id)!.tokensPerSecond;
    for (const card of cards) {
      const rate = model.rates[card.gpu.class];
      const most = Math.min(sequencesLeft.get(card.machine.id)!, Math.floor((card.free - fixedGiB) / sequenceGiB));
      if (!rate || most < 1 || left <= 0) continue;
      let sequences = 1;
      while (sequences < most && rateAt(rate, sequences) < left) sequences += 1;
      left -= rateAt(rate, sequences);
      card.free -= fixedGiB + sequences * sequenceGiB;
      sequencesLeft.set(card.machine.id, sequencesLeft.get(card.machine.id)! - sequences);
      counted.push({ machineId: card.machine.id, gpu: card.index, modelId: model.id, sequences });
    }
  }
  return counted;
}
