import type { Residency } from './placement-gpu.ts';
import { fits, type Problem, rateOf } from './placement-problem.ts';

/**
 * What the search leaves free is spent here, and none of it costs a served token: a place for every model that agents ask for, a replica
 * of each model on a second machine (its work then fails over by plain retry), spare replicas where memory would lie idle, and KV memory
 * for as many sequences as fit.
 */
/** A second replica may take up to this share of the sequences that the residents would have without it. */
const shareForSecond = 0.5;

interface FillState {
  problem: Problem;
  counted: Int32Array;
  resident: Uint8Array;
  /** Tokens a second asked of each model, of agents that would degrade to it included. */
  wanted: readonly number[];
  /** Tokens a second it can serve with all its slots. */
  capacity: Float64Array;
  slots: Int32Array;
}

/** Returns the sequences each queue is polled with, under the index of `Problem.most`: at least those counted, 0 for not resident. */
export function fillLeftovers(problem: Problem, residency: Residency, wanted: readonly number[]): Int32Array {
  const state: FillState = {
    problem,
    counted: residency.sequences,
    resident: Uint8Array.from(residency.sequences, (count) => (count > 0 ? 1 : 0)),
    wanted,
    capacity: new Float64Array(problem.models.length),
    slots: new Int32Array(residency.sequences.length),
  };
  for (let g = 0; g < problem.gpus.length; g += 1) shareMemory(state, g);
  const byNeed = problem.models
    .map((_, v) => v)
    .filter((v) => wanted[v]! > 0)
    .toSorted((a, b) => wanted[b]! - wanted[a]! || a - b);
  for (const v of byNeed) if (machinesWith(state, v).size === 0) addWhere(state, v, new Set(), 'first');
  for (const v of byNeed) {
    const machines = machinesWith(state, v);
    if (machines.size === 1) addWhere(state, v, machines, 'second');
  }
  for (let g = 0; g < problem.gpus.length; g += 1) {
    if (!keepCard(state, g)) addSpares(state, g, byNeed);
  }
  return state.slots;
}

function machinesWith({ problem, resident }: FillState, v: number): Set<number> {
  const machines = new Set<number>();
  problem.gpus.forEach((gpu, g) => {
    if (resident[v * problem.gpus.length + g]) machines.add(gpu.machine);
  });
  return machines;
}

type Need = 'first' | 'second' | 'spare';

/**
 * Adds a replica: on a card that has held it before; else where it drives out what is asked for least, and among those where most
 * memory stays free.
 */
function addWhere(state: FillState, v: number, notOn: ReadonlySet<number>, need: Need): void {
  const { problem } = state;
  let best: { g: number; held: boolean; drivenOut: number; free: number } | undefined;
  problem.gpus.forEach((gpu, g) => {
    if (notOn.has(gpu.machine)) return;
    const free = freeGiB(state, g, need);
    if (!addable(state, v, g, free)) return;
    const held = problem.slotsBefore[v * problem.gpus.length + g]! > 0;
    const one = { g, held, drivenOut: held ? 0 : drivenOutBy(state, v, g, free), free };
    if (!best || (Number(one.held) - Number(best.held) || best.drivenOut - one.drivenOut || one.free - best.free) > 0) {
      best = one;
    }
  });
  if (best) add(state, v, best.g);
}

/** Tokens a second asked of models that the card held and that would not fit beside `v`. */
function drivenOutBy(state: FillState, v: number, g: number, free: number): number {
  const { problem, resident, wanted } = state;
  const left = free - problem.models[v]!.fixedGiB - problem.models[v]!.sequenceGiB;
  return problem.models.reduce((sum, model, other) => {
    const at = other * problem.gpus.length + g;
    if (other === v || resident[at] || problem.slotsBefore[at] === 0 || wanted[other] === 0) return sum;
    return fits(model, left) ? sum : sum + wanted[other]!;
  }, 0);
}

