import { existsSync, rmSync } from 'node:fs';
import { isDomainError } from '../../domain/errors.ts';
import { type Env, type Home, openHome } from './home.ts';
import { endLeftovers } from './leftovers.ts';

/** Where a backup copies Temporal's database to before it is sealed. */
export const spoolOf = (home: Home) => home.path('run', 'backup');
/** Where a drill restores to. */
export const drillOf = (home: Home) => home.path('run', 'restore-drill');
/** Where a restore makes the data folder that is to be: beside it, so that the last step is a rename. */
export const freshOf = (into: string) => `${into}.restore`;

/** Throws away what a killed backup, drill or restore has left, which lies open on the disk, and ends its server. */
export async function sweepScratch(home: Home, env: Env): Promise<void> {
  // What makes a backup needs the fleet's database, which is not up yet: nobody is at it.
  rmSync(spoolOf(home), { recursive: true, force: true });
  for (const folder of [drillOf(home), freshOf(home.dir)]) await emptied(folder, env);
}

/** @returns false where somebody is at work there */
async function emptied(folder: string, env: Env): Promise<boolean> {
  if (!existsSync(folder)) return true;
  try {
    await endLeftovers(openHome({ ...env, SOULFRA_HOME: folder }, '/'));
  } catch (err) {
    if (isDomainError(err, 'CONFLICT')) return false;
    throw err;
  }
  rmSync(folder, { recursive: true, force: true });
  return true;
}
