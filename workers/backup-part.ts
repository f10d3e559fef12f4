import { spawn } from 'node:child_process';
import { setPriority } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { BackupPart } from '../activities/backups.ts';
import { DomainError, isErrorCode } from '../domain/errors.ts';

const mainOf = (program: string) => fileURLToPath(new URL(`../${program}`, import.meta.url));
/** It ends when this process is gone: its stdin is a pipe from here. */
const leaveWithParent = new URL('../deploy/embedded/leave-with-parent.ts', import.meta.url).href;
/** Behind the agents and the databases. */
const niceness = 10;
const mostTrouble = 4_000;

type Line = { result: unknown } | { failed: { code: string; message: string } } | { progress: string };

/** Of what `npm start` runs. */
export const runBackupPart: BackupPart = (args, signal) => runPart(mainOf('deploy/backup/main.ts'), args, signal);
/** Of the cluster of a deployment. */
export const runClusterPart: BackupPart = (args, signal) => runPart(mainOf('deploy/cluster/main.ts'), args, signal);

async function runPart(main: string, args: readonly string[], signal: AbortSignal): Promise<unknown> {
  signal.throwIfAborted();
  const child = spawn(process.execPath, ['--import', leaveWithParent, main, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGTERM',
  });
  let trouble = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    trouble = (trouble + text).slice(-mostTrouble);
  });
  const gone = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, by) => resolve(by ?? `code ${code}`));
  });
  gone.catch(() => undefined);
  if (child.pid !== undefined) setPriority(child.pid, niceness);
  let last: Line | undefined;
  for await (const text of createInterface({ input: child.stdout })) last = JSON.parse(text) as Line;
  const how = await gone;
  if (last !== undefined && 'result' in last) return last.result;
  if (last !== undefined && 'failed' in last) {
    const { code, message } = last.failed;
    throw new DomainError(isErrorCode(code) ? code : 'INTERNAL', message, { cause: trouble || undefined });
  }
  throw new DomainError('INTERNAL', `it ended by ${how}${trouble === '' ? '' : `: ${trouble}`}`);
}
