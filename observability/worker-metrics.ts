import type { Registry } from 'prom-client';
import { createMetrics, createRegistry, type MetricsOf } from './metrics/registry.ts';
import { workerDefinitions } from './metrics/worker-definitions.ts';

export type WorkerMetrics = { registry: Registry } & MetricsOf<typeof workerDefinitions>;

/** The registry of one machine's worker. */
export function createWorkerMetrics(machineId: string): WorkerMetrics {
  const registry = createRegistry({ part: 'worker', machine: machineId });
  return { registry, ...createMetrics(registry, workerDefinitions) };
}
