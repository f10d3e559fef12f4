import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { rollbackWorkflowId, rolloutWorkflowId } from '../domain/ids.ts';
import {
  nextMoves,
  type NextMoves,
  packageStateOf,
  type RolloutMove,
  type RolloutPhase,
  type RolloutStanding,
  type StandingPackage,
  type StepOutcome,
} from '../domain/rollout-moves.ts';
import { dependantsOf, type RolloutFile } from '../domain/rollouts.ts';
import type { RolloutPackageState, RolloutState, RolloutStepState, ServiceRunState } from '../domain/states.ts';
import { clockNow } from './ballot-rows.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { requestServices } from './service-runs.ts';

export interface NewRollout {
  id: string;
  ownerId: string;
  file: RolloutFile;
  machines: readonly string[];
  requestHash: Buffer;
  madeBy: string;
}

export type RolloutUnitKey = Pick<
  Extract<RolloutMove, { kind: 'step' }>,
  'packageId' | 'attempt' | 'phase' | 'position' | 'machineId'
>;

export interface LockedRollout extends RolloutStanding {
  id: string;
  ownerId: string;
  createdAt: Date;
}

/** What is not well so long after the time that a package must have been well is its doing, and takes it back. */
const unwellMinutes = 30;

/** Writes a rollout down and asks for its workflow. @returns false where it was there already @throws CONFLICT */
export async function beginRollout(tx: DatabaseTransaction, rollout: NewRollout): Promise<boolean> {
  const { file, machines, ...row } = rollout;
  const inserted = await tx
    .insertInto('rollouts')
    .values({ ...row, file: JSON.stringify(file), machines: [...machines] })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined) {
    const known = await tx
      .selectFrom('rollouts')
      .select(['ownerId', 'requestHash'])
      .where('id', '=', rollout.id)
      .executeTakeFirst();
    if (known === undefined)
      throw new DomainError('CONFLICT', 'another rollout is under way; `soulfra rollout show` has it');
    if (known.ownerId === rollout.ownerId && known.requestHash.equals(rollout.requestHash)) return false;
    throw new DomainError('CONFLICT', 'this Idempotency-Key came with other content');
  }
  await tx
    .insertInto('rolloutPackages')
    .values(file.workPackages.map(({ id }, position) => ({ rolloutId: rollout.id, packageId: id, position })))
    .execute();
  await askForWorkflow(tx, rollout.id);
  const data = { packages: file.workPackages.length };
  await appendEvents(tx, [{ ownerId: rollout.ownerId, type: 'rollout.begun', subject: rollout.id, data }]);
  return true;
}

const askForWorkflow = (tx: DatabaseTransaction, rolloutId: string, workflowId = rolloutWorkflowId(rolloutId)) =>
  insertIntent(tx, { workflowId, type: 'rollOut', args: [{ rolloutId }] });

