import {
  createReadStream,
  createWriteStream,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  archiveName,
  type BackupRecord,
  backupRecordSchema,
  expendable,
  idOfArchive,
  idOfManifest,
  manifestName,
} from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { writeJson } from '../embedded/home.ts';
import { compareFile } from './archive.ts';
import { sizeOf, syncFolder } from './folders.ts';

/** A backup that lies in a folder: there once its record is. */
export interface Shelved {
  id: string;
  folder: string;
  archive: string;
  /** Undefined: the record cannot be read. */
  record: BackupRecord | undefined;
  /** Why it is not whole, as far as can be seen without reading it; empty: it seems so. */
  fault: string;
}

const unfinished = /^soulfra-\d{8}T\d{6}Z\..*\.part$/;

/** Newest first. */
export function readShelf(folder: string): Shelved[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
  return names
    .flatMap((name) => idOfManifest(name) ?? [])
    .sort()
    .reverse()
    .map((id) => shelved(folder, id));
}

function shelved(folder: string, id: string): Shelved {
  const archive = join(folder, archiveName(id));
  const base = { id, folder, archive };
  let record: BackupRecord;
  try {
    record = backupRecordSchema.parse(JSON.parse(readFileSync(join(folder, manifestName(id)), 'utf8')));
  } catch {
    return { ...base, record: undefined, fault: `${manifestName(id)} cannot be read` };
  }
  const size = statSync(archive, { throwIfNoEntry: false })?.size;
  const fault =
    size === undefined
      ? 'its archive is missing'
      : size === record.archive.bytes
        ? ''
        : `its archive has ${size} bytes in place of ${record.archive.bytes}`;
  return { ...base, record, fault };
}

/**
 * The archive that is meant: a file, or the id of one in a folder.
 * @throws NOT_FOUND with those that there are
 */
export function findArchive(
  wanted: string,
  folders: readonly string[],
): { archive: string; record: BackupRecord | undefined } {
  const file = statSync(wanted, { throwIfNoEntry: false });
  if (file?.isFile()) {
    const id = idOfArchive(wanted.split('/').at(-1)!);
    const known = id === undefined ? undefined : shelved(join(wanted, '..'), id);
    return { archive: wanted, record: known?.record };
  }
  const shelf = folders.flatMap(readShelf);
  const found = wanted === 'newest' ? shelf.find(({ fault }) => fault === '') : shelf.find(({ id }) => id === wanted);
  if (found === undefined) {
    const there = shelf.map(({ id }) => id).slice(0, 10);
    throw new DomainError(
      'NOT_FOUND',
      `there is no backup ${wanted} in ${folders.join(' or ')}${there.length === 0 ? '' : `; there are ${there.join(', ')}`}`,
    );
  }
  return { archive: found.archive, record: found.record };
}

/** What a backup that was cut off has left. */
function sweepUnfinished(folder: string): void {
  for (const name of readdirSync(folder)) if (unfinished.test(name)) rmSync(join(folder, name), { force: true });
}

export const partOf = (folder: string, id: string) => join(folder, `${archiveName(id)}.part`);

/** Gives the archive its name, and then its record: from then on it is a backup. */
export function shelve(folder: string, record: BackupRecord): void {
  renameSync(partOf(folder, record.id), join(folder, archiveName(record.id)));
  syncFolder(folder);
  writeJson(join(folder, manifestName(record.id)), record, 0o600);
  syncFolder(join(folder, manifestName(record.id)));
  syncFolder(folder);
}

/** Copies a backup to another folder, reads it back there, and only then names it. */
export async function copyTo(from: Shelved & { record: BackupRecord }, folder: string): Promise<void> {
  const { id, record, archive } = from;
  // A disk that is not mounted must not be filled in place of it: the folder is made by its owner.
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new DomainError('NOT_FOUND', `${folder} is not there`);
  sweepUnfinished(folder);
  const there = shelved(folder, id);
  if (there.fault === '') return;
  try {
    await pipeline(createReadStream(archive), createWriteStream(partOf(folder, id), { mode: 0o600, flush: true }));
    await compareFile(partOf(folder, id), record.archive);
    shelve(folder, record);
  } catch (err) {
    rmSync(partOf(folder, id), { force: true });
    throw err;
  }
}

/** Deletes what is older than the `keep` newest whole ones of the origin of `made`, the record first. @returns the ids */
export function prune(folder: string, made: Pick<BackupRecord, 'id' | 'origin'>, keep: number): string[] {
  const shelf = readShelf(folder).flatMap(({ id, record, fault }) =>
    record === undefined ? [] : [{ id, origin: record.origin, whole: fault === '' }],
  );
  const gone = expendable(shelf, made.origin, keep, made.id);
  for (const id of gone) {
    rmSync(join(folder, manifestName(id)), { force: true });
    rmSync(join(folder, archiveName(id)), { force: true });
  }
  return gone;
}

/** @returns bytes of the newest one, to guess the next by */
export function lastSize(folder: string): number | undefined {
  const last = readShelf(folder).find(({ fault }) => fault === '');
  return last && sizeOf(last.archive);
}

export function openShelf(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  sweepUnfinished(folder);
}
