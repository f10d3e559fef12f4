import type { ModelVariant } from './fleet.ts';
import { mayHold, type PlacementAgent, type PlacementInput } from './placement-input.ts';
import { fits, usableGiB } from './placement-problem.ts';
import { classGiB } from './task-queues.ts';
import { classOf, footprint } from './vram.ts';

/** What the reasons are read from, beside the input. */
export interface Standing {
  variants: ReadonlyMap<string, ModelVariant>;
  /** Machines that hold a model under the new plan. */
  holders(modelId: string): string[];
  /** Memory that stays free on the emptiest GPU that has room for such a model at all. */
  mostFreeGiB(modelId: string): { gib: number; machineId: string } | undefined;
}

/** Why an agent has no home, in plain words and with the numbers that decide it. */
export function reasonFor(agent: PlacementAgent, input: PlacementInput, standing: Standing): string {
  const why = whyNot(agent, input, standing);
  if (agent.isService) return why;
  const smaller = smallerFor(agent, standing.variants);
  const holders = smaller === undefined ? [] : standing.holders(smaller.id);
  if (smaller && holders.length > 0) return `${why}; runs degraded on ${smaller.id} (${listed(holders)}) meanwhile`;
  if (!agent.mayDegrade) return `${why}; it may not degrade, so it parks`;
  return smaller
    ? `${why}, and ${smaller.id} has no place either, so it parks`
    : `${why}; no smaller model is declared, so it parks`;
}

function whyNot(agent: PlacementAgent, input: PlacementInput, standing: Standing): string {
  const variant = standing.variants.get(agent.modelId);
  if (!variant) return `the fleet has no model ${agent.modelId}`;
  const own = classOf(variant);
  if (classGiB(own) < classGiB(agent.leastClass)) {
    return `${variant.id} is a model of class ${own}, the agent wants at least ${agent.leastClass}`;
  }
  const alive = input.machines.filter((machine) => machine.gpus.length > 0);
  if (alive.length === 0) return 'no machine with a GPU is alive';
  const allowed = alive.filter((machine) => mayHold(variant, machine.id));
  if (allowed.length === 0) return `${variant.id} is kept to ${listed(variant.model.machines ?? [])}, not alive`;
  const gpus = allowed.flatMap((machine) => machine.gpus.map((gpu) => ({ gpu, machineId: machine.id })));
  const need = footprint(variant);
  const needs = `${variant.id} needs ${gib(need.fixedGiB + need.sequenceGiB)} GiB`;
  const largest = gpus.reduce((a, b) => (usableGiB(b.gpu) > usableGiB(a.gpu) ? b : a));
  if (!fits(need, usableGiB(largest.gpu))) {
    return `${needs}, the largest free GPU has ${gib(usableGiB(largest.gpu))} (${largest.machineId})`;
  }
  if (!gpus.some(({ gpu }) => variant.rates[gpu.class] && fits(need, usableGiB(gpu)))) {
    const large = gpus.filter(({ gpu }) => fits(need, usableGiB(gpu))).map(({ gpu }) => gpu.class);
    return `${variant.id} has no rate for the class of the GPUs that could hold it: ${listed([...new Set(large)].toSorted())}`;
  }
  const free = standing.mostFreeGiB(variant.id);
  const left = free ? `: at most ${gib(free.gib)} are left (${free.machineId})` : '';
  return `${needs}, but the GPUs that could hold it serve more with other models${left}`;
}

/** The model that may stand in for an agent's own. */
export function smallerFor(
  agent: Pick<PlacementAgent, 'modelId' | 'mayDegrade' | 'leastClass'>,
  variants: ReadonlyMap<string, ModelVariant>,
): ModelVariant | undefined {
  const smaller = variants.get(variants.get(agent.modelId)?.smaller ?? '');
  if (!agent.mayDegrade || !smaller) return undefined;
  return classGiB(classOf(smaller)) >= classGiB(agent.leastClass) ? smaller : undefined;
}

function gib(amount: number): string {
  return Math.max(0, amount).toFixed(1);
}

function listed(words: readonly string[]): string {
  return words.length > 3 ? `${words.slice(0, 3).join(', ')} and ${words.length - 3} more` : words.join(', ');
}
