import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  archiveName,
  type BackupHead,
  backupFormat,
  backupIdOf,
  type BackupManifest,
  type BackupRecord,
  nameOf,
  rowsOf,
  tagOf,
} from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { openBackupLog } from '../../stores/backup-log.ts';
import { openSnapshot, type Snapshot } from '../../stores/database-copy.ts';
import { type Home, readJson } from '../embedded/home.ts';
import { isAlive, type ProcessRef } from '../embedded/processes.ts';
import { postgresUrl } from '../embedded/postgres.ts';
import type { Ports } from '../embedded/ports.ts';
import type { Secrets } from '../embedded/secrets.ts';
import { spoolOf } from '../embedded/scratch-folders.ts';
import { readStamp } from '../embedded/version.ts';
import { type AddEntry, compareFile, readArchive, writeArchive } from './archive.ts';
import { dataFiles, keysFile, readDataFile } from './data-files.ts';
import { fullDisk, mustOwn, needRoom, sizeOf } from './folders.ts';
import { logged } from './logged.ts';
import type { Seal } from './seal.ts';
import { onEnd } from './on-end.ts';
import { copyTo, findShelved, lastSize, openShelf, partOf, prune, readShelf, shelve } from './shelf.ts';
import { takeTemporal } from './temporal-copy.ts';

export type Progress = (text: string, share?: number) => void;

export interface CreateOptions {
  home: Home;
  folder: string;
  /** Where others of this fleet may lie, beside `folder` and the second one. */
  folders: readonly string[];
  /** @param make whether a key may be made where there is none */
  seal: (make: boolean) => Promise<Seal>;
  /** Names it; a second execution under the same id finds what the first has made. @default now */
  id: string | undefined;
  /** Made by hand to a folder of its own: nothing is deleted there, and no second copy is made. */
  alone: boolean;
  app: string;
  progress: Progress;
}

export interface Created {
  record: BackupRecord;
  archive: string;
  /** Null: no second copy is asked for. */
  copy: { folder: string; reason: string } | null;
  deleted: string[];
  /** Null: a passphrase. */
  keyFile: string | null;
}

/** What one entry of a table holds at most. */
const pieceBytes = 8 << 20;

/** Backs up the running fleet of a data folder. */
export async function createBackup(options: CreateOptions): Promise<Created> {
  const { home, folder, progress } = options;
  const url = databaseOf(home);
  mustOwn(home.dir);
  const log = await openBackupLog(url);
  let id: string | undefined;
  return logged(
    log,
    async (reason) => (id === undefined ? undefined : log.failed(id, reason)),
    async () => {
      await log.lock();
      const origin = await log.origin();
      const settings = await log.settings();
      // Where there are backups there was a key: another one would close the next ones, until nothing is left that the old one opens.
      const shelves = [folder, ...options.folders, ...(settings.to === undefined ? [] : [settings.to])].flatMap(
        readShelf,
      );
      const seal = await options.seal(shelves.every(({ tag }) => tag !== tagOf(origin)));
      id = options.id ?? backupIdOf(await log.now());
      const name = nameOf({ id, origin });
      openShelf(folder, name.tag);
      await log.begin(id, folder);
      // One that was killed after it had its record is whole: what is left to do is done.
      const known = findShelved(folder, { id, origin });
      const record = known ?? (await make({ ...options, id, origin, seal }, url));
      const copy =
        options.alone || settings.to === undefined ? null : await second(record, folder, settings.to, progress);
      // Only now: until the new one was read back, an old one may be the last good one.
      const deleted = options.alone ? [] : prune(folder, record, settings.keep);
      if (copy?.reason === '') deleted.push(...prune(copy.folder, record, settings.keep));
      await log.done(id, { bytes: record.archive.bytes, rows: record.rows, copyReason: copy?.reason ?? '' });
      const { keyFile } = seal;
      return { record, archive: join(folder, archiveName(name)), copy, deleted: [...new Set(deleted)], keyFile };
    },
  );
}

