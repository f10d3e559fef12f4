import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CommandFailure, exitCodes } from './failures.ts';
import { dim } from './output.ts';

type Line =
  | { progress: string; share: number | null }
  | { result: unknown }
  | { failed: { code: string; message: string; mend: string | null } };

/** Starts what makes and restores backups. */
export function runBackupPart<Result>(args: readonly string[], options: { quiet: boolean }): Promise<Result> {
  return runPart('deploy/backup/main.ts', args, options);
}

/**
 * Starts a program of ours, shows how far it is, and waits for its answer. Ctrl-C ends it, too.
 * @param options.onProgress each thing that it says, in place of one line that changes
 */
export async function runPart<Result>(
  program: string,
  args: readonly string[],
  { quiet, onProgress }: { quiet: boolean; onProgress?: (text: string) => void },
): Promise<Result> {
  const main = fileURLToPath(new URL(`../${program}`, import.meta.url));
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let trouble = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (trouble += text));
  const lively = !quiet && process.stderr.isTTY && onProgress === undefined;
  let last: Line | undefined;
  const gone = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(signal ?? `code ${code}`));
  });
  for await (const text of createInterface({ input: child.stdout })) {
    last = JSON.parse(text) as Line;
    if (!quiet && 'progress' in last) onProgress?.(last.progress);
    if (lively && 'progress' in last) {
      const share = last.share === null ? '' : ` ${Math.floor(last.share * 100)} %`;
      process.stderr.write(`\r\x1b[2K${dim(`${last.progress}${share}`)}`);
    }
  }
  const how = await gone;
  if (lively) process.stderr.write('\r\x1b[2K');
  if (last !== undefined && 'result' in last) return last.result as Result;
  if (last === undefined || !('failed' in last)) {
    throw new CommandFailure(`it ended by ${how}${trouble === '' ? '' : `:\n${trouble.trim()}`}`, {
      exitCode: exitCodes.failed,
    });
  }
  const { code, message, mend } = last.failed;
  throw new CommandFailure(trouble === '' ? message : `${message}\n${trouble.trim()}`, {
    exitCode: code === 'INVALID_INPUT' || code === 'NOT_FOUND' ? exitCodes.badInput : exitCodes.failed,
    code,
    ...(mend === null ? {} : { mend }),
  });
}
