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
