import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, readFileSync } from 'node:fs';
import { lstat, mkdir, readdir, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import { clusterIdOf, isLetGo, stanza } from '../../domain/cluster-backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { fullDisk, needRoom, syncFolder } from '../backup/folders.ts';
import { writeDurably, writeText } from '../embedded/home.ts';
import { type Pgbackrest, repositoryOf } from './pgbackrest.ts';

/**
 * The repository once more, in a folder of another disk or box. pgBackRest could write there itself; Postgres would then keep every change
 * until that disk takes it, and a disk that is gone for days would fill the first one. So it is copied, and only the copy falls behind.
 */

/** Named by what they hold and never written again, but for these: they say what there is, so they come last. */
const isIndex = (path: string) => /(?:^|\/)(?:archive|backup)\.info(?:\.copy)?$/.test(path);
/** Manifests of what there was: nothing is restored by them. */
const isPast = (path: string) => /(?:^|\/)backup\.history\//.test(path);
/** Not yet under its own name. */
const isPart = (path: string) => path.endsWith('.pgbackrest.tmp') || path.endsWith('.part');
/** In the first repository, and gone with it: where its copy is, and of which cluster, so that no other repository ever takes that one's place. */
const madeName = 'second-copy.json';
const markOf = (repository: string) => join(repository, madeName);
interface Made {
  to: string;
  clusterId: string;
  /** Whole once: what is empty now is a disk that is not mounted. */
  filled: boolean;
}
const heart = join('archive', stanza, 'archive.info');

export interface Copied {
  files: number;
  bytes: number;
  removed: number;
  /** Had another content than in the first, and have its again. */
  rotten: number;
}

/**
 * Files that the first has and the second has not, and away with those that the first has let go, or that a killed execution has left
 * half. What the first has lost otherwise stays in the second. One at a time: who calls holds the lock of backups.
 * @param options.rotten was compared to the last byte, with these found to be other ones in the second: copied anew, every folder looked at
 * @throws UNAVAILABLE where the folder is not there, CONFLICT where it is another's, DISK_FULL where it has no room, BACKUP_DAMAGED where
 * the first has lost what the second has
 */
export async function copyRepository(
  place: ClusterPlace,
  pgbackrest: Pgbackrest,
  { rotten }: { rotten?: readonly string[] } = {},
): Promise<Copied> {
  const copied: Copied = { files: 0, bytes: 0, removed: 0, rotten: 0 };
  const { second } = place;
  if (second === null) return copied;
  try {
    const repository = repositoryOf(place);
    const { made, isNew } = await mustBeOurs(place, second);
    // Before the first file of it: a killed execution is gone on with, and is no stranger's.
    if (isNew) markMade(repository, made);
    const before = rotten === undefined ? readSeen(repository, made) : {};
    const anew = new Set(rotten);
    const { here, there, seen } = await changedSince(repository, second, before);
    const files = here.filter(({ path }) => !isPart(path));
    for (const { path, bytes } of inOrder(files)) {
      const [from, to] = [join(repository, path), join(second, path)];
      if (there.get(path) === bytes) {
        // What says what there is may be another of the same length.
        if (!anew.has(path) && (!isIndex(path) || (await isSame(from, to)))) continue;
        if (anew.has(path)) copied.rotten += 1;
      }
      // What is no more in the first after its files were listed is not missed: who deletes begins with what nothing names.
      if (!(await copyFile(from, to))) continue;
      seen.delete(dirname(path));
      copied.files += 1;
      copied.bytes += bytes;
    }
    const wanted = new Set(files.map(({ path }) => path));
    const gone = [...there.keys()].filter((path) => !wanted.has(path));
    const backups = gone.length === 0 ? [] : (await pgbackrest.info()).backups;
    const away = gone.filter((path) => isPart(path) || isLetGo(path, backups));
    for (const path of away) {
      seen.delete(dirname(path));
      await rm(join(second, path), { force: true });
      await removeEmpty(dirname(join(second, path)), second);
      copied.removed += 1;
    }
    const lost = gone.filter((path) => !away.includes(path) && !isPast(path));
    if (lost.length > 0)
      throw new DomainError(
        'BACKUP_DAMAGED',
        `${repository} has lost ${lost.length} files that ${second} (backup.to of fleet.yaml) still has, ${lost[0]} first: look at its disk, then bring them back: cp -an ${second}/. ${repository}/`,
      );
    if (!made.filled) markMade(repository, { ...made, filled: true });
    writeSeen(repository, { of: made, folders: Object.fromEntries(seen) });
    return copied;
  } catch (err) {
    throw fullDisk(err);
  }
}

/**
 * Compares every byte of what both have, once the first was read whole. Reads alone, so backups are made and copied beside it.
 * @returns files that are other ones in the second, for `copyRepository`
 * @throws as `copyRepository` where the second is not there, or is another's: nothing was compared then
 */
export async function rottenInSecond(place: ClusterPlace): Promise<string[]> {
  const { second } = place;
  const rotten: string[] = [];
  if (second === null) return rotten;
  await mustBeOurs(place, second);
  const repository = repositoryOf(place);
  for (const { path } of await filesIn(repository))
    if (!isPart(path) && !isIndex(path) && (await isSame(join(repository, path), join(second, path))) === false)
      rotten.push(path);
  return rotten;
}

/** What lies there is deleted where it is not in the first: so nothing is touched that the first has not made. */
async function mustBeOurs(place: ClusterPlace, second: string): Promise<{ made: Made; isNew: boolean }> {
  const repository = repositoryOf(place);
  if (!existsSync(join(repository, heart)))
    throw new DomainError('CONFLICT', `${repository} holds no repository: nothing is copied to ${second}`);
  const clusterId = clusterIdOf(await readFile(join(place.data, place.cluster, 'global/pg_control')));
  const mark = markOf(repository);
  const made = existsSync(mark) ? (JSON.parse(await readFile(mark, 'utf8')) as Made) : undefined;
  const isKnown = made?.to === second && made.clusterId === clusterId;
  const isEmpty = (await namesIn(second)).length === 0;
  if (isKnown && isEmpty && made.filled)
    throw new DomainError(
      'UNAVAILABLE',
      `${second} (backup.to of fleet.yaml) was filled once and is empty now: mount its disk; or rm ${mark} for a copy that begins anew`,
    );
  if (!isKnown && !isEmpty)
    throw new DomainError(
      'CONFLICT',
      `${second} (backup.to of fleet.yaml) holds what this repository did not put there: after a loss bring it back (soulfra deploy restore --second); else move that elsewhere, or name another folder`,
    );
  return isKnown ? { made, isNew: false } : { made: { to: second, clusterId, filled: false }, isNew: true };
}

/** Without it what lies in the second is a stranger's. */
function markMade(repository: string, made: Made): void {
  writeDurably(markOf(repository), `${JSON.stringify(made)}\n`, 0o600);
}

/** What a disk has of itself is left out. */
async function namesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'ENOENT' && err.code !== 'ENOTDIR') throw err;
    throw new DomainError('UNAVAILABLE', `${folder} (backup.to of fleet.yaml) is not there: mount its disk`, {
      cause: err,
    });
  });
  return names.filter((name) => name !== 'lost+found');
}

