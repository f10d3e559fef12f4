import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cliEnvironment } from '../config/environment.ts';
import { CommandFailure, exitCodes } from './failures.ts';

export interface Target {
  url: string;
  token: string;
  /** Where the address came from, for messages. */
  origin: string;
}

/** The API that SOULFRA_URL and SOULFRA_TOKEN name, else the one that `npm start` runs from this folder. */
export function findTarget(): Target {
  const { url, token, home } = cliEnvironment();
  const folder = resolve(home);
  const port = url === undefined ? portOf(join(folder, 'ports.json')) : undefined;
  if (url === undefined && port === undefined) {
    throw new CommandFailure(`there is no ${join(home, 'ports.json')} here, and SOULFRA_URL is not set`, {
      exitCode: exitCodes.unreachable,
      code: 'UNAVAILABLE',
      mend: 'Run it where `npm start` runs, or set SOULFRA_URL and SOULFRA_TOKEN.',
    });
  }
  const secret = token ?? read(join(folder, 'operator.token'))?.trim();
  if (secret === undefined) {
    throw new CommandFailure('no token: SOULFRA_TOKEN is not set', {
      exitCode: exitCodes.badInput,
      code: 'UNAUTHENTICATED',
      mend: 'Make one on the host that runs Soulfra: `soulfra token create --role operator`.',
    });
  }
  return {
    url: (url ?? `http://127.0.0.1:${port}`).replace(/\/+$/, ''),
    token: secret,
    origin: url === undefined ? join(home, 'ports.json') : 'SOULFRA_URL',
  };
}

function portOf(file: string): number | undefined {
  const text = read(file);
  if (text === undefined) return undefined;
  try {
    return (JSON.parse(text) as { api?: number } | null)?.api;
  } catch (cause) {
    throw new CommandFailure(`${file} is not what npm start wrote`, {
      exitCode: exitCodes.failed,
      mend: `rm ${file}; the next npm start takes ports anew. Or set SOULFRA_URL and SOULFRA_TOKEN.`,
      cause,
    });
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CommandFailure(`${file} cannot be read: ${(err as Error).message}`, {
      exitCode: exitCodes.failed,
      cause: err,
    });
  }
}
