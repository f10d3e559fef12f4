import type { Fleet } from './fleet.ts';

export interface WorkerMetricsPorts {
  /** Our own metrics. */
  own: number;
  /** Those of Temporal Core. */
  core: number;
}

/** Where a machine's worker serves its metrics; a port that is given, as `npm start` does, goes before what the file says. */
export function workerMetricsPorts(
  fleet: Pick<Fleet, 'machines' | 'metrics'>,
  machineId: string,
  given?: number,
): WorkerMetricsPorts {
  const place = fleet.machines.findIndex(({ id }) => id === machineId);
  const own = given ?? fleet.machines[place]?.metricsPort ?? fleet.metrics.port + 1 + 2 * Math.max(0, place);
  return { own, core: own + 1 };
}
