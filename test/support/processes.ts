import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** `getconf CLK_TCK` of every Linux there is. */
const ticksPerSecond = 100;

/** A process with all that it has started and that still runs. */
export function processTree(pid: number): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/).map(Number) as [number, number]);
  const found = [pid];
  for (const parent of found) found.push(...rows.filter(([, of]) => of === parent).map(([child]) => child));
  return found;
}

/** CPU seconds of these processes so far, with those of their children that have ended. */
export function cpuSecondsOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    try {
      // Behind the name, which may hold spaces and brackets: state, then numbers; user, kernel, and both of ended children.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
      ticks += fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    } catch (err) {
      // Ended since it was listed: its parent has its time.
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err;
    }
  }
  return ticks / ticksPerSecond;
}
