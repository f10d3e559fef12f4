import { type Problem, rateOf, worthOf } from './placement-problem.ts';

/** What one GPU should hold while all others stay as they are: a knapsack over memory and sequences, solved by dynamic programming. */

export interface Weights {
  /** Cost of loading a model where the applied plan has it not, or of dropping one that it counts on. */
  move: number;
  /** Worth of the first replica of a model, beyond the tokens it serves. */
  coverage: number;
  /** Cost of a counted sequence, so small that it only settles ties. */
  sequence: number;
}

/** Residents and sums so far. `sequences` is under the same index as `Problem.most`, 0 for not resident. */
export interface Residency {
  sequences: Int32Array;
  /** Tokens a second per model over all GPUs. */
  rates: Float64Array;
  /** Replicas per model. */
  replicas: Int32Array;
  /** Counted sequences per machine. */
  used: Int32Array;
}

export function emptyResidency(problem: Problem): Residency {
  return {
    sequences: new Int32Array(problem.models.length * problem.gpus.length),
    rates: new Float64Array(problem.models.length),
    replicas: new Int32Array(problem.models.length),
    used: new Int32Array(problem.machines.length),
  };
}

export function setSequences(problem: Problem, residency: Residency, v: number, g: number, sequences: number): void {
  const at = v * problem.gpus.length + g;
  const before = residency.sequences[at]!;
  if (before === sequences) return;
  residency.sequences[at] = sequences;
  residency.used[problem.gpus[g]!.machine]! += sequences - before;
  residency.replicas[v]! += (sequences > 0 ? 1 : 0) - (before > 0 ? 1 : 0);
  // The last replica gone, what rounding left over goes with it.
  const rest = residency.rates[v]! - rateOf(problem, v, g, before);
  residency.rates[v] = (residency.replicas[v] === 0 ? 0 : rest) + rateOf(problem, v, g, sequences);
}

/** What having so many sequences of a model on a GPU adds, the rest of the residency standing without it. */
export function gainOf(
  problem: Problem,
  residency: Residency,
  weights: Weights,
  v: number,
  g: number,
  sequences: number,
): number {
  const at = v * problem.gpus.length + g;
  if (sequences === 0) return problem.countedBefore[at]! > 0 ? -weights.move : 0;
  const model = problem.models[v]!;
  const elsewhere = residency.rates[v]!;
  const served = worthOf(model, elsewhere + rateOf(problem, v, g, sequences)) - worthOf(model, elsewhere);
  const first = residency.replicas[v] === 0 && model.demand > 0 ? weights.coverage : 0;
  return served + first - (problem.slotsBefore[at]! > 0 ? 0 : weights.move) - sequences * weights.sequence;
}

export interface GpuAnswer {
  /** Model and sequences, residents only. */
  residents: Array<{ v: number; sequences: number }>;
  /** Best gain with at most so many sequences. */
  front: Float64Array;
}

interface Choice {
  v: number;
  none: number;
  sequences: number[];
  gains: number[];
}

/** More sequences than this on one GPU are looked at in growing steps. */
const everySequenceTo = 32;
/** Rows of the table: sequences beyond this share a row. */
const mostRows = 48;

function nextCount(count: number, most: number): number {
  if (count < everySequenceTo || count === most) return count + 1;
  return Math.min(most, Math.ceil(count * 1.25));
}

