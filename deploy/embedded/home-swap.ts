import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import { readJson, writeJson } from './home.ts';
import { isAlive, type ProcessRef, processRef } from './processes.ts';

/** A data folder that takes the place of another. Names are of the folder that holds both, which may be moved. */
interface Swap {
  fresh: string;
  aside: string;
  by: ProcessRef;
}

const journalOf = (home: string) => `${home}.restoring.json`;

/**
 * Puts `fresh` in the place of the data folder, which is kept as `aside`. Two folders cannot change places in one step, so the
 * intent is written down first: before that line the old fleet is the fleet, from it on the new one, whoever finishes.
 */
export function swapHome(home: string, fresh: string, aside: string): void {
  const by = processRef(process.pid);
  if (by === undefined) throw new Error('this process is not in the process table');
  writeJson(journalOf(home), { fresh: basename(fresh), aside: basename(aside), by } satisfies Swap, 0o600);
  syncNames(journalOf(home), dirname(home));
  finishSwap(home);
}

/**
 * Ends a swap that a kill has cut off; to be called before anything else looks at the data folder.
 * @returns where what was there before is kept; undefined: there was nothing to end
 */
export function finishSwap(home: string): string | undefined {
  const swap = readJson<Swap>(journalOf(home));
  if (swap === undefined) return undefined;
  if (swap.by.pid !== process.pid && isAlive(swap.by))
    throw new DomainError('CONFLICT', `process ${swap.by.pid} is restoring ${home}; wait until it is done`);
  const beside = (name: string) => join(dirname(home), name);
  if (existsSync(beside(swap.fresh))) {
    if (existsSync(home)) renameSync(home, beside(swap.aside));
    renameSync(beside(swap.fresh), home);
    syncNames(dirname(home));
  } else if (!existsSync(home) && existsSync(beside(swap.aside))) {
    // Somebody took the restored one away in the middle: the old one is the fleet still.
    renameSync(beside(swap.aside), home);
    syncNames(dirname(home));
  }
  rmSync(journalOf(home));
  return beside(swap.aside);
}

function syncNames(...paths: string[]): void {
  for (const path of paths) {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
