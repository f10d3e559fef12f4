import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openSeal } from '../backup/seal.ts';
import { takeHome, type Taken, type TakeOptions } from '../move/take.ts';
import { movedArchive, movedKey } from './coordination.ts';
import { type Owner } from './made-once.ts';
import { progress } from './progress.ts';

/** The archive and its key, for whoever brings the fleet in. */
export async function moveInto(
  folder: string,
  from: string,
  owner: Owner,
  schedules: Pick<TakeOptions, 'resumeSchedules' | 'pausedByFile'>,
): Promise<Taken> {
  const archive = join(folder, movedArchive);
  const keyFile = join(folder, 'secrets', movedKey);
  const isRoot = process.getuid?.() === 0;
  // From here on an apply knows that the folder waits for a fleet.
  mkdirSync(dirname(archive), { recursive: true });
  chmodSync(dirname(archive), 0o711);
  const seal = await openSeal({ keyFile, passphrase: undefined }, { make: true });
  if (isRoot) chownSync(keyFile, owner.uid, owner.gid);
  return takeHome({
    from,
    archive,
    to: folder,
    ...(isRoot && { owner }),
    seal,
    env: process.env,
    ...schedules,
    progress,
  });
}
