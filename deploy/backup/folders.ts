import { closeSync, fsyncSync, openSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';

/** Makes names that were given or taken in a folder outlive a loss of power. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** All files below a folder and its folders. */
export function syncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) syncTree(path);
    else if (entry.isFile()) syncFolder(path);
  }
  syncFolder(folder);
}

/** @throws CONFLICT where a folder is another user's: what is made there by somebody else, its owner cannot use */
export function mustOwn(folder: string): void {
  const { uid } = statSync(folder);
  const own = process.geteuid?.();
  if (own !== undefined && uid !== own)
    throw new DomainError(
      'CONFLICT',
      `${folder} belongs to user ${uid} and this runs as user ${own}: run it as its owner`,
    );
}

/** @throws CONFLICT where a folder is where a disk is mounted: it cannot change places with another */
export function mustMove(folder: string): void {
  if (statSync(folder).dev !== statSync(dirname(folder)).dev)
    throw new DomainError(
      'CONFLICT',
      `${folder} is a mount point, which cannot be exchanged: restore into a folder on it (--into ${join(folder, 'soulfra')}), then start with SOULFRA_HOME=${join(folder, 'soulfra')}`,
    );
}

/** Room that is left beside what is asked for. */
const spareBytes = 64 << 20;

/** @throws DISK_FULL before anything is written that would find no room */
export function needRoom(folder: string, bytes: number, what: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  if (free < bytes + spareBytes)
    throw new DomainError(
      'DISK_FULL',
      `${what} needs about ${megabytes(bytes + spareBytes)} in ${folder}, and ${megabytes(free)} are free`,
    );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}

/** A write that found no room, as files, Postgres and SQLite say it, in the words of the table. */
export function fullDisk(err: unknown): unknown {
  for (let at: unknown = err, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const { code, errcode } = at as NodeJS.ErrnoException & { errcode?: number };
    const isFull =
      code === 'ENOSPC' ||
      code === 'EDQUOT' ||
      code === postgresDiskFull ||
      (code === 'ERR_SQLITE_ERROR' && errcode === sqliteFull) ||
      // What a program wrote on its way down.
      /No space left on device|Disk quota exceeded/.test(at.message);
    if (isFull) return new DomainError('DISK_FULL', `the disk is full: ${at.message}`, { cause: err });
  }
  return err;
}
/** SQLSTATE disk_full. */
const postgresDiskFull = '53100';
/** SQLITE_FULL. */
const sqliteFull = 13;

export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
