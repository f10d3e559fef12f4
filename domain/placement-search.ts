import {
  createGpuSolver,
  emptyResidency,
  gainOf,
  type GpuSolver,
  type Residency,
  setSequences,
  type Weights,
} from './placement-gpu.ts';
import { type Problem, worthOf } from './placement-problem.ts';
import { createRandom, type Random } from './random.ts';

/**
 * Finds the residency: every machine in turn is filled with the best answer to what the others hold, until none gains by a change; then
 * machines are emptied a few at a time and filled again in other orders, keeping what is better. The work is counted in steps of the
 * knapsack, never in time, so the same input gives the same plan on every host.
 */

/** A move must earn this share of all demand's worth, so among near-equal plans the one that moves least stays. */
const moveShare = 0.001;
/** Under an applied plan a model that nothing holds is worth more than the moves that load it: first serve everyone, then move least. */
const coverageShare = 4 * moveShare;
const tieShare = 1e-9;

export function weightsOf(problem: Problem): Weights {
  const all = problem.models.reduce((sum, model) => sum + worthOf(model, model.demand), 0);
  return {
    move: problem.hasBefore ? all * moveShare : 0,
    coverage: all * (problem.hasBefore ? coverageShare : tieShare),
    sequence: all * tieShare * 1e-3,
  };
}

export function scoreOf(problem: Problem, residency: Residency, weights: Weights): number {
  let score = 0;
  problem.models.forEach((model, v) => {
    score += worthOf(model, residency.rates[v]!);
    if (residency.replicas[v]! > 0 && model.demand > 0) score += weights.coverage;
  });
  for (let at = 0; at < residency.sequences.length; at += 1) {
    const count = residency.sequences[at]!;
    if (count > 0 ? problem.slotsBefore[at] === 0 : problem.countedBefore[at]! > 0) score -= weights.move;
    score -= count * weights.sequence;
  }
  return score;
}

interface Effort {
  /** Steps of memory told apart on a card. */
  columns: number;
  /** Models looked at for one card. */
  models: number;
  /** Knapsack steps in all. */
  steps: number;
  /** Passes over all machines at the start. */
  passes: number;
  /** Beginnings in different orders. */
  starts: number;
}

/** Small fleets are searched hard; large ones get a few passes, so that work grows with the number of GPUs and no faster. */
function effortFor(gpus: number): Effort {
  if (gpus <= 16) return { columns: 128, models: 24, steps: 20_000_000, passes: 20, starts: 6 };
  if (gpus <= 64) return { columns: 96, models: 16, steps: 16_000_000, passes: 6, starts: 2 };
  return { columns: 40, models: 8, steps: 20_000_000, passes: 3, starts: 1 };
}

/** @param start a residency to begin from beside the empty one: what is left of the applied plan. */
export function searchResidency(problem: Problem, start?: Residency): Residency {
  const weights = weightsOf(problem);
  const effort = effortFor(problem.gpus.length);
  const search: Search = {
    problem,
    weights,
    solver: createGpuSolver(problem, weights, effort.columns, effort.models),
    random: createRandom(0x50_0f_1a),
  };
  const orders = firstOrders(search, effort.starts);
  const begun = orders.map((order) => improve(search, emptyResidency(problem), order, effort.passes));
  if (start) begun.push(improve(search, copyOf(start), orders[0]!, effort.passes));
  let best = begun[0]!;
  for (const residency of begun) {
    if (scoreOf(problem, residency, weights) > scoreOf(problem, best, weights)) best = residency;
  }
  return anneal(search, best, effort.steps);
}

/** Tries per machine without a better residency before the search is taken to have ended. */
const patience = 300;

interface Search {
  problem: Problem;
  weights: Weights;
  solver: GpuSolver;
  random: Random;
}

/** Small machines first: they can hold only the light models, and the big ones then take the rest. */
function firstOrders({ problem, random }: Search, count: number): number[][] {
  const memory = problem.machines.map((machine) => Math.max(0, ...machine.gpus.map((g) => problem.gpus[g]!.usableGiB)));
  const smallFirst = problem.machines.map((_, m) => m).toSorted((a, b) => memory[a]! - memory[b]! || a - b);
  const orders = [smallFirst, smallFirst.toReversed()];
  while (orders.length < count) orders.push(random.shuffle(smallFirst));
  return orders.slice(0, count);
}

