import type { FailoverModel } from './failover-fleet.ts';
import type { BenchMachine } from './fleet-bench.ts';

export interface Outage {
  machineId: BenchMachine;
  /** Seconds since the sweep began. */
  from: number;
  to: number;
}

/** From when to when a machine held a model, in seconds since the sweep began. */
export interface Residency {
  machineId: BenchMachine;
  modelId: FailoverModel;
  from: number;
  to: number;
}

/**
 * The soonest that any order could have ended: for every set of models, the time at which the machines that held one of
 * them could together have brought its work, outages taken off; the largest of these. Work counts where it ran, so
 * degraded work is the small model's.
 */
export function failoverBound(input: {
  work: ReadonlyMap<FailoverModel, number>;
  capacity: Record<BenchMachine, number>;
  outages: readonly Outage[];
  residency: readonly Residency[];
}): number {
  const models = [...input.work.keys()];
  let bound = 0;
  for (let set = 1; set < 1 << models.length; set += 1) {
    const chosen = new Set(models.filter((_, i) => set & (1 << i)));
    const work = [...chosen].reduce((sum, model) => sum + input.work.get(model)!, 0);
    bound = Math.max(bound, soonest(work, chosen, input));
  }
  return bound;
}

function soonest(work: number, models: ReadonlySet<FailoverModel>, input: Parameters<typeof failoverBound>[0]): number {
  const marks = [0, ...input.outages.flatMap((o) => [o.from, o.to]), ...input.residency.flatMap((r) => [r.from, r.to])];
  const times = [...new Set(marks.filter((t) => t >= 0 && Number.isFinite(t)))].sort((a, b) => a - b);
  let left = work;
  for (const [i, from] of times.entries()) {
    const to = times[i + 1] ?? Number.POSITIVE_INFINITY;
    const rate = rateAt(from, models, input);
    if (rate * (to - from) >= left) return from + left / rate;
    left -= rate === 0 ? 0 : rate * (to - from);
  }
  return Number.POSITIVE_INFINITY;
}

function rateAt(
  time: number,
  models: ReadonlySet<FailoverModel>,
  { capacity, outages, residency }: Parameters<typeof failoverBound>[0],
): number {
  const inside = (span: { from: number; to: number }) => span.from <= time && time < span.to;
  return (Object.keys(capacity) as BenchMachine[])
    .filter((machineId) => !outages.some((outage) => outage.machineId === machineId && inside(outage)))
    .filter((machineId) =>
      residency.some((held) => held.machineId === machineId && models.has(held.modelId) && inside(held)),
    )
    .reduce((sum, machineId) => sum + capacity[machineId], 0);
}
