import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const examples = fileURLToPath(new URL('../../examples/python/', import.meta.url));

/** @returns the interpreter of a Python that has what the examples need */
export function examplesPython(): Promise<string | undefined> {
  return pythonWith(join(examples, 'requirements.txt'));
}

/** @returns the folder of programs with the real tools that readiness runs where they are installed */
export async function toolsFolder(): Promise<string | undefined> {
  const python = await pythonWith(fileURLToPath(new URL('repository-tools.txt', import.meta.url)));
  return python === undefined ? undefined : dirname(python);
}

/**
 * Real Python with what a file of requirements names, kept in the cache by what it says: made the first time.
 * @returns the interpreter; undefined where there is no Python with venv, or its packages do not come
 */
async function pythonWith(requirements: string): Promise<string | undefined> {
  const name = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const cache = process.env['SOULFRA_CACHE'] ?? join(homedir(), '.cache', 'soulfra');
  const folder = join(cache, `python-${name}`);
  const python = join(folder, 'bin', 'python');
  const ready = join(folder, 'ready');
  if (existsSync(ready)) return python;
  // A venv knows its own path, so it is made where it stays; the mark says that it is whole.
  mkdirSync(cache, { recursive: true });
  const lock = `${folder}.lock`;
  while (!taken(lock)) {
    await pause(500);
    if (existsSync(ready)) return python;
  }
  try {
    // Another has made it since.
    if (existsSync(ready)) return python;
    rmSync(folder, { recursive: true, force: true });
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements], { timeout: 240_000 });
    mkdirSync(`${ready}.tmp`);
    renameSync(`${ready}.tmp`, ready);
    return python;
  } catch (err) {
    process.stderr.write(`no Python with ${requirements}: ${String(err)}\n`);
    return undefined;
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

/** One makes it at a time: a folder is made once. A lock that is older than making it takes is of one that was killed. */
function taken(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'EEXIST') throw err;
  }
  const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs;
  if (made !== undefined && Date.now() - made > 600_000) rmSync(lock, { recursive: true, force: true });
  return false;
}
