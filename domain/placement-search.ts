import { createGpuSolver, emptyResidency, type Residency, setSequences, type Weights } from './placement-gpu.ts';
import { type Problem, worthOf } from './placement-problem.ts';
import { refill, type Search } from './placement-refill.ts';
import { createRandom } from './random.ts';

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
  if (gpus <= 16) return { columns: 128, models: 24, steps: 40_000_000, passes: 20, starts: 6 };
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
  const begun = start ? [improve(search, copyOf(start), orders[0]!, effort.passes)] : [];
  // Over a large fleet beginning anew would move far too much to be taken.
  if (!start || effort.starts > 1) {
    begun.push(...orders.map((order) => improve(search, emptyResidency(problem), order, effort.passes)));
  }
  let best = begun[0]!;
  for (const residency of begun) {
    if (scoreOf(problem, residency, weights) > scoreOf(problem, best, weights)) best = residency;
  }
  return anneal(search, best, effort.steps);
}

/** Tries per machine without a better residency before the search is taken to have ended. */
const patience = 300;

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
  const residencySize = problem.models.length * problem.gpus.length;
  let fruitless = 0;
  while (
    fruitless < patience * machines.length &&
    solver.work.steps < steps &&
    machines.length > 0 &&
    bestScore < ceiling * (1 - 1e-7)
  ) {
    const trial = copyOf(now);
    const emptied = random.shuffle(machines).slice(0, 1 + random.int(Math.min(3, machines.length)));
    const forbidden = emptyMachines(search, trial, emptied);
    for (const m of emptied) refill(search, trial, m, forbidden);
    improve(search, trial, machines.length <= 16 ? random.shuffle(machines) : emptied, 1);
    // Copying and scoring a residency is work too.
    solver.work.steps += machines.length + residencySize;
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

function copyOf(residency: Residency): Residency {
  return {
    sequences: residency.sequences.slice(),
    rates: residency.rates.slice(),
    replicas: residency.replicas.slice(),
    used: residency.used.slice(),
  };
}
