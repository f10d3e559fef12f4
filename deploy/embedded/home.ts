import {
  chmodSync,
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { homeEnvironment } from '../../config/environment.ts';

export type Env = Record<string, string | undefined>;

/** Whether the environment has it, as it is or as a file. */
export function given(env: Env, name: string): boolean {
  return Boolean(env[name]) || Boolean(env[`${name}_FILE`]);
}

/** Where the embedded stack keeps its data (`.soulfra`) and what it downloaded or built (`~/.cache/soulfra`). */
export interface Home {
  dir: string;
  cache: string;
  path(...parts: string[]): string;
  log(part: string): string;
}

/** Addresses with passwords may come as NAME_FILE; the parts then get what is in the file, under the plain name. */
export function readSecretFiles(env: Env): Env {
  const read: Env = { ...env };
  for (const name of ['DATABASE_URL', 'REDIS_URL']) {
    const file = env[`${name}_FILE`];
    if (!file) continue;
    read[name] = readFileSync(file, 'utf8').trim();
    delete read[`${name}_FILE`];
  }
  return read;
}

export function openHome(env: Env, cwd: string): Home {
  const named = homeEnvironment(env);
  const dir = resolve(cwd, named.home);
  const cache = resolve(cwd, named.cache);
  for (const folder of [dir, join(dir, 'logs'), join(dir, 'run'), cache]) mkdirSync(folder, { recursive: true });
  // Postgres may run under a user of its own and has to pass through; what is secret lies in files of mode 0600.
  chmodSync(dir, 0o755);
  return {
    dir,
    cache,
    path: (...parts) => join(dir, ...parts),
    log: (part) => join(dir, 'logs', `${part}.log`),
  };
}

export function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`${file} cannot be read; mend or remove it`, { cause: err });
  }
}

/** Written beside and renamed, so that a kill leaves the old file or the new one. */
export function writeJson(file: string, value: unknown, mode = 0o644): void {
  writeText(file, `${JSON.stringify(value, null, 2)}\n`, mode);
}

/** As `writeText`, and on the disk before it takes the other's place: a power cut, too, leaves the old file or the new one. */
export function writeDurably(file: string, text: string | Buffer, mode: number): void {
  const beside = `${file}.new`;
  const fd = openSync(beside, 'w', mode);
  try {
    fchmodSync(fd, mode);
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(beside, file);
  const folder = openSync(dirname(file), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

export function writeText(file: string, text: string, mode: number): void {
  const beside = `${file}.${process.pid}.new`;
  writeFileSync(beside, text, { mode });
  chmodSync(beside, mode);
  renameSync(beside, file);
}
