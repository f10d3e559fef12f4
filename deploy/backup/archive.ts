import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { extract, pack } from 'tar-stream';
import {
  type BackupHead,
  backupFormat,
  backupHeadSchema,
  type BackupManifest,
  backupManifestSchema,
} from '../../domain/backups.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import type { Seal } from './seal.ts';

const headName = 'head.json';
const manifestName = 'manifest.json';
/** More than either of them ever is. */
const mostOfJson = 64 << 20;

export interface Entry {
  name: string;
  bytes: number;
  content: AsyncIterable<Buffer>;
}

type Listed = BackupManifest['entries'];

/** Adds one entry and waits until it is on its way. */
export type AddEntry = (name: string, content: Buffer | { file: string; bytes: number }) => Promise<void>;

/**
 * Writes an archive that is whole or not there: tar, packed, sealed, and told to the disk. Its last entry lists all others.
 * Plain `age` and `tar` read it, too. @param fill adds the entries, and says what the data is
 */
export async function writeArchive(
  file: string,
  seal: Seal,
  head: BackupHead,
  fill: (add: AddEntry) => Promise<Omit<BackupManifest, keyof BackupHead | 'entries'>>,
): Promise<{ manifest: BackupManifest; bytes: number; sha256: string }> {
  const tar = pack();
  const entries: Listed = [];
  const whole = createHash('sha256');
  let bytes = 0;
  const brokenOff = Promise.withResolvers<never>();
  brokenOff.promise.catch(() => undefined);

  const writing = pipeline(
    tar,
    createGzip({ level: 3 }),
    async function* sealed(source: AsyncIterable<unknown>) {
      for await (const piece of await seal.close(ReadableStream.from(source as AsyncIterable<Buffer>))) {
        whole.update(piece);
        bytes += piece.length;
        yield piece;
      }
    },
    createWriteStream(file, { flags: 'wx', mode: 0o600, flush: true }),
  );
  writing.catch(brokenOff.reject);

  const add: AddEntry = async (name, content) => {
    const size = Buffer.isBuffer(content) ? content.length : content.bytes;
    const hash = createHash('sha256');
    const done = Promise.withResolvers<undefined>();
    const sink = tar.entry({ name, size, mode: 0o600 }, (err) => (err ? done.reject(err) : done.resolve(undefined)));
    // Told by the writing as a whole.
    sink.on('error', () => undefined);
    done.promise.catch(() => undefined);
    const pieces = Buffer.isBuffer(content)
      ? [content]
      : size === 0
        ? []
        : createReadStream(content.file, { end: size - 1 });
    const putting = (async () => {
      for await (const piece of pieces) {
        hash.update(piece as Buffer);
        if (!sink.write(piece)) await once(sink, 'drain');
      }
      sink.end(undefined);
      await done.promise;
    })();
    putting.catch(() => undefined);
    await Promise.race([putting, brokenOff.promise]);
    if (name !== manifestName) entries.push({ name, bytes: size, sha256: hash.digest('hex') });
  };

  try {
    await add(headName, json(head));
    const manifest: BackupManifest = { ...head, ...(await fill(add)), entries };
    await add(manifestName, json(manifest));
    tar.finalize();
    await writing;
    return { manifest, bytes, sha256: whole.digest('hex') };
  } catch (err) {
    tar.destroy(err instanceof Error ? err : new Error(String(err)));
    await writing.catch(() => undefined);
    throw err;
  }
}

const json = (value: unknown) => Buffer.from(`${JSON.stringify(value, null, 1)}\n`);

/** The entries of an archive, each to be read before the next. @throws BACKUP_DAMAGED, BACKUP_KEY_WRONG */
async function* entriesOf(file: string, seal: Seal): AsyncGenerator<Entry> {
  const tar = extract();
  const input = createReadStream(file);
  let last = 'its beginning';
  const feeding = pipeline(
    input,
    async function* opened(source: AsyncIterable<unknown>) {
      yield* await seal.open(ReadableStream.from(source as AsyncIterable<Buffer>));
    },
    createGunzip(),
    tar,
  );
  // The reading ends with it, and asks for the cause.
  feeding.catch(() => undefined);
  const told = async (err: unknown): Promise<unknown> => {
    const cause: unknown = await feeding.then(
      () => err,
      (root: unknown) => root,
    );
    if (isDomainError(cause)) return cause;
    const { code } = cause as NodeJS.ErrnoException;
    return code === 'ENOENT' || code === 'EACCES' || code === 'EIO'
      ? new DomainError('NOT_FOUND', `${file} cannot be read (${code})`, { cause })
      : damaged(file, `it breaks off or was changed at ${last}`, cause);
  };
  async function* contentOf(entry: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* entry;
    } catch (err) {
      throw await told(err);
    }
  }
  const entries = tar[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await entries.next().catch(async (err: unknown) => {
        throw await told(err);
      });
      if (step.done) break;
      last = step.value.header.name;
      yield { name: last, bytes: step.value.header.size ?? 0, content: contentOf(step.value as AsyncIterable<Buffer>) };
    }
    await feeding.catch(async (err: unknown) => {
      throw await told(err);
    });
  } finally {
    input.destroy();
    tar.destroy();
  }
}

