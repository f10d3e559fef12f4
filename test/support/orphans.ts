import { readdirSync, readFileSync } from 'node:fs';
import { endProcess, processRef } from '../../deploy/embedded/processes.ts';

/** Ends and names every process of this test run whose parent is gone; a test that starts one has to end it. Linux only: elsewhere the list is empty. */
export async function endOrphans(): Promise<string[]> {
  const run = process.env['SOULFRA_TEST_RUN'];
  if (process.platform !== 'linux' || run === undefined) return [];
  const found: string[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const ref = processRef(pid);
    const command = ref && orphanOf(run, pid);
    if (ref === undefined || command === undefined) continue;
    found.push(`${pid} ${command}`);
    await endProcess(ref, 'SIGTERM', 1000);
  }
  return found;
}

function orphanOf(run: string, pid: number): string | undefined {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
    if (!environment.split('\0').includes(`SOULFRA_TEST_RUN=${run}`)) return undefined;
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return parent === '1' ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() : undefined;
  } catch (err) {
    // It ended while we looked, or belongs to another user.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((err as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw err;
  }
}
