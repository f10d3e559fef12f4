import { execFile } from 'node:child_process';

export interface CommandResult {
  /** null: it was ended, or could not be started. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program of the host to its end; it is given no shell. */
export function runProgram(
  program: string,
  args: readonly string[],
  { timeoutMs = 30_000 }: { timeoutMs?: number } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 8 << 20 } as const;
    execFile(program, args, options, (err, stdout, stderr) => {
      const code = err === null ? 0 : typeof err.code === 'number' ? err.code : null;
      // A program that is not there says nothing itself.
      resolve({ code, stdout, stderr: stderr === '' && err !== null ? err.message : stderr });
    });
  });
}

/** The last lines of what a program said, for a reason of one line. */
export function saidBy({ stderr, stdout }: CommandResult): string {
  const text = stderr.trim() === '' ? stdout : stderr;
  return text.trim().split('\n').slice(-3).join('; ').slice(0, 500);
}
