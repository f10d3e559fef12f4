import { gainOf, type GpuSolver, type Residency, setSequences, type Weights } from './placement-gpu.ts';
import type { Problem } from './placement-problem.ts';
import type { Random } from './random.ts';

/** One step of the search: what a single machine should hold while all others stay as they are. */
export interface Search {
  problem: Problem;
  weights: Weights;
  solver: GpuSolver;
  random: Random;
}

/** Models that a GPU shall not take for now. */
export type Forbidden = ReadonlyMap<number, ReadonlySet<number>>;

/** Gives one machine the best it can hold beside the others; false where what it has is as good. */
export function refill(search: Search, residency: Residency, m: number, forbidden?: Forbidden): boolean {
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
    const share = Array.from({ length: sequences + 1 }, () => 0);
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
