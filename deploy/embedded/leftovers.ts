import { rmSync } from 'node:fs';
import { DomainError } from '../../domain/errors.ts';
import { type Home, readJson, writeJson } from './home.ts';
import { endProcess, isAlive, type ProcessRef, processRef } from './processes.ts';

interface Recorded extends ProcessRef {
  name: string;
  order: number;
  stopSignal: NodeJS.Signals;
  graceMs: number;
}
interface Record {
  starter: ProcessRef;
  parts: Recorded[];
}

const fileName = 'parts.json';

export function recordParts(home: Home, parts: Recorded[]): void {
  const starter = processRef(process.pid);
  if (starter === undefined) throw new Error('this process is not in the process table');
  writeJson(home.path('run', fileName), { starter, parts } satisfies Record);
}

/** Ends what a start that was killed left running, last started first; by number and start time, so never a stranger. */
export async function endLeftovers(home: Home): Promise<string[]> {
  const record = readJson<Record>(home.path('run', fileName));
  if (record === undefined) return [];
  if (record.starter.pid !== process.pid && isAlive(record.starter)) {
    throw new DomainError(
      'CONFLICT',
      `Soulfra already runs here as process ${record.starter.pid}; stop it there with Ctrl-C, or with: kill ${record.starter.pid}`,
    );
  }
  const left = record.parts.filter(isAlive).sort((a, b) => b.order - a.order);
  for (const part of left) await endProcess(part, part.stopSignal, Math.min(part.graceMs, 10_000));
  rmSync(home.path('run', fileName));
  return left.map((part) => part.name);
}
