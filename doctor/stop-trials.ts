import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { serviceEnvironment, variablesNamed } from '../config/environment.ts';
import { readTrustFile, trustOf } from '../config/trust-file.ts';
import { launchLine } from '../deploy/embedded/run-as.ts';
import type { StopTrial } from '../domain/readiness-inventory.ts';
import { untrustedReason } from '../domain/service-trust.ts';
import type { ServiceSpec } from '../domain/services.ts';
import { readListening } from '../integrations/live-machine.ts';
import { findProgram } from '../integrations/supervisors/find-program.ts';

/** What a trial runs: the words that this machine's trust file agrees to, and nothing else. */
export interface StopTrialPlan {
  service: string;
  /** Its first word is absolute. */
  command: readonly string[];
  folder: string;
  environment: Readonly<Record<string, string>>;
  /** Of TCP. */
  ports: readonly number[];
}

export interface StopTrialTimes {
  /** Until it has to listen. */
  upMs: number;
  /** What has no port counts as up once it has run for so long. */
  standsMs: number;
  /** As long as its unit would give it (`TimeoutStopSec`). */
  stopMs: number;
  /** What it started may end a little after it. */
  leftMs: number;
}
const usual: StopTrialTimes = { upMs: 30_000, standsMs: 2_000, stopMs: 30_000, leftMs: 2_000 };
const lookEveryMs = 50;
const markName = 'SOULFRA_STOP_TRIAL';

/** What would be run for it here, or why it is not tried. */
export function planStopTrial(spec: ServiceSpec): StopTrialPlan | { refused: string } {
  const { id, kind, image, command = [], workingDirectory = '.' } = spec;
  if ((kind !== 'process' && kind !== 'unit') || image !== undefined)
    return { refused: `it is a ${kind}, and only a process is tried here` };
  const { trustFile, path } = serviceEnvironment();
  const trust = trustOf(readTrustFile(trustFile), spec);
  if (!('entry' in trust)) return { refused: untrustedReason(id, 'this machine', trust.changed) };
  const { entry } = trust;
  if (entry.user !== undefined) return { refused: `it runs as ${entry.user}, which only a unit does` };
  const folder = isAbsolute(workingDirectory) ? workingDirectory : join(entry.folder, workingDirectory);
  const [first] = command;
  const program = first === undefined ? undefined : findProgram(first, folder, path);
  if (program === undefined)
    return { refused: `${JSON.stringify(first ?? '')} is no program here, seen from ${folder}` };
  return {
    service: id,
    command: [program, ...command.slice(1)],
    folder,
    environment: variablesNamed(entry.environment),
    ports: spec.ports.filter(({ protocol = 'tcp' }) => protocol === 'tcp').map(({ port }) => port),
  };
}

/**
 * Starts a second of a service beside everything else, stops it by SIGTERM as its unit would, and looks at what is left. It is not
 * tried where it seems to run already: nothing that serves anybody is ever stopped.
 * @throws the signal's reason; nothing of the trial runs on then
 */
export async function tryStop(
  { service, command, folder, environment, ports }: StopTrialPlan,
  signal: AbortSignal,
  { upMs, standsMs, stopMs, leftMs }: StopTrialTimes = usual,
): Promise<StopTrial> {
  const refused = (why: string): StopTrial => ({ ...untried, service, refused: why });
  if (!existsSync('/proc/self/environ')) return refused('what a service leaves behind is only seen on Linux');
  const taken = await listeningAt(ports);
  if (taken.length > 0) return refused(`something listens at ${taken.join(', ')} here already`);
  const readers = readersOf(command[0]!);
  const running = processesOf((pid) => sameCommand(argumentsOf(pid), command, readers));
  if (running.length > 0) return refused(`it runs here already (process ${running.join(', ')})`);
  signal.throwIfAborted();
  // By it all that comes of this trial is known, whatever it forks.
  const mark = randomUUID();
  const own = () => processesOf((pid) => environmentOf(pid).includes(`${markName}=${mark}`));
  const { path } = serviceEnvironment();
  const env = { PATH: path, HOME: homedir(), ...environment, [markName]: mark };
  // It dies with this process, however that ends.
  const line = launchLine(command[0]!, command.slice(1), { env, runAs: undefined, signal: 'SIGKILL' });
  const child = spawn(line.command, line.args, { cwd: folder, env, detached: true, stdio: 'ignore' });
  const ended = endOf(child);
  try {
    const before = performance.now();
    const over = (ms: number) => performance.now() - before >= ms;
    for (;;) {
      const end = await within(ended, lookEveryMs, signal);
      if (end !== undefined) return refused(`it ended by itself before it could be stopped: ${saidOf(end)}`);
      if (ports.length === 0 ? over(standsMs) : (await listeningAt(ports)).length > 0) break;
      if (ports.length > 0 && over(upMs))
        return refused(`it did not listen at ${ports.join(' or ')} within ${upMs / 1_000} s`);
    }
    const asked = performance.now();
    child.kill('SIGTERM');
    const end = await within(ended, stopMs, signal);
    const seconds = Math.round((performance.now() - asked) / 100) / 10;
    if (end === undefined) return { service, refused: null, ended: false, said: '', clean: false, seconds, left: [] };
    const rest = performance.now();
    let left = await leftOf(own, ports);
    while (left.length > 0 && performance.now() - rest < leftMs) {
      await pause(lookEveryMs, undefined, { signal });
      left = await leftOf(own, ports);
    }
    const clean = end.code === 0 || end.code === 143 || end.by === 'SIGTERM';
    return { service, refused: null, ended: true, said: saidOf(end), clean, seconds, left };
  } catch (err) {
    signal.throwIfAborted();
    throw err;
  } finally {
    await endAll(own);
  }
}

