import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, renameSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DomainError } from '../../domain/errors.ts';
import type { Env, Home } from './home.ts';
import { isAlive, type ProcessRef, processRef } from './processes.ts';
import { recordParts } from './leftovers.ts';
import { faultIn } from './log-fault.ts';
import { launchLine, type RunAs } from './run-as.ts';

/** A part that dies more often than this within a minute stays down. */
const restartsAMinute = 3;
const logLimitBytes = 50 << 20;

export interface PartSpec {
  name: string;
  /** Parts stop from the highest to the lowest, those of one number together. */
  order: number;
  command: string;
  args: readonly string[];
  env: Env;
  cwd?: string;
  runAs?: RunAs | undefined;
  stopSignal: NodeJS.Signals;
  graceMs: number;
  /** A start may fail for a passing reason, such as Postgres whose killed forerunner still holds its memory. */
  startAttempts: number;
  readyWithinMs: number;
  ready?: () => Promise<boolean>;
  beforeStart?: () => Promise<void>;
  /** Exit code by which the part says that it is wanted no more and must not be started again. */
  leavesWith?: number;
}

/** killed: by hand, stays down until started by hand. left: wanted no more. failed: died too often. */
export type PartState = 'starting' | 'up' | 'killed' | 'left' | 'stopped' | 'failed';

export interface PartView {
  name: string;
  state: PartState;
  pid: number | null;
  restarts: number;
}

interface Part {
  spec: PartSpec;
  state: PartState;
  child: ChildProcess | undefined;
  /** Where this launch's lines begin in its log. */
  logFrom: number;
  ref: ProcessRef | undefined;
  gone: Promise<void>;
  diedAt: number[];
  restarts: number;
}

export type Parts = ReturnType<typeof createParts>;

