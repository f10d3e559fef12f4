import { sql } from 'kysely';
import { rolloutRunId } from '../domain/ids.ts';
import type { Acceptance } from '../domain/readiness.ts';
import type { Inventory } from '../domain/readiness-inventory.ts';
import { reportOf } from '../domain/readiness-reports.ts';
import { type Places, saidAgainst, standingAgainst } from '../domain/rollout-verification.ts';
import type { RolloutFile } from '../domain/rollouts.ts';
import { clockNow } from './ballot-rows.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { acceptancesOf, findingsOf, type Repository } from './readiness.ts';
import { lockRollout, type LockedRollout, packageOf, readRollout, recompute, setPackage } from './rollout-rows.ts';

/** What cannot be assessed for so long takes its package back. */
const unassessedMinutes = 30;

interface PackageRef {
  packageId: string;
  attempt: number;
}

/** What rollouts ask of readiness; each may be done twice. */
export function createRolloutAssessmentStore(db: Database) {
  return {
    /**
     * The run that a package's rules are judged by, which is opened here; one that failed is begun again.
     * @returns undefined: the package is not verified any more
     */
    async open(
      rolloutId: string,
      of: PackageRef,
    ): Promise<{ runId: string; machineId: string | null; isDone: boolean } | undefined> {
      return db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        if (!isVerified(rollout, of)) return undefined;
        const runId = rolloutRunId(rolloutId, of.packageId, of.attempt);
        const known = await tx
          .selectFrom('readinessRuns')
          .select(['repository', 'state'])
          .where('id', '=', runId)
          .executeTakeFirst();
        if (known !== undefined) {
          await sql`update readiness_runs set state = 'running', reason = '', finished_at = null
            where id = ${runId} and state = 'failed'`.execute(tx);
          const { machineId } = known.repository as unknown as Repository;
          return { runId, machineId, isDone: known.state === 'done' };
        }
        const repository = await assessedRepository(tx, rollout);
        // Whoever began it had one, or was refused.
        if (repository === undefined) {
          await failPackage(tx, rollout, of.packageId, 'its rules cannot be verified: nothing was assessed yet');
          return undefined;
        }
        await tx
          .insertInto('readinessRuns')
          .values({ id: runId, ownerId: rollout.ownerId, repository: JSON.stringify(repository) })
          .execute();
        await note(tx, rollout, of.packageId, `its rules are looked at by the assessment ${runId}`);
        return { runId, machineId: repository.machineId, isDone: false };
      });
    },

    /**
     * Whether the rules of a package hold; where they do not, it is taken back.
     * @returns again: nobody could tell yet; over: the package is not verified any more
     */
    async judge(rolloutId: string, of: PackageRef): Promise<'clean' | 'again' | 'over'> {
      return db.transaction().execute(async (tx) => {
        const rollout = await lockRollout(tx, rolloutId);
        if (!isVerified(rollout, of)) return 'over';
        const runId = rolloutRunId(rolloutId, of.packageId, of.attempt);
        const { rows } = await sql<{ state: string; reason: string; today: string; inventory: Inventory | null }>`
          select state, reason, to_char(now(), 'YYYY-MM-DD') as today, inventory from readiness_runs where id = ${runId}`.execute(
          tx,
        );
        const run = rows[0];
        if (run?.state !== 'done') {
          const why = run === undefined || run.reason === '' ? 'it did not come to its end' : run.reason;
          if (await isLate(tx, rolloutId, of.packageId)) {
            // Nobody goes on with it, and what runs is kept for good.
            await sql`update readiness_runs set state = 'failed', reason = ${why}, finished_at = now()
              where id = ${runId} and state = 'running'`.execute(tx);
            await failPackage(tx, rollout, of.packageId, `not assessed for ${unassessedMinutes} min: ${why}`);
            return 'over';
          }
          await note(tx, rollout, of.packageId, `its rules could not be looked at: ${why}`);
          return 'again';
        }
        const { findings } = reportOf(
          (await findingsOf(tx, runId)).filter(({ state }) => state !== 'gone'),
          { acceptances: await acceptancesOf(tx, rollout.ownerId), today: run.today },
        );
        const definition = rollout.file.workPackages.find(({ id }) => id === of.packageId)!;
        const against = standingAgainst(definition, findings, await placesOf(tx, rollout, run.inventory));
        if (against.length > 0) {
          await failPackage(tx, rollout, of.packageId, saidAgainst(against));
          return 'over';
        }
        await note(tx, rollout, of.packageId, '');
        return 'clean';
      });
    },

    /** What the files of `generate` are made of. */
    async basis(
      rolloutId: string,
    ): Promise<{ ownerId: string; repository: Repository; acceptances: Acceptance[]; today: string }> {
      const rollout = await readRollout(db, rolloutId);
      const { rows } = await sql<{ today: string }>`select to_char(now(), 'YYYY-MM-DD') as today`.execute(db);
      return {
        ownerId: rollout.ownerId,
        repository: (await assessedRepository(db, rollout))!,
        acceptances: await acceptancesOf(db, rollout.ownerId),
        today: rows[0]!.today,
      };
    },
  };
}
export type RolloutAssessmentStore = ReturnType<typeof createRolloutAssessmentStore>;