/**
 * Makes the repository anew of its second copy, after its disk was lost: whole or not at all.
 * @param clusterId of the cluster that the copy is of
 * @throws CONFLICT where there is one
 */
export async function bringBack(place: ClusterPlace, clusterId: string): Promise<void> {
  const { second } = place;
  if (second === null) throw new TypeError('there is no second copy');
  const repository = repositoryOf(place);
  // Whatever is there may be more than the second has.
  const [there] = await filesIn(repository);
  if (there !== undefined)
    throw new DomainError(
      'CONFLICT',
      `${repository} holds files of a repository (${there.path}): restore without --second; where it is damaged, move it away: mv ${repository} ${repository}.damaged`,
    );
  const fresh = `${repository}.new`;
  try {
    await rm(fresh, { recursive: true, force: true });
    const files = (await filesIn(second)).filter(({ path }) => !isPart(path));
    needRoom(
      place.backup,
      files.reduce((sum, { bytes }) => sum + bytes, 0),
      'the repository',
    );
    for (const { path } of files) await copyFile(join(second, path), join(fresh, path));
    // It goes on as the copy of this repository; one of another cluster would never take its place.
    markMade(fresh, { to: second, clusterId, filled: true });
    // Without a file in it.
    await rm(repository, { recursive: true, force: true });
    await rename(fresh, repository);
    syncFolder(place.backup);
  } catch (err) {
    throw fullDisk(err);
  }
}

interface RepositoryFile {
  path: string;
  bytes: number;
}

/**
 * Thousands of files lie in few folders, each of which changes when a file comes to it or goes. Those that were the same in both, and
 * stayed as they were, are not listed again; a backup that is read whole looks at all of them.
 */
interface Folder {
  /** When they last changed, by the file system itself. */
  first: string;
  second: string;
  /** Folders in it. */
  within: string[];
}
type Folders = Readonly<Record<string, Folder>>;
interface Seen {
  of: Pick<Made, 'to' | 'clusterId'>;
  folders: Folders;
}
const seenIn = (repository: string) => join(repository, 'second-copy.seen.json');
/** One that changed just now may change again within one tick of its clock. */
const settledMs = 5_000;

function readSeen(repository: string, made: Made): Folders {
  const file = seenIn(repository);
  if (!existsSync(file) || !made.filled) return {};
  const seen = parsedSeen(readFileSync(file, 'utf8'));
  return seen?.of.to === made.to && seen.of.clusterId === made.clusterId ? seen.folders : {};
}