const untried = { ended: false, said: '', clean: false, seconds: 0, left: [] as string[] };

interface End {
  code: number | null;
  by: NodeJS.Signals | null;
  failed?: string;
}

function saidOf({ code, by, failed }: End): string {
  return failed ?? (by === null ? `code ${code}` : by);
}

async function endOf(child: ChildProcess): Promise<End> {
  try {
    const [code, by] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return { code, by };
  } catch (err) {
    return { code: null, by: null, failed: `it cannot be started: ${(err as Error).message}` };
  }
}

/** @returns undefined where it takes longer */
async function within<T>(coming: Promise<T>, ms: number, signal: AbortSignal): Promise<T | undefined> {
  const waiting = new AbortController();
  try {
    return await Promise.race([coming, pause(ms, undefined, { signal: AbortSignal.any([signal, waiting.signal]) })]);
  } finally {
    waiting.abort();
  }
}

async function listeningAt(ports: readonly number[]): Promise<number[]> {
  if (ports.length === 0) return [];
  const open = new Set((await readListening()).filter(({ protocol }) => protocol === 'tcp').map(({ port }) => port));
  return ports.filter((port) => open.has(port));
}

async function leftOf(own: () => number[], ports: readonly number[]): Promise<string[]> {
  const processes = own().map((pid) => `process ${nameOf(pid)} (${pid})`);
  return [...processes, ...(await listeningAt(ports)).map((port) => `port ${port}`)];
}

/** What is started while it is looked for is found the next time. */
async function endAll(own: () => number[]): Promise<void> {
  for (let found = own(); found.length > 0; found = own()) {
    for (const pid of found) kill(pid);
    await pause(lookEveryMs);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
  }
}

/** Living ones; what has ended and waits to be asked about is none. */
function processesOf(wanted: (pid: number) => boolean): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => wanted(pid) && textOf(`/proc/${pid}/stat`).split(') ').at(-1)![0] !== 'Z');
}

function argumentsOf(pid: number): string[] {
  return textOf(`/proc/${pid}/cmdline`).split('\0').slice(0, -1);
}

function environmentOf(pid: number): string[] {
  return textOf(`/proc/${pid}/environ`).split('\0');
}

function nameOf(pid: number): string {
  return textOf(`/proc/${pid}/comm`).trim();
}

/** The kernel starts a script by what its first line names, and that stands before it then. */
function sameCommand(words: readonly string[], command: readonly string[], readers: ReadonlySet<string>): boolean {
  const before = words.length - command.length;
  if (before < 0 || words.length === 0) return false;
  if (!words.slice(0, before).every((word) => readers.has(basename(word)))) return false;
  return words
    .slice(before)
    .every((word, i) => (i === 0 ? basename(word) === basename(command[0]!) : word === command[i]));
}

const mostOfFirstLine = 512;

/** Words of the line `#!…` that a program begins with, such as of `#!/usr/bin/env -S python3 -u`. */
function readersOf(program: string): Set<string> {
  let file: number;
  try {
    file = openSync(program, 'r');
  } catch (err) {
    // A script that nobody may read is none that its reader could run.
    if ((err as NodeJS.ErrnoException).code === 'EACCES') return new Set();
    throw err;
  }
  try {
    const start = Buffer.alloc(mostOfFirstLine);
    const text = start.toString('latin1', 0, readSync(file, start, 0, mostOfFirstLine, 0));
    const [line = ''] = text.split('\n');
    return new Set(
      line.startsWith('#!')
        ? line
            .slice(2)
            .trim()
            .split(/\s+/)
            .map((word) => basename(word))
        : [],
    );
  } finally {
    closeSync(file);
  }
}

/** Processes end while they are looked at, and those of others are not shown. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((err as NodeJS.ErrnoException).code ?? '')) return '';
    throw err;
  }
}