/**
 * The file's own repository, read as the last assessment of it was; else what the last assessment looked at.
 * @returns undefined: there is neither
 */
export async function assessedRepository(
  db: Executor,
  { ownerId, file }: { ownerId: string; file: Pick<RolloutFile, 'repository'> },
): Promise<Repository | undefined> {
  const { rows } = await sql<{ repository: Repository }>`
    select repository from readiness_runs where owner_id = ${ownerId} and state = 'done' order by finished_at desc limit 100`.execute(
    db,
  );
  const wanted = file.repository;
  if (wanted === undefined) return rows[0]?.repository;
  const path = (folder: string) => folder.replace(/\/+$/, '');
  const known = rows.find(
    ({ repository: { folder, machineId } }) =>
      path(folder) === path(wanted.path) && (machineId === null || machineId === wanted.machine),
  )?.repository;
  return {
    ...(known ?? { folder: wanted.path, machineFiles: [], portRules: [] }),
    machineId: wanted.machine,
  };
}

function isVerified(rollout: LockedRollout, { packageId, attempt }: PackageRef): boolean {
  const each = packageOf(rollout, packageId);
  return each.attempt === attempt && each.state === 'verifying';
}

async function note(tx: DatabaseTransaction, { id }: LockedRollout, packageId: string, reason: string): Promise<void> {
  await tx
    .updateTable('rolloutPackages')
    .set({ reason })
    .where('rolloutId', '=', id)
    .where('packageId', '=', packageId)
    .execute();
}

async function failPackage(
  tx: DatabaseTransaction,
  rollout: LockedRollout,
  packageId: string,
  reason: string,
): Promise<void> {
  await setPackage(tx, rollout, packageId, { state: 'undoing', undoTo: 'failed', reason });
  await recompute(tx, rollout, packageId, reason);
}

async function isLate(tx: DatabaseTransaction, rolloutId: string, packageId: string): Promise<boolean> {
  const { late } = await tx
    .selectFrom('rolloutPackages')
    .select(sql<boolean>`changed_at < ${clockNow} - make_interval(mins => ${unassessedMinutes})`.as('late'))
    .where('rolloutId', '=', rolloutId)
    .where('packageId', '=', packageId)
    .executeTakeFirstOrThrow();
  return late;
}

/** By the plan, and where that has none by what the assessment has read. */
async function placesOf(
  tx: DatabaseTransaction,
  { ownerId, machines }: LockedRollout,
  inventory: Inventory | null,
): Promise<Places> {
  const placed = await tx
    .selectFrom('services')
    .select(['id', 'machineId'])
    .where('ownerId', '=', ownerId)
    .where('retiredAt', 'is', null)
    .execute();
  const services = new Map<string, string>();
  for (const { id, machine } of inventory?.services ?? []) if (machine !== undefined) services.set(id, machine);
  for (const { id, machineId } of placed) if (machineId !== null) services.set(id, machineId);
  return { machines, services };
}