function damaged(file: string, how: string, cause?: unknown): DomainError {
  return new DomainError('BACKUP_DAMAGED', `${file}: ${how}`, { cause });
}

/**
 * Reads an archive from its first to its last byte, and each entry against the list that it ends with.
 * @param take is given each entry but the list; it need not read it
 * @throws BACKUP_DAMAGED naming the entry, DATA_NEWER where it has another form
 */
export async function readArchive(
  file: string,
  seal: Seal,
  take: (entry: Entry, head: BackupHead) => Promise<void> = async () => undefined,
): Promise<BackupManifest> {
  const seen: Listed = [];
  let head: BackupHead | undefined;
  let manifest: BackupManifest | undefined;
  for await (const { name, bytes, content } of entriesOf(file, seal)) {
    if (manifest !== undefined) throw damaged(file, `${name} follows its list of entries`);
    const hash = createHash('sha256');
    if (name === headName || name === manifestName) {
      const text = await collect(file, name, content, hash);
      if (name === manifestName) manifest = parsed(file, name, text, backupManifestSchema);
      else head = headOf(file, text);
    } else {
      if (head === undefined) throw damaged(file, `it begins with ${name}`);
      const measured = measure(content, hash);
      await take({ name, bytes, content: measured }, head);
      for await (const _ of measured) continue;
    }
    if (name !== manifestName) seen.push({ name, bytes, sha256: hash.digest('hex') });
  }
  if (manifest === undefined)
    throw damaged(file, `it ends after ${seen.at(-1)?.name ?? 'nothing'}, without its list of entries`);
  for (const [i, listed] of manifest.entries.entries()) {
    const found = seen[i];
    if (found?.name !== listed.name || found.bytes !== listed.bytes || found.sha256 !== listed.sha256)
      throw damaged(file, `${listed.name} is not what its list says`);
  }
  if (seen.length > manifest.entries.length)
    throw damaged(file, `${seen[manifest.entries.length]!.name} is not on its list`);
  return manifest;
}

/** Passes on and counts in; what was left of it can be read afterwards. */
function measure(content: AsyncIterable<Buffer>, hash: { update(piece: Buffer): unknown }): AsyncIterable<Buffer> {
  const source = content[Symbol.asyncIterator]();
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const step = await source.next();
        if (!step.done) hash.update(step.value);
        return step;
      },
    }),
  };
}

async function collect(
  file: string,
  name: string,
  content: AsyncIterable<Buffer>,
  hash: { update(piece: Buffer): unknown },
): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of content) {
    hash.update(piece);
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > mostOfJson) throw damaged(file, `${name} is too long`);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function headOf(file: string, text: string): BackupHead {
  const head = parsed(file, headName, text, backupHeadSchema);
  if (head.format > backupFormat)
    throw new DomainError('DATA_NEWER', `${file} has form ${head.format}; this Soulfra reads ${backupFormat}`);
  return head;
}

function parsed<T>(file: string, name: string, text: string, schema: { parse(value: unknown): T }): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (err) {
    throw damaged(file, `${name} cannot be read`, err);
  }
}

/** @throws BACKUP_DAMAGED where the file is not the one that was written down */
export async function compareFile(file: string, wanted: { bytes: number; sha256: string }): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of createReadStream(file)) {
    hash.update(piece as Buffer);
    bytes += (piece as Buffer).length;
  }
  if (bytes !== wanted.bytes) throw damaged(file, `it has ${bytes} bytes in place of ${wanted.bytes}`);
  if (hash.digest('hex') !== wanted.sha256) throw damaged(file, 'its bytes are not those that were written');
}
