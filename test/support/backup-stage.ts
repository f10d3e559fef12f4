import { execFile, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { openHome } from '../../deploy/embedded/home.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { appStamp, writeStamp } from '../../deploy/embedded/version.ts';
import { migrate } from '../../stores/migrate.ts';
import { ensureDatabase, startServers, type TestServers, withDatabase } from './servers.ts';

export interface Part {
  code: number | null;
  signal: string | null;
  result?: unknown;
  failed?: { code: string; message: string };
  err: string;
}

const main = fileURLToPath(new URL('../../deploy/backup/main.ts', import.meta.url));

/** A data folder as `npm start` has one, with its servers and without our own processes; and what backs it up and restores it. */
export async function openBackupStage() {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-backup-'));
  // Postgres may run as a user of its own and has to pass through.
  chmodSync(folder, 0o755);
  const home = join(folder, 'home');
  const backups = join(folder, 'home-backups');
  const env = {
    PATH: process.env['PATH'] ?? '',
    ...(process.env['SOULFRA_TEST_RUN'] !== undefined && { SOULFRA_TEST_RUN: process.env['SOULFRA_TEST_RUN'] }),
    SOULFRA_HOME: home,
    SOULFRA_BACKUP_KEY_FILE: join(folder, 'keys', 'backup.key'),
  };
  let servers: TestServers | undefined;

  /** Starts them on what is in the folder. */
  async function start(): Promise<{ servers: TestServers; databaseUrl: string }> {
    servers = await startServers(home, { namespaces: ['default'], redisDatabases: 1 });
    await ensureDatabase(servers.postgresUrl, 'soulfra');
    const databaseUrl = withDatabase(servers.postgresUrl, 'soulfra');
    await migrate(databaseUrl);
    const stamp = { ...appStamp(repositoryRoot), postgresMajor: 18, temporal: '1.31.2' };
    writeStamp(openHome(env, '/'), stamp);
    return { servers, databaseUrl };
  }

  async function stop(): Promise<void> {
    await servers?.stop();
    servers = undefined;
    rmSync(join(home, 'run', 'parts.json'), { force: true });
  }

  return {
    folder,
    home,
    backups,
    env,
    start,
    stop,
    /** What `soulfra` starts. @param killAfterMs SIGKILL after so long @param signal sent as soon as `when` */
    run(
      args: readonly string[],
      options: {
        killAfterMs?: number;
        signal?: NodeJS.Signals;
        when?: () => boolean;
        env?: Record<string, string>;
      } = {},
    ): Promise<Part> {
      const child = spawn(process.execPath, [main, ...args], {
        env: { ...env, ...options.env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let out = '';
      let err = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
      const timer =
        options.killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.killAfterMs);
      const watch = setInterval(() => {
        if (options.when?.() !== true) return;
        child.kill(options.signal);
        clearInterval(watch);
      }, 5);
      return new Promise((resolve) => {
        child.once('close', (code, signal) => {
          clearTimeout(timer);
          clearInterval(watch);
          const last = out.trim().split('\n').at(-1) ?? '';
          const told = last.endsWith('}') ? (JSON.parse(last) as Omit<Part, 'code'>) : {};
          resolve({ ...told, code, signal, err });
        });
      });
    },
    async query<Row extends object>(databaseUrl: string, text: string): Promise<Row[]> {
      const client = new pg.Client({ connectionString: databaseUrl });
      await client.connect();
      try {
        return (await client.query<Row>(text)).rows;
      } finally {
        await client.end();
      }
    },
    async close(): Promise<void> {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
export type BackupStage = Awaited<ReturnType<typeof openBackupStage>>;

/** A file tree of so many bytes of its own, so that it can be full. @returns undefined where this machine lets us mount none */
export async function mountSmall(folder: string, megabytes: number): Promise<(() => Promise<void>) | undefined> {
  mkdirSync(folder, { recursive: true });
  const call = (program: string, args: string[]) =>
    new Promise<boolean>((resolve) => execFile(program, args, (err) => resolve(err === null)));
  if (!(await call('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]))) return undefined;
  return async () => void (await call('umount', [folder]));
}
