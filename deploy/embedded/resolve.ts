import { type ChildProcess, execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import type { Env } from './home.ts';
import { faultOf } from './log-fault.ts';

/** One way to come by a part: what it brought and why it was chosen, or why it was passed over. */
export type Attempt<T> = { found: T; why: string } | { skipped: string };
export interface Way<T> {
  name: string;
  try: () => Promise<Attempt<T>>;
}

/** Tries the ways in order; a way that throws is passed over with its message. `mend` is the one command that brings the part. */
export async function firstThatWorks<T>(
  part: string,
  ways: readonly Way<T>[],
  mend: string,
): Promise<{ found: T; why: string; passedOver: string[] }> {
  const passedOver: string[] = [];
  for (const way of ways) {
    const attempt = await way
      .try()
      .catch((err: unknown) => ({ skipped: err instanceof Error ? err.message : String(err) }));
    if ('found' in attempt) return { ...attempt, passedOver };
    passedOver.push(`${way.name}: ${attempt.skipped}`);
  }
  const tried = passedOver.map((line) => `  - ${line}`).join('\n');
  throw new DomainError('UNAVAILABLE', `no ${part} could be had:\n${tried}\nThis brings it: ${mend}`);
}

/** Full path of a program on PATH. */
export function onPath(program: string, env: Env): string | undefined {
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const file = join(folder, program);
    if (folder !== '' && isExecutable(file)) return file;
  }
  return undefined;
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch (err) {
    if (['ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP'].includes((err as NodeJS.ErrnoException).code ?? '')) return false;
    throw err;
  }
}

/** Runs a short program to its end; its stderr is in the message when it fails. */
export async function output(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Env; timeoutMs: number },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      program,
      [...args],
      {
        cwd: options.cwd,
        env: options.env ?? process.env,
        timeout: options.timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: 64 << 20,
      },
      (err, stdout, stderr) => {
        if (err === null) return resolve(stdout);
        const why = err.killed ? `no end within ${options.timeoutMs / 1000} s` : faultOf(stderr || err.message);
        reject(new Error(`${basename(program)} ${basename(args[0] ?? '')}: ${why}`, { cause: err }));
      },
    );
    endWithUs(child);
  });
}

const working = new Set<ChildProcess>();

/** A download or build does not go on behind the back of who stopped us. */
export function endWithUs(child: ChildProcess): void {
  if (working.size === 0) process.once('exit', endWorking);
  working.add(child);
  child.once('close', () => {
    working.delete(child);
    if (working.size === 0) process.off('exit', endWorking);
  });
}

function endWorking(): void {
  for (const child of working) child.kill('SIGKILL');
}
