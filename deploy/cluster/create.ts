import type { ClusterPlace } from '../../config/cluster-place.ts';
import { appVersion } from '../../config/app-version.ts';
import { backupIdOf } from '../../domain/backups.ts';
import { annotationsOf, type ClusterBackup, nextBackupType, saidBy } from '../../domain/cluster-backups.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import { openBackupLog } from '../../stores/backup-log.ts';
import { migrationsOf, rowsAbout, tellSecondCopy } from '../../stores/cluster-backups.ts';
import type { Progress } from '../backup/create.ts';
import { fullDisk } from '../backup/folders.ts';
import { onEnd } from '../backup/on-end.ts';
import { openPgbackrest, type Pgbackrest, repositoryOf } from './pgbackrest.ts';
import { liveUrl, passwordOf } from './scratch.ts';
import { copyRepository } from './second-copy.ts';

export interface CreatedCluster {
  /** As `soulfra backup` tells it. */
  record: { id: string; archive: { bytes: number }; rows: number };
  label: string;
  type: 'full' | 'diff' | 'incr';
  repository: string;
  /** Null: no second copy is asked for. */
  copy: { folder: string; reason: string } | null;
  /** Backups that were let go. */
  deleted: string[];
  seconds: number;
}

/** Who keeps the second copy has the lock for some seconds of each minute. */
const lockWaitMs = 60_000;

/** Makes sure that changes have a place to go to: until then Postgres keeps them. Run again it does nothing. */
export async function prepareRepository(place: ClusterPlace): Promise<void> {
  await openPgbackrest(place, { password: passwordOf(place) }).run('stanza-create');
}

/** Backs the running cluster up, and lets old backups and the changes before them go. */
export async function backUpCluster(options: {
  place: ClusterPlace;
  /** Names it; a second execution under the same id finds what the first has made. @default now */
  id: string | undefined;
  progress: Progress;
}): Promise<CreatedCluster> {
  const { place, progress } = options;
  const since = performance.now();
  const url = liveUrl(place, 'soulfra');
  const pgbackrest = openPgbackrest(place, { password: passwordOf(place) });
  const log = await openBackupLog(url);
  let id: string | undefined;
  const forget = onEnd(async () => (id === undefined ? undefined : log.failed(id, 'it was ended')));
  try {
    await log.lock(lockWaitMs);
    const origin = await log.origin();
    id = options.id ?? backupIdOf(await log.now());
    const repository = repositoryOf(place);
    await log.begin(id, repository);
    progress('looking at the repository');
    await pgbackrest.run('stanza-create');
    const { backups: before } = await pgbackrest.info();
    // A killed execution may have made it, and not have told.
    const made =
      before.find((backup) => saidBy(backup, 'id') === id && backup.error !== true) ??
      (await make(pgbackrest, { ...options, id, origin }, before));
    const { backups: after } = await pgbackrest.info();
    // Each week both copies are read.
    const copy = await (made.type === 'full'
      ? readWhole(place, pgbackrest, progress)
      : second(place, pgbackrest, { thorough: false, progress }));
    const rows = await rowsAbout(url);
    await log.done(id, { bytes: made.info.repository.delta, rows, copyReason: copy?.reason ?? '' });
    const kept = new Set(after.map(({ label }) => label));
    return {
      record: { id, archive: { bytes: made.info.repository.delta }, rows },
      label: made.label,
      type: made.type,
      repository,
      copy,
      deleted: before.map(({ label }) => label).filter((label) => !kept.has(label)),
      seconds: Math.round(performance.now() - since) / 1000,
    };
  } catch (err) {
    const told = fullDisk(err);
    if (id !== undefined)
      await log.failed(id, told instanceof Error ? told.message : String(told)).catch(() => undefined);
    throw told;
  } finally {
    forget();
    await log.end();
  }
}

async function make(
  pgbackrest: Pgbackrest,
  { place, id, origin, progress }: { place: ClusterPlace; id: string; origin: string; progress: Progress },
  before: readonly ClusterBackup[],
): Promise<ClusterBackup> {
  const type = nextBackupType(before, place.keep, Date.now() / 1000);
  const migrations = await migrationsOf(liveUrl(place, 'soulfra'));
  progress(type === 'full' ? 'copying every file' : 'copying what has changed since the last full one');
  // Ends once every change that it needs is in the repository, and then lets old ones go by their age.
  await pgbackrest.run('backup', [
    `--type=${type}`,
    '--repo1-retention-full-type=time',
    `--repo1-retention-full=${place.keep}`,
    ...annotationsOf({ id, origin, app: appVersion(), migration: migrations.at(-1) ?? 'none' }),
  ]);
  const { backups } = await pgbackrest.info();
  const made = backups.findLast((backup) => saidBy(backup, 'id') === id);
  if (made === undefined) throw new DomainError('INTERNAL', `backup ${id} was made and is not in its repository`);
  if (made.error === true)
    throw new DomainError(
      'BACKUP_DAMAGED',
      `${made.label} has pages whose checksum is wrong: the disk of the cluster is failing, or its memory`,
    );
  return made;
}

/** What is wrong with the second copy is told and does not undo the first. */
async function second(
  place: ClusterPlace,
  pgbackrest: Pgbackrest,
  { thorough, progress }: { thorough: boolean; progress: Progress },
): Promise<CreatedCluster['copy']> {
  if (place.second === null) return null;
  progress(`copying it to ${place.second}`);
  try {
    await copyRepository(place, pgbackrest, { thorough });
    return { folder: place.second, reason: '' };
  } catch (err) {
    return { folder: place.second, reason: err instanceof Error ? err.message : String(err) };
  }
}

/** The repository to its last byte, and then its second copy against it. @throws BACKUP_DAMAGED where the first is not whole */
async function readWhole(
  place: ClusterPlace,
  pgbackrest: Pgbackrest,
  progress: Progress,
): Promise<CreatedCluster['copy']> {
  progress('reading the repository to its last byte');
  await pgbackrest.verify();
  return second(place, pgbackrest, { thorough: true, progress });
}

export interface VerifiedCluster {
  backups: number;
  repository: string;
  copy: CreatedCluster['copy'];
}

/** Reads both copies; what has rotten in the second is copied anew. @throws BACKUP_DAMAGED where the first is not whole */
export async function verifyCluster(place: ClusterPlace, progress: Progress): Promise<VerifiedCluster> {
  const url = liveUrl(place, 'soulfra');
  const log = await openBackupLog(url);
  try {
    await log.lock(lockWaitMs);
    const pgbackrest = openPgbackrest(place);
    const { backups } = await pgbackrest.info();
    const copy = await readWhole(place, pgbackrest, progress);
    if (copy !== null) await tellSecondCopy(url, copy.reason);
    return { backups: backups.length, repository: repositoryOf(place), copy };
  } finally {
    await log.end();
  }
}

/**
 * Brings the second copy up to date, and says of the newest backup whether it is.
 * @returns isBusy: who makes a backup has the lock, and does it besides
 */
export async function keepSecondCopy(
  place: ClusterPlace,
  progress: Progress,
): Promise<{ copy: CreatedCluster['copy']; isBusy: boolean }> {
  const url = liveUrl(place, 'soulfra');
  const log = await openBackupLog(url);
  try {
    await log.lock();
    const copy = await second(place, openPgbackrest(place), { thorough: false, progress });
    if (copy !== null) await tellSecondCopy(url, copy.reason);
    return { copy, isBusy: false };
  } catch (err) {
    if (isDomainError(err, 'UNAVAILABLE')) return { copy: null, isBusy: true };
    throw err;
  } finally {
    await log.end();
  }
}
