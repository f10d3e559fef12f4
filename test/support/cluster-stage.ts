import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import pg from 'pg';
import { appVersion } from '../../config/app-version.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { writeFolder } from '../../deploy/compose/folder.ts';
import { dataFoldersOf, hostParts, programMends, type Programs } from '../../deploy/compose/host-parts.ts';
import { hostKit, readShipped } from '../../deploy/compose/kit.ts';
import { ownerOfParts } from '../../deploy/compose/made-once.ts';
import { socketUrl } from '../../deploy/cluster/scratch.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { freePort } from '../../deploy/embedded/ports.ts';
import { onPath } from '../../deploy/embedded/resolve.ts';
import { launchLine, postgresUser } from '../../deploy/embedded/run-as.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import type { Part } from './backup-stage.ts';

const needed = ['postgres', 'initdb', 'pg_ctl', 'psql', 'pgbackrest', 'flock'] as const;

/** PATH with the programs of a Debian Postgres, which lie beside it. The newest that pgBackRest of the same source knows. */
export function clusterPath(): string {
  const folder = '/usr/lib/postgresql';
  const majors = existsSync(folder) ? readdirSync(folder).toSorted((a, b) => Number(b) - Number(a)) : [];
  return [...majors.map((major) => join(folder, major, 'bin')), process.env['PATH'] ?? ''].join(delimiter);
}

export function lacksForCluster(): string[] {
  return needed.filter((name) => onPath(name, { PATH: clusterPath() }) === undefined);
}

/** Postgres of a deployment as its kit runs it on a host, and the program that backs it up and restores it. */
export async function openClusterStage() {
  const work = mkdtempSync(join(tmpdir(), 'soulfra-cluster-'));
  // The parts run as another user under root, who has to pass through.
  chmodSync(work, 0o755);
  const folder = join(work, 'kit');
  const second = join(work, 'second');
  const runAs = postgresUser(process.env, [repositoryRoot]);
  const owner = runAs ?? ownerOfParts();
  const give = (path: string) => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    if (runAs !== undefined) chownSync(path, owner.uid, owner.gid);
  };
  give(second);
  const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
  fleet.machines = fleet.machines.slice(1);
  fleet.deploy.ports.postgres = await freePort();
  fleet.backup.to = second;
  const site = deploySite(fleet);
  const path = clusterPath();
  /** As `soulfra deploy init` with these programs first on PATH. */
  async function init(before: readonly string[] = []) {
    const PATH = [...before, path].join(delimiter);
    const programs = Object.fromEntries(
      Object.keys(programMends).map((name) => [name, onPath(name, { PATH }) ?? '/bin/false']),
    ) as Programs;
    const kit = hostKit(site, readShipped(join(repositoryRoot, 'deploy')), folder, programs);
    await writeFolder(folder, site, kit, new Map(), 'none', owner);
    const layout = { folder, root: repositoryRoot, node: process.execPath, app: appVersion(), programs, path: PATH };
    return hostParts(site, site.coordination, layout);
  }
  let parts = await init();
  for (const name of ['', ...dataFoldersOf(site, site.coordination)]) give(join(folder, 'data', name));
  const part = (name: string) => parts.find((each) => each.name === name)!;
  const run = process.env['SOULFRA_TEST_RUN'];
  const environment = {
    ...part('backup').environment,
    PATH: path,
    ...(run === undefined ? {} : { SOULFRA_TEST_RUN: run }),
  };
  const password = (name: string) => readFileSync(join(folder, 'secrets', name), 'utf8').trim();
  const socket = { socket: join(folder, 'data/run'), port: fleet.deploy.ports.postgres };
  const url = (database: string) => socketUrl({ ...socket, password: password('postgres_password') }, database);
  const begin = (words: readonly string[]): ChildProcess => {
    const line = launchLine(words[0]!, words.slice(1), { env: process.env, runAs, signal: undefined });
    const { command, args, ...as } = line;
    return spawn(command, args, {
      ...as,
      env: { ...environment, PGPASSWORD: password('postgres_password') },
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
  };
  const endOf = (child: ChildProcess) => new Promise<void>((resolve) => child.once('close', () => resolve()));
  let server: { child: ChildProcess; gone: Promise<void>; said: string[] } | undefined;

  async function start(): Promise<void> {
    const child = begin(part('postgres').command);
    const said: string[] = [];
    const up = { child, gone: endOf(child), said };
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => void said.push(text));
    server = up;
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`Postgres does not come up:\n${said.join('').slice(-2_000)}`);
      const client = new pg.Client({ connectionString: url('soulfra') });
      client.on('error', () => undefined);
      const isUp = await client.connect().then(
        () => true,
        () => false,
      );
      await client.end().catch(() => undefined);
      if (isUp) return;
      await pause(100);
    }
  }

  async function stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    if (server === undefined) return;
    if (signal === 'SIGKILL') process.kill(-server.child.pid!, signal);
    else server.child.kill(signal);
    await server.gone;
    server = undefined;
  }

  return {
    folder,
    second,
    site,
    url,
    /** As the API connects. */
    appUrl: () => url('soulfra').replace(/^postgres:\/\/[^@]*@/, `postgres://soulfra:${password('soulfra_password')}@`),
    data: (...path_: string[]) => join(folder, 'data', ...path_),
    start,
    stop,
    /** @param folderOfPrograms of another Postgres */
    async initWith(folderOfPrograms: string): Promise<void> {
      parts = await init([folderOfPrograms]);
    },
    /** What the operator runs as the user of the parts, with the superuser's password. */
    async runAs(...line: string[]): Promise<void> {
      const child = begin(line);
      let said = '';
      child.stderr!.setEncoding('utf8').on('data', (text: string) => (said += text));
      child.stdout!.resume();
      const [code] = (await once(child, 'close')) as [number | null];
      if (code !== 0) throw new Error(`${line[0]} ended by ${code}: ${said}`);
    },
    /** @param killAt SIGKILL to all that it has begun, once it says that it is there */
    run(args: readonly string[], { killAt }: { killAt?: RegExp } = {}): Promise<Part> {
      const child = begin([process.execPath, join(repositoryRoot, 'deploy/cluster/main.ts'), ...args]);
      let err = '';
      let last = '';
      child.stderr!.setEncoding('utf8').on('data', (text: string) => (err += text));
      createInterface({ input: child.stdout! }).on('line', (text) => {
        last = text;
        if (killAt?.test(text) !== true) return;
        for (const pid of tree(child.pid!)) kill(pid);
      });
      return new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code, signal) =>
          resolve({ ...(last.endsWith('}') ? (JSON.parse(last) as object) : {}), code, signal, err }),
        );
      });
    },
    async query<Row extends object>(text: string, database = 'soulfra'): Promise<Row[]> {
      const client = new pg.Client({ connectionString: url(database) });
      await client.connect();
      try {
        return (await client.query<Row>(text)).rows;
      } finally {
        await client.end();
      }
    },
    async close(): Promise<void> {
      await stop();
      rmSync(work, { recursive: true, force: true });
    },
  };
}
export type ClusterStage = Awaited<ReturnType<typeof openClusterStage>>;

/** The process and whatever it has begun, in groups of their own too; the youngest last. */
function tree(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => parentOf(name) === pid)
    .map(Number);
  return [pid, ...children.flatMap(tree)];
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch (err) {
    if (['ENOENT', 'ESRCH'].includes((err as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw err;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
  }
}
