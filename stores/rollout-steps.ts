import { sql } from 'kysely';
import { blockedReason, deployBlockers, mendedBy } from '../domain/deploy-blockers.ts';
import { nextMoves, type NextMoves, type RolloutMove, type StepOutcome } from '../domain/rollout-moves.ts';
import { dependantsOf } from '../domain/rollouts.ts';
import type { RolloutState, RolloutStepState, ServiceAction, ServiceRunState, ServiceState } from '../domain/states.ts';
import { canBeLookedAt } from '../domain/service-watch.ts';
import { storedService } from '../domain/services.ts';
import { clockNow } from './ballot-rows.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { openBlockers } from './deploy-blockers.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';
import {
  endStep,
  keyOf,
  type LockedRollout,
  lockRollout,
  noticeKey,
  packageOf,
  readRollout,
  recompute,
  type RolloutUnitKey,
  sameUnit,
  setPackage,
  setState,
  stepRow,
} from './rollout-rows.ts';
import { requestServices } from './service-runs.ts';

/** Looks come every few seconds; where none came for so long, nobody has looked. */
const gapSeconds = 75;
/** What is not well so long after the time that a package must have been well is its doing, and takes it back. */
const unwellMinutes = 30;

/** The steps of a rollout's workflow; each may be done twice. */
export function createRolloutStore(db: Database) {
  return {
    /** What comes next. What the rollout has come to by that is written down. told: how its packages stand, in words. */
    async next(rolloutId: string): Promise<NextMoves & { state: RolloutState; told: string[] }> {
      return db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        const blocked = await blockedPackages(tx, rollout);
        const { parked = [], ...next } = nextMoves({ ...rollout, blocked: new Set(blocked.keys()) });
        for (const packageId of parked) await park(tx, rollout, packageId, blocked.get(packageId)!);
        const told = standingOf(rollout);
        if (next.becomes === undefined) return { ...next, state: rollout.state, told };
        await setState(tx, rollout, next.becomes, next.becomes === 'held' ? heldBecause(rollout) : '');
        return { ...next, state: next.becomes, told };
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
          const blocked = new Set((await blockedPackages(tx, rollout)).keys());
          const { moves } = nextMoves({ ...rollout, blocked });
          if (!moves.some((next) => next.kind === 'step' && sameUnit(next, move))) return undefined;
          if (move.step.kind === 'deploy' && move.phase === 'steps') await unpark(tx, rolloutId, move.packageId);
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
      await db.transaction().execute((tx) => endStep(tx, rolloutId, unit, outcome));
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
        await setDeployment(tx, rolloutId, unit, await askedFor(tx, rollout.ownerId, rows));
      });
    },

    /** @returns undefined while it is under way */
    async deployment(rolloutId: string, unit: RolloutUnitKey): Promise<StepOutcome | undefined> {
      return db.transaction().execute(async (tx) => {
        const { ownerId } = await lockRollout(tx, rolloutId);
        const result = await deploymentOf(tx, rolloutId, unit);
        if (result === undefined) return undefined;
        const { asked, ...shown } = result;
        const end = (state: 'done' | 'failed', reason = ''): StepOutcome => ({
          state,
          ...(reason === '' ? {} : { reason }),
          result: shown,
        });
        if (result.requestId === null) return end('done');
        const rows = await deployed(tx, result);
        // Of before it was kept which services were asked for.
        if (rows.length === 0)
          return asked ? end('done') : end('failed', 'somebody else has asked for its services since');
        const stopped = rows.find(({ wanted }) => wanted === 'stopped');
        if (stopped) return end('failed', `somebody else has stopped ${stopped.id} since`);
        // Who starts one that runs does nothing to it: nobody knows whether it was begun anew before that.
        const left = rows.filter(({ own, action }) => !own && action === 'start');
        if (left.length > 0) {
          const { again = 0 } = result;
          if (again === mostAgain)
            return end('failed', `somebody else has started ${left[0]!.id} ${mostAgain + 1} times since`);
          const anew = await askedFor(tx, ownerId, left);
          await setDeployment(tx, rolloutId, unit, {
            ...anew,
            earlier: [...(result.earlier ?? []), result.requestId],
            asked: [...new Set([...(asked ?? []), ...anew.asked])],
            services: result.services,
            again: again + 1,
          });
          return undefined;
        }
        const failed = rows.find(({ state }) => state === 'failed');
        if (failed) return end('failed', `${failed.id} was not started: ${failed.reason}`);
        const stale = rows.find((row) => row.state !== 'started' && row.stale);
        if (stale) return end('failed', `${stale.id} has been ${stale.state} for 30 min`);
        if (rows.some(({ state }) => state !== 'started')) return undefined;
        const down = rows.find(({ isUp }) => !isUp);
        if (down === undefined) return end('done');
        return down.late ? end('failed', `${down.id} is not up 2 min after its start`) : undefined;
      });
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
        const { healthyMinutes } = definition.verify;
        // Nobody knows how it was in a time without looks: it is neither well for so long by that, nor unwell.
        const { isGap } = await tx
          .selectFrom('rolloutPackages')
          .select(
            sql<boolean>`coalesce(looked_at, changed_at) < ${clockNow} - make_interval(secs => ${gapSeconds})`.as(
              'isGap',
            ),
          )
          .where('rolloutId', '=', rolloutId)
          .where('packageId', '=', packageId)
          .executeTakeFirstOrThrow();
        const look = tx
          .updateTable('rolloutPackages')
          .set({ lookedAt: clockNow, ...(isGap ? { changedAt: clockNow } : {}) })
          .where('rolloutId', '=', rolloutId)
          .where('packageId', '=', packageId);
        if (unwell !== undefined) {
          const patience = healthyMinutes + unwellMinutes;
          const { given } = await look
            .set({ wellSince: null, reason: unwell })
            .returning(sql<boolean>`${clockNow} > changed_at + make_interval(mins => ${patience})`.as('given'))
            .executeTakeFirstOrThrow();
          if (!given) return true;
          const reason = `not well ${patience} min after its steps: ${unwell}`;
          await setPackage(tx, rollout, packageId, { state: 'undoing', undoTo: 'failed', reason });
          await recompute(tx, rollout, packageId);
          return false;
        }
        const { well } = await look
          .set({ wellSince: isGap ? clockNow : sql<Date>`coalesce(well_since, ${clockNow})`, reason: '' })
          .returning(sql<boolean>`${clockNow} >= well_since + make_interval(mins => ${healthyMinutes})`.as('well'))
          .executeTakeFirstOrThrow();
        if (well) await setPackage(tx, rollout, packageId, { state: 'done', reason: '' });
        return !well;
      });
    },

    find: (rolloutId: string): Promise<LockedRollout> => readRollout(db, rolloutId),

    /** What is not well, in words; undefined: all that a package could have broken is. */
    async unwell(ownerId: string): Promise<string | undefined> {
      const { rows } = await sql<{ said: string; service: UnwellService | null }>`
        select subject_kind || ' ' || subject_id || ' is ' || state as said, null::jsonb as service from health
        where owner_id = ${ownerId} and state in ('lost', 'failing')
          and subject_kind in ('machine', 'worker', 'model_server', 'schedule', 'ledger')
        union all
        select 'service ' || s.id || ' is ' || s.state,
          jsonb_build_object('state', s.state, 'reason', s.reason, 'spec', s.spec, 'isRun', coalesce(r.wanted = 'running', false))
        from services s left join service_runs r on r.service_id = s.id
        where s.owner_id = ${ownerId} and s.retired_at is null and s.state in ('starting', 'down', 'unknown')
          and (s.spec ->> 'required') is distinct from 'false'
        order by said`.execute(db);
      const all = rows.filter(({ service }) => service === null || !isOutOfSight(service)).map(({ said }) => said);
      if (all.length === 0) return undefined;
      return `${all.slice(0, 3).join(', ')}${all.length > 3 ? ' and more' : ''}`;
    },
  };
}
export type RolloutStore = ReturnType<typeof createRolloutStore>;

