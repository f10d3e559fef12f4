import { closeSync, existsSync, fsyncSync, openSync, readlinkSync, realpathSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
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

/** Where a data folder lies that is named by a link: folders are exchanged there, also while the link leads nowhere. */
export function seatOf(home: string, links = 40): string {
  if (existsSync(home)) return realpathSync(home);
  let target: string;
  try {
    target = readlinkSync(home);
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'EINVAL') throw err;
    return existsSync(dirname(home)) ? join(realpathSync(dirname(home)), basename(home)) : home;
  }
  if (links === 0) throw new DomainError('CONFLICT', `${home} is a link that leads to itself`);
  return seatOf(resolve(dirname(home), target), links - 1);
}

/** Whether an exchange is written down that is not ended. */
export const isSwapping = (home: string) => existsSync(journalOf(home));

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
export function finishSwap(named: string): string | undefined {
  const home = seatOf(named);
  const swap = readJson<Swap>(journalOf(home));
  if (swap === undefined) return undefined;
  if (swap.by.pid !== process.pid && isAlive(swap.by))
    throw new DomainError('CONFLICT', `process ${swap.by.pid} is restoring ${home}; wait until it is done`);
  const beside = (name: string) => join(dirname(home), name);
  if (existsSync(beside(swap.fresh))) {
    if (existsSync(home)) putAside(home, beside(swap.aside));
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

/** @throws CONFLICT where it cannot be moved; nothing has happened then, and the old fleet is the fleet */
function putAside(home: string, aside: string): void {
  try {
    renameSync(home, aside);
  } catch (err) {
    rmSync(journalOf(home));
    throw new DomainError(
      'CONFLICT',
      `${home} cannot be moved out of the way (${(err as NodeJS.ErrnoException).code}): restore into another folder with --into`,
      { cause: err },
    );
  }
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
