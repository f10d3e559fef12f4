import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import type { MeasuredRate } from '../domain/rates.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import { sql } from 'kysely';
import type { Database, Executor } from './database.ts';

/** The living agents' demand as the planner takes it. */
export async function placementAgents(db: Executor): Promise<PlacementAgent[]> {
  const rows = await db
    .selectFrom('agents')
    .select(['id', 'modelId', 'cadence', 'expectedTokens', 'priority', 'mayDegrade', 'leastClass'])
    .where('state', '=', 'active')
    .orderBy('id')
    .execute();
  return rows.map((row) => placementAgent({ ...row, model: row.modelId, leastClass: row.leastClass as GpuClass }));
}

export async function measuredRates(db: Executor): Promise<MeasuredRate[]> {
  const rows = await db
    .selectFrom('modelRates')
    .select(['modelId', 'gpuClass', 'tokensPerSecond', 'slowdown'])
    .execute();
  return rows.map((row) => ({ ...row, gpuClass: row.gpuClass as GpuClass }));
}

export function createRateStore(db: Database) {
  return {
    /** The latest fit replaces the one before; the next plan uses it. */
    async store(rate: MeasuredRate, samples: number): Promise<void> {
      const row = { ...rate, samples, measuredAt: sql<Date>`now()` };
      await db
        .insertInto('modelRates')
        .values(row)
        .onConflict((conflict) => conflict.columns(['modelId', 'gpuClass']).doUpdateSet(row))
        .execute();
    },
  };
}
export type RateStore = ReturnType<typeof createRateStore>;