interface UnwellService {
  state: ServiceState;
  reason: string;
  spec: unknown;
  isRun: boolean;
}

/** Somebody has looked, and it has nothing that could be looked at: no package has brought that about, and none ends it. */
function isOutOfSight({ state, reason, spec, isRun }: UnwellService): boolean {
  return state === 'unknown' && reason !== '' && !isRun && !canBeLookedAt(storedService(spec));
}

/** What a step of kind `deploy` has asked for, as its row keeps it. */
interface Deployment {
  /** Null: nothing ran there. */
  requestId: string | null;
  services: number;
  /** All that is started anew, with what needs them. */
  asked?: string[];
  /** Requests before it, of which somebody else has taken services over. */
  earlier?: string[];
  /** How often it was asked for once more. */
  again?: number;
}

/** Workers that come back start what does not run: that may meet a deployment as often as they do. */
const mostAgain = 5;

async function askedFor(
  tx: DatabaseTransaction,
  ownerId: string,
  services: ReadonlyArray<{ id: string }>,
): Promise<Deployment & { asked: string[] }> {
  const serviceIds = services.map(({ id }) => id);
  if (serviceIds.length === 0) return { requestId: null, services: 0, asked: [] };
  const { requestId, waves } = await requestServices(tx, { ownerId, action: 'restart', serviceIds });
  return { requestId, services: serviceIds.length, asked: waves.flat().map(({ id }) => id) };
}