/** The steps of a rollout's workflow; each may be done twice. */
export function createRolloutStore(db: Database) {
  return {
    /** What comes next. What the rollout has come to by that is written down. */
    async next(rolloutId: string): Promise<NextMoves & { state: RolloutState }> {
      return db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        const next = nextMoves(rollout);
        if (next.becomes === undefined) return { ...next, state: rollout.state };
        await setState(tx, rollout, next.becomes, next.becomes === 'held' ? heldBecause(rollout) : '');
        return { ...next, state: next.becomes };
      });
    },

    /**
     * @returns how the step stands: running means that it is to be done now; undefined: not any more. `key` is of this beginning
     * alone; `wanted`: the rollout goes on
     */
    async beginStep(
      rolloutId: string,
      move: Extract<RolloutMove, { kind: 'step' }>,
    ): Promise<{ state: RolloutStepState; key: string; wanted: boolean } | undefined> {
      return db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        let known = await stepRow(tx, rolloutId, move);
        if (known === undefined) {
          const allowed = nextMoves(rollout).moves.some((next) => next.kind === 'step' && sameUnit(next, move));
          if (!allowed) return undefined;
          await tx
            .insertInto('rolloutSteps')
            .values({ ...keyOf(rolloutId, move), kind: move.step.kind, beganAt: clockNow })
            .execute();
          await recompute(tx, rollout, move.packageId);
          known = (await stepRow(tx, rolloutId, move))!;
        }
        const wanted =
          rollout.state === 'running' || (rollout.state === 'rolling_back' && move.phase === 'undo' && known.fresh);
        return { state: known.state, key: known.key, wanted };
      });
    },

    /** A step has ended, or waits for a person. What has ended stays as it is. */
    async endStep(rolloutId: string, unit: RolloutUnitKey & { key: string }, outcome: StepOutcome): Promise<void> {
      await db.transaction().execute((tx) => endStepIn(tx, rolloutId, unit, outcome));
    },

    /** Asks for the services of a machine that run to be started anew; asked again it is the same request. */
    async deploy(rolloutId: string, unit: RolloutUnitKey, services: readonly string[] | undefined): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        if ((await deploymentOf(tx, rolloutId, unit)) !== undefined) return;
        const { rows } = await sql<{ id: string }>`
          select s.id from services s join service_runs r on r.service_id = s.id
          where s.owner_id = ${rollout.ownerId} and s.machine_id = ${unit.machineId} and s.retired_at is null and r.wanted = 'running'
            and (${services === undefined} or s.id = any(${[...(services ?? [])]}::text[]))
          order by s.id`.execute(tx);
        const serviceIds = rows.map(({ id }) => id);
        const asked =
          serviceIds.length === 0
            ? { requestId: null }
            : await requestServices(tx, { ownerId: rollout.ownerId, action: 'restart', serviceIds });
        await tx
          .updateTable('rolloutSteps')
          .set({ result: JSON.stringify({ requestId: asked.requestId, services: serviceIds.length }) })
          .where((eb) => eb.and(keyOf(rolloutId, unit)))
          .execute();
      });
    },

    /** @returns undefined while it is under way */
    async deployment(rolloutId: string, unit: RolloutUnitKey): Promise<StepOutcome | undefined> {
      const result = await deploymentOf(db, rolloutId, unit);
      if (result === undefined) return undefined;
      if (result.requestId === null) return { state: 'done', result };
      const { rows } = await sql<{
        id: string;
        state: ServiceRunState;
        reason: string;
        isUp: boolean;
        late: boolean;
        stale: boolean;
      }>`
        select r.service_id as id, r.state, r.reason, (s.state = 'up' or not s.spec ? 'healthCheck') as is_up,
          r.changed_at < ${clockNow} - interval '2 minutes' as late,
          r.changed_at < ${clockNow} - interval '30 minutes' as stale
        from service_runs r join services s on s.id = r.service_id
        where r.request_id = ${result.requestId} order by r.service_id`.execute(db);
      if (rows.length === 0)
        return { state: 'failed', reason: 'somebody else has asked for its services since', result };
      const failed = rows.find(({ state }) => state === 'failed');
      if (failed) return { state: 'failed', reason: `${failed.id} was not started: ${failed.reason}`, result };
      const stale = rows.find((row) => row.state !== 'started' && row.stale);
      if (stale) return { state: 'failed', reason: `${stale.id} has been ${stale.state} for 30 min`, result };
      if (rows.some(({ state }) => state !== 'started')) return undefined;
      const down = rows.find(({ isUp }) => !isUp);
      if (down === undefined) return { state: 'done', result };
      return down.late ? { state: 'failed', reason: `${down.id} is not up 2 min after its start`, result } : undefined;
    },

    /** A package is to be taken back, since a rollback was asked for. */
    async beginUndo(rolloutId: string, { packageId, attempt }: { packageId: string; attempt: number }): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        const each = packageOf(rollout, packageId);
        if (each.attempt !== attempt || rollout.state !== 'rolling_back') return;
        if (!['running', 'verifying', 'done'].includes(each.state)) return;
        await setPackage(tx, rollout, packageId, { state: 'undoing', undoTo: 'undone', reason: 'rolled back' });
        await recompute(tx, rollout, packageId);
      });
    },

    /**
     * What a look at a package that is verified has found. It is done once all was well for so long.
     * @returns whether there is more to look at
     */
    async noteLook(
      rolloutId: string,
      { packageId, attempt }: { packageId: string; attempt: number },
      unwell: string | undefined,
    ): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        const each = packageOf(rollout, packageId);
        if (each.attempt !== attempt || each.state !== 'verifying') return false;
        const definition = rollout.file.workPackages.find(({ id }) => id === packageId)!;
        if (unwell !== undefined) {
          const { given } = await tx
            .updateTable('rolloutPackages')
            .set({ wellSince: null, reason: unwell })
            .where('rolloutId', '=', rolloutId)
            .where('packageId', '=', packageId)
            .returning(
              sql<boolean>`${clockNow} > changed_at + make_interval(mins => ${definition.verify.healthyMinutes + unwellMinutes})`.as(
                'given',
              ),
            )
            .executeTakeFirstOrThrow();
          if (!given) return true;
          const reason = `not well ${definition.verify.healthyMinutes + unwellMinutes} min after its steps: ${unwell}`;
          await setPackage(tx, rollout, packageId, { state: 'undoing', undoTo: 'failed', reason });
          await recompute(tx, rollout, packageId);
          return false;
        }
        const { well } = await tx
          .updateTable('rolloutPackages')
          .set({ wellSince: sql<Date>`coalesce(well_since, ${clockNow})`, reason: '' })
          .where('rolloutId', '=', rolloutId)
          .where('packageId', '=', packageId)
          .returning(
            sql<boolean>`${clockNow} >= well_since + make_interval(mins => ${definition.verify.healthyMinutes})`.as(
              'well',
            ),
          )
          .executeTakeFirstOrThrow();
        if (well) await setPackage(tx, rollout, packageId, { state: 'done', reason: '' });
        return !well;
      });
    },

    find: (rolloutId: string): Promise<LockedRollout> => readRollout(db, rolloutId),

    /** What is not well, in words; undefined: all that a package could have broken is. */
    async unwell(ownerId: string): Promise<string | undefined> {
      const { rows } = await sql<{ said: string }>`
        select subject_kind || ' ' || subject_id || ' is ' || state as said from health
        where owner_id = ${ownerId} and state in ('lost', 'failing')
          and subject_kind in ('machine', 'worker', 'model_server', 'schedule', 'ledger')
        union all
        select 'service ' || id || ' is ' || state from services
        where owner_id = ${ownerId} and retired_at is null and state in ('starting', 'down') and (spec ->> 'required') is distinct from 'false'
        order by said limit 4`.execute(db);
      if (rows.length === 0) return undefined;
      const told = rows.slice(0, 3).map(({ said }) => said);
      return `${told.join(', ')}${rows.length > told.length ? ' and more' : ''}`;
    },
  };
}
export type RolloutStore = ReturnType<typeof createRolloutStore>;

