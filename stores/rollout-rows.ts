import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import {
  packageStateOf,
  type RolloutMove,
  type RolloutPhase,
  type RolloutStanding,
  type StandingPackage,
  type StepOutcome,
} from '../domain/rollout-moves.ts';
import type { RolloutFile } from '../domain/rollouts.ts';
import type { RolloutPackageState, RolloutState, RolloutStepState } from '../domain/states.ts';
import { clockNow } from './ballot-rows.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { isTaken } from './passing-errors.ts';

/** The rows of a rollout: read and changed under its lock, by its workflow (stores/rollout-steps.ts) and by people (stores/rollouts.ts). */

export type RolloutUnitKey = Pick<
  Extract<RolloutMove, { kind: 'step' }>,
  'packageId' | 'attempt' | 'phase' | 'position' | 'machineId'
>;

export interface LockedRollout extends RolloutStanding {
  id: string;
  packages: ReadonlyArray<StandingPackage & { reason: string }>;
  ownerId: string;
  createdAt: Date;
}

export function packageOf(rollout: RolloutStanding, packageId: string): StandingPackage {
  const each = rollout.packages.find(({ id }) => id === packageId);
  if (each === undefined) throw new DomainError('NOT_FOUND', `the rollout has no package ${packageId}`);
  return each;
}

export const keyOf = (rolloutId: string, { packageId, attempt, phase, position, machineId }: RolloutUnitKey) => ({
  rolloutId,
  packageId,
  attempt,
  phase,
  position,
  machineId,
});

export function sameUnit(one: RolloutUnitKey, other: RolloutUnitKey): boolean {
  return (
    one.packageId === other.packageId &&
    one.attempt === other.attempt &&
    one.phase === other.phase &&
    one.position === other.position &&
    one.machineId === other.machineId
  );
}

/** fresh: whoever takes a rollout back waits so long for a machine, and is asked then. */
export async function stepRow(tx: DatabaseTransaction, rolloutId: string, unit: RolloutUnitKey) {
  const row = await tx
    .selectFrom('rolloutSteps')
    .select(['state', 'beganAt', sql<boolean>`began_at > ${clockNow} - interval '10 minutes'`.as('fresh')])
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { packageId, attempt, phase, position, machineId } = unit;
  const key = [rolloutId, packageId, attempt, phase, position, machineId, row.beganAt.getTime()].join('-');
  return { state: row.state as RolloutStepState, key, fresh: row.fresh };
}

export async function deleteStep(tx: DatabaseTransaction, rolloutId: string, unit: RolloutUnitKey): Promise<void> {
  await tx
    .deleteFrom('rolloutSteps')
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .execute();
}

export async function lockRollout(tx: DatabaseTransaction, id: string, ownerId?: string): Promise<LockedRollout> {
  await sql`select 1 from rollouts where id = ${id} for no key update`.execute(tx);
  const rollout = await readRollout(tx, id);
  if (ownerId !== undefined && rollout.ownerId !== ownerId) throw new DomainError('NOT_FOUND', `no rollout ${id}`);
  return rollout;
}

/** @throws NOT_FOUND */
export async function readRollout(db: Executor, id: string): Promise<LockedRollout> {
  const row = await db.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new DomainError('NOT_FOUND', `no rollout ${id}`);
  const packages = await db
    .selectFrom('rolloutPackages')
    .select(['packageId', 'state', 'reason', 'attempt', 'undoTo'])
    .where('rolloutId', '=', id)
    .orderBy('position')
    .execute();
  const steps = await db
    .selectFrom('rolloutSteps')
    .select([
      'packageId',
      'attempt',
      'phase',
      'position',
      'machineId',
      'state',
      sql<boolean>`coalesce((result ->> 'refused')::boolean, false)`.as('refused'),
    ])
    .where('rolloutId', '=', id)
    .execute();
  return {
    id,
    ownerId: row.ownerId,
    createdAt: row.createdAt,
    state: row.state as RolloutState,
    file: row.file as unknown as RolloutFile,
    machines: row.machines,
    packages: packages.map(({ packageId, state, reason, attempt, undoTo }) => ({
      id: packageId,
      state: state as RolloutPackageState,
      reason,
      attempt,
      undoTo: undoTo as 'failed' | 'undone' | null,
      steps: steps
        .filter((step) => step.packageId === packageId && step.attempt === attempt)
        .map(({ phase, position, machineId, state: at, refused }) => ({
          phase: phase as RolloutPhase,
          position,
          machineId,
          state: at as RolloutStepState,
          refused,
        })),
    })),
  };
}

