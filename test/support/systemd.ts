import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { runProgram } from '../../integrations/supervisors/commands.ts';
import { until } from './lab.ts';
import { lacks } from './not-run.ts';

/** A host of its own for services: a real systemd of a user, with nothing of this machine in it. */
export interface SystemdHost {
  /** The only place that its services may write to. */
  folder: string;
  unitFolder: string;
  /** What a worker needs to find it. */
  environment: Record<string, string>;
  systemctl(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

const program = '/lib/systemd/systemd';

/** In a namespace of its own: all but its folder is read-only, and no unit of this machine is known to it. */
const bringUp = `
set -e
folder=$1
mount -t tmpfs none /run
mkdir -p /run/systemd/system
mount --bind "$folder" "$folder"
mount -o remount,bind,ro /
exec env -i PATH="$PATH" HOME="$folder/home" XDG_CONFIG_HOME="$folder/config" XDG_RUNTIME_DIR="$folder/run" SYSTEMD_UNIT_PATH="$folder/config/systemd/user" \\
  SYSTEMD_GENERATOR_PATH="$folder/none" SYSTEMD_ENVIRONMENT_GENERATOR_PATH="$folder/none" SYSTEMD_LOG_TARGET=console \\
  ${program} --user --unit=basic.target
`;

/** For `describe.skipIf`: whether such a host can be started here. A sandbox that allows no namespace is given none by anybody. */
export function lacksSystemd(test: string): boolean {
  const has = process.platform === 'linux' && process.geteuid?.() === 0 && existsSync(program) && namespacesAllowed();
  const needs = 'systemd, and root for a namespace of its own';
  return lacks({ test, needs, command: 'sudo npm test', excused: true }, has);
}

/** What capabilities say is not all: a sandbox may refuse the call itself. */
function namespacesAllowed(): boolean {
  const roots = cgroupRoots();
  if (roots.length === 0) return false;
  try {
    for (const root of roots) {
      const group = join(root, `soulfra-tried-${process.pid}`);
      mkdirSync(group);
      rmdirSync(group);
    }
  } catch {
    return false;
  }
  return spawnSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs none /run']).status === 0;
}

export async function startSystemdHost(): Promise<SystemdHost> {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-systemd-'));
  const unitFolder = join(folder, 'config/systemd/user');
  for (const name of ['home', 'none', 'config/systemd/user']) mkdirSync(join(folder, name), { recursive: true });
  mkdirSync(join(folder, 'run'), { mode: 0o700 });
  for (const target of ['basic', 'sysinit', 'shutdown', 'default', 'exit'])
    writeFileSync(join(unitFolder, `${target}.target`), '[Unit]\nDefaultDependencies=no\n');
  const groups = cgroupRoots().map((root) => join(root, basename(folder)));
  for (const group of groups) mkdirSync(group);
  const script = `${groups.map((group) => `echo $$ > '${group}/cgroup.procs'\n`).join('')}exec unshare --mount sh -c '${bringUp}' sh '${folder}'`;
  const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-4_000);
    });
  const environment = {
    SOULFRA_SYSTEMD: 'user',
    SOULFRA_HOME: join(folder, 'home'),
    XDG_RUNTIME_DIR: join(folder, 'run'),
    XDG_CONFIG_HOME: join(folder, 'config'),
    DBUS_SESSION_BUS_ADDRESS: '',
  };
  const host: SystemdHost = {
    folder,
    unitFolder,
    environment,
    async systemctl(...args) {
      const named = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
      const { stdout, stderr, code } = await runProgram('env', [
        ...named,
        'systemctl',
        '--user',
        '--no-pager',
        ...args,
      ]);
      if (code !== 0 && args[0] !== 'is-active') throw new Error(`systemctl ${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    },
    async close() {
      await endAll(child, groups);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await until('systemd answers', async () => {
      if (child.exitCode !== null) throw new Error(`systemd ended: ${said}`);
      return host.systemctl('show', '--property=Version').then(
        () => true,
        () => false,
      );
    });
  } catch (err) {
    await host.close();
    throw err;
  }
  return host;
}

/** Where process groups are made: one tree, or systemd's own beside the unified one. */
function cgroupRoots(): string[] {
  const hybrid = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'];
  if (hybrid.every((root) => existsSync(join(root, 'cgroup.procs')))) return hybrid;
  return existsSync('/sys/fs/cgroup/cgroup.procs') ? ['/sys/fs/cgroup'] : [];
}

/** Its services go with it: they are in groups below its own. */
async function endAll(child: ChildProcess, groups: readonly string[]): Promise<void> {
  const gone = async () => {
    const pids = groups.flatMap((group) => processesIn(group));
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (err) {
        if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
      }
    }
    return pids.length === 0 && (child.exitCode !== null || child.signalCode !== null);
  };
  await until('systemd and its services are gone', gone);
  for (const group of groups) removeGroup(group);
  await pause(0);
}

function processesIn(group: string): number[] {
  const below = groupsIn(group).flatMap((name) => processesIn(join(group, name)));
  const own = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n');
  return [...below, ...own.filter((line) => line !== '').map(Number)];
}

function removeGroup(group: string): void {
  for (const name of groupsIn(group)) removeGroup(join(group, name));
  rmdirSync(group);
}

function groupsIn(group: string): string[] {
  return readdirSync(group).filter((name) => statSync(join(group, name)).isDirectory());
}
