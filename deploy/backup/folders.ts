import { closeSync, fsyncSync, openSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { join } from 'node:path';
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

/** A write that found no room, in the words of the table. */
export function fullDisk(err: unknown): unknown {
  const code = (err as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOSPC' || code === 'EDQUOT'
    ? new DomainError('DISK_FULL', `the disk is full: ${(err as Error).message}`, { cause: err })
    : err;
}

export function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
