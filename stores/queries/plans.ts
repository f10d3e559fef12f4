import type { Plan } from '../../domain/plan.ts';
import type { PlanState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso } from './page.ts';

export interface PlanView {
  version: number;
  state: PlanState;
  reason: string;
  fleetVersion: number | null;
  /** Null until it has been computed. */
  plan: Plan | null;
  createdAt: string;
  appliedAt: string | null;
}

/** What work goes by: the owner's plan being applied, else the applied one, else the one asked for. */
export async function findCurrentPlan(db: Executor, ownerId: string): Promise<PlanView | undefined> {
  const rows = await db
    .selectFrom('plans')
    .select(['version', 'state', 'reason', 'fleetVersion', 'plan', 'createdAt', 'appliedAt'])
    .where('ownerId', '=', ownerId)
    .where('state', 'in', ['planned', 'applying', 'applied'])
    .orderBy('version', 'desc')
    .limit(3)
    .execute();
  const row = rows.find((plan) => plan.state === 'applying' || plan.state === 'applied') ?? rows[0];
  return (
    row && {
      ...row,
      state: row.state as PlanState,
      plan: row.plan as unknown as Plan | null,
      createdAt: iso(row.createdAt),
      appliedAt: iso(row.appliedAt),
    }
  );
}