/** Starts each part as a child process with its own log, and starts again those that die. `onFailed`: one died too often. */
export function createParts(deps: {
  home: Home;
  onEvent: (text: string) => void;
  onFailed: (part: string, why: string) => void;
}) {
  const parts = new Map<string, Part>();
  let stopping = false;

  const record = () => {
    const running = [...parts.values()].flatMap(({ spec, ref }) =>
      ref ? [{ name: spec.name, order: spec.order, stopSignal: spec.stopSignal, graceMs: spec.graceMs, ...ref }] : [],
    );
    recordParts(deps.home, running);
  };

  function launch(part: Part): ChildProcess {
    const { spec } = part;
    const log = openLog(deps.home.log(spec.name));
    part.logFrom = fstatSync(log).size;
    const line = launchLine(spec.command, spec.args, { env: spec.env, runAs: spec.runAs, signal: spec.stopSignal });
    // A session of its own: Ctrl-C in the terminal reaches only us, and we stop the parts in order. Parts of ours leave when stdin closes.
    const child = spawn(line.command, line.args, {
      ...(line.uid === undefined ? {} : { uid: line.uid, gid: line.gid }),
      cwd: spec.cwd,
      env: spec.env as NodeJS.ProcessEnv,
      detached: true,
      stdio: ['pipe', log, log],
    });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    part.child = child;
    part.ref = child.pid === undefined ? undefined : processRef(child.pid);
    part.gone = new Promise((resolve) => {
      const end = (why: string, code: number | null) => {
        if (part.child !== child) return;
        part.child = undefined;
        part.ref = undefined;
        record();
        resolve();
        if (code !== null && code === spec.leavesWith) {
          part.state = 'left';
          deps.onEvent(`${spec.name} is wanted no more and has left`);
        }
        if (part.state === 'up') void died(part, why);
      };
      child.once('error', (err) => end(err.message, null));
      child.once('exit', (code, signal) => end(signal ? `by ${signal}` : `with code ${code}`, code));
    });
    record();
    return child;
  }

  async function bringUp(part: Part): Promise<void> {
    const { spec } = part;
    for (let attempt = 1; ; attempt += 1) {
      part.state = 'starting';
      await spec.beforeStart?.();
      // A stop or kill that came meanwhile has its way.
      if (stopping || (part.state as PartState) !== 'starting') return;
      const child = launch(part);
      const up = await becomesReady(part, child);
      if ((part.state as PartState) !== 'starting') return;
      if (up) {
        part.state = 'up';
        return;
      }
      await take(part);
      const why = `${spec.name} did not come up: ${faultIn(deps.home.log(spec.name), part.logFrom)} (${deps.home.log(spec.name)})`;
      if (attempt >= spec.startAttempts) throw new DomainError('UNAVAILABLE', why);
      await sleep(Math.min(3000, 400 * attempt));
    }
  }

  async function becomesReady(part: Part, child: ChildProcess): Promise<boolean> {
    const deadline = Date.now() + part.spec.readyWithinMs;
    while (part.child === child && part.state === 'starting' && Date.now() < deadline) {
      if (part.spec.ready === undefined || (await part.spec.ready())) return part.child === child;
      await sleep(120);
    }
    return false;
  }

  async function died(part: Part, why: string): Promise<void> {
    if (stopping) return;
    const now = Date.now();
    part.diedAt = [...part.diedAt.filter((at) => now - at < 60_000), now];
    const { name } = part.spec;
    if (part.diedAt.length > restartsAMinute) {
      part.state = 'failed';
      deps.onFailed(
        name,
        `${name} ended ${why}, the ${part.diedAt.length}th time within a minute; see ${deps.home.log(name)}`,
      );
      return;
    }
    part.restarts += 1;
    deps.onEvent(`${name} ended ${why}; starting it again (${part.diedAt.length} of ${restartsAMinute} a minute)`);
    await sleep(200 * part.diedAt.length);
    if (stopping || (part.state as PartState) !== 'up') return;
    try {
      await bringUp(part);
      if ((part.state as PartState) === 'up') deps.onEvent(`${name} is up again`);
    } catch (err) {
      part.state = 'failed';
      deps.onFailed(name, err instanceof Error ? err.message : String(err));
    }
  }

  async function take(part: Part): Promise<void> {
    part.child?.kill('SIGKILL');
    await part.gone;
  }

  async function stopPart(part: Part): Promise<void> {
    part.state = 'stopped';
    const { child, spec } = part;
    if (child === undefined) return;
    child.kill(spec.stopSignal);
    // SIGCONT lets a frozen process hear its signal.
    child.kill('SIGCONT');
    const inTime = await Promise.race([part.gone.then(() => true), sleep(spec.graceMs, false, { ref: false })]);
    if (!inTime) {
      deps.onEvent(`${spec.name} did not stop within ${spec.graceMs / 1000} s and was ended`);
      await take(part);
    }
  }

  return {
    async start(spec: PartSpec): Promise<void> {
      const known = parts.get(spec.name);
      if (known?.child !== undefined || known?.state === 'starting')
        throw new DomainError('CONFLICT', `${spec.name} is running`);
      const part: Part = {
        spec,
        state: 'starting',
        child: undefined,
        logFrom: 0,
        ref: undefined,
        gone: Promise.resolve(),
        diedAt: [],
        restarts: known?.restarts ?? 0,
      };
      parts.set(spec.name, part);
      await bringUp(part).catch((err: unknown) => {
        // Not left as starting: it could never be started again.
        part.state = 'failed';
        throw err;
      });
    },
    /** SIGKILL; the part stays down until `start`. */
    async kill(name: string): Promise<number> {
      const part = parts.get(name);
      if (part?.child?.pid === undefined) throw new DomainError('CONFLICT', `${name} is not running`);
      const { pid } = part.child;
      part.state = 'killed';
      await take(part);
      return pid;
    },
    /** In order, with its grace; it stays down until `start`. */
    async stop(name: string): Promise<void> {
      const part = parts.get(name);
      // Also one that waits to be brought up again.
      if (part !== undefined) await stopPart(part);
    },
    list(): PartView[] {
      return [...parts.values()].map(({ spec, state, ref, restarts }) => ({
        name: spec.name,
        state,
        pid: ref?.pid ?? null,
        restarts,
      }));
    },
    /** In order, each with its grace. */
    async stopAll(onStep: (names: string[]) => void = () => undefined): Promise<void> {
      stopping = true;
      const orders = [...new Set([...parts.values()].map((part) => part.spec.order))].sort((a, b) => b - a);
      for (const order of orders) {
        const group = [...parts.values()].filter((part) => part.spec.order === order);
        onStep(group.filter((part) => part.child !== undefined).map((part) => part.spec.name));
        await Promise.all(group.map(stopPart));
      }
      record();
    },
    /** At once and without asking, for the second Ctrl-C. */
    forceAll(): void {
      stopping = true;
      for (const part of parts.values()) {
        part.state = 'stopped';
        if (part.ref && isAlive(part.ref)) part.child?.kill('SIGKILL');
      }
    },
  };
}

/** Appended to; moved aside once it is large. */
function openLog(file: string): number {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > logLimitBytes) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o640);
}