export const rolloutActs = ['pause', 'resume', 'rollback'] as const;
export type RolloutAct = (typeof rolloutActs)[number];

/** What a person asks of a rollout; asked twice it is done once. @throws NOT_FOUND · CONFLICT */
export async function actOnRollout(
  tx: DatabaseTransaction,
  ownerId: string,
  id: string,
  act: RolloutAct,
): Promise<void> {
  const rollout = await lockRollout(tx, id, ownerId);
  const { state } = rollout;
  const refuse = (why: string) => new DomainError('CONFLICT', `${id} is ${state}; ${why}`);
  if (act === 'pause') {
    if (state === 'paused') return;
    if (state !== 'running' && state !== 'held') throw refuse('only what runs is paused');
    return setState(tx, rollout, 'paused', '');
  }
  if (act === 'resume') {
    if (state === 'running') return;
    if (state !== 'paused' && state !== 'held') throw refuse('only what is paused or held goes on');
    for (const { id: packageId, state: at } of rollout.packages)
      if (at === 'failed' || at === 'stuck') await again(tx, rollout, packageId);
    return setState(tx, rollout, 'running', '');
  }
  if (state === 'rolled_back') return;
  if (state === 'done' && (await anotherSince(tx, rollout)))
    throw refuse('another one began after it, and what that built upon would be taken away');
  for (const each of rollout.packages)
    if (each.state === 'stuck')
      await setPackage(tx, rollout, each.id, { state: 'undoing', undoTo: 'undone', reason: 'rolled back' }, true);
  await setState(tx, rollout, 'rolling_back', '');
  if (state === 'done') await askForWorkflow(tx, id, rollbackWorkflowId(id));
}

