import type { Logger } from 'pino';
import type { FleetView } from '../activities/fleet-view.ts';
import { fitRate, leastSamples, type RateSample } from '../domain/rates.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import type { RateStore } from '../stores/placement.ts';

/** How many of the latest calls a fit looks at. */
const window = 200;

/** Turns calls served by this machine's model server into measured rates, stored every so many calls. */
export function createRateMeter({
  gpuClass,
  rates,
  view,
  log,
}: {
  gpuClass: GpuClass;
  rates: RateStore;
  view: () => FleetView;
  log: Logger;
}) {
  const samples = new Map<string, RateSample[]>();
  const seen = new Map<string, number>();

  return (modelId: string, sample: RateSample): void => {
    const kept = [...(samples.get(modelId) ?? []), sample].slice(-window);
    samples.set(modelId, kept);
    const count = (seen.get(modelId) ?? 0) + 1;
    seen.set(modelId, count);
    const declared = view().variants.get(modelId)?.rates[gpuClass];
    if (count % leastSamples !== 0 || !declared) return;
    const fitted = fitRate(kept, declared);
    if (!fitted) return;
    rates
      .store({ modelId, gpuClass, ...fitted }, kept.length)
      .catch((err: unknown) => log.warn({ err, modelId }, 'measured rate not stored'));
  };
}
