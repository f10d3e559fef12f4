import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const examples = fileURLToPath(new URL('../../examples/python/', import.meta.url));

/**
 * Real Python with what the examples need, kept in the cache by what they name: made the first time.
 * @returns the interpreter; undefined where there is no Python with venv, or its packages do not come
 */
export async function examplesPython(): Promise<string | undefined> {
  const requirements = join(examples, 'requirements.txt');
  const name = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const cache = process.env['SOULFRA_CACHE'] ?? join(homedir(), '.cache', 'soulfra');
  const folder = join(cache, `python-${name}`);
  const python = join(folder, 'bin', 'python');
  const ready = join(folder, 'ready');
  if (existsSync(ready)) return python;
  // A venv knows its own path, so it is made where it stays; the mark says that it is whole.
  mkdirSync(cache, { recursive: true });
  rmSync(folder, { recursive: true, force: true });
  try {
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements], { timeout: 240_000 });
  } catch (err) {
    process.stderr.write(`no Python for the examples: ${String(err)}\n`);
    return undefined;
  }
  mkdirSync(`${ready}.tmp`);
  renameSync(`${ready}.tmp`, ready);
  return python;
}
