import fc from 'fast-check';
import { expect, test } from 'vitest';
import { driftLimits, driftOf, driftSpans, nextDriftState, teaches, windowOf } from '../../domain/drift.ts';
import { createSpaceBuilder, inSpace } from '../../domain/persona-space.ts';
import { createRandom, type Random } from '../../domain/random.ts';
import { driftStates } from '../../domain/states.ts';

const settings = { window: 40, driftingAt: 4, estrangedAt: 8 };
const dimensions = 24;

function gauss(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}
/** Speakers with a direction of their own each, buried under what all of them talk about. */
function speaker(seed: number, of: number) {
  const own = createRandom(1_000 + of);
  const direction = Array.from({ length: dimensions }, (_, i) => (i < 12 ? 0 : gauss(own)));
  const random = createRandom(seed * 100 + of);
  return () => Float64Array.from(direction, (value, i) => value + (i < 12 ? 6 : 1) * gauss(random) + (i === 0 ? 5 : 0));
}
function outputsOf(of: number, count: number, seed = 1): Float64Array[] {
  const say = speaker(seed, of);
  return Array.from({ length: count }, say);
}
const builder = createSpaceBuilder(dimensions);
for (let of = 0; of < 20; of += 1) builder.add(outputsOf(of, 60, 7));
const space = builder.build()!;
const rate = (said: readonly Float64Array[], compared: 'in space' | 'plain' = 'in space') =>
  driftOf({
    agentId: 'light-001',
    persona: said[0]!,
    spans: driftSpans(said.length, settings),
    outputAt: (place) => said[place]!,
    outputs: said.length,
    space: compared === 'plain' ? undefined : space,
  });

test('what was always so is usual; another’s words in a third of the window are not', () => {
  const own = outputsOf(3, 160);
  const calm = rate(own);
  expect(calm.z!).toBeLessThan(4);
  const mixed = own.map((vector, i) => (i >= 120 && i % 3 === 0 ? outputsOf(5, 1, i)[0]! : vector));
  expect(rate(mixed).z!).toBeGreaterThan(4);
  expect(rate(mixed).drift).toBeGreaterThan(calm.drift);
});

test('later outputs weigh more', () => {
  const own = outputsOf(3, 160);
  const strange = outputsOf(5, 10, 9);
  const early = rate(own.with(121, strange[0]!).with(122, strange[1]!).with(123, strange[2]!));
  const late = rate(own.with(157, strange[0]!).with(158, strange[1]!).with(159, strange[2]!));
  expect(late.weighted).toBeGreaterThan(early.weighted);
});

test('the same input gives the same rating, and where vectors are scaled too', () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 60 }), fc.double({ min: 0.1, max: 9, noNaN: true }), (count, factor) => {
      const said = outputsOf(4, count);
      const plain = rate(said, 'plain');
      const scaled = rate(
        said.map((vector) => vector.map((value) => value * factor)),
        'plain',
      );
      expect(scaled.drift).toBeCloseTo(plain.drift, 9);
      expect(rate(said)).toEqual(rate(said));
      expect(plain.drift).toBeGreaterThanOrEqual(-1e-12);
      expect(plain.drift).toBeLessThanOrEqual(2 + 1e-12);
    }),
    { numRuns: 30 },
  );
});

test('there is no z before anything is usual, and one as soon as there is', () => {
  expect(rate(outputsOf(2, 3)).z).toBeNull();
  expect(rate(outputsOf(2, 30)).z).toBeNull();
  expect(rate(outputsOf(2, 40)).z).toBeTypeOf('number');
});

test('a history of one text said again and again makes no deviation of another word for it', () => {
  const [same, nearly] = [outputsOf(2, 1)[0]!, outputsOf(2, 1)[0]!.map((value) => value * 1.0001 + 1e-5)];
  const said = Array.from({ length: 60 }, (_, i) => (i > 50 ? nearly : same));
  expect(Math.abs(rate(said, 'plain').z!)).toBeLessThan(1);
});

test('spans share no output, leave out only what is too old, and hold what they may', () => {
  fc.assert(
    fc.property(fc.integer({ min: driftLimits.leastOutputs, max: 1_000 }), (outputs) => {
      const { anchor, history, windowFrom } = driftSpans(outputs, settings);
      expect(outputs - windowFrom).toBe(windowOf(outputs, settings));
      const both = [...anchor, ...history];
      expect(new Set(both).size).toBe(both.length);
      expect(both.every((place) => place >= 0 && place < windowFrom)).toBe(true);
      expect(anchor).toEqual(anchor.filter(teaches));
      expect(anchor.length).toBe(Math.ceil(Math.min(windowFrom, driftLimits.calibration) / 2));
      expect(history.length).toBe(Math.min(driftLimits.history, windowFrom - anchor.length));
      expect(history.toSorted((a, b) => a - b)).toEqual(history);
    }),
  );
});

test('states have hysteresis: in between they stay, and more deviation never brings less', () => {
  expect(nextDriftState('calm', 3.9, settings)).toBe('calm');
  expect(nextDriftState('calm', 4, settings)).toBe('drifting');
  expect(nextDriftState('drifting', 2, settings)).toBe('drifting');
  expect(nextDriftState('drifting', 1.9, settings)).toBe('calm');
  expect(nextDriftState('drifting', 8, settings)).toBe('estranged');
  expect(nextDriftState('estranged', 4, settings)).toBe('estranged');
  expect(nextDriftState('estranged', 3.9, settings)).toBe('drifting');
  expect(nextDriftState('estranged', 1.9, settings)).toBe('calm');
  expect(nextDriftState('estranged', null, settings)).toBe('calm');
  const rank = (state: (typeof driftStates)[number]) => driftStates.indexOf(state);
  fc.assert(
    fc.property(
      fc.constantFrom(...driftStates),
      fc.double({ min: -20, max: 20, noNaN: true }),
      fc.double({ min: 0, max: 20, noNaN: true }),
      (state, z, more) => {
        expect(rank(nextDriftState(state, z + more, settings))).toBeGreaterThanOrEqual(
          rank(nextDriftState(state, z, settings)),
        );
      },
    ),
  );
});

test('too few agents or outputs make no space', () => {
  const few = createSpaceBuilder(dimensions);
  for (let of = 0; of < 11; of += 1) few.add(outputsOf(of, 60));
  expect(few.build()).toBeUndefined();
  const silent = createSpaceBuilder(dimensions);
  for (let of = 0; of < 40; of += 1) silent.add(outputsOf(of, 2));
  expect(silent.counts()).toEqual({ agents: 40, outputs: 80 });
  expect(silent.build()).toBeUndefined();
});

test('a space leaves out what all talk about and keeps what tells speakers apart', () => {
  const cosine = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const placed = (of: number, seed: number) => outputsOf(of, 40, seed).map((vector) => inSpace(space, vector));
  const mean = (places: Float64Array[]) =>
    places.reduce((sum, place) => sum.map((value, i) => value + place[i]!)).map((value) => value / places.length);
  const [one, again, other] = [mean(placed(3, 21)), mean(placed(3, 22)), mean(placed(8, 23))];
  expect(cosine(one, again)).toBeGreaterThan(3 * Math.abs(cosine(one, other)));
});