/** Memory left on a card once the residents have what they must keep. */
function freeGiB({ problem, counted, resident, slots }: FillState, g: number, need: Need): number {
  let free = problem.gpus[g]!.usableGiB;
  problem.models.forEach((model, v) => {
    const at = v * problem.gpus.length + g;
    if (!resident[at]) return;
    const floor = Math.max(1, counted[at]!);
    const half = Math.max(floor, Math.ceil(slots[at]! * shareForSecond));
    free -= model.fixedGiB + { first: floor, second: half, spare: slots[at]! }[need] * model.sequenceGiB;
  });
  return free;
}

function addable({ problem, resident }: FillState, v: number, g: number, free: number): boolean {
  const at = v * problem.gpus.length + g;
  return resident[at] === 0 && problem.most[at]! > 0 && fits(problem.models[v]!, free);
}

function add(state: FillState, v: number, g: number): void {
  state.resident[v * state.problem.gpus.length + g] = 1;
  shareMemory(state, g);
}

/** Fills a card's idle memory with the models whose work would take longest; those it held before go first, so that nothing is loaded anew. */
function addSpares(state: FillState, g: number, byNeed: readonly number[]): void {
  const { problem } = state;
  const rank = (v: number) => {
    const seconds = state.capacity[v]! > 0 ? state.wanted[v]! / state.capacity[v]! : Number.POSITIVE_INFINITY;
    return (problem.slotsBefore[v * problem.gpus.length + g] ? 1e9 : 0) + Math.min(seconds, 1e8);
  };
  for (let rounds = 0; rounds < byNeed.length; rounds += 1) {
    let best = -1;
    const free = freeGiB(state, g, 'spare');
    for (const v of byNeed) {
      if (addable(state, v, g, free) && (best < 0 || rank(v) > rank(best))) best = v;
    }
    if (best < 0) return;
    add(state, best, g);
  }
}

/** Shares a card's KV memory: counted sequences first, then one at a time to the model whose work would take longest. */
function shareMemory(state: FillState, g: number): void {
  const { problem, counted, resident, wanted, capacity, slots } = state;
  const size = problem.gpus.length;
  const here = problem.models.map((_, v) => v).filter((v) => resident[v * size + g]);
  let free = problem.gpus[g]!.usableGiB + 1e-9;
  for (const v of here) {
    const at = v * size + g;
    capacity[v]! -= rateOf(problem, v, g, slots[at]!);
    slots[at] = Math.max(1, counted[at]!);
    free -= problem.models[v]!.fixedGiB + slots[at] * problem.models[v]!.sequenceGiB;
  }
  const seconds = (v: number) => wanted[v]! / (capacity[v]! + rateOf(problem, v, g, slots[v * size + g]!));
  for (;;) {
    let best = -1;
    for (const v of here) {
      const at = v * size + g;
      if (slots[at]! >= problem.most[at]! || problem.models[v]!.sequenceGiB > free) continue;
      if (best < 0 || seconds(v) > seconds(best)) best = v;
    }
    if (best < 0) break;
    slots[best * size + g]! += 1;
    free -= problem.models[best]!.sequenceGiB;
  }
  for (const v of here) capacity[v]! += rateOf(problem, v, g, slots[v * size + g]!);
}

/**
 * A card that needs nothing it did not hold before stays as it is, spares and slots with it: another number of slots would mean loading
 * again too. Only what nobody asks for any more goes.
 */
function keepCard(state: FillState, g: number): boolean {
  const { problem, counted, resident, wanted, capacity, slots } = state;
  const size = problem.gpus.length;
  const kept = problem.models.map((_, v) => (wanted[v]! > 0 ? problem.slotsBefore[v * size + g]! : 0));
  let gib = 0;
  for (const [v, before] of kept.entries()) {
    const at = v * size + g;
    if (before < counted[at]! || before > problem.most[at]! || (before === 0 && resident[at])) return false;
    if (before > 0) gib += problem.models[v]!.fixedGiB + before * problem.models[v]!.sequenceGiB;
  }
  if (gib === 0 || gib > problem.gpus[g]!.usableGiB + 1e-9) return false;
  for (const [v, before] of kept.entries()) {
    const at = v * size + g;
    capacity[v]! += rateOf(problem, v, g, before) - rateOf(problem, v, g, slots[at]!);
    slots[at] = before;
    resident[at] = before > 0 ? 1 : 0;
  }
  return true;
}