function improve(search: Search, residency: Residency, order: readonly number[], passes: number): Residency {
  for (let pass = 0; pass < passes; pass += 1) {
    let better = false;
    for (const m of order) better = refill(search, residency, m) || better;
    if (!better) break;
  }
  return residency;
}

/** Empties some machines and fills them anew, over and over; a slightly worse residency is kept for a while, the best one always. */
function anneal(search: Search, begun: Residency, steps: number): Residency {
  const { problem, weights, solver, random } = search;
  let best = begun;
  let bestScore = scoreOf(problem, best, weights);
  const ceiling = problem.models.reduce(
    (sum, model) => sum + worthOf(model, model.demand) + (model.demand > 0 ? weights.coverage : 0),
    0,
  );
  let now = copyOf(best);
  let nowScore = bestScore;
  const machines = problem.machines.map((_, m) => m).filter((m) => problem.machines[m]!.gpus.length > 0);
  // All demand served without a move: nothing is left to gain.
  let fruitless = 0;
  while (fruitless < patience * machines.length && solver.work.steps < steps && machines.length > 0 && bestScore < ceiling * (1 - 1e-7)) {
    const trial = copyOf(now);
    const emptied = random.shuffle(machines).slice(0, 1 + random.int(Math.min(3, machines.length)));
    const forbidden = emptyMachines(search, trial, emptied);
    for (const m of emptied) refill(search, trial, m, forbidden);
    improve(search, trial, machines.length <= 16 ? random.shuffle(machines) : emptied, 1);
    solver.work.steps += machines.length;
    const score = scoreOf(problem, trial, weights);
    const heat = ceiling * 0.004 * (1 - solver.work.steps / steps);
    if (score > nowScore || random.next() < Math.exp((score - nowScore) / Math.max(heat, 1e-12))) {
      now = trial;
      nowScore = score;
    }
    fruitless += 1;
    if (score > bestScore * (1 + 1e-9)) {
      best = copyOf(trial);
      bestScore = score;
      fruitless = 0;
    }
  }
  return best;
}

/** Returns models that each emptied GPU shall not take back at once, so that the refill tries something else. */
function emptyMachines({ problem, random }: Search, residency: Residency, machines: readonly number[]) {
  const forbidden = new Map<number, Set<number>>();
  for (const m of machines) {
    for (const g of problem.machines[m]!.gpus) {
      const out = new Set<number>();
      for (let v = 0; v < problem.models.length; v += 1) {
        if (residency.sequences[v * problem.gpus.length + g]! === 0) continue;
        setSequences(problem, residency, v, g, 0);
        if (random.next() < 0.4) out.add(v);
      }
      if (out.size > 0) forbidden.set(g, out);
    }
  }
  return forbidden;
}

type Forbidden = ReadonlyMap<number, ReadonlySet<number>>;

/** Gives one machine the best it can hold beside the others; false where what it has is as good. */
function refill(search: Search, residency: Residency, m: number, forbidden?: Forbidden): boolean {
  const { problem, weights } = search;
  const { gpus } = problem.machines[m]!;
  const held = gpus.map((g) => residentsOf(problem, residency, g));
  let best = held;
  let bestGain = emptyCounting(search, residency, gpus);
  for (const way of waysToFill(search, residency, m)) {
    fill(search, residency, way, forbidden);
    const filled = gpus.map((g) => residentsOf(problem, residency, g));
    const gain = emptyCounting(search, residency, gpus);
    if (gain > bestGain + weights.sequence * 1e-3 + 1e-12) {
      bestGain = gain;
      best = filled;
    }
  }
  gpus.forEach((g, i) => take(search, residency, g, best[i]!));
  return best !== held;
}

/** GPUs of one machine in the order of filling, each with the sequences it may count. */
type Way = Array<{ g: number; cap: number }>;