/** A package is passed over: what waits for it goes on without it. @throws NOT_FOUND · CONFLICT */
export async function skipPackage(
  tx: DatabaseTransaction,
  ownerId: string,
  id: string,
  packageId: string,
): Promise<void> {
  const rollout = await lockRollout(tx, id, ownerId);
  const each = packageOf(rollout, packageId);
  if (each.state === 'skipped') return;
  if (each.state !== 'waiting' && each.state !== 'failed' && each.state !== 'stuck')
    throw new DomainError(
      'CONFLICT',
      `${packageId} is ${each.state}; only what waits, failed or is stuck can be skipped`,
    );
  await setPackage(tx, rollout, packageId, { state: 'skipped', reason: 'skipped by a person' });
  if (rollout.state === 'held') await setState(tx, rollout, 'running', '');
}

/**
 * A person says how a step of theirs, or one that nobody knows the end of, has ended. `again`: it is known not to have been done.
 * @throws NOT_FOUND · CONFLICT
 */
export async function answerStep(
  tx: DatabaseTransaction,
  { ownerId, id, packageId }: { ownerId: string; id: string; packageId: string },
  answer: { outcome: 'done' | 'failed' | 'again'; reason: string },
): Promise<void> {
  const rollout = await lockRollout(tx, id, ownerId);
  const each = packageOf(rollout, packageId);
  // What waited when the package began to be taken back waits no more.
  const phase = each.state === 'undoing' ? 'undo' : 'steps';
  const step = each.steps.find((one) => one.phase === phase && (one.state === 'waiting' || one.state === 'doubtful'));
  if (step === undefined) throw new DomainError('CONFLICT', `no step of ${packageId} waits for a person`);
  const unit = { packageId, attempt: each.attempt, ...step };
  if (answer.outcome !== 'again') return endStepIn(tx, id, unit, { state: answer.outcome, reason: answer.reason });
  if (step.state === 'waiting')
    throw new DomainError('CONFLICT', `${packageId} waits for a person; say done or failed`);
  await deleteStep(tx, id, unit);
  await resolveNotice(tx, noticeKey(id, packageId));
  await appendEvents(tx, [{ ownerId, type: 'rollout.step_again', subject: id, data: { packageId } }]);
}

