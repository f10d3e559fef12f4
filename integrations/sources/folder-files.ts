import type { Dirent } from 'node:fs';
import { type FileHandle, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { hasMoved, listWithoutLinks, openWithoutLinks } from './open-without-links.ts';
import { SourceFailure } from './source-reader.ts';

/** Files that one folder may hold, below it too. */
const mostFiles = 5_000;
const mostDepth = 8;
export const mostFileBytes = 5 * 1024 * 1024;
const kinds = /\.(txt|md|ndjson)$/i;

export interface FolderFile {
  /** Below the folder, with `/`. */
  name: string;
  path: string;
}
export interface FileStat {
  size: number;
  /** As the file says: whoever wrote it can set it. */
  mtimeMs: number;
  /** When anything of it changed last, by this host's clock. */
  ctimeMs: number;
}

/**
 * The folder as it really lies, where one of the roots that this machine's own environment allows holds it.
 * @throws SourceFailure
 */
export async function allowedFolder(folder: string, roots: readonly string[]): Promise<string> {
  if (roots.length === 0)
    throw refused(
      `SOULFRA_SOURCE_FOLDERS of this machine allows no folder: set it to ${folder}, or to one above, and start it again`,
    );
  // First by its name, so that nobody learns what lies outside.
  if (!roots.some((root) => holds(root, folder))) throw refused(`${folder} is outside SOULFRA_SOURCE_FOLDERS`);
  const real = await realpath(folder).catch((cause: NodeJS.ErrnoException) => {
    throw refused(`${folder} cannot be read (${cause.code})`, cause);
  });
  for (const root of roots) {
    const realRoot = await realpath(root).catch(() => undefined);
    if (realRoot !== undefined && holds(realRoot, real)) return real;
  }
  throw refused(`${folder} is outside SOULFRA_SOURCE_FOLDERS`);
}

function holds(root: string, folder: string): boolean {
  const away = relative(root, folder);
  return away === '' || (away !== '..' && !away.startsWith(`..${sep}`) && !away.startsWith(sep));
}

function refused(message: string, cause?: unknown): SourceFailure {
  return new SourceFailure('ADDRESS_REFUSED', message, { cause });
}

/** Files of the kinds that are read; hidden ones and links are passed over, whatever they lead to. */
export async function listFiles(folder: string, signal: AbortSignal): Promise<FolderFile[]> {
  const files: FolderFile[] = [];
  const walk = async (below: string, depth: number): Promise<void> => {
    signal.throwIfAborted();
    for (const entry of await entriesOf(folder, below)) {
      if (entry.name.startsWith('.')) continue;
      const name = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory() && depth < mostDepth) await walk(name, depth + 1);
      else if (entry.isFile() && kinds.test(entry.name)) files.push({ name, path: join(folder, name) });
      if (files.length > mostFiles) {
        throw new SourceFailure('REMOTE_FAILED', `the folder holds more than ${mostFiles} files`);
      }
    }
  };
  await walk('', 0);
  return files;
}

/** A folder below that has gone meanwhile, or is a link by now, holds nothing. */
async function entriesOf(folder: string, below: string): Promise<Dirent[]> {
  try {
    return await listWithoutLinks(join(folder, below));
  } catch (err) {
    if (below !== '' && hasMoved(err)) return [];
    throw err;
  }
}

/** What a file is, or what it holds. `moving`: it is gone, or was written to while it was read. */
export type ReadFile = { stat: FileStat; bytes?: Buffer } | 'moving' | 'too large';

/**
 * No link is followed, also none that was put in place of the file, or of a folder above it, since it was listed.
 * @param wanted whether what it holds is to be read, by what it is
 */
export async function readFileOnce({ path }: FolderFile, wanted: (stat: FileStat) => boolean): Promise<ReadFile> {
  let handle: FileHandle;
  try {
    handle = await openWithoutLinks(path);
  } catch (err) {
    if (hasMoved(err)) return 'moving';
    throw err;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return 'moving';
    if (!wanted(stat)) return { stat };
    if (stat.size > mostFileBytes) return 'too large';
    const bytes = Buffer.alloc(stat.size + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === bytes.length) break;
    }
    const after = await handle.stat();
    const same = length === stat.size && after.size === stat.size && after.ctimeMs === stat.ctimeMs;
    return same ? { stat, bytes: bytes.subarray(0, length) } : 'moving';
  } finally {
    await handle.close();
  }
}
