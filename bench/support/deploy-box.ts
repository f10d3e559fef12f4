import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { HostPart } from '../../deploy/compose/host-parts.ts';
import type { Owner } from '../../deploy/compose/made-once.ts';

/** One box: a network of its own, and the parts of the kit that run there as they would under systemd. */
export interface Box {
  /** Every part in its order, each once it is ready. */
  up(): Promise<void>;
  /** All of it at once, as when the plug is pulled. */
  powerOff(): Promise<void>;
  lastLines(): string;
}

const readyWithinMs = 180_000;

export function createBox(options: {
  /** Of the network; undefined: that of the bench itself. */
  network: string | undefined;
  parts: readonly HostPart[];
  folder: string;
  logs: string;
  owner: Owner;
}): Box {
  const { network, parts, folder, logs, owner } = options;
  const running = new Map<string, ChildProcess>();
  mkdirSync(logs, { recursive: true });
  for (const data of ['', ...parts.flatMap((part) => part.data)]) {
    mkdirSync(join(folder, 'data', data), { recursive: true, mode: 0o700 });
    chownSync(join(folder, 'data', data), owner.uid, owner.gid);
  }
  const start = (part: HostPart, words: readonly string[]) => {
    const inNetwork = network === undefined ? [] : ['nsenter', `--net=/run/netns/${network}`];
    const as = ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
    const [program, ...args] = [...inNetwork, ...as, '--', ...words];
    const log = openSync(join(logs, `${part.name}.log`), 'a');
    const child = spawn(program!, args, {
      env: { ...part.environment, HOME: join(folder, 'data') },
      cwd: join(folder, 'data'),
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    return child;
  };
  const ended = (child: ChildProcess) =>
    new Promise<number | string>((resolve, reject) => {
      if (child.exitCode !== null) return resolve(child.exitCode);
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? signal ?? 'nothing'));
    });
  const toItsEnd = async (part: HostPart, words: readonly string[]) => {
    const child = start(part, words);
    running.set(`${part.name} ${words[0]}`, child);
    const code = await ended(child);
    if (code !== 0) throw new Error(`${part.name} ended by ${code}:\n${tail(logs, part.name)}`);
  };
  return {
    async up() {
      for (const part of parts) {
        if (part.once) {
          await toItsEnd(part, part.command);
          continue;
        }
        const child = start(part, part.command);
        running.set(part.name, child);
        const until = Date.now() + readyWithinMs;
        while (part.ready !== undefined && (await ended(start(part, part.ready))) !== 0) {
          if (child.exitCode !== null || Date.now() > until)
            throw new Error(`${part.name} does not come up:\n${tail(logs, part.name)}`);
          await pause(300);
        }
      }
    },
    async powerOff() {
      const roots = [...running.values()].filter(
        ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
      );
      const gone = roots.map(ended);
      await killTrees(roots.map(({ pid }) => pid!));
      await Promise.all(gone);
      running.clear();
    },
    lastLines: () => parts.map(({ name }) => `${name}:\n${tail(logs, name)}`).join('\n'),
  };
}

/**
 * Ends them and whatever they have begun, until all are gone: processes of Postgres lead groups of their own, and without their parent they
 * would go on for a moment, and hold its lock. All stand still first, so that none begins another between the look and the kill.
 */
export async function killTrees(roots: readonly number[]): Promise<void> {
  let pids: number[] = [];
  for (let found = withDescendants(roots); found.length > pids.length; found = withDescendants(roots)) {
    pids = found;
    for (const pid of pids) signal(pid, 'SIGSTOP');
    while (pids.some((pid) => ['R', 'S'].includes(statusOf(pid)?.state ?? ''))) await pause(5);
  }
  for (const pid of pids) signal(pid, 'SIGKILL');
  while (pids.some(isAlive)) await pause(20);
}

/** Parents first. */
function withDescendants(roots: readonly number[]): number[] {
  const children = Map.groupBy(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const parent = statusOf(Number(name))?.parent;
        return parent === undefined ? [] : [{ pid: Number(name), parent }];
      }),
    ({ parent }) => parent,
  );
  const below = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap((child) => below(child.pid))];
  return roots.flatMap(below);
}

/** undefined: it is gone */
function statusOf(pid: number): { state: string; parent: number } | undefined {
  try {
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { state: state!, parent: Number(parent) };
  } catch (err) {
    if (['ENOENT', 'ESRCH'].includes((err as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw err;
  }
}

function isAlive(pid: number): boolean {
  const status = statusOf(pid);
  return status !== undefined && status.state !== 'Z';
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
  }
}

function tail(logs: string, name: string): string {
  try {
    return readFileSync(join(logs, `${name}.log`), 'utf8')
      .split('\n')
      .slice(-12)
      .join('\n');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return '(no log)';
    throw err;
  }
}
