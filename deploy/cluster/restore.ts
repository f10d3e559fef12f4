import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import { backupIdOf, rowsOf, type LedgerFigures } from '../../domain/backups.ts';
import {
  backupToRestore,
  type ClusterBackup,
  clusterIdOf,
  firstGap,
  type Repository,
  restoreTargetOf,
  saidBy,
} from '../../domain/cluster-backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { forgetRestore, lastReplayed, restoredFigures, temporalWorkflows } from '../../stores/cluster-backups.ts';
import { settleRestored } from '../../stores/database-copy.ts';
import type { Progress } from '../backup/create.ts';
import { fullDisk, needRoom, syncFolder, syncTree } from '../backup/folders.ts';
import { isNewer, majorOf } from './own-version.ts';
import { openPgbackrest, type Pgbackrest } from './pgbackrest.ts';
import { restoreScratch } from './scratch.ts';
import { bringBack } from './second-copy.ts';

export interface RestoredCluster {
  label: string;
  /** Of the last change that is in it. */
  madeAt: string;
  /** Where what was there before is kept; null: nothing was. */
  aside: string | null;
  tables: number;
  rows: number;
  ledger: LedgerFigures;
  workflows: number;
  rpoSeconds: number;
  rtoSeconds: number;
}

const spareShare = 1.25;

/**
 * Restores the cluster of a deployment that stands still; whoever calls holds the lock that its Postgres takes. All of it is made, and
 * tried, beside what is there. From the one rename on that gives it the name `restored` it is the cluster: what exchanges both goes on
 * with the next start of Postgres, or the next restore, wherever it was cut off.
 */
export async function restoreCluster(options: {
  place: ClusterPlace;
  /** `latest`, or a time with its zone. */
  to: string;
  /** The repository is lost, and is made of its second copy first. */
  second: boolean;
  progress: Progress;
}): Promise<RestoredCluster> {
  const { place, progress } = options;
  const since = performance.now();
  const askedAt = Date.now();
  const target = restoreTargetOf(options.to, askedAt / 1000);
  mkdirSync(place.data, { recursive: true });
  finishExchange(place);
  const pgbackrest = openPgbackrest(place);
  if (options.second) {
    progress('bringing the repository back');
    const of = place.second === null ? undefined : (await pgbackrest.info(place.second)).clusterId;
    if (of === undefined)
      throw new DomainError(
        'NOT_FOUND',
        place.second === null
          ? 'fleet.yaml names no second copy (backup.to), so there is none to bring back'
          : `${place.second} (backup.to of fleet.yaml) holds no repository`,
      );
    await bringBack(place, of);
  }
  const repository = await pgbackrest.info();
  const clusterId = clusterIdHere(place);
  const backup = backupToRestore(repository, target, { clusterId, postgresMajor: await majorOf(place), isNewer });
  // To another time Postgres itself says that it is never reached.
  if (target.is === 'latest') await refuseGap(pgbackrest, repository, backup);
  needRoom(place.data, backup.info.size * spareShare, 'the restored cluster');
  const folder = join(place.data, 'restore');
  const scratch = await restoreScratch({ place, pgbackrest, folder, label: backup.label, target, progress });
  let restored: Omit<RestoredCluster, 'aside' | 'rtoSeconds'>;
  try {
    const url = scratch.url('soulfra');
    // Before it writes by itself.
    const madeAt = (await lastReplayed(url)) ?? new Date(backup.timestamp.stop * 1000).toISOString();
    progress('adding the books up');
    const { tables, ledger } = await restoredFigures(url);
    const off = Object.entries(ledger.sums).filter(([, sum]) => BigInt(sum) !== 0n);
    if (off.length > 0)
      throw new DomainError(
        'BACKUP_DAMAGED',
        `${backup.label}: restored, the ledger does not add up (${off.map(([currency]) => currency).join(', ')})`,
      );
    const workflows = await temporalWorkflows(scratch.url('temporal'));
    const rows = rowsOf({ tables });
    await forgetRestore(url);
    // What left since is not known in it, and would leave once more.
    await settleRestored(url, {
      id: saidBy(backup, 'id') ?? backupIdOf(madeAt),
      madeAt,
      bytes: backup.info.repository.delta,
      rows,
    });
    restored = {
      label: backup.label,
      madeAt,
      tables: Object.keys(tables).length,
      rows,
      ledger,
      workflows,
      rpoSeconds: Math.max(0, Math.round((askedAt - Date.parse(madeAt)) / 1000)),
    };
    await scratch.stop();
    progress('exchanging');
    syncTree(folder);
  } catch (err) {
    await scratch.stop();
    rmSync(folder, { recursive: true, force: true });
    throw fullDisk(err);
  }
  renameSync(folder, join(place.data, 'restored'));
  syncFolder(place.data);
  const aside = finishExchange(place);
  return { ...restored, aside, rtoSeconds: Math.round(performance.now() - since) / 1000 };
}

/**
 * Where another machine was the first one for a while, its changes lie in that one's repository: this one has them again from its first
 * backup of after that on, and recovery from one of before would end at the gap as if there were no more.
 */
async function refuseGap(pgbackrest: Pgbackrest, repository: Repository, backup: ClusterBackup): Promise<void> {
  if (repository.archiveId === undefined) return;
  const changes = await pgbackrest.changes(repository.archiveId);
  const gap = firstGap(backup, repository.history, new Set(changes.keys()));
  if (gap === undefined) return;
  const isBefore = (name: string) => name.slice(0, 8) <= gap.slice(0, 8) && name.slice(8) < gap.slice(8);
  const last = [...changes].reduce(
    (at, [name, came]) => (isBefore(name) ? Math.max(at, came) : at),
    backup.timestamp.stop,
  );
  const end = new Date(last * 1000).toISOString();
  throw new DomainError(
    'CONFLICT',
    `the repository lacks changes after its newest backup that counts (${backup.label}): ${gap} is not there, though later ones are, as after another machine was the first one. latest would end there without a word. Restore on the machine that was the first one then, by its own repository; or, without what came since, --to a moment of shortly before ${end}`,
  );
}

/**
 * Gives a restored cluster its place. The start of Postgres does the same, in three lines of shell (deploy/compose/cluster-files.ts).
 * @returns where what was there is kept
 */
function finishExchange(place: ClusterPlace): string | null {
  const restored = join(place.data, 'restored');
  if (!existsSync(restored)) return null;
  const cluster = join(place.data, place.cluster);
  let aside: string | null = null;
  if (existsSync(cluster)) {
    const base = `${cluster}.before-${backupIdOf(new Date().toISOString())}`;
    aside = base;
    for (let n = 2; existsSync(aside); n += 1) aside = `${base}-${n}`;
    renameSync(cluster, aside);
  }
  // What stood here may have been cut off while it was made; this was not.
  rmSync(join(place.data, 'making'), { force: true });
  renameSync(restored, cluster);
  syncFolder(place.data);
  return aside;
}

/** Of the cluster that is there; undefined: it is gone. */
function clusterIdHere(place: ClusterPlace): string | undefined {
  const file = join(place.data, place.cluster, 'global/pg_control');
  return existsSync(file) ? clusterIdOf(readFileSync(file)) : undefined;
}
