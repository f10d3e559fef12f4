import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { type DestinationStream, destination } from 'pino';
import openRolling from 'pino-roll';

/** Of one process at the most. */
const megabytes = 10;
const files = 5;
/** How often a place that takes no lines is tried again. */
const againMs = 5_000;
/** A disk that is full or fails is no reason not to start; a folder that is named wrongly is. */
const passing: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'ENFILE']);

export interface LogDestination extends DestinationStream {
  /** Tells how many lines were given up because they could not be written: those so far, and then each further. */
  onLost(tell: (lines: number) => void): void;
}

interface Options {
  /** @default 5000 */
  againMs?: number;
  /** Says once that lines are given up, and once that they are written again. @default standard error, which logs may not keep from working */
  say?: (text: string) => void;
}

/** `<source>.<n>.jsonl` in a folder, in files of 10 MB; the last five are kept. Written at once, so that a killed process leaves its last words. */
export function openLogFiles(folder: string, source: string, options: Options = {}): Promise<LogDestination> {
  const open = () =>
    openRolling({
      // The package takes the extension from here alone.
      file: join(folder, `${source}.jsonl`),
      size: `${megabytes}m`,
      limit: { count: files, removeOtherLogFiles: true },
      mkdir: true,
      sync: true,
    });
  return keepWriting(`log files of ${source} in ${folder}`, open, options);
}

/** Standard output, which may be a file on a full disk, or a pipe that nobody reads any more. */
export function openLogOutput(options: Options = {}): Promise<LogDestination> {
  return keepWriting('the log on standard output', async () => destination({ fd: 1, sync: true }), options);
}

/** What `pino.destination` and `pino-roll` open. */
export interface OpenedStream extends DestinationStream {
  on(event: 'error', listener: (err: Error) => void): unknown;
  destroy(): void;
}

/**
 * A log that cannot be written must not end what it tells of: a stream that fails is put away and opened anew from time to time.
 * Lines that come meanwhile are given up and counted; nothing waits for them.
 */
export async function keepWriting(
  what: string,
  open: () => Promise<OpenedStream>,
  { againMs: wait = againMs, say = sayOnStandardError }: Options = {},
): Promise<LogDestination> {
  let stream: OpenedStream | undefined;
  let opening: Promise<void> | undefined;
  let failing = false;
  let triedAt = 0;
  /** Of those that were given up, how many nobody was told of. */
  let untold = 0;
  let lostNow = 0;
  let tell: ((lines: number) => void) | undefined;

  function lose(): void {
    lostNow += 1;
    if (tell) tell(1);
    else untold += 1;
  }

  function failed(err: unknown): void {
    triedAt = performance.now();
    if (failing) return;
    failing = true;
    say(`${what} cannot be written (${messageOf(err)}); lines are given up until they can`);
  }

  /** @throws where it cannot be opened */
  async function openAnew(): Promise<void> {
    const opened = await open();
    opened.on('error', (err) => {
      // One that was put away may still fail to be closed.
      if (stream !== opened) return;
      stream = undefined;
      failed(err);
      opened.destroy();
    });
    stream = opened;
  }

  function write(line: string): void {
    if (stream === undefined) {
      lose();
      if (performance.now() - triedAt >= wait) opening ??= again();
      return;
    }
    const used = stream;
    try {
      used.write(line);
    } catch (err) {
      if (stream === used) {
        stream = undefined;
        failed(err);
      }
    }
    if (stream !== used) lose();
  }

  async function again(): Promise<void> {
    try {
      await openAnew();
      // What was written of a line before the failure ends here.
      const words = {
        time: new Date().toISOString(),
        level: 'warn',
        part: 'logs',
        msg: 'lines were given up',
        lost: lostNow,
      };
      stream?.write(`\n${JSON.stringify(words)}\n`);
    } catch (err) {
      failed(err);
    }
    opening = undefined;
    if (stream === undefined) return;
    failing = false;
    say(`${what} can be written again; ${lostNow} lines were given up`);
    lostNow = 0;
  }

  try {
    await openAnew();
  } catch (err) {
    if (!passing.has((err as NodeJS.ErrnoException).code)) throw err;
    failed(err);
  }
  return {
    write,
    onLost(next) {
      tell = next;
      if (untold > 0) next(untold);
      untold = 0;
    },
  };
}

const messageOf = (err: unknown) => (err instanceof Error ? err.message : String(err));

function sayOnStandardError(text: string): void {
  try {
    writeSync(2, `${text}\n`);
  } catch {
    // On a full disk standard error may be a file, too; the metric tells.
  }
}
