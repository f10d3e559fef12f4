import type { FleetModel, ModelVariant } from '../../domain/fleet.ts';
import type { PlacementAgent, PlacementInput, PlacementMachine } from '../../domain/placement-input.ts';
import type { Random } from '../../domain/random.ts';
import { rateAt } from '../../domain/rates.ts';
import { type GpuClass, gpuClasses } from '../../domain/task-queues.ts';
import { fileGiBOf, footprint, type Quantisation } from '../../domain/vram.ts';

/** Fleets as people own them, with too much or nearly too much to do: unequal cards, models of 1B to 70B, several priorities. */

const shapes: Array<Omit<FleetModel, 'context' | 'quantisations' | 'family'> & { parameters: number }> = [
  { id: 'llama1b', parameters: 1.24e9, layers: 16, queryHeads: 32, kvHeads: 8, headSize: 64 },
  { id: 'qwen3b', parameters: 3.09e9, layers: 36, queryHeads: 16, kvHeads: 2, headSize: 128 },
  { id: 'llama3b', parameters: 3.21e9, layers: 28, queryHeads: 24, kvHeads: 8, headSize: 128 },
  { id: 'qwen7b', parameters: 7.62e9, layers: 28, queryHeads: 28, kvHeads: 4, headSize: 128 },
  { id: 'llama8b', parameters: 8.03e9, layers: 32, queryHeads: 32, kvHeads: 8, headSize: 128 },
  { id: 'qwen14b', parameters: 14.77e9, layers: 48, queryHeads: 40, kvHeads: 8, headSize: 128 },
  { id: 'qwen32b', parameters: 32.76e9, layers: 64, queryHeads: 40, kvHeads: 8, headSize: 128 },
  { id: 'llama70b', parameters: 70.55e9, layers: 80, queryHeads: 64, kvHeads: 8, headSize: 128 },
];

const quantisations: Quantisation[] = ['q4_k_m', 'q4_k_m', 'q5_k_m', 'q8_0', 'f16'];

/** Memory bandwidth in GB/s of a usual card of the class: one sequence reads every weight once a token. */
const bandwidth: Record<GpuClass, number> = {
  '8g': 272,
  '12g': 360,
  '16g': 448,
  '24g': 936,
  '32g': 1792,
  '48g': 768,
  '80g': 2039,
  '141g': 4800,
};

const ownedClasses: GpuClass[] = ['8g', '12g', '12g', '16g', '24g', '24g', '24g', '32g', '48g', '80g'];

export interface FleetWish {
  /** Either so many GPUs in all, or so many machines with one or two each. */
  gpus?: number;
  machines?: number;
  models: number;
  /** Demand as a share of what the fleet could serve of this mix. */
  load: number;
  /** Agents to spread the demand over. */
  agents: number;
}

export function randomInput(random: Random, wish: FleetWish): PlacementInput {
  const machines = randomMachines(random, wish);
  const models = randomModels(random, wish.models, machines);
  const shares = models.map(() => random.next() ** 2 + 0.05);
  const total = wish.load * capacityOf(machines, models, shares);
  const sum = shares.reduce((a, b) => a + b, 0);
  const agents: PlacementAgent[] = models.flatMap((model, v) => {
    const tiers = random.shuffle([1, 2, 3, 5]).slice(0, 1 + random.int(3));
    const count = Math.max(tiers.length, Math.round((wish.agents * shares[v]!) / sum));
    return Array.from({ length: count }, (_, i) => ({
      id: `${model.id.replaceAll('_', '-')}-${i}`,
      modelId: model.id,
      tokensPerSecond: (total * shares[v]!) / sum / count,
      priority: tiers[i % tiers.length]!,
      mayDegrade: false,
      leastClass: '8g' as const,
    }));
  });
  return { machines, models, agents };
}

function randomMachines(random: Random, wish: FleetWish): PlacementMachine[] {
  const machines: PlacementMachine[] = [];
  let left = wish.gpus ?? Number.POSITIVE_INFINITY;
  while (left > 0 && machines.length < (wish.machines ?? Number.POSITIVE_INFINITY)) {
    const count = random.next() < 0.25 ? Math.min(left, 2) : 1;
    const gpuClass = random.pick(ownedClasses);
    const vramGiB = Number.parseInt(gpuClass, 10);
    const gpu = { class: gpuClass, vramGiB, reserveGiB: random.pick([0.5, 1, 1, 1.5, 2]) };
    machines.push({
      id: `m${machines.length}`,
      gpus: Array.from({ length: count }, () => gpu),
      sequences: random.pick([4, 6, 8, 8, 12, 16, 16, 24]),
    });
    left -= count;
  }
  return machines;
}

function randomModels(random: Random, count: number, machines: readonly PlacementMachine[]): ModelVariant[] {
  const largest = Math.max(...machines.flatMap((machine) => machine.gpus.map((gpu) => gpu.vramGiB - gpu.reserveGiB)));
  const models = new Map<string, ModelVariant>();
  for (let tries = 0; models.size < count && tries < 200; tries += 1) {
    const { parameters, ...shape } = random.pick(shapes);
    const quantisation = random.pick(quantisations);
    const context = random.pick([2048, 4096, 4096, 8192]);
    const variant = modelVariant(random, shape, quantisation, fileGiBOf(parameters, quantisation), context);
    const { fixedGiB, sequenceGiB } = footprint(variant);
    if (fixedGiB + sequenceGiB <= largest) models.set(variant.id, models.get(variant.id) ?? variant);
  }
  return [...models.values()];
}

function modelVariant(
  random: Random,
  shape: Omit<FleetModel, 'context' | 'quantisations' | 'family'>,
  quantisation: string,
  fileGiB: number,
  context: number,
): ModelVariant {
  const rates = Object.fromEntries(
    gpuClasses.map((gpuClass) => {
      const alone = (bandwidth[gpuClass] / (fileGiB * 1.074)) * 0.65 * between(random, 0.8, 1.2);
      return [gpuClass, { tokensPerSecond: alone, slowdown: between(random, 0.02, 0.15) }];
    }),
  );
  const model = { ...shape, family: shape.id, context: { reflect: context, talk: context }, quantisations: {} };
  return { id: `${shape.id}_${quantisation}`, model, fileGiB, rates, servedAs: {} };
}

/** Tokens a second of the mix if every card took its models in turn with all the sequences it can hold: what `load` is a share of. */
function capacityOf(machines: readonly PlacementMachine[], models: readonly ModelVariant[], shares: number[]): number {
  let capacity = 0;
  for (const machine of machines) {
    for (const gpu of machine.gpus) {
      let tokens = 0;
      let seconds = 0;
      models.forEach((model, v) => {
        const { fixedGiB, sequenceGiB } = footprint(model);
        const sequences = Math.min(
          Math.max(1, Math.floor(machine.sequences / machine.gpus.length)),
          Math.floor((gpu.vramGiB - gpu.reserveGiB - fixedGiB) / sequenceGiB),
        );
        if (sequences < 1) return;
        tokens += shares[v]!;
        seconds += shares[v]! / rateAt(model.rates[gpu.class]!, sequences);
      });
      if (seconds > 0) capacity += tokens / seconds;
    }
  }
  return capacity;
}

export function between(random: Random, least: number, most: number): number {
  return least + random.next() * (most - least);
}