async function setDeployment(
  tx: DatabaseTransaction,
  rolloutId: string,
  unit: RolloutUnitKey,
  deployment: Deployment,
): Promise<void> {
  await tx
    .updateTable('rolloutSteps')
    .set({ result: JSON.stringify(deployment) })
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .execute();
}

/** How all that was asked for does now; what no file names any more is nobody's to start. own: by a request of this step */
async function deployed(tx: DatabaseTransaction, { requestId, earlier = [], asked }: Deployment) {
  const requests = [...earlier, requestId];
  const { rows } = await sql<{
    id: string;
    own: boolean;
    action: ServiceAction;
    wanted: string;
    state: ServiceRunState;
    reason: string;
    isUp: boolean;
    late: boolean;
    stale: boolean;
  }>`
    select r.service_id as id, r.request_id = any(${requests}) as own, r.action, r.wanted, r.state, r.reason,
      (s.state = 'up' or not s.spec ? 'healthCheck') as is_up,
      r.changed_at < ${clockNow} - interval '2 minutes' as late,
      r.changed_at < ${clockNow} - interval '30 minutes' as stale
    from service_runs r join services s on s.id = r.service_id
    where s.retired_at is null and (r.request_id = any(${requests}) or r.service_id = any(${asked ?? []}))
    order by r.service_id`.execute(tx);
  return rows;
}

async function deploymentOf(db: Executor, rolloutId: string, unit: RolloutUnitKey): Promise<Deployment | undefined> {
  const row = await db
    .selectFrom('rolloutSteps')
    .select('result')
    .where((eb) => eb.and(keyOf(rolloutId, unit)))
    .executeTakeFirst();
  return (row?.result ?? undefined) as Deployment | undefined;
}

/** Packages that may deploy nothing now, and why: a critical finding stands that they do not mend. */
async function blockedPackages(
  tx: DatabaseTransaction,
  { ownerId, state, file }: LockedRollout,
): Promise<Map<string, string>> {
  const deploying = file.workPackages.filter(({ steps }) => steps.some(({ kind }) => kind === 'deploy'));
  // The way back is open always.
  const open = state === 'running' && deploying.length > 0 ? await openBlockers(tx, ownerId) : [];
  return new Map(
    deploying.flatMap((definition) => {
      const blockers = deployBlockers(open, mendedBy(definition));
      return blockers.length === 0
        ? []
        : [[definition.id, blockedReason('its deployment waits, and begins by itself afterwards', blockers)] as const];
    }),
  );
}

/** Told once, and again where the reason is another one. */
async function park(tx: DatabaseTransaction, rollout: LockedRollout, packageId: string, reason: string): Promise<void> {
  const changed = await tx
    .updateTable('rolloutPackages')
    .set({ reason })
    .where('rolloutId', '=', rollout.id)
    .where('packageId', '=', packageId)
    .where('reason', '<>', reason)
    .returning('packageId')
    .executeTakeFirst();
  if (changed === undefined) return;
  await openNotice(tx, {
    id: newId('notice'),
    ownerId: rollout.ownerId,
    kind: 'rollout_waiting',
    key: noticeKey(rollout.id, packageId),
    subject: rollout.id,
    about: packageId,
    title: `${packageId} waits: a critical finding holds deployments`,
    detail: reason,
  });
}

async function unpark(tx: DatabaseTransaction, rolloutId: string, packageId: string): Promise<void> {
  await tx
    .updateTable('rolloutPackages')
    .set({ reason: '' })
    .where('rolloutId', '=', rolloutId)
    .where('packageId', '=', packageId)
    .execute();
  await resolveNotice(tx, noticeKey(rolloutId, packageId));
}

const mostTold = 40;

/** Of the packages that have begun, and of how many wait. */
function standingOf({ packages }: LockedRollout): string[] {
  const begun = packages.filter(({ state, reason }) => state !== 'waiting' || reason !== '');
  const told = begun
    .slice(-mostTold)
    .map(({ id, state, reason }) => `${id} ${state}${reason === '' ? '' : `: ${reason.slice(0, 200)}`}`);
  return [...told, `${packages.length - begun.length} wait`];
}

function heldBecause({ packages, file }: LockedRollout): string {
  const failed = packages.filter(({ state }) => state === 'failed' || state === 'stuck');
  const waiting = new Set(failed.flatMap(({ id }) => [...dependantsOf(id, file.workPackages)]));
  const told = failed.map(({ id, reason }) => `${id} failed${reason === '' ? '' : ` (${reason.slice(0, 200)})`}`);
  return `${told.join(', ')}; ${waiting.size} wait for that`;
}