async function endStepIn(
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
  const { state, reason = '', result = null } = outcome;
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

async function deploymentOf(
  db: Executor,
  rolloutId: string,
  unit: RolloutUnitKey,
): Promise<{ requestId: string | null; services: number } | undefined> {
  const row = await db
    .selectFrom('rolloutSteps')
    .select('result')
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .executeTakeFirst();
  return (row?.result ?? undefined) as { requestId: string | null; services: number } | undefined;
}

const noticeKey = (rolloutId: string, packageId: string) => `rollout_waiting:${rolloutId}:${packageId}`;

/** Brings a package to what its steps have come to. */
async function recompute(
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
async function setPackage(
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
    .set({ ...change, wellSince: null, changedAt: clockNow })
    .where('rolloutId', '=', rollout.id)
    .where('packageId', '=', packageId)
    .execute();
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

/** Its steps are done anew, all of them, once what it left is taken back. */
async function again(tx: DatabaseTransaction, rollout: LockedRollout, packageId: string): Promise<void> {
  const each = packageOf(rollout, packageId);
  if (each.state === 'stuck') {
    await setPackage(tx, rollout, packageId, { state: 'undoing', undoTo: 'failed' }, true);
    return;
  }
  await tx
    .updateTable('rolloutPackages')
    .set({ attempt: each.attempt + 1, undoTo: null })
    .where('rolloutId', '=', rollout.id)
    .where('packageId', '=', packageId)
    .execute();
  await setPackage(tx, rollout, packageId, { state: 'waiting', reason: '' });
}

async function setState(
  tx: DatabaseTransaction,
  rollout: LockedRollout,
  state: RolloutState,
  reason: string,
): Promise<void> {
  if (state === rollout.state) return;
  const isOver = state === 'done' || state === 'rolled_back';
  await tx
    .updateTable('rollouts')
    .set({ state, reason, changedAt: clockNow, endedAt: isOver ? clockNow : null })
    .where('id', '=', rollout.id)
    .execute();
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

function heldBecause({ packages, file }: RolloutStanding): string {
  const failed = packages.filter(({ state }) => state === 'failed' || state === 'stuck').map(({ id }) => id);
  const waiting = new Set(failed.flatMap((id) => [...dependantsOf(id, file.workPackages)]));
  return `${failed.join(', ')} failed; ${waiting.size} wait for that`;
}

async function anotherSince(tx: DatabaseTransaction, { id, ownerId }: LockedRollout): Promise<boolean> {
  const { rows } =
    await sql`select 1 from rollouts where owner_id = ${ownerId} and created_at > (select created_at from rollouts where id = ${id}) limit 1`.execute(
      tx,
    );
  return rows.length > 0;
}

function packageOf(rollout: RolloutStanding, packageId: string): StandingPackage {
  const each = rollout.packages.find(({ id }) => id === packageId);
  if (each === undefined) throw new DomainError('NOT_FOUND', `the rollout has no package ${packageId}`);
  return each;
}

const keyOf = (rolloutId: string, { packageId, attempt, phase, position, machineId }: RolloutUnitKey) => ({
  rolloutId,
  packageId,
  attempt,
  phase,
  position,
  machineId,
});

function sameUnit(one: RolloutUnitKey, other: RolloutUnitKey): boolean {
  return (
    one.packageId === other.packageId &&
    one.attempt === other.attempt &&
    one.phase === other.phase &&
    one.position === other.position &&
    one.machineId === other.machineId
  );
}

/** fresh: whoever takes a rollout back waits so long for a machine, and is asked then. */
async function stepRow(tx: DatabaseTransaction, rolloutId: string, unit: RolloutUnitKey) {
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

async function deleteStep(tx: DatabaseTransaction, rolloutId: string, unit: RolloutUnitKey): Promise<void> {
  await tx
    .deleteFrom('rolloutSteps')
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .execute();
}

async function lockRollout(tx: DatabaseTransaction, id: string, ownerId?: string): Promise<LockedRollout> {
  await sql`select 1 from rollouts where id = ${id} for no key update`.execute(tx);
  const rollout = await readRollout(tx, id);
  if (ownerId !== undefined && rollout.ownerId !== ownerId) throw new DomainError('NOT_FOUND', `no rollout ${id}`);
  return rollout;
}

/** @throws NOT_FOUND */
async function readRollout(db: Executor, id: string): Promise<LockedRollout> {
  const row = await db.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
  if (row === undefined) throw new DomainError('NOT_FOUND', `no rollout ${id}`);
  const packages = await db
    .selectFrom('rolloutPackages')
    .select(['packageId', 'state', 'attempt', 'undoTo'])
    .where('rolloutId', '=', id)
    .orderBy('position')
    .execute();
  const steps = await db
    .selectFrom('rolloutSteps')
    .select(['packageId', 'attempt', 'phase', 'position', 'machineId', 'state'])
    .where('rolloutId', '=', id)
    .execute();
  return {
    id,
    ownerId: row.ownerId,
    createdAt: row.createdAt,
    state: row.state as RolloutState,
    file: row.file as unknown as RolloutFile,
    machines: row.machines,
    packages: packages.map(({ packageId, state, attempt, undoTo }) => ({
      id: packageId,
      state: state as RolloutPackageState,
      attempt,
      undoTo: undoTo as 'failed' | 'undone' | null,
      steps: steps
        .filter((step) => step.packageId === packageId && step.attempt === attempt)
        .map(({ phase, position, machineId, state: at }) => ({
          phase: phase as RolloutPhase,
          position,
          machineId,
          state: at as RolloutStepState,
        })),
    })),
  };
}
