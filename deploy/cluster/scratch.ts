import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type { ClusterPlace } from '../../config/cluster-place.ts';
import { DomainError } from '../../domain/errors.ts';
import { type RestoreTarget, targetArguments } from '../../domain/cluster-backups.ts';
import { fullDisk } from '../backup/folders.ts';
import { onEnd } from '../backup/on-end.ts';
import { endProcess, processRef } from '../embedded/processes.ts';
import { launchLine } from '../embedded/run-as.ts';
import type { Pgbackrest } from './pgbackrest.ts';

/** A restored cluster while it is looked at: reached by a socket in a folder of its own, by nobody but this user. */
export interface Scratch {
  /** Of a database in it. */
  url(database: string): string;
  /** Ends it; what it holds is on the disk then. */
  stop(): Promise<void>;
}

const superuser = 'postgres';
const stopWithinMs = 5 * 60_000;
const mostSaid = 16_000;

/** A URL of the cluster that runs, by its socket. @param of the folder with the socket */
export function socketUrl(of: { socket: string; port: number; password?: string }, database: string): string {
  const secret = of.password === undefined ? '' : `:${encodeURIComponent(of.password)}`;
  const at = new URLSearchParams({ host: of.socket, port: String(of.port) });
  return `postgres://${superuser}${secret}@/${database}?${at.toString()}`;
}

export function passwordOf({ passwordFile }: ClusterPlace): string {
  return readFileSync(passwordFile, 'utf8').trim();
}

export function liveUrl(place: ClusterPlace, database: string): string {
  return socketUrl({ ...place, password: passwordOf(place) }, database);
}

/**
 * Restores into a folder, which is made anew, and runs it until it has reached the target and writes by itself.
 * @throws NOT_FOUND where changes end before the target
 */
export async function restoreScratch(options: {
  place: ClusterPlace;
  pgbackrest: Pgbackrest;
  folder: string;
  label: string;
  target: RestoreTarget;
  progress: (text: string) => void;
}): Promise<Scratch> {
  const { place, pgbackrest, folder, label, target, progress } = options;
  await endLeftover(folder);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const forget = onEnd(async () => {
    await endLeftover(folder);
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    progress(`restoring ${label}`);
    await pgbackrest.run('restore', [
      `--pg1-path=${folder}`,
      `--set=${label}`,
      ...targetArguments(target),
      `--recovery-option=restore_command=${pgbackrest.restoreCommand(folder)}`,
    ]);
    progress('replaying changes');
    const scratch = await start(place, folder);
    return {
      ...scratch,
      async stop() {
        await scratch.stop();
        forget();
      },
    };
  } catch (err) {
    await endLeftover(folder);
    rmSync(folder, { recursive: true, force: true });
    forget();
    throw fullDisk(err);
  }
}

async function start(place: ClusterPlace, folder: string): Promise<Scratch> {
  // Short: the name of a socket has 107 characters at most.
  const run = mkdtempSync(join(tmpdir(), 'soulfra-pg-'));
  const hba = join(run, 'hba.conf');
  writeFileSync(hba, 'local all all trust\n');
  const settings: Record<string, string | number> = {
    // The settings of the real one: rows are compared as text, which follows them.
    config_file: place.configFile,
    listen_addresses: '',
    unix_socket_directories: run,
    unix_socket_permissions: '0700',
    hba_file: hba,
    port: place.port,
    ssl: 'off',
    shared_buffers: '128MB',
    // It answers once it is there, so it needs not be as large as the one that wrote the changes.
    hot_standby: 'off',
    // What it writes is kept for the archive, which gets it only where this becomes the cluster.
    archive_mode: 'on',
    archive_command: '',
    synchronous_standby_names: '',
    restart_after_crash: 'off',
  };
  const words = ['-D', folder, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const env = { PATH: process.env['PATH'] };
  const line = launchLine(place.postgres, words, { env, runAs: undefined, signal: 'SIGQUIT' });
  const child = spawn(line.command, line.args, {
    cwd: folder,
    env: env as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-mostSaid)));
  const gone = new Promise<string>((resolve) => {
    child.once('error', (err) => resolve(err.message));
    child.once('close', (code, signal) => resolve(`code ${code ?? signal}`));
  });
  let how: string | undefined;
  void gone.then((ending) => (how = ending));
  const url = (database: string) => socketUrl({ socket: run, port: place.port }, database);
  const clear = () => rmSync(run, { recursive: true, force: true });
  // However long it replays: who waits for it ends it.
  for (;;) {
    if (how !== undefined) {
      clear();
      throw faultOf(how, said);
    }
    if (await answers(url('postgres'))) break;
    await pause(200);
  }
  return {
    url,
    async stop() {
      if (how === undefined) {
        child.kill('SIGINT');
        const timer = setTimeout(() => child.kill('SIGQUIT'), stopWithinMs);
        await gone;
        clearTimeout(timer);
      }
      clear();
    },
  };
}

/** While it replays, and where its socket is not there yet, it refuses. */
const notYet: readonly string[] = ['57P03', 'ENOENT', 'ECONNREFUSED', 'ECONNRESET'];

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, application_name: 'soulfra restore' });
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (err) {
    if (notYet.includes((err as { code?: string }).code ?? '')) return false;
    throw err;
  }
  await client.end();
  return true;
}

function faultOf(how: string, said: string): unknown {
  const fatal = [...said.matchAll(/(?:FATAL|PANIC):\s+(.*)/g)].map(([, text]) => text!);
  const why = fatal.at(-1) ?? said.trim().split('\n').at(-1) ?? '';
  if (/before configured recovery target was reached/.test(said))
    return new DomainError(
      'NOT_FOUND',
      'the changes in the repository end before that moment: name an earlier one, or latest',
    );
  return fullDisk(
    new DomainError('BACKUP_DAMAGED', `what was restored does not start (${how}): ${why}`, { cause: new Error(said) }),
  );
}

/** A server that a killed execution has left there. Postgres is in its folder, so a number that was given again is told apart. */
async function endLeftover(folder: string): Promise<void> {
  const file = join(folder, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  const ref = Number.isInteger(pid) && pid > 1 ? processRef(pid) : undefined;
  if (ref === undefined || workingFolder(pid) !== realpathSync(folder)) return;
  await endProcess(ref, 'SIGQUIT', 30_000);
}

function workingFolder(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch (err) {
    if (['ENOENT', 'EACCES', 'ESRCH'].includes((err as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw err;
  }
}