/** @returns undefined: a power cut has left it without its content. What it spares is done once more */
function parsedSeen(text: string): Seen | undefined {
  try {
    return JSON.parse(text) as Seen;
  } catch (err) {
    if (err instanceof SyntaxError) return undefined;
    throw err;
  }
}

function writeSeen(repository: string, { of: { to, clusterId }, folders }: Seen): void {
  const text = `${JSON.stringify({ of: { to, clusterId }, folders } satisfies Seen)}\n`;
  const file = seenIn(repository);
  if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeText(file, text, 0o600);
}

/** Files of all folders that are not as they were seen. @returns seen: those that are the same next time where nothing comes or goes */
async function changedSince(
  repository: string,
  second: string,
  before: Folders,
): Promise<{ here: RepositoryFile[]; there: Map<string, number>; seen: Map<string, Folder> }> {
  const here: RepositoryFile[] = [];
  const there = new Map<string, number>();
  const seen = new Map<string, Folder>();
  const now = Date.now();
  const folders = [...tops];
  for (let path = folders.pop(); path !== undefined; path = folders.pop()) {
    const [a, b] = await Promise.all([changedAt(join(repository, path)), changedAt(join(second, path))]);
    const was = before[path];
    if (was !== undefined && was.first === a?.toString() && was.second === b?.toString()) {
      seen.set(path, was);
      for (const name of was.within) folders.push(join(path, name));
      continue;
    }
    const [first, other] = await Promise.all([listed(repository, path), listed(second, path)]);
    here.push(...first.files);
    for (const { path: file, bytes } of other.files) there.set(file, bytes);
    const within = [...new Set([...first.folders, ...other.folders])].toSorted();
    if (a !== undefined && b !== undefined && now - Number(a / 1_000_000n) > settledMs)
      seen.set(path, { first: a.toString(), second: b.toString(), within });
    for (const name of within) folders.push(join(path, name));
  }
  return { here, there, seen };
}

async function changedAt(folder: string): Promise<bigint | undefined> {
  return (await lstat(folder, { bigint: true }).catch(missing))?.ctimeNs;
}

async function listed(repository: string, folder: string): Promise<{ files: RepositoryFile[]; folders: string[] }> {
  const entries = (await readdir(join(repository, folder), { withFileTypes: true }).catch(missing)) ?? [];
  const files: RepositoryFile[] = [];
  // Links are for people: they name the newest backup.
  for (const { name } of entries.filter((entry) => entry.isFile())) {
    const path = join(folder, name);
    const found = await lstat(join(repository, path)).catch(missing);
    if (found !== undefined) files.push({ path, bytes: found.size });
  }
  return { files, folders: entries.filter((entry) => entry.isDirectory()).map(({ name }) => name) };
}

/** All that a repository has at its top. */
const tops: readonly string[] = ['archive', 'backup'];

async function filesIn(repository: string): Promise<RepositoryFile[]> {
  const all: RepositoryFile[] = [];
  const waiting = [...tops];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const { files, folders } = await listed(repository, path);
    all.push(...files);
    for (const name of folders) waiting.push(join(path, name));
  }
  return all;
}

function missing(err: NodeJS.ErrnoException): undefined {
  // It was let go meanwhile.
  if (err.code === 'ENOENT') return undefined;
  throw err;
}

/** What says what there is comes after what it names. */
function inOrder(files: readonly RepositoryFile[]): RepositoryFile[] {
  const rank = ({ path }: RepositoryFile) => Number(isIndex(path)) + Number(path.endsWith('.manifest'));
  return files.toSorted((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
}

/** Under its name once it is whole and on the disk. @returns whether it was still there to be copied */
async function copyFile(from: string, to: string): Promise<boolean> {
  const beside = `${to}.part`;
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  try {
    await pipeline(createReadStream(from), createWriteStream(beside, { mode: 0o600, flush: true }));
  } catch (err) {
    await rm(beside, { force: true });
    if ((err as NodeJS.ErrnoException).code === 'ENOENT' && !existsSync(from)) return false;
    throw err;
  }
  await rename(beside, to);
  syncFolder(dirname(to));
  return true;
}

/** @returns undefined: one of them is not there */
async function isSame(one: string, other: string): Promise<boolean | undefined> {
  const [a, b] = await Promise.all([one, other].map((path) => hashOf(path).catch(missing)));
  return a === undefined || b === undefined ? undefined : a === b;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

async function removeEmpty(folder: string, top: string): Promise<void> {
  if (folder === top) return;
  const isGone = await rmdir(folder).then(
    () => true,
    (err: NodeJS.ErrnoException) => {
      if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(err.code ?? '')) return false;
      throw err;
    },
  );
  if (isGone) await removeEmpty(dirname(folder), top);
}
