import type { Logger } from 'pino';
import type { Gpu } from '../integrations/gpu/nvidia-smi.ts';
import type { WorkerMetrics } from '../observability/worker-metrics.ts';

/** As often as Prometheus usually asks. */
const readEveryMs = 10_000;
/** A host without cards is asked again this often: a driver may come. */
const emptyEveryMs = 300_000;
/** After a longer gap, as of a laptop that slept, nobody knows what was drawn. */
const longestGapMs = 60_000;

/** Reads the machine's cards for metrics, and tells how much energy they drew from one reading to the next. */
export function watchGpus(options: {
  read: () => Promise<Gpu[]>;
  /** Cards that fleet.yaml names for the machine now. */
  expected: () => number;
  metrics: WorkerMetrics;
  drew: (joules: number) => void;
  log: Logger;
}) {
  const { read, expected, metrics, drew, log } = options;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let last: { at: number; watts: number } | undefined;
  let failing = false;
  let lacking = false;

  async function look(): Promise<void> {
    let wait = readEveryMs;
    const named = expected();
    metrics.gpuCardsExpected.set(named);
    try {
      const gpus = await read();
      show(gpus);
      failing = false;
      if (gpus.length < named && !lacking)
        log.warn({ seen: gpus.length, expected: named }, 'fewer cards than fleet.yaml names');
      lacking = gpus.length < named;
      if (gpus.length === 0 && named === 0) wait = emptyEveryMs;
    } catch (err) {
      metrics.gpuProbe.set(0);
      metrics.gpuCards.remove();
      last = undefined;
      if (!failing) log.warn({ err }, 'cards not read for metrics');
      failing = true;
    }
    if (!stopped) timer = setTimeout(() => void look(), wait).unref();
  }

  function show(gpus: readonly Gpu[]): void {
    for (const gauge of [
      metrics.gpuUtilization,
      metrics.gpuMemoryUsed,
      metrics.gpuMemory,
      metrics.gpuPower,
      metrics.gpuTemperature,
    ])
      gauge.reset();
    metrics.gpuCards.set(gpus.length);
    if (gpus.length === 0) {
      metrics.gpuProbe.remove();
      return;
    }
    metrics.gpuProbe.set(1);
    for (const gpu of gpus) {
      const labels = { gpu: String(gpu.index) };
      // What a card does not say has no series.
      if (gpu.utilizationPercent !== null) metrics.gpuUtilization.set(labels, gpu.utilizationPercent / 100);
      if (gpu.memoryUsedMiB !== null) metrics.gpuMemoryUsed.set(labels, gpu.memoryUsedMiB * 2 ** 20);
      if (gpu.memoryTotalMiB !== null) metrics.gpuMemory.set(labels, gpu.memoryTotalMiB * 2 ** 20);
      if (gpu.powerW !== null) metrics.gpuPower.set(labels, gpu.powerW);
      if (gpu.temperatureC !== null) metrics.gpuTemperature.set(labels, gpu.temperatureC);
    }
    const told = gpus.flatMap(({ powerW }) => (powerW === null ? [] : [powerW]));
    if (told.length === 0) return;
    const now = { at: performance.now(), watts: told.reduce((sum, watts) => sum + watts, 0) };
    const gapMs = last === undefined ? Number.POSITIVE_INFINITY : now.at - last.at;
    if (last !== undefined && gapMs < longestGapMs) drew((((last.watts + now.watts) / 2) * gapMs) / 1000);
    last = now;
  }

  void look();
  return {
    stop(): void {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
