import type { ClusterPlace } from '../../config/cluster-place.ts';
import { appVersion } from '../../config/app-version.ts';
import { backupIdOf } from '../../domain/backups.ts';
import { annotationsOf, type ClusterBackup, nextBackupType, saidBy } from '../../domain/cluster-backups.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import { type BackupLog, openBackupLog } from '../../stores/backup-log.ts';
import { migrationsOf, rowsAbout, tellSecondCopy } from '../../stores/cluster-backups.ts';
import type { Progress } from '../backup/create.ts';
import { logged } from '../backup/logged.ts';
import { openPgbackrest, type Pgbackrest, repositoryOf } from './pgbackrest.ts';
import { liveUrl, passwordOf } from './scratch.ts';
import { copyRepository, rottenInSecond } from './second-copy.ts';

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
  return logged(
    log,
    async (reason) => (id === undefined ? undefined : log.failed(id, reason)),
    async () => {
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
      let copy = await second(place, progress, () => copyRepository(place, pgbackrest));
      const rows = await rowsAbout(url);
      await log.done(id, { bytes: made.info.repository.delta, rows, copyReason: copy?.reason ?? '' });
      await log.unlock();
      // Each week both copies are read, which may take hours: the next backups need not wait for it.
      if (made.type === 'full' && (await log.lockReading())) {
        const read = await readWhole({ place, pgbackrest, log, progress }).catch(async (err: unknown) => {
          if (isDomainError(err, 'BACKUP_DAMAGED')) await log.foundDamaged(id!, err.message);
          throw err;
        });
        if (read.copy !== null) {
          copy = read.copy;
          await tellSecondCopy(url, copy.reason);
        }
      }
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
    },
  );
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
  progress: Progress,
  keep: () => Promise<unknown>,
): Promise<CreatedCluster['copy']> {
  if (place.second === null) return null;
  progress(`copying it to ${place.second}`);
  try {
    await keep();
    return { folder: place.second, reason: '' };
  } catch (err) {
    return { folder: place.second, reason: err instanceof Error ? err.message : String(err) };
  }
}

/** Whether the second copy is up to date. */
interface KeptCopy {
  /** Null: none is asked for, or `isBusy`. */
  copy: CreatedCluster['copy'];
  /** Whoever has the lock of backups copies what the second lacks, and tells of it. */
  isBusy: boolean;
}

interface Reading {
  place: ClusterPlace;
  pgbackrest: Pgbackrest;
  /** Holds the lock of those who read, and not that of backups. */
  log: BackupLog;
  progress: Progress;
}

/** The repository to its last byte, and then its second copy against it. @throws BACKUP_DAMAGED where the first is not whole */
async function readWhole({ place, pgbackrest, log, progress }: Reading): Promise<KeptCopy> {
  progress('reading the repository to its last byte');
  await verifyBesideBackups(pgbackrest);
  let isBusy = false;
  const copy = await second(place, progress, async () => {
    const rotten = await rottenInSecond(place);
    try {
      await log.lock(rotten.length === 0 ? 0 : lockWaitMs);
    } catch (err) {
      if (rotten.length > 0 || !isDomainError(err, 'UNAVAILABLE')) throw err;
      isBusy = true;
      return;
    }
    try {
      await copyRepository(place, pgbackrest, { rotten });
    } finally {
      await log.unlock();
    }
  });
  return { copy: isBusy ? null : copy, isBusy };
}

/** A backup that is made meanwhile lets old ones go as they are read: what is missing then is looked for again. */
async function verifyBesideBackups(pgbackrest: Pgbackrest): Promise<void> {
  const listed = async () => (await pgbackrest.info()).backups.map(({ label }) => label).join(' ');
  const before = await listed();
  try {
    await pgbackrest.verify();
  } catch (err) {
    if (!isDomainError(err, 'BACKUP_DAMAGED') || (await listed()) === before) throw err;
    await verifyBesideBackups(pgbackrest);
  }
}

export interface VerifiedCluster extends KeptCopy {
  backups: number;
  repository: string;
}

/** Reads both copies; what has rotten in the second is copied anew. @throws BACKUP_DAMAGED where the first is not whole */
export async function verifyCluster(place: ClusterPlace, progress: Progress): Promise<VerifiedCluster> {
  const url = liveUrl(place, 'soulfra');
  const log = await openBackupLog(url);
  try {
    if (!(await log.lockReading()))
      throw new DomainError('UNAVAILABLE', 'somebody else reads the backups of this cluster already: it takes hours');
    const pgbackrest = openPgbackrest(place);
    const { backups } = await pgbackrest.info();
    const { copy, isBusy } = await readWhole({ place, pgbackrest, log, progress });
    if (copy !== null) await tellSecondCopy(url, copy.reason);
    return { backups: backups.length, repository: repositoryOf(place), copy, isBusy };
  } finally {
    await log.end();
  }
}

/** Brings the second copy up to date, and says of the newest backup whether it is. */
export async function keepSecondCopy(place: ClusterPlace, progress: Progress): Promise<KeptCopy> {
  const url = liveUrl(place, 'soulfra');
  const log = await openBackupLog(url);
  try {
    await log.lock();
    const copy = await second(place, progress, () => copyRepository(place, openPgbackrest(place)));
    if (copy !== null) await tellSecondCopy(url, copy.reason);
    return { copy, isBusy: false };
  } catch (err) {
    if (isDomainError(err, 'UNAVAILABLE')) return { copy: null, isBusy: true };
    throw err;
  } finally {
    await log.end();
  }
}
