import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Names of the programs that run on this host, as a person knows them: of the program file, and as the process calls itself. */
export async function runningPrograms(): Promise<string[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await run('ps', ['-A', '-o', 'comm='], { timeout: 5_000, maxBuffer: 8 << 20 });
    return [...new Set(stdout.split('\n').map((line) => basename(line.trim())))].filter((name) => name !== '');
  }
  const names = new Set<string>();
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      names.add(readFileSync(`/proc/${pid}/comm`, 'utf8').trim());
      const [program = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      // Programs of Windows under Wine name themselves with its slashes.
      if (program !== '') names.add(basename(program.replaceAll('\\', '/')));
    } catch (err) {
      // It ended while we looked, or is another user's.
      if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((err as NodeJS.ErrnoException).code ?? '')) throw err;
    }
  }
  return [...names];
}
