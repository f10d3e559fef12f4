import type { ModelVariant } from './fleet.ts';
import { classGiB, type GpuClass, gpuClasses } from './task-queues.ts';

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

/**
 * The rate of a model on a class. Where none is known for that class, the nearest smaller class stands in as it is (a bigger card is
 * not slower), else the nearest bigger one scaled down by VRAM; a measured rate replaces the guess.
 */
export function rateOn(variant: Pick<ModelVariant, 'rates'>, gpuClass: GpuClass): Rate | undefined {
  const own = variant.rates[gpuClass];
  if (own) return own;
  const at = gpuClasses.indexOf(gpuClass);
  for (let i = at - 1; i >= 0; i -= 1) {
    const smaller = variant.rates[gpuClasses[i]!];
    if (smaller) return smaller;
  }
  for (let i = at + 1; i < gpuClasses.length; i += 1) {
    const bigger = variant.rates[gpuClasses[i]!];
    if (bigger) {
      const share = classGiB(gpuClass) / classGiB(gpuClasses[i]!);
      return { tokensPerSecond: bigger.tokensPerSecond * share, slowdown: bigger.slowdown };
    }
  }
  return undefined;
}

/** The variants with measured rates laid over those of the file. */
export function withMeasuredRates(variants: readonly ModelVariant[], measured: readonly MeasuredRate[]): ModelVariant[] {
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
