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
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  archiveName,
  type BackupName,
  type BackupRecord,
  backupRecordSchema,
  expendable,
  manifestName,
  nameOf,
  readName,
  tagOf,
} from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { writeJson } from '../embedded/home.ts';
import { compareFile } from './archive.ts';
import { sizeOf, syncFolder } from './folders.ts';
import { onEnd } from './on-end.ts';

/** A backup that lies in a folder, or what is left of one. */
export interface Shelved extends BackupName {
  folder: string;
  archive: string;
  /** Undefined: it is missing, or cannot be read. */
  record: BackupRecord | undefined;
  /** Why it is not whole, as far as can be seen without reading it; empty: it seems so. */
  fault: string;
}

/** Newest first; of every fleet that has some there. */
export function readShelf(folder: string): Shelved[] {
  const names = namesIn(folder).flatMap((file) => readName(file) ?? []);
  const found = new Map(names.filter(({ is }) => is !== 'part').map((name) => [archiveName(name), name]));
  return [...found.values()]
    .sort((a, b) => (a.id === b.id ? a.tag.localeCompare(b.tag) : a.id < b.id ? 1 : -1))
    .map((name) => shelved(folder, name));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
}

function shelved(folder: string, { id, tag }: BackupName): Shelved {
  const archive = join(folder, archiveName({ id, tag }));
  const base = { id, tag, folder, archive };
  let record: BackupRecord;
  try {
    record = backupRecordSchema.parse(JSON.parse(readFileSync(join(folder, manifestName({ id, tag })), 'utf8')));
  } catch (err) {
    const how = (err as NodeJS.ErrnoException).code === 'ENOENT' ? 'is missing' : 'cannot be read';
    return { ...base, record: undefined, fault: `${manifestName({ id, tag })} ${how}` };
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
 * A whole one of this fleet. @throws CONFLICT where another fleet's has its name
 */
export function findShelved(folder: string, of: { id: string; origin: string }): BackupRecord | undefined {
  const { record, fault } = shelved(folder, nameOf(of));
  if (record !== undefined && record.origin !== of.origin)
    throw new DomainError('CONFLICT', `${folder} has ${archiveName(nameOf(of))} of another fleet (${record.origin})`);
  return fault === '' ? record : undefined;
}

/**
 * The archive that is meant: a file, or the id of one in a folder.
 * @param origin whose; left out: of whatever fleet, where there is but one
 * @throws NOT_FOUND with those that there are · CONFLICT where those of several fleets would do
 */
export function findArchive(
  wanted: string,
  folders: readonly string[],
  origin?: string,
): { archive: string; record: BackupRecord | undefined } {
  const file = statSync(wanted, { throwIfNoEntry: false });
  if (file?.isFile()) {
    const name = readName(basename(wanted));
    const known = name?.is === 'archive' ? shelved(dirname(wanted), name) : undefined;
    return { archive: wanted, record: known?.record };
  }
  const shelf = folders.flatMap(readShelf).filter(({ tag }) => origin === undefined || tag === tagOf(origin));
  const fit = shelf.filter(({ id, fault }) => (wanted === 'newest' ? fault === '' : id === wanted));
  const [found] = fit;
  if (found === undefined) {
    const there = shelf.map(({ id }) => id).slice(0, 10);
    throw new DomainError(
      'NOT_FOUND',
      `there is no backup ${wanted} in ${folders.join(' or ')}${there.length === 0 ? '' : `; there are ${there.join(', ')}`}`,
    );
  }
  if (fit.some(({ tag }) => tag !== found.tag)) {
    const some = [...new Map(fit.map(({ tag, archive }) => [tag, archive])).values()];
    throw new DomainError(
      'CONFLICT',
      `${folders.join(' and ')} hold backups of ${some.length} fleets; name the file: ${some.join(' or ')}`,
    );
  }
  return { archive: found.archive, record: found.record };
}

/** What a backup of this fleet that was cut off has left; others may be at theirs. */
function sweepUnfinished(folder: string, tag: string): void {
  for (const file of readdirSync(folder)) {
    const name = readName(file);
    if (name?.is === 'part' && name.tag === tag) rmSync(join(folder, file), { force: true });
  }
}

export const partOf = (folder: string, name: BackupName) => join(folder, `${archiveName(name)}.part`);

/** Gives the archive its name, and then its record: from then on it is a backup. */
export function shelve(folder: string, record: BackupRecord): void {
  const name = nameOf(record);
  renameSync(partOf(folder, name), join(folder, archiveName(name)));
  syncFolder(folder);
  writeJson(join(folder, manifestName(name)), record, 0o600);
  syncFolder(join(folder, manifestName(name)));
  syncFolder(folder);
}

/** Copies a backup to another folder, reads it back there, and only then names it. */
export async function copyTo(
  { archive, record }: { archive: string; record: BackupRecord },
  folder: string,
): Promise<void> {
  const name = nameOf(record);
  // A disk that is not mounted must not be filled in place of it: the folder is made by its owner.
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new DomainError('NOT_FOUND', `${folder} is not there`);
  sweepUnfinished(folder, name.tag);
  if (findShelved(folder, record)?.archive.sha256 === record.archive.sha256) return;
  const part = partOf(folder, name);
  const forget = onEnd(() => rmSync(part, { force: true }));
  try {
    await pipeline(createReadStream(archive), createWriteStream(part, { mode: 0o600, flush: true }));
    await compareFile(part, record.archive);
    shelve(folder, record);
  } finally {
    rmSync(part, { force: true });
    forget();
  }
}

/** Deletes those of the fleet of `made` that are past `days`, the record first. @returns the ids */
export function prune(folder: string, made: Pick<BackupRecord, 'id' | 'origin'>, days: number): string[] {
  const tag = tagOf(made.origin);
  // A name says whose it is; where a record says otherwise it is not ours to delete.
  const shelf = readShelf(folder).flatMap(({ id, tag, record, fault }) =>
    record === undefined || record.origin === made.origin ? [{ id, tag, whole: fault === '' }] : [],
  );
  const gone = expendable(shelf, tag, days, made.id);
  for (const id of gone) {
    rmSync(join(folder, manifestName({ id, tag })), { force: true });
    rmSync(join(folder, archiveName({ id, tag })), { force: true });
  }
  return gone;
}

/** @returns bytes of the newest one, to guess the next by */
export function lastSize(folder: string, tag: string): number | undefined {
  const last = readShelf(folder).find((shelved) => shelved.fault === '' && shelved.tag === tag);
  return last && sizeOf(last.archive);
}

export function openShelf(folder: string, tag: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  sweepUnfinished(folder, tag);
}