async function make(
  options: Omit<CreateOptions, 'seal'> & { id: string; origin: string; seal: Seal },
  url: string,
): Promise<BackupRecord> {
  const { home, folder, seal, id, origin, app, progress } = options;
  const since = performance.now();
  const temporalFile = home.path('temporal.db');
  const spool = spoolOf(home);
  const part = partOf(folder, nameOf({ id, origin }));
  const clear = () => {
    rmSync(spool, { recursive: true, force: true });
    rmSync(part, { force: true });
  };
  // What a killed one has left: only one is made at a time.
  clear();
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  const forget = onEnd(clear);
  const snapshot = await openSnapshot(url);
  try {
    needRoom(spool, sizeOf(temporalFile) + sizeOf(`${temporalFile}-wal`), 'a copy of Temporal’s database');
    progress('taking one moment of both databases');
    let keys: Buffer | undefined;
    const temporal = await takeTemporal(temporalFile, () => {
      // Before the rows: of a rotation that ends from here on the archive has the keys before, too.
      keys = readDataFile(home.path(keysFile));
      return snapshot.take();
    });
    const madeAt = new Date().toISOString();
    const { migrations, major, bytes } = await snapshot.head();
    needRoom(folder, expected(folder, tagOf(origin), bytes + sizeOf(temporalFile)), 'the backup');
    const temporalCopy = join(spool, 'temporal.db');
    try {
      progress('copying Temporal’s database');
      await temporal.copyTo(temporalCopy);
    } finally {
      temporal.end();
    }
    const head: BackupHead = {
      format: backupFormat,
      id,
      madeAt,
      origin,
      app,
      migrations,
      postgresMajor: major,
      temporal: readStamp(home)?.temporal ?? '',
    };
    const written = await writeArchive(part, seal, head, (add) =>
      fill(add, { snapshot, home, keys, temporalCopy, bytes, progress }),
    );
    progress('reading it back');
    await compareFile(part, written);
    const read = await readArchive(part, seal);
    const record: BackupRecord = {
      ...head,
      archive: { bytes: written.bytes, sha256: written.sha256 },
      dataBytes: read.entries.reduce((sum, entry) => sum + entry.bytes, 0),
      tables: Object.keys(read.tables).length,
      rows: rowsOf(read),
      ledger: read.ledger,
      seconds: Math.round(performance.now() - since) / 1000,
    };
    shelve(folder, record);
    return record;
  } finally {
    await snapshot.end();
    clear();
    forget();
  }
}

/** Guessed by the one before, which packing shrank by as much; without one by what it would be unpacked. */
function expected(folder: string, tag: string, dataBytes: number): number {
  const last = lastSize(folder, tag);
  return last === undefined ? dataBytes : Math.min(dataBytes, 2 * last);
}

interface Source {
  snapshot: Snapshot;
  home: Home;
  /** As they were before the snapshot. */
  keys: Buffer | undefined;
  temporalCopy: string;
  bytes: number;
  progress: Progress;
}

async function fill(
  add: AddEntry,
  { snapshot, home, keys, temporalCopy, bytes, progress }: Source,
): Promise<Pick<BackupManifest, 'tables' | 'sequences' | 'ledger'>> {
  for (const { name, file } of dataFiles(home.dir)) {
    const content = file === home.path(keysFile) ? keys : readDataFile(file);
    if (content !== undefined) await add(name, content);
  }
  await add('temporal.db', { file: temporalCopy, bytes: sizeOf(temporalCopy) });
  return addRows(add, { snapshot, bytes, progress });
}

/** Every table of the application, in pieces, with what it is compared by. */
export async function addRows(
  add: AddEntry,
  { snapshot, bytes, progress }: Pick<Source, 'snapshot' | 'bytes' | 'progress'>,
): Promise<Pick<BackupManifest, 'tables' | 'sequences' | 'ledger'>> {
  const tables: BackupManifest['tables'] = {};
  let done = 0;
  for (const table of await snapshot.tables()) {
    tables[table.name] = { ...(await snapshot.figures(table)), columns: table.columns };
    let count = 0;
    for await (const piece of inPieces(snapshot.read(table))) {
      await add(`postgres/${table.name}/${String(count).padStart(6, '0')}`, piece);
      count += 1;
      done += piece.length;
      progress(table.name, Math.min(0.99, done / Math.max(bytes, 1)));
    }
  }
  return { tables, ledger: await snapshot.ledger(), sequences: await snapshot.sequences() };
}

async function* inPieces(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes < pieceBytes) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held);
}

/** What is wrong with the second copy is told and does not undo the first. */
async function second(
  record: BackupRecord,
  folder: string,
  to: string,
  progress: Progress,
): Promise<{ folder: string; reason: string }> {
  progress(`copying it to ${to}`);
  try {
    await copyTo({ archive: join(folder, archiveName(nameOf(record))), record }, to);
    return { folder: to, reason: '' };
  } catch (err) {
    const told = fullDisk(err);
    return { folder: to, reason: told instanceof Error ? told.message : String(told) };
  }
}

/**
 * Where the database of the running fleet is.
 * @throws CONFLICT where it does not run, or its servers are others' to back up
 */
export function databaseOf(home: Home): string {
  const stamp = readStamp(home);
  const secrets = readJson<Partial<Secrets>>(home.path('secrets.json'));
  const ports = readJson<Partial<Ports>>(home.path('ports.json'));
  const starter = readJson<{ starter: ProcessRef }>(home.path('run', 'parts.json'))?.starter;
  if (stamp === undefined || secrets?.postgresPassword === undefined || ports?.postgres === undefined)
    throw new DomainError('CONFLICT', `${home.dir} holds no fleet: run it where \`npm start\` runs`);
  if (stamp.postgresMajor === null || stamp.temporal === null)
    throw new DomainError(
      'CONFLICT',
      'Postgres and Temporal of this fleet are servers of your own (DATABASE_URL, TEMPORAL_ADDRESS): back them up together with their own tools',
    );
  if (starter === undefined || !isAlive(starter))
    throw new DomainError(
      'CONFLICT',
      `the fleet of ${home.dir} does not run: start it with \`npm start\`, then back it up`,
    );
  return postgresUrl({ port: ports.postgres, password: secrets.postgresPassword, database: 'soulfra' });
}
