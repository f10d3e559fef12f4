import type { ModelVariant } from './fleet.ts';
import type { GpuClass } from './task-queues.ts';

export interface Rate {
  /** Tokens a second of one sequence alone. */
  tokensPerSecond: number;
  /** Each further sequence divides the rate of each by 1 + slowdown × (sequences − 1). */
  slowdown: number;
}

/** A measured rate, which replaces the one of fleet.yaml. */
export interface MeasuredRate extends Rate {
  modelId: string;
  gpuClass: GpuClass;
}

/** Tokens a second of `sequences` at once together. */
export function rateAt(rate: Rate, sequences: number): number {
  return sequences < 1 ? 0 : (sequences * rate.tokensPerSecond) / (1 + rate.slowdown * (sequences - 1));
}

/** The variants with measured rates laid over those of the file. */
export function withMeasuredRates(
  variants: readonly ModelVariant[],
  measured: readonly MeasuredRate[],
): ModelVariant[] {
  const byModel = Map.groupBy(measured, (rate) => rate.modelId);
  return variants.map((variant) => {
    const rates = byModel.get(variant.id);
    if (!rates) return variant;
    const laid = Object.fromEntries(
      rates.map(({ gpuClass, tokensPerSecond, slowdown }) => [gpuClass, { tokensPerSecond, slowdown }]),
    );
    return { ...variant, rates: { ...variant.rates, ...laid } };
  });
}

/** One call as it was served, its prompt included. */
export interface RateSample {
  /** Mean number of sequences that ran on the server during the call, this one included. */
  sequences: number;
  secondsPerToken: number;
}

/** Fewer calls than this say too little to replace what fleet.yaml declares. */
export const leastSamples = 20;

/**
 * Fits 1 ÷ rate = (1 + slowdown × (sequences − 1)) ÷ tokensPerSecond by least squares. Where the calls saw nearly the
 * same number of sequences the slope cannot be told: the declared slowdown is kept and only the speed measured.
 */
export function fitRate(samples: readonly RateSample[], declared: Rate): Rate | undefined {
  if (samples.length < leastSamples) return undefined;
  const n = samples.length;
  const meanX = samples.reduce((sum, sample) => sum + (sample.sequences - 1), 0) / n;
  const meanY = samples.reduce((sum, sample) => sum + sample.secondsPerToken, 0) / n;
  const spread = samples.reduce((sum, sample) => sum + (sample.sequences - 1 - meanX) ** 2, 0);
  const steepness =
    spread / n < 1
      ? undefined
      : samples.reduce((sum, s) => sum + (s.sequences - 1 - meanX) * (s.secondsPerToken - meanY), 0) / spread;
  // A flat line comes out of the sums a hair below zero.
  const slope = steepness !== undefined && Math.abs(steepness) < 1e-9 * meanY ? 0 : steepness;
  const alone = slope === undefined ? undefined : meanY - slope * meanX;
  if (slope !== undefined && alone !== undefined && slope >= 0 && alone > 0) {
    return { tokensPerSecond: 1 / alone, slowdown: slope / alone };
  }
  return { tokensPerSecond: (1 + declared.slowdown * meanX) / meanY, slowdown: declared.slowdown };
}