/** A single card has one best answer; several cards share the machine's sequences, and which share is best shows only by trying. */
function waysToFill(search: Search, residency: Residency, m: number): Way[] {
  const { gpus, sequences } = search.problem.machines[m]!;
  const all = gpus.map((g) => ({ g, cap: sequences }));
  if (gpus.length === 1) return [all];
  const shared = sharedCaps(search, residency, m);
  const byChance = randomCaps(search, m);
  const capped = (caps: readonly number[]) => gpus.map((g, i) => ({ g, cap: caps[i]! }));
  return [all, all.toReversed(), capped(shared), capped(byChance), capped(byChance).toReversed()];
}

function fill(search: Search, residency: Residency, way: Way, forbidden?: Forbidden): void {
  const { problem, solver } = search;
  const refillGpu = (g: number, cap: number) => {
    const { machine } = problem.gpus[g]!;
    const free = problem.machines[machine]!.sequences - residency.used[machine]!;
    take(search, residency, g, solver.solve(residency, g, Math.min(cap, free), forbidden?.get(g)).residents);
  };
  for (const { g, cap } of way) refillGpu(g, cap);
  if (way.length === 1) return;
  // Once more without the caps, each card knowing what the others took.
  for (const { g } of way) {
    emptyCounting(search, residency, [g]);
    refillGpu(g, Number.POSITIVE_INFINITY);
  }
}

function take({ problem }: Search, residency: Residency, g: number, residents: readonly Resident[]): void {
  for (const { v, sequences } of residents) setSequences(problem, residency, v, g, sequences);
}

interface Resident {
  v: number;
  sequences: number;
}

function residentsOf(problem: Problem, residency: Residency, g: number): Resident[] {
  const residents: Resident[] = [];
  for (let v = 0; v < problem.models.length; v += 1) {
    const sequences = residency.sequences[v * problem.gpus.length + g]!;
    if (sequences > 0) residents.push({ v, sequences });
  }
  return residents;
}

/** Empties the GPUs and tells what they were worth. */
function emptyCounting({ problem, weights }: Search, residency: Residency, gpus: readonly number[]): number {
  let gain = 0;
  for (const g of gpus) {
    for (let v = 0; v < problem.models.length; v += 1) {
      const at = v * problem.gpus.length + g;
      const sequences = residency.sequences[at]!;
      if (sequences === 0 && problem.countedBefore[at] === 0) continue;
      setSequences(problem, residency, v, g, 0);
      gain += gainOf(problem, residency, weights, v, g, sequences);
    }
  }
  return gain;
}

/** Beyond this many sequences an even share is near enough, and the exact one costs their square. */
const mostSharedExactly = 128;

/** How to share a machine's sequences over its GPUs if each served other models; the fill that follows sees the truth. */
function sharedCaps({ problem, solver }: Search, residency: Residency, m: number): number[] {
  const { gpus, sequences } = problem.machines[m]!;
  if (sequences > mostSharedExactly) return gpus.map(() => Math.ceil(sequences / gpus.length));
  const shares: number[][] = [];
  let worth = new Float64Array(sequences + 1);
  for (const g of gpus) {
    const { front } = solver.solve(residency, g, sequences);
    const next = new Float64Array(sequences + 1).fill(Number.NEGATIVE_INFINITY);
    const share = new Array<number>(sequences + 1).fill(0);
    for (let total = 0; total <= sequences; total += 1) {
      for (let own = 0; own <= total; own += 1) {
        const sum = worth[total - own]! + front[own]!;
        if (sum > next[total]!) {
          next[total] = sum;
          share[total] = own;
        }
      }
    }
    shares.push(share);
    worth = next;
  }
  const caps: number[] = [];
  let left = sequences;
  for (const share of shares.toReversed()) {
    caps.unshift(share[left]!);
    left -= share[left]!;
  }
  return caps;
}

/** A share at random: models that stand on both cards of a machine make the best share hard to tell. */
function randomCaps({ problem, random }: Search, m: number): number[] {
  const { gpus, sequences } = problem.machines[m]!;
  const caps: number[] = [];
  let left = sequences;
  for (const [i] of gpus.entries()) {
    const cap = i === gpus.length - 1 ? left : random.int(left + 1);
    caps.push(cap);
    left -= cap;
  }
  return caps;
}

function copyOf(residency: Residency): Residency {
  return {
    sequences: residency.sequences.slice(),
    rates: residency.rates.slice(),
    replicas: residency.replicas.slice(),
    used: residency.used.slice(),
  };
}
