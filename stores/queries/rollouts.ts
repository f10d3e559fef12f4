import type { RolloutPhase } from '../../domain/rollout-moves.ts';
import { planRollout, type RolloutFile, type RolloutPlan } from '../../domain/rollouts.ts';
import type { RolloutPackageState, RolloutState, RolloutStepState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface ListedRollout {
  id: string;
  state: RolloutState;
  reason: string;
  packages: number;
  /** Done or passed over. */
  over: number;
  createdAt: string;
  endedAt: string | null;
}

export interface RolloutStepView {
  attempt: number;
  phase: RolloutPhase;
  position: number;
  /** Null: a person's. */
  machineId: string | null;
  kind: string;
  state: RolloutStepState;
  reason: string;
  result: Record<string, unknown> | null;
  beganAt: string;
  endedAt: string | null;
}

export interface RolloutPackageView {
  id: string;
  title: string;
  dependsOn: string[];
  state: RolloutPackageState;
  reason: string;
  attempt: number;
  wellSince: string | null;
  steps: RolloutStepView[];
}

export interface RolloutView extends Omit<ListedRollout, 'packages'>, RolloutPlan {
  packages: RolloutPackageView[];
}

export async function listRollouts(db: Executor, { ownerId, limit, after }: PageRequest): Promise<ListedRollout[]> {
  let query = db
    .selectFrom('rollouts')
    .select(['id', 'state', 'reason', 'createdAt', 'endedAt'])
    .select((eb) => [
      eb
        .selectFrom('rolloutPackages')
        .select(eb.fn.countAll<number>().as('count'))
        .whereRef('rolloutPackages.rolloutId', '=', 'rollouts.id')
        .as('packages'),
      eb
        .selectFrom('rolloutPackages')
        .select(eb.fn.countAll<number>().as('count'))
        .whereRef('rolloutPackages.rolloutId', '=', 'rollouts.id')
        .where('rolloutPackages.state', 'in', ['done', 'skipped'])
        .as('over'),
    ])
    .where('ownerId', '=', ownerId);
  if (after !== undefined) query = query.where('id', '<', after);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map(({ state, packages, over, createdAt, endedAt, ...row }) => ({
    ...row,
    state: state as RolloutState,
    packages: packages ?? 0,
    over: over ?? 0,
    createdAt: iso(createdAt),
    endedAt: iso(endedAt),
  }));
}

/** With the steps of all attempts, as they began. */
export async function findRollout(db: Executor, ownerId: string, id: string): Promise<RolloutView | undefined> {
  const row = await db
    .selectFrom('rollouts')
    .select(['id', 'state', 'reason', 'file', 'createdAt', 'endedAt'])
    .where('ownerId', '=', ownerId)
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const packages = await db
    .selectFrom('rolloutPackages')
    .select(['packageId', 'state', 'reason', 'attempt', 'wellSince'])
    .where('rolloutId', '=', id)
    .orderBy('position')
    .execute();
  const steps = await db
    .selectFrom('rolloutSteps')
    .selectAll()
    .where('rolloutId', '=', id)
    .orderBy('beganAt')
    .orderBy('position')
    .orderBy('machineId')
    .execute();
  const { workPackages } = row.file as unknown as RolloutFile;
  const byId = new Map(workPackages.map((each) => [each.id, each]));
  return {
    id,
    state: row.state as RolloutState,
    reason: row.reason,
    createdAt: iso(row.createdAt),
    endedAt: iso(row.endedAt),
    over: packages.filter(({ state }) => state === 'done' || state === 'skipped').length,
    ...planRollout(workPackages),
    packages: packages.map(({ packageId, state, wellSince, ...each }) => ({
      ...each,
      id: packageId,
      title: byId.get(packageId)!.title,
      dependsOn: byId.get(packageId)!.dependsOn,
      state: state as RolloutPackageState,
      wellSince: iso(wellSince),
      steps: steps
        .filter((step) => step.packageId === packageId)
        .map(({ attempt, phase, position, machineId, kind, state: at, reason, result, beganAt, endedAt }) => ({
          attempt,
          phase: phase as RolloutPhase,
          position,
          machineId: machineId === '' ? null : machineId,
          kind,
          state: at as RolloutStepState,
          reason,
          result: result as Record<string, unknown> | null,
          beganAt: iso(beganAt),
          endedAt: iso(endedAt),
        })),
    })),
  };
}
