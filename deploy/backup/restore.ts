import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type BackupManifest, rowsOf } from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { settleRestored } from '../../stores/database-copy.ts';
import { migrate } from '../../stores/migrate.ts';
import { type Env, openHome } from '../embedded/home.ts';
import { finishSwap, isSwapping, seatOf, swapHome } from '../embedded/home-swap.ts';
import { endLeftovers, recordParts } from '../embedded/leftovers.ts';
import { refuseMoved } from '../embedded/moved.ts';
import { appStamp, writeStamp } from '../embedded/version.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { compareFile } from './archive.ts';
import type { Progress } from './create.ts';
import { keepPorts } from './data-files.ts';
import { freshOf } from '../embedded/scratch-folders.ts';
import { fullDisk, mustMove, mustOwn, sizeOf, syncTree } from './folders.ts';
import { equalWords, needRestoreRoom, refuseNewer, type Unpacked, unpack } from './scratch.ts';
import type { Seal } from './seal.ts';
import { findArchive } from './shelf.ts';

export interface RestoreOptions {
  /** Id, file or `newest`. */
  wanted: string;
  folders: readonly string[];
  /** The data folder that is to be; where it is a link, what that leads to. */
  into: string;
  seal: Seal;
  env: Env;
  progress: Progress;
}

export interface Restored {
  id: string;
  madeAt: string;
  into: string;
  /** Where what was there before is kept; null: nothing was. */
  aside: string | null;
  tables: number;
  rows: number;
  ledger: BackupManifest['ledger'];
  migrated: string[];
  rpoSeconds: number;
  rtoSeconds: number;
}

/**
 * Restores a backup into a data folder that no fleet runs from. All of it is made and compared beside that folder first; what is
 * there stays as it is until the new one is whole, and is kept then.
 */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const { wanted, folders, seal, env, progress } = options;
  const into = seatOf(options.into);
  const since = performance.now();
  finishSwap(into);
  refuseMoved(into);
  const { archive, record } = findArchive(wanted, folders);
  const { app } = appStamp(repositoryRoot);
  if (record !== undefined) refuseNewer(record, app);
  await claim(into, env);
  if (record !== undefined) await compareFile(archive, record.archive);
  mkdirSync(dirname(into), { recursive: true });
  needRestoreRoom(dirname(into), record, archive);
  const folder = freshOf(into);
  try {
    const fresh = await unpack({ archive, seal, folder, env, app, progress });
    const { manifest } = fresh;
    let migrated: string[];
    try {
      progress('bringing the schema up to date');
      migrated = await settle(fresh, sizeOf(archive));
      const { schema } = appStamp(repositoryRoot);
      writeStamp(fresh.home, { app, schema, postgresMajor: fresh.major, temporal: manifest.temporal || null });
      keepPorts(into, folder);
      syncTree(folder);
      // Nobody may have begun to run from it meanwhile.
      await claim(into, env);
    } catch (err) {
      rmSync(folder, { recursive: true, force: true });
      throw err;
    } finally {
      fresh.keep();
    }
    const aside = existsSync(into) ? freeName(into) : null;
    exchange(into, folder, aside ?? freeName(into));
    return {
      id: manifest.id,
      madeAt: manifest.madeAt,
      into,
      aside,
      ...equalWords(manifest),
      migrated,
      rpoSeconds: Math.round((Date.now() - Date.parse(manifest.madeAt)) / 1000),
      rtoSeconds: Math.round(performance.now() - since) / 1000,
    };
  } catch (err) {
    throw fullDisk(err);
  }
}

/** Once it is written down, what was restored stays: an error in the middle is ended by the next start. */
function exchange(into: string, folder: string, aside: string): void {
  try {
    swapHome(into, folder, aside);
  } catch (err) {
    if (!isSwapping(into)) rmSync(folder, { recursive: true, force: true });
    throw err;
  }
}

/** Brings the rows to what this Soulfra goes on from, and ends their server. @returns migrations that were run */
async function settle(fresh: Unpacked, bytes: number): Promise<string[]> {
  const { url, manifest } = fresh;
  try {
    const migrated = await migrate(url);
    await settleRestored(url, { id: manifest.id, madeAt: manifest.madeAt, bytes, rows: rowsOf(manifest) });
    return migrated;
  } finally {
    await fresh.stop();
  }
}

/**
 * Ends what a killed start has left, and has a start find that somebody is at the folder.
 * @throws CONFLICT where its fleet runs
 */
async function claim(into: string, env: Env): Promise<void> {
  if (!existsSync(into)) return;
  // What it would bring back lives elsewhere by now, or since a moment ago.
  refuseMoved(into);
  mustOwn(into);
  mustMove(into);
  if (readdirSync(into).length > 0 && !existsSync(join(into, 'run')) && !existsSync(join(into, 'secrets.json')))
    throw new DomainError(
      'CONFLICT',
      `${into} is there and is no data folder of Soulfra; name another one with --into`,
    );
  const home = openHome({ ...env, SOULFRA_HOME: into }, '/');
  await endLeftovers(home);
  recordParts(home, []);
}

function freeName(into: string): string {
  const base = `${into}.before-${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;
  for (let n = 1; ; n += 1) {
    const name = n === 1 ? base : `${base}-${n}`;
    if (!existsSync(name)) return name;
  }
}
