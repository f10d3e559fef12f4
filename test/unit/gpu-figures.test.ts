import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { Gpu } from '../../integrations/gpu/nvidia-smi.ts';
import { createWorkerMetrics } from '../../observability/worker-metrics.ts';
import { watchGpus } from '../../workers/gpu-figures.ts';

const card: Gpu = {
  index: 0,
  uuid: 'GPU-a',
  name: 'NVIDIA GeForce RTX 4090',
  driver: '570.86',
  memoryTotalMiB: 24_564,
  memoryUsedMiB: 800,
  memoryFreeMiB: 23_764,
  utilizationPercent: 1,
  temperatureC: 41,
  powerW: 62.1,
};

/** Series of the metrics by name, after one look. */
async function figures(read: () => Promise<Gpu[]>): Promise<Record<string, number | undefined>> {
  const metrics = createWorkerMetrics('mainpc');
  const warned: string[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => void warned.push((JSON.parse(line) as { msg: string }).msg) });
  const watch = watchGpus({ read, expected: () => 2, metrics, drew: () => undefined, log });
  await new Promise((resolve) => setImmediate(resolve));
  watch.stop();
  const value = async (metric: { get(): Promise<{ values: Array<{ value: number }> }> }) =>
    (await metric.get()).values[0]?.value;
  return {
    expected: await value(metrics.gpuCardsExpected),
    cards: await value(metrics.gpuCards),
    probe: await value(metrics.gpuProbe),
    warnings: warned.length,
  };
}

test('a card that is gone shows as fewer than fleet.yaml names, and so does a driver that is gone', async () => {
  expect(await figures(async () => [card, { ...card, index: 1 }])).toEqual({
    expected: 2,
    cards: 2,
    probe: 1,
    warnings: 0,
  });
  expect(await figures(async () => [card])).toEqual({ expected: 2, cards: 1, probe: 1, warnings: 1 });
  expect(await figures(async () => [])).toEqual({ expected: 2, cards: 0, probe: undefined, warnings: 1 });
});

test('cards that cannot be read are not said to be gone', async () => {
  const failing = () => Promise.reject(new Error('nvidia-smi hangs'));
  expect(await figures(failing)).toEqual({ expected: 2, cards: undefined, probe: 0, warnings: 1 });
});
