import { inSpace, type PersonaSpace, toUnit } from './persona-space.ts';
import { createRandom, seedOf } from './random.ts';
import type { DriftState } from './states.ts';

/**
 * How far what an agent says of late stands from its persona: 1 − cosine of its recent outputs, the later ones weighted more,
 * and its anchor; then how unusual that is for this very agent. Formulae and sources: docs/drift.md.
 */
export interface DriftSettings {
  /** Outputs that are recent, once an agent has enough of them. */
  window: number;
  /** Deviations over the usual from which an agent drifts, and from which it is estranged. */
  driftingAt: number;
  estrangedAt: number;
}

/** What an agent itself said: what it merely saw or was told is no output. */
export const outputMemoryKinds = ['reflection', 'reply', 'drop'] as const;

export const driftLimits = {
  /** With fewer outputs than this there is no rating. */
  leastOutputs: 3,
  /** Without this many outputs before the window to compare with, nothing is usual yet. */
  leastHistory: 12,
  /**
   * Of so many first outputs every other one makes the agent's anchor, beside the persona, and teaches the persona space.
   * The others say what is usual: what taught the space lies nearer to its anchor than anything that is said later.
   */
  calibration: 120,
  /** Of the last outputs before the window at most so many say what is usual. */
  history: 120,
} as const;

/** The persona's text counts in the anchor as so many outputs. */
const personaWeight = 10;
/** Each output counts for this much of the one after it. */
const fading = 0.99;
/** Windows drawn from the history to learn what is usual. */
const draws = 200;
/** Outputs drawn in one piece: those of one reflection are about the same matter (Künsch 1989). */
const block = 5;
/** A history that says the same thing again and again does not make every other word a deviation. */
const leastSpread = 0.01;
/** An agent leaves a state only under this share of what brought it there. */
const easing = 0.5;

/** Of the outputs of an agent by time: how many are recent, the others are history. */
export function windowOf(outputs: number, settings: Pick<DriftSettings, 'window'>): number {
  return Math.min(settings.window, Math.max(driftLimits.leastOutputs, Math.floor(outputs / 3)));
}

/** What is embedded of a persona; the traits say in a word what the text says in pictures. */
export function personaText({ persona, traits }: { persona: string; traits: readonly string[] }): string {
  return traits.length === 0 ? persona : `${persona} ${traits.join(', ')}.`;
}

/** Places in an agent's outputs by time, from 0: what a rating looks at. */
export interface DriftSpans {
  anchor: number[];
  history: number[];
  /** From here to the end. */
  windowFrom: number;
}

/** Whether the output at this place teaches what the agent's persona is. */
export function teaches(place: number): boolean {
  return place < driftLimits.calibration && place % 2 === 0;
}

export function driftSpans(outputs: number, settings: Pick<DriftSettings, 'window'>): DriftSpans {
  const windowFrom = outputs - windowOf(outputs, settings);
  const before = Array.from({ length: windowFrom }, (_, place) => place);
  return {
    windowFrom,
    anchor: before.filter(teaches),
    history: before.filter((place) => !teaches(place)).slice(-driftLimits.history),
  };
}

export interface DriftInput {
  agentId: string;
  /** Vector of the persona's text and traits. */
  persona: ArrayLike<number>;
  outputs: number;
  spans: DriftSpans;
  /** Vector of the output at a place; asked only for places that the spans name. */
  outputAt: (place: number) => ArrayLike<number>;
  /** Absent while the fleet has said too little: then the plain vectors are compared. */
  space: PersonaSpace | undefined;
}

export interface Drift {
  /** 1 − cosine of the mean of the window and the anchor: 0 to 2. */
  drift: number;
  /** The same with the later outputs weighted more. */
  weighted: number;
  /** `weighted` in deviations over what is usual; null while there is too little history. */
  z: number | null;
}

