import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fitRate, leastSamples, type RateSample } from '../../domain/rates.ts';

const declared = { tokensPerSecond: 10, slowdown: 0.5 };
function samplesOf(tokensPerSecond: number, slowdown: number, sequences: readonly number[]): RateSample[] {
  return sequences.map((n) => ({ sequences: n, secondsPerToken: (1 + slowdown * (n - 1)) / tokensPerSecond }));
}

test('finds the speed and slowdown that calls were served with', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 500, noNaN: true }),
      fc.double({ min: 0, max: 0.5, noNaN: true }),
      (speed, slowdown) => {
        const fitted = fitRate(
          samplesOf(
            speed,
            slowdown,
            Array.from({ length: 40 }, (_, i) => 1 + (i % 16)),
          ),
          declared,
        )!;
        expect(fitted.tokensPerSecond / speed).toBeCloseTo(1, 6);
        expect(fitted.slowdown).toBeCloseTo(slowdown, 6);
      },
    ),
  );
});

test('keeps the declared slowdown when all calls saw the same number of sequences', () => {
  const fitted = fitRate(
    samplesOf(
      60,
      0.04,
      Array.from({ length: 30 }, () => 8),
    ),
    { tokensPerSecond: 10, slowdown: 0.04 },
  )!;
  expect(fitted.slowdown).toBe(0.04);
  expect(fitted.tokensPerSecond).toBeCloseTo(60, 6);
});

test('says nothing from too few calls', () => {
  expect(
    fitRate(
      samplesOf(
        60,
        0.04,
        Array.from({ length: leastSamples - 1 }, (_, i) => 1 + i),
      ),
      declared,
    ),
  ).toBeUndefined();
});

test('never yields a speed-up from more sequences', () => {
  const odd = Array.from({ length: 40 }, (_, i) => ({ sequences: 1 + (i % 16), secondsPerToken: 1 / (1 + (i % 16)) }));
  expect(fitRate(odd, declared)!.slowdown).toBe(declared.slowdown);
});
