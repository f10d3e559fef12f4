import { mayHold, type PlacementGpu, type PlacementInput } from './placement-input.ts';
import type { ModelVariant } from './fleet.ts';
import { rateAt } from './rates.ts';
import { footprint } from './vram.ts';

/**
 * The planner's question as numbers: which model with how many sequences on which GPU, so that Σ priority × min(demand, rate) is largest
 * under each GPU's memory and each machine's sequences. Models and machines stand in order of their ids, so the order of the input never
 * shows in a plan.
 */
export interface Problem {
  models: ProblemModel[];
  gpus: ProblemGpu[];
  machines: ProblemMachine[];
  /** Where a model may stand, as index model × gpus.length + gpu: most sequences there by memory and server, 0 for nowhere. */
  most: Int32Array;
  /** Tokens a second of one sequence, and the slowdown of each further one, under the same index. */
  alone: Float64Array;
  slowdown: Float64Array;
  /** Slots that the applied plan has there, under the same index; 0 for not resident. */
  slotsBefore: Int32Array;
  /** How many of them it counts on: a replica with none is spare, and to drop it is no move. */
  countedBefore: Int32Array;
  /** Whether there is an applied plan to move away from. */
  hasBefore: boolean;
}

/** A model that lies across all cards of a machine: it is decided first, and the rest is planned around it. */
export interface Span {
  modelId: string;
  machineId: string;
  sequences: number;
  gibPerGpu: number[];
  tokensPerSecond: number;
}

export interface ProblemModel {
  id: string;
  variant: ModelVariant;
  fixedGiB: number;
  sequenceGiB: number;
  /** Demand by priority, highest first; `upTo` is the sum so far in tokens a second. */
  tiers: DemandTier[];
  demand: number;
}

export interface DemandTier {
  priority: number;
  upTo: number;
}

export interface ProblemGpu {
  machine: number;
  /** Index into the machine's `gpus`. */
  index: number;
  usableGiB: number;
}

export interface ProblemMachine {
  id: string;
  sequences: number;
  gpus: number[];
}

/** Demand on one model at one priority. */
export interface Demand {
  modelId: string;
  priority: number;
  tokensPerSecond: number;
}

/** Rounding of sums of GiB must never make a model that fits exactly not fit, nor the other way round. */
const memorySlackGiB = 1e-9;

export function usableGiB(gpu: PlacementGpu): number {
  return Math.max(0, gpu.vramGiB - gpu.reserveGiB - (gpu.servicesGiB ?? 0));
}

/** Whether a model holds at least one sequence on a card of so much usable memory. */
export function fits(model: { fixedGiB: number; sequenceGiB: number }, gib: number): boolean {
  return model.fixedGiB + model.sequenceGiB <= gib + memorySlackGiB;
}

export function sequencesIn(model: { fixedGiB: number; sequenceGiB: number }, gib: number): number {
  return Math.max(0, Math.floor((gib - model.fixedGiB + memorySlackGiB) / model.sequenceGiB));
}

/** `standbyModelIds` are models without demand of their own that agents may degrade to: they take what others leave. */
export function createProblem(
  input: PlacementInput,
  demands: readonly Demand[],
  standbyModelIds: ReadonlySet<string>,
  spans: readonly Span[] = [],
): Problem {
  const byModel = Map.groupBy(demands, (demand) => demand.modelId);
  const variants = input.models
    .filter((variant) => byModel.has(variant.id) || standbyModelIds.has(variant.id))
    .toSorted(byId);
  const models = variants.map((variant) => problemModel(variant, byModel.get(variant.id) ?? []));
  const gpus: ProblemGpu[] = [];
  const classes: PlacementGpu['class'][] = [];
  const machines = input.machines.toSorted(byId).map((machine, m) => {
    const across = spans.filter((span) => span.machineId === machine.id);
    const at = machine.gpus.map((gpu, index) => {
      classes.push(gpu.class);
      const taken = across.reduce((sum, span) => sum + span.gibPerGpu[index]!, 0);
      return gpus.push({ machine: m, index, usableGiB: usableGiB(gpu) - taken }) - 1;
    });
    const sequences = machine.sequences - across.reduce((sum, span) => sum + span.sequences, 0);
    return { id: machine.id, sequences, gpus: at };
  });
  const size = models.length * gpus.length;
  const problem: Problem = {
    models,
    gpus,
    machines,
    most: new Int32Array(size),
    alone: new Float64Array(size),
    slowdown: new Float64Array(size),
    slotsBefore: new Int32Array(size),
    countedBefore: new Int32Array(size),
    hasBefore: input.previous !== undefined,
  };
  models.forEach((model, v) => {
    gpus.forEach((gpu, g) => {
      const rate = model.variant.rates[classes[g]!];
      if (!rate || !mayHold(model.variant, machines[gpu.machine]!.id)) return;
      const at = v * gpus.length + g;
      problem.most[at] = Math.min(machines[gpu.machine]!.sequences, sequencesIn(model, gpu.usableGiB));
      problem.alone[at] = rate.tokensPerSecond;
      problem.slowdown[at] = rate.slowdown;
    });
  });
  markBefore(problem, input);
  return problem;
}

function problemModel(variant: ModelVariant, demands: readonly Demand[]): ProblemModel {
  const sums = new Map<number, number>();
  for (const { priority, tokensPerSecond } of demands) sums.set(priority, (sums.get(priority) ?? 0) + tokensPerSecond);
  let demand = 0;
  const tiers = [...sums]
    .toSorted((a, b) => b[0] - a[0])
    .map(([priority, amount]) => ({ priority, upTo: (demand += amount) }));
  return { id: variant.id, variant, ...footprint(variant), tiers, demand };
}

function markBefore(problem: Problem, input: PlacementInput): void {
  const modelAt = new Map(problem.models.map((model, v) => [model.id, v]));
  const machineAt = new Map(problem.machines.map((machine) => [machine.id, machine]));
  for (const planned of input.previous?.machines ?? []) {
    for (const resident of planned.models) {
      const v = modelAt.get(resident.modelId);
      const g = machineAt.get(planned.machineId)?.gpus[resident.gpus[0] ?? -1];
      if (v === undefined || g === undefined || resident.gpus.length > 1) continue;
      const at = v * problem.gpus.length + g;
      if (problem.most[at] === 0) continue;
      problem.slotsBefore[at] = resident.slots;
      problem.countedBefore[at] = resident.counted;
    }
  }
}

/** Worth of serving so many tokens a second of a model: the highest priorities are served first. */
export function worthOf(model: Pick<ProblemModel, 'tiers'>, tokensPerSecond: number): number {
  let worth = 0;
  let from = 0;
  for (const tier of model.tiers) {
    if (tokensPerSecond <= tier.upTo) return worth + (tokensPerSecond - from) * tier.priority;
    worth += (tier.upTo - from) * tier.priority;
    from = tier.upTo;
  }
  return worth;
}

export function rateOf(problem: Problem, v: number, g: number, sequences: number): number {
  const at = v * problem.gpus.length + g;
  return rateAt({ tokensPerSecond: problem.alone[at]!, slowdown: problem.slowdown[at]! }, sequences);
}

export function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
