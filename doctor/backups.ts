import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { backupEnvironment } from '../config/environment.ts';
import { readShelf } from '../deploy/backup/shelf.ts';
import type { BackupReading } from '../domain/doctor.ts';
import type { HomeFacts } from './home.ts';

/** What lies there, without opening it. @returns null where the databases are not those of `npm start` */
export function readBackups(
  home: HomeFacts,
  { folder, keyFile, passphrase }: ReturnType<typeof backupEnvironment>,
): BackupReading | null {
  if (home.stamp === undefined || home.stamp.postgresMajor === null || home.stamp.temporal === null) return null;
  const shelf = readShelf(folder);
  const newest = shelf.find(({ fault }) => fault === '')?.record;
  // Its secrets are written once, at the first start.
  const begun = statSync(join(home.folder, 'secrets.json'), { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  const key = statSync(keyFile, { throwIfNoEntry: false });
  return {
    folder,
    newestAge: newest === undefined ? null : (Date.now() - Date.parse(newest.madeAt)) / 1000,
    dataAge: (Date.now() - begun) / 1000,
    faulty: shelf.filter(({ fault }) => fault !== '').map(({ id }) => id),
    key: passphrase === undefined ? { path: keyFile, there: key !== undefined, mode: key?.mode ?? 0 } : null,
  };
}
