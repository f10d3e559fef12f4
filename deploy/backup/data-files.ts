import { chmodSync, copyFileSync, lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { DomainError } from '../../domain/errors.ts';

/** The keys that rows are sealed under, and the passwords of the servers. */
export const keysFile = 'secrets.json';

/** Of the data folder, beside Postgres and Temporal's database: what is not made anew. */
const kept = [keysFile, 'operator.token', 'birth.json', 'trust.yaml', 'mail', 'tls', 'edge.json'];

const prefix = 'files/';

/** In the order of their names, as they are in an archive. */
export function dataFiles(home: string): Array<{ name: string; file: string }> {
  return kept
    .flatMap((name) => filesAt(home, name))
    .map((name) => ({ name: `${prefix}${name}`, file: join(home, name) }));
}

function filesAt(home: string, name: string): string[] {
  const stat = lstatSync(join(home, name), { throwIfNoEntry: false });
  if (stat?.isFile()) return [name];
  if (!stat?.isDirectory()) return [];
  return readdirSync(join(home, name))
    .sort()
    .flatMap((below) => filesAt(home, `${name}/${below}`));
}

/**
 * Where an entry of an archive belongs in a data folder; undefined: it is none of these files.
 * @throws BACKUP_DAMAGED where its name leads out of the folder
 */
export function placeOf(entry: string, home: string): string | undefined {
  if (!entry.startsWith(prefix)) return undefined;
  const name = entry.slice(prefix.length);
  const first = name.split('/')[0]!;
  if (normalize(name) !== name || name.includes('\0') || !kept.includes(first))
    throw new DomainError('BACKUP_DAMAGED', `the backup has a file ${JSON.stringify(name)}, which no data folder has`);
  const path = join(home, name);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return path;
}

/** A file may be gone, or be written anew, while it is read: then as it is now. */
export function readDataFile(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw err;
  }
}

/** The block of ports is kept where there is one: what people wrote down goes on leading here. */
export function keepPorts(from: string, to: string): void {
  try {
    copyFileSync(join(from, 'ports.json'), join(to, 'ports.json'));
    chmodSync(join(to, 'ports.json'), 0o644);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err;
  }
}
