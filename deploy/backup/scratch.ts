import { chmodSync, createWriteStream, mkdirSync, rmSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { ConnectionOptions } from 'node:tls';
import { type BackupHead, type BackupManifest, type BackupRecord, differences, rowsOf } from '../../domain/backups.ts';
import { DomainError } from '../../domain/errors.ts';
import { openLoader, type SettleLoaded } from '../../stores/database-copy.ts';
import { migrate, refuseUnknown } from '../../stores/migrate.ts';
import { type Env, type Home, openHome } from '../embedded/home.ts';
import { endLeftovers, recordParts } from '../embedded/leftovers.ts';
import { createParts } from '../embedded/parts.ts';
import { freePort } from '../embedded/ports.ts';
import { ensureDatabase, preparePostgres, postgresUrl, resolvePostgres } from '../embedded/postgres.ts';
import { openSecrets } from '../embedded/secrets.ts';
import { compareVersions } from '../embedded/version.ts';
import { readArchive } from './archive.ts';
import { placeOf } from './data-files.ts';
import type { Progress } from './create.ts';
import { needRoom, sizeOf } from './folders.ts';
import { onEnd } from './on-end.ts';
import type { Seal } from './seal.ts';
import { temporalFault } from './temporal-copy.ts';

export interface Unpacked {
  manifest: BackupManifest;
  /** Of the database, while its server runs. */
  url: string;
  major: number;
  home: Home;
  /** From here on a signal leaves the folder as it is. */
  keep(): void;
  /** Ends the server; what it holds is on the disk then. */
  stop(): Promise<void>;
}

export interface UnpackOptions {
  archive: string;
  seal: Seal;
  /** Made anew; what a killed execution has left there is ended and thrown away. */
  folder: string;
  env: Env;
  /** Of this Soulfra. */
  app: string;
  /** Whose it has to be; left out: anybody's. */
  origin?: string;
  progress: Progress;
}

/** @throws DATA_NEWER where this Soulfra is older than who made the backup */
export function refuseNewer(head: Pick<BackupHead, 'id' | 'app' | 'migrations'>, app: string): void {
  if (compareVersions(head.app, app) > 0)
    throw new DomainError('DATA_NEWER', `backup ${head.id} was made by Soulfra ${head.app}; this is ${app}`);
  refuseUnknown(head.migrations);
}

/**
 * Makes a data folder of a backup: a new cluster with the schema that the backup had, its rows, which are compared with what was
 * written down, Temporal's database and the files. Nothing outside of `folder` is touched, and nothing of it is left where it fails.
 */
export async function unpack(options: UnpackOptions): Promise<Unpacked> {
  const { archive, seal, folder, env, app, progress } = options;
  progress('reading the backup');
  const manifest = await readArchive(archive, seal, async (_entry, head) => {
    refuseNewer(head, app);
    if (options.origin !== undefined && head.origin !== options.origin)
      throw new DomainError('CONFLICT', `${archive} is a backup of another fleet (${head.origin})`);
  });
  const { home, parts } = await emptyHome(folder, env);
  const keep = onEnd(async () => {
    await parts.stopAll();
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    await unpackFiles(archive, seal, home);
    const fault = temporalFault(home.path('temporal.db'));
    if (fault !== undefined)
      throw new DomainError('BACKUP_DAMAGED', `Temporal's database in it is not whole: ${fault}`);
    progress('making a new database');
    const { found } = await resolvePostgres({ ...env, DATABASE_URL: undefined });
    if ('url' in found) throw new Error('a restore has a Postgres of its own');
    const at = { port: await freePort(), password: openSecrets(home).postgresPassword };
    const spec = await preparePostgres({
      binaries: found,
      folder: home.path('postgres'),
      env,
      ...at,
      // A transaction that fills tables it has emptied writes no log of them then.
      settings: { wal_level: 'minimal', max_wal_senders: '0' },
    });
    await parts.start(spec);
    await ensureDatabase(postgresUrl({ ...at, database: 'postgres' }), 'soulfra');
    const url = postgresUrl({ ...at, database: 'soulfra' });
    await migrate(url, undefined, { upTo: manifest.migrations.at(-1)! });
    await loadRows(url, manifest, options);
    return {
      manifest,
      url,
      major: found.major,
      home,
      keep,
      async stop() {
        await parts.stopAll();
        rmSync(home.path('run', 'parts.json'), { force: true });
      },
    };
  } catch (err) {
    await parts.stopAll();
    rmSync(folder, { recursive: true, force: true });
    keep();
    throw err;
  }
}

async function emptyHome(folder: string, env: Env) {
  const before = openHome({ ...env, SOULFRA_HOME: folder }, '/');
  await endLeftovers(before);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  // Postgres may run as a user of its own and has to pass through.
  chmodSync(folder, 0o755);
  const home = openHome({ ...env, SOULFRA_HOME: folder }, '/');
  // Another one that comes meanwhile finds that somebody is here.
  recordParts(home, []);
  const parts = createParts({ home, onEvent: () => undefined, onFailed: () => undefined });
  return { home, parts };
}

async function unpackFiles(archive: string, seal: Seal, home: Home): Promise<void> {
  await readArchive(archive, seal, async ({ name, content }) => {
    const path = name === 'temporal.db' ? home.path(name) : placeOf(name, home.dir);
    if (path !== undefined) await pipeline(content, createWriteStream(path, { mode: 0o600, flush: true }));
  });
}

/**
 * Fills a database that has the schema of the archive, compares every row, and keeps it only where all are equal.
 * @param options.settle what else is written in the same transaction
 * @param options.mustBeEmpty CONFLICT where a fleet lives there
 */
export async function loadRows(
  url: string,
  manifest: BackupManifest,
  {
    archive,
    seal,
    progress,
    tls,
    settle,
    mustBeEmpty = false,
  }: Pick<UnpackOptions, 'archive' | 'seal' | 'progress'> & {
    tls?: ConnectionOptions | undefined;
    settle?: SettleLoaded;
    mustBeEmpty?: boolean;
  },
): Promise<void> {
  const loader = await openLoader(url, { tls, mustBeEmpty });
  try {
    const all = manifest.entries.reduce((sum, { bytes }) => sum + bytes, 0);
    let done = 0;
    await readArchive(archive, seal, async ({ name, bytes, content }) => {
      done += bytes;
      const table = /^postgres\/([^/]+)\/\d+$/.exec(name)?.[1];
      if (table === undefined) return;
      const columns = manifest.tables[table]?.columns;
      if (columns === undefined || !loader.tables.has(table))
        throw new DomainError('BACKUP_DAMAGED', `${archive}: it has rows of a table ${table} that its schema has not`);
      for await (const piece of content) await loader.write(table, columns, piece);
      progress(table, done / Math.max(all, 1));
    });
    progress('comparing every row');
    const wrong = differences(manifest, await loader.figures());
    if (wrong.length > 0) throw new DomainError('BACKUP_DAMAGED', `${archive}: restored, ${wrong.join('; ')}`);
    await loader.commit(manifest.sequences, settle);
  } finally {
    await loader.end();
  }
}

/** What is told of a restore that came out equal. */
export function equalWords(manifest: BackupManifest): {
  tables: number;
  rows: number;
  ledger: BackupManifest['ledger'];
} {
  return { tables: Object.keys(manifest.tables).length, rows: rowsOf(manifest), ledger: manifest.ledger };
}

/** What a new cluster takes before it holds anything. */
const clusterBytes = 150 << 20;

/** Room for the rows, their indexes, and the log that is written with them. */
export function needRestoreRoom(folder: string, record: BackupRecord | undefined, archive: string): void {
  needRoom(folder, clusterBytes + 3 * (record?.dataBytes ?? 4 * sizeOf(archive)), 'the restored fleet');
}