/** @throws RangeError for a window without outputs */
export function driftOf({ agentId, persona, outputs, spans, outputAt, space }: DriftInput): Drift {
  const { windowFrom } = spans;
  if (windowFrom >= outputs) throw new RangeError('a window without outputs');
  const laid = (vector: ArrayLike<number>) => (space ? inSpace(space, vector) : toUnit(Float64Array.from(vector)));
  const outputsAt = (places: readonly number[]) => places.map((place) => laid(outputAt(place)));
  const anchor = laid(persona).map((value) => value * personaWeight);
  for (const output of outputsAt(spans.anchor)) add(anchor, output, 1);
  const window = outputsAt(Array.from({ length: outputs - windowFrom }, (_, i) => windowFrom + i));
  const weights = window.map((_, i) => fading ** (window.length - 1 - i));
  const even = window.map(() => 1);
  const drift = distance(weightedSum(window, even), anchor);
  const weighted = distance(weightedSum(window, weights), anchor);
  const usual = usualDrift({ agentId, history: outputsAt(spans.history), anchor, weights });
  return { drift, weighted, z: usual && (weighted - usual.middle) / Math.max(usual.spread, leastSpread) };
}

/**
 * What windows of the same size and weights come to that are drawn from the history in pieces (moving blocks, Künsch 1989):
 * median, and median deviation scaled to a standard deviation. The history is itself but a sample of what the agent
 * says, so a window from outside it varies by √(1 + window ÷ history) more.
 */
function usualDrift({
  agentId,
  history,
  anchor,
  weights,
}: {
  agentId: string;
  history: readonly Float64Array[];
  anchor: Float64Array;
  weights: readonly number[];
}): { middle: number; spread: number } | null {
  const size = weights.length;
  if (history.length < Math.max(driftLimits.leastHistory, size)) return null;
  const random = createRandom(seedOf(`drift/${agentId}/${history.length}/${size}`));
  const drawn = Array.from({ length: draws }, () => {
    const window: Float64Array[] = [];
    while (window.length < size) {
      const from = random.int(history.length - block + 1);
      window.push(...history.slice(from, from + Math.min(block, size - window.length)));
    }
    return distance(weightedSum(window, weights), anchor);
  });
  const middle = median(drawn);
  const deviation = 1.4826 * median(drawn.map((value) => Math.abs(value - middle)));
  return { middle, spread: deviation * Math.sqrt(1 + size / history.length) };
}

/** The state that follows, with hysteresis: a state is left only well under what brings an agent there. Unknown is calm. */
export function nextDriftState(
  state: DriftState,
  z: number | null,
  { driftingAt, estrangedAt }: Pick<DriftSettings, 'driftingAt' | 'estrangedAt'>,
): DriftState {
  if (z === null) return 'calm';
  const estrangedFrom = state === 'estranged' ? estrangedAt * easing : estrangedAt;
  if (z >= Math.max(estrangedFrom, driftingAt * easing)) return 'estranged';
  return z >= (state === 'calm' ? driftingAt : driftingAt * easing) ? 'drifting' : 'calm';
}

function weightedSum(vectors: readonly Float64Array[], weights: readonly number[]): Float64Array {
  const sum = new Float64Array(vectors[0]!.length);
  for (const [i, vector] of vectors.entries()) add(sum, vector, weights[i]!);
  return sum;
}

function add(to: Float64Array, vector: Float64Array, weight: number): void {
  for (let i = 0; i < to.length; i += 1) to[i]! += weight * vector[i]!;
}

/** 1 − cosine; 1 where one of the two has no direction. */
function distance(a: Float64Array, b: Float64Array): number {
  let product = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i < a.length; i += 1) {
    product += a[i]! * b[i]!;
    squaresA += a[i]! * a[i]!;
    squaresB += b[i]! * b[i]!;
  }
  const lengths = Math.sqrt(squaresA * squaresB);
  return lengths > 0 ? 1 - product / lengths : 1;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