/** A step has ended, or waits for a person. What has ended stays as it is. */
export async function endStep(
  tx: DatabaseTransaction,
  rolloutId: string,
  unit: RolloutUnitKey & { key?: string },
  outcome: StepOutcome,
): Promise<void> {
  const rollout = await lockRollout(tx, rolloutId);
  const known = await stepRow(tx, rolloutId, unit);
  // It was begun anew meanwhile: what the earlier one came to is not its end.
  if (unit.key !== undefined && known?.key !== unit.key) return;
  if (known === undefined || known.state === 'done' || known.state === 'failed' || known.state === outcome.state)
    return;
  const { state, reason = '', refused } = outcome;
  const result = refused ? { ...outcome.result, refused } : (outcome.result ?? null);
  const asks = state === 'waiting' || state === 'doubtful';
  await tx
    .updateTable('rolloutSteps')
    .set({ state, reason, result: result === null ? null : JSON.stringify(result), endedAt: asks ? null : clockNow })
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .execute();
  const key = noticeKey(rolloutId, unit.packageId);
  if (asks) {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId: rollout.ownerId,
      kind: 'rollout_waiting',
      key,
      subject: rolloutId,
      about: unit.packageId,
      title:
        state === 'waiting'
          ? `${unit.packageId} waits for you`
          : `nobody knows whether a step of ${unit.packageId} was done`,
      detail: reason,
    });
  } else await resolveNotice(tx, key);
  const data = {
    packageId: unit.packageId,
    phase: unit.phase,
    position: unit.position,
    machineId: unit.machineId,
    state,
    reason,
  };
  await appendEvents(tx, [{ ownerId: rollout.ownerId, type: 'rollout.step_changed', subject: rolloutId, data }]);
  await recompute(tx, rollout, unit.packageId, state === 'failed' ? reason : undefined);
}

export const anotherUnderWay = 'another rollout is under way; `soulfra rollout show` has it';

export const noticeKey = (rolloutId: string, packageId: string) => `rollout_waiting:${rolloutId}:${packageId}`;

/** Brings a package to what its steps have come to. */
export async function recompute(
  tx: DatabaseTransaction,
  rollout: LockedRollout,
  packageId: string,
  failure?: string,
): Promise<void> {
  const fresh = await readRollout(tx, rollout.id);
  const each = packageOf(fresh, packageId);
  const state = packageStateOf(fresh, each);
  if (state === each.state) return;
  const failing = state === 'undoing' || state === 'failed' || state === 'stuck';
  await setPackage(tx, fresh, packageId, {
    state,
    ...(state === 'undoing' ? { undoTo: 'failed' as const } : {}),
    ...(failing && failure !== undefined ? { reason: failure } : {}),
  });
}

/** @param begunAnew its undo begins again */
export async function setPackage(
  tx: DatabaseTransaction,
  rollout: LockedRollout,
  packageId: string,
  change: { state: RolloutPackageState; undoTo?: 'failed' | 'undone'; reason?: string },
  begunAnew = false,
): Promise<void> {
  if (begunAnew) {
    for (const step of packageOf(rollout, packageId).steps)
      if (step.phase === 'undo' && step.state !== 'done')
        await deleteStep(tx, rollout.id, { packageId, attempt: packageOf(rollout, packageId).attempt, ...step });
  }
  await tx
    .updateTable('rolloutPackages')
    .set({ ...change, wellSince: null, lookedAt: null, changedAt: clockNow })
    .where('rolloutId', '=', rollout.id)
    .where('packageId', '=', packageId)
    .execute();
  // Whoever was asked for a step is not waited for any more; a step of its undo that waits asks anew.
  if (change.state !== 'running') await resolveNotice(tx, noticeKey(rollout.id, packageId));
  if (change.state === 'stuck' && rollout.state === 'rolling_back')
    await openNotice(tx, {
      id: newId('notice'),
      ownerId: rollout.ownerId,
      kind: 'rollout_held',
      key: `rollout_held:${rollout.id}`,
      subject: rollout.id,
      title: 'A rollback is stuck',
      detail: `the undo of ${packageId} failed: ${change.reason ?? ''}`,
    });
  const data = { packageId, state: change.state, reason: change.reason ?? '' };
  await appendEvents(tx, [{ ownerId: rollout.ownerId, type: 'rollout.package_changed', subject: rollout.id, data }]);
}

export async function setState(
  tx: DatabaseTransaction,
  rollout: LockedRollout,
  state: RolloutState,
  reason: string,
): Promise<void> {
  if (state === rollout.state) return;
  const isOver = state === 'done' || state === 'rolled_back';
  try {
    await tx
      .updateTable('rollouts')
      .set({ state, reason, changedAt: clockNow, endedAt: isOver ? clockNow : null })
      .where('id', '=', rollout.id)
      .execute();
  } catch (err) {
    if (isTaken(err, 'rollouts_one')) throw new DomainError('CONFLICT', anotherUnderWay, { cause: err });
    throw err;
  }
  const key = `rollout_held:${rollout.id}`;
  if (state === 'held')
    await openNotice(tx, {
      id: newId('notice'),
      ownerId: rollout.ownerId,
      kind: 'rollout_held',
      key,
      subject: rollout.id,
      title: 'A rollout is held',
      detail: reason,
    });
  else await resolveNotice(tx, key);
  await appendEvents(tx, [
    { ownerId: rollout.ownerId, type: `rollout.${state}`, subject: rollout.id, data: { reason } },
  ]);
}