/** @param columns steps of memory told apart: more is finer and slower. */
export function createGpuSolver(problem: Problem, weights: Weights, columns: number, mostModels: number) {
  const cells = (mostRows + 1) * columns;
  let worth = new Float64Array(cells);
  let memory = new Float64Array(cells);
  let sequences = new Int32Array(cells);
  let nextWorth = new Float64Array(cells);
  let nextMemory = new Float64Array(cells);
  let nextSequences = new Int32Array(cells);
  let live: number[] = [];
  const choiceAt: Uint16Array[] = [];
  const fromAt: Int32Array[] = [];
  const work = { steps: 0 };

  function choicesFor(residency: Residency, g: number, cap: number, forbidden?: ReadonlySet<number>): Choice[] {
    const choices: Choice[] = [];
    for (let v = 0; v < problem.models.length; v += 1) {
      const most = Math.min(cap, problem.most[v * problem.gpus.length + g]!);
      if (most < 1 || forbidden?.has(v)) continue;
      work.steps += 10;
      const model = problem.models[v]!;
      const choice: Choice = { v, none: gainOf(problem, residency, weights, v, g, 0), sequences: [], gains: [] };
      let best = choice.none;
      for (let b = 1; b <= most; b = nextCount(b, most)) {
        const gain = gainOf(problem, residency, weights, v, g, b);
        if (gain > best) {
          choice.sequences.push(b);
          choice.gains.push(gain);
          best = gain;
        }
        if (residency.rates[v]! + rateOf(problem, v, g, b) >= model.demand) break;
      }
      if (choice.sequences.length > 0) choices.push(choice);
    }
    if (choices.length <= mostModels) return choices;
    const densest = (choice: Choice) => {
      const model = problem.models[choice.v]!;
      const at = choice.gains.length - 1;
      return (choice.gains[at]! - choice.none) / (model.fixedGiB + model.sequenceGiB * choice.sequences[at]!);
    };
    return choices.toSorted((a, b) => densest(b) - densest(a) || a.v - b.v).slice(0, mostModels);
  }

  /** The GPU must stand empty in `residency`; `cap` is how many sequences it may count. */
  function solve(residency: Residency, g: number, cap: number, forbidden?: ReadonlySet<number>): GpuAnswer {
    const choices = choicesFor(residency, g, cap, forbidden);
    const usable = problem.gpus[g]!.usableGiB + 1e-9;
    const perColumn = usable / columns;
    const perRow = Math.max(1, Math.ceil(cap / mostRows));
    const used = (Math.ceil(cap / perRow) + 1) * columns;
    worth.fill(Number.NEGATIVE_INFINITY, 0, used);
    // A model dropped against its will costs the same whichever are taken, so it is counted once here and given back when taken.
    worth[0] = choices.reduce((sum, choice) => sum + choice.none, 0);
    memory[0] = 0;
    sequences[0] = 0;
    live = [0];
    choices.forEach((choice, layer) => {
      const model = problem.models[choice.v]!;
      const took = (choiceAt[layer] ??= new Uint16Array(cells));
      const from = (fromAt[layer] ??= new Int32Array(cells));
      nextWorth.fill(Number.NEGATIVE_INFINITY, 0, used);
      const touched: number[] = [];
      const offer = (cell: number, value: number, gib: number, count: number, taken: number, origin: number) => {
        const held = nextWorth[cell]!;
        if (held === Number.NEGATIVE_INFINITY) touched.push(cell);
        else if (value < held || (value === held && gib >= nextMemory[cell]!)) return;
        nextWorth[cell] = value;
        nextMemory[cell] = gib;
        nextSequences[cell] = count;
        took[cell] = taken;
        from[cell] = origin;
      };
      for (const cell of live) {
        offer(cell, worth[cell]!, memory[cell]!, sequences[cell]!, 0, cell);
        for (let i = 0; i < choice.sequences.length; i += 1) {
          const count = sequences[cell]! + choice.sequences[i]!;
          const gib = memory[cell]! + model.fixedGiB + model.sequenceGiB * choice.sequences[i]!;
          if (count > cap || gib > usable) break;
          const column = Math.min(columns - 1, Math.floor(gib / perColumn));
          const value = worth[cell]! + choice.gains[i]! - choice.none;
          offer(Math.ceil(count / perRow) * columns + column, value, gib, count, choice.sequences[i]!, cell);
        }
        work.steps += choice.sequences.length + 1;
      }
      work.steps += used >> 4;
      [worth, nextWorth] = [nextWorth, worth];
      [memory, nextMemory] = [nextMemory, memory];
      [sequences, nextSequences] = [nextSequences, sequences];
      live = touched;
    });
    return answer(choices, cap);
  }

  function answer(choices: readonly Choice[], cap: number): GpuAnswer {
    const front = new Float64Array(cap + 1).fill(Number.NEGATIVE_INFINITY);
    let best = live[0]!;
    for (const cell of live) {
      const count = sequences[cell]!;
      front[count] = Math.max(front[count]!, worth[cell]!);
      const better = worth[cell]! - worth[best]!;
      if (
        better > 0 ||
        (better === 0 && (memory[cell]! < memory[best]! || (memory[cell] === memory[best] && cell < best)))
      )
        best = cell;
    }
    for (let s = 1; s <= cap; s += 1) front[s] = Math.max(front[s]!, front[s - 1]!);
    const residents: GpuAnswer['residents'] = [];
    for (let layer = choices.length - 1; layer >= 0; layer -= 1) {
      const taken = choiceAt[layer]![best]!;
      if (taken > 0) residents.push({ v: choices[layer]!.v, sequences: taken });
      best = fromAt[layer]![best]!;
    }
    return { residents, front };
  }

  return { solve, work };
}

export type GpuSolver = ReturnType<typeof createGpuSolver>;
