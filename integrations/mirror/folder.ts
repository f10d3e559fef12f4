import { createHash } from 'node:crypto';
import {
  createReadStream,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import {
  isMirrorPath,
  type MirrorManifest,
  mirrorFolders,
  mirrorManifestName,
  mirrorManifestSchema,
  mirrorMarkName,
} from '../../domain/public-mirror.ts';

export interface MirrorFigures {
  entries: number;
  bytes: number;
  written: number;
  removed: number;
  /** Of the manifest. */
  sha256: string;
}

const hashOf = (content: string | Buffer) => createHash('sha256').update(content).digest('hex');

/**
 * A folder that a mirror is written to. Each file takes its place whole; what is there already is left alone, so that one that was
 * cut off goes on where it stood.
 * @param run names its unfinished files
 * @throws NOT_FOUND where the folder is not there · CONFLICT where something else is
 */
export function openMirrorFolder(folder: string, run: string) {
  // A disk that is not mounted must not be filled in place of it: the folder is made by its owner.
  if (!isFolder(folder)) throw new DomainError('NOT_FOUND', `${folder} is not there, or is no folder`);
  claim(folder);
  const files: MirrorManifest['files'] = [];
  let written = 0;

  function place(path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    const beside = join(folder, `${path}.${run}.new`);
    writeFileSync(beside, content, { mode: 0o644 });
    renameSync(beside, join(folder, path));
  }

  return {
    put: (path: string, content: string): void => {
      if (!isMirrorPath(path)) throw new DomainError('INTERNAL', `${path} is no path of a mirror`);
      const bytes = Buffer.from(content);
      const sha256 = hashOf(bytes);
      files.push({ path, bytes: bytes.length, sha256 });
      if (isSame(join(folder, path), bytes)) return;
      place(path, bytes);
      written += 1;
    },

    /** Deletes what is public no more, then writes the manifest: until then the one before says what is missing. */
    finish(madeAt: string): MirrorFigures {
      const named = new Set(files.map(({ path }) => path));
      let removed = 0;
      for (const path of pathsIn(folder)) {
        if (named.has(path)) continue;
        rmSync(join(folder, path), { force: true });
        removed += 1;
      }
      removeEmpty(folder);
      const ordered = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
      const text = `${JSON.stringify({ format: 1, madeAt, files: ordered } satisfies MirrorManifest, null, 1)}\n`;
      place(mirrorManifestName, text);
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      return { entries: files.length, bytes, written, removed, sha256: hashOf(text) };
    },
  };
}

/** What a folder holds against its manifest, read from the first to the last byte. */
export async function verifyMirrorFolder(
  folder: string,
): Promise<{ madeAt: string; files: number; bytes: number; sha256: string; wrong: string[] }> {
  let text: string;
  try {
    text = readFileSync(join(folder, mirrorManifestName), 'utf8');
  } catch (err) {
    throw new DomainError('NOT_FOUND', `${folder} holds no ${mirrorManifestName}`, { cause: err });
  }
  const manifest = manifestOf(folder, text);
  const wrong: string[] = [];
  let bytes = 0;
  for (const file of manifest.files) {
    if (!isMirrorPath(file.path)) wrong.push(`${file.path}: no path of a mirror`);
    else {
      const found = await fileAt(join(folder, file.path));
      bytes += found?.bytes ?? 0;
      if (found === undefined) wrong.push(`${file.path}: missing`);
      else if (found.sha256 !== file.sha256 || found.bytes !== file.bytes) wrong.push(`${file.path}: changed`);
    }
  }
  const named = new Set(manifest.files.map(({ path }) => path));
  for (const path of pathsIn(folder)) if (!named.has(path)) wrong.push(`${path}: not in the manifest`);
  return { madeAt: manifest.madeAt, files: manifest.files.length, bytes, sha256: hashOf(text), wrong };
}

function manifestOf(folder: string, text: string): MirrorManifest {
  try {
    return mirrorManifestSchema.parse(JSON.parse(text));
  } catch (err) {
    throw new DomainError('CONFLICT', `${join(folder, mirrorManifestName)} cannot be read`, { cause: err });
  }
}

async function fileAt(path: string): Promise<{ bytes: number; sha256: string } | undefined> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of createReadStream(path)) {
    hash.update(piece as Buffer);
    bytes += (piece as Buffer).length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

function isSame(path: string, content: Buffer): boolean {
  const there = lstatSync(path, { throwIfNoEntry: false });
  return there?.isFile() === true && there.size === content.length && readFileSync(path).equals(content);
}

const isFolder = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** What is deleted below our names must be ours: a folder of something else is not taken for a mirror. */
function claim(folder: string): void {
  const mark = join(folder, mirrorMarkName);
  const known = lstatSync(mark, { throwIfNoEntry: false }) !== undefined;
  for (const name of [...mirrorFolders, 'index.html', mirrorManifestName]) {
    const there = lstatSync(join(folder, name), { throwIfNoEntry: false });
    if (there === undefined) continue;
    if (!known)
      throw new DomainError(
        'CONFLICT',
        `${folder} has ${name} already and is no mirror: name an empty folder in mirror.folder`,
      );
    if (there.isSymbolicLink())
      throw new DomainError(
        'CONFLICT',
        `${join(folder, name)} is a link, which a mirror does not write through: remove it`,
      );
  }
  if (!known)
    writeFileSync(mark, 'What lies beside this is written and deleted by the public mirror of Soulfra.\n', {
      mode: 0o644,
    });
}

/** Every file of ours, unfinished ones too; links count as files and are not followed. */
function pathsIn(folder: string): string[] {
  const found: string[] = [];
  const walk = (below: string) => {
    for (const entry of readdirSync(join(folder, below), { withFileTypes: true })) {
      if (entry.isDirectory()) walk(`${below}/${entry.name}`);
      else found.push(`${below}/${entry.name}`);
    }
  };
  for (const name of mirrorFolders) if (isFolder(join(folder, name))) walk(name);
  for (const name of readdirSync(folder))
    if (/^(index\.html|manifest\.json\..*\.new|index\.html\..*\.new)$/.test(name)) found.push(name);
  return found;
}

function removeEmpty(folder: string): void {
  for (const name of mirrorFolders) {
    if (isFolder(join(folder, name)) && readdirSync(join(folder, name)).length === 0) rmdirSync(join(folder, name));
  }
}
