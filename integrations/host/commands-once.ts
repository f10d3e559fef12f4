import { spawn } from 'node:child_process';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A command that is done once, whatever becomes of who asked for it. It runs in a shell of its own session that first takes a
 * folder by making it, which one of many can, and at the end writes there how it ended: whoever asks again waits for that.
 */
const wrapper = `
mkdir "$1" 2>/dev/null || exit 0
echo "$$ $(cut -d' ' -f22 /proc/$$/stat 2>/dev/null)" > "$1/pid.new" && mv "$1/pid.new" "$1/pid"
place=$1
shift
"$@" > "$place/output" 2>&1 < /dev/null
status=$?
echo $status > "$place/exit.new" && mv "$place/exit.new" "$place/exit"
`;

export interface OnceCommand {
  /** Where folders of commands lie. */
  folder: string;
  /** Names this one command among all. */
  key: string;
  command: readonly string[];
  workingDirectory: string;
  env: NodeJS.ProcessEnv;
  /** From its start, whoever asked for that. */
  timeoutMs: number;
}

/** doubtful: it began, it runs no more, and it left no word of how it ended. */
export type OnceOutcome =
  | { kind: 'ended'; status: number; output: string }
  | { kind: 'timed_out'; output: string }
  | { kind: 'doubtful'; output: string };

const lookEveryMs = 100;
/** From the folder to the number of the process, and from the start to the folder. */
const patienceMs = 15_000;
const mostShown = 4_000;

/** @throws the signal's reason, where the command goes on: who asks again finds it */
export async function runOnce(asked: OnceCommand, signal: AbortSignal): Promise<OnceOutcome> {
  const { folder, key, command, workingDirectory, env, timeoutMs } = asked;
  if (!/^[\w-]{1,200}$/.test(key)) throw new TypeError(`no name of a command: ${key}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const place = join(folder, key);
  if (!existsSync(place)) {
    const child = spawn('/bin/sh', ['-c', wrapper, 'soulfra-once', place, ...command], {
      cwd: workingDirectory,
      env,
      detached: true,
      stdio: 'ignore',
    });
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
  }
  const since = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const ended = read(join(place, 'exit'));
    if (ended !== undefined) return { kind: 'ended', status: Number(ended), output: outputOf(place) };
    const pid = read(join(place, 'pid'));
    if (pid === undefined) {
      if (performance.now() - since > patienceMs) return { kind: 'doubtful', output: outputOf(place) };
    } else if (!lives(pid)) {
      // It may have ended between the two looks.
      const after = read(join(place, 'exit'));
      return after === undefined
        ? { kind: 'doubtful', output: outputOf(place) }
        : { kind: 'ended', status: Number(after), output: outputOf(place) };
    } else if (Date.now() - startedAt(place) > timeoutMs) {
      killAll(Number(pid.split(' ')[0]));
      return { kind: 'timed_out', output: outputOf(place) };
    }
    await sleep(lookEveryMs, undefined, { signal });
  }
}

/** When it wrote down its number, which it does first of all. */
function startedAt(place: string): number {
  return statSync(join(place, 'pid')).mtimeMs;
}

/** With all that it began; it may end by itself just then. */
function killAll(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw err;
  }
}

/** A number is given again to others, so the time of its start goes with it. */
function lives(written: string): boolean {
  const [pid = '', started = ''] = written.split(' ');
  if (started === '') {
    try {
      process.kill(Number(pid), 0);
      return true;
    } catch (err) {
      return (err as NodeJS.ErrnoException).code === 'EPERM';
    }
  }
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return false;
  // The name may hold anything; what follows it does not.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[19] === started && fields[0] !== 'Z';
}

/** The last of what it said. */
function outputOf(place: string): string {
  let file: number;
  try {
    file = openSync(join(place, 'output'), 'r');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw err;
  }
  try {
    const { size } = fstatSync(file);
    const length = Math.min(size, mostShown);
    const buffer = Buffer.alloc(length);
    readSync(file, buffer, 0, length, size - length);
    return buffer.toString('utf8').trim();
  } finally {
    closeSync(file);
  }
}
