import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { isAlive } from '../deploy/embedded/processes.ts';
import type { Ports } from '../deploy/embedded/ports.ts';
import { postgresUrl } from '../deploy/embedded/postgres.ts';
import { redisUrl } from '../deploy/embedded/redis.ts';
import type { Secrets } from '../deploy/embedded/secrets.ts';
import type { VersionStamp } from '../deploy/embedded/version.ts';
import type { FileMode, Unreadable } from '../domain/doctor.ts';
import type { ServiceAt } from '../domain/doctor-services.ts';

/** What the data folder of `npm start` says, without making or changing anything in it. */
export interface HomeFacts {
  folder: string;
  there: boolean;
  ports: Ports | undefined;
  secrets: Secrets | undefined;
  stamp: VersionStamp | undefined;
  /** Whether `npm start` runs on it now, and the processes of its parts. */
  running: boolean;
  parts: Array<{ name: string; pid: number }>;
  unreadable: Unreadable[];
}

/** As far as something here goes by them. */
const port = z.number().int();
const ref = { pid: z.number().int(), startedAt: z.string() };
const portsSchema = z.looseObject({ api: port, postgres: port, redis: port, temporal: port });
const secretsSchema = z.looseObject({ postgresPassword: z.string(), redisPassword: z.string() });
const stampSchema = z.looseObject({ app: z.string() });
const recordedSchema = z.object({ starter: z.object(ref), parts: z.array(z.object({ ...ref, name: z.string() })) });

/** A file that cannot be read is told, and what it says counts as not known. */
export function readHome(home: string): HomeFacts {
  const folder = resolve(home);
  const unreadable: Unreadable[] = [];
  const read = <T>(name: string, schema: z.ZodType): T | undefined => {
    const path = join(folder, name);
    const text = orTold(unreadable, path, () => readFileSync(path, 'utf8'));
    if (text === undefined) return undefined;
    try {
      return schema.parse(JSON.parse(text)) as T;
    } catch {
      // What stands in it may be a secret, so that nothing of it is told.
      unreadable.push({ path, why: 'is not what npm start wrote', denied: false });
      return undefined;
    }
  };
  const recorded = read<z.infer<typeof recordedSchema>>(join('run', 'parts.json'), recordedSchema);
  return {
    folder,
    there: existsSync(folder),
    ports: read<Ports>('ports.json', portsSchema),
    secrets: read<Secrets>('secrets.json', secretsSchema),
    stamp: read<VersionStamp>('version.json', stampSchema),
    running: recorded !== undefined && isAlive(recorded.starter),
    parts: recorded?.parts.filter(isAlive).map(({ name, pid }) => ({ name, pid })) ?? [],
    unreadable,
  };
}

/** What is not there is undefined, and so is what cannot be read, which is noted. */
function orTold<T>(unreadable: Unreadable[], path: string, read: () => T): T | undefined {
  try {
    return read();
  } catch (err) {
    const { code, message } = err as NodeJS.ErrnoException;
    if (code !== 'ENOENT')
      unreadable.push({ path, why: code ?? message, denied: code === 'EACCES' || code === 'EPERM' });
    return undefined;
  }
}

/** Folders whose disks matter: data, logs, what is built. */
export function dataFolders({ folder }: HomeFacts): string[] {
  return [folder, ...['postgres', 'logs', 'redis'].map((name) => join(folder, name)), process.cwd()];
}

const secretInHome = [
  'secrets.json',
  'operator.token',
  'redis/redis.conf',
  'temporal.db',
  'temporal.db-wal',
  'temporal.db-shm',
];

export function readModes(
  { folder }: HomeFacts,
  named: readonly string[],
): { modes: FileMode[]; unreadable: Unreadable[] } {
  const unreadable: Unreadable[] = [];
  const keyFolder = join(folder, 'keys');
  const keys = orTold(unreadable, keyFolder, () => readdirSync(keyFolder)) ?? [];
  const paths = [...secretInHome, ...keys.map((name) => join('keys', name))].map((name) => join(folder, name));
  const modes = [...paths, ...named].flatMap((path): FileMode[] => {
    const mode = orTold(unreadable, path, () => statSync(path).mode);
    return mode === undefined ? [] : [{ path, mode: mode & 0o777 }];
  });
  return { modes, unreadable };
}

export interface Service {
  url: string;
  at: ServiceAt;
}

/** Where the servers are: as the environment says, else those of the data folder. */
export function servicesOf(
  home: HomeFacts,
  named: { databaseUrl: string | undefined; redisUrl: string | undefined; temporalAddress: string | undefined },
): { postgres: Service | undefined; redis: Service | undefined; temporal: Service | undefined } {
  const log = (part: string) => join(home.folder, 'logs', `${part}.log`);
  const outside = (url: string, variable: string): Service => ({
    url,
    at: { address: addressOf(url), variable, log: null },
  });
  const { ports, secrets } = home;
  const own = (part: 'postgres' | 'redis' | 'temporal', url: string): Service => ({
    url,
    at: { address: addressOf(url), variable: null, log: log(part) },
  });
  const postgres = () =>
    ports && secrets
      ? own('postgres', postgresUrl({ port: ports.postgres, password: secrets.postgresPassword, database: 'soulfra' }))
      : undefined;
  const redis = () =>
    ports && secrets ? own('redis', redisUrl({ port: ports.redis, password: secrets.redisPassword })) : undefined;
  const temporal = () => (ports ? own('temporal', `127.0.0.1:${ports.temporal}`) : undefined);
  return {
    postgres: named.databaseUrl === undefined ? postgres() : outside(named.databaseUrl, 'DATABASE_URL'),
    redis: named.redisUrl === undefined ? redis() : outside(named.redisUrl, 'REDIS_URL'),
    temporal: named.temporalAddress === undefined ? temporal() : outside(named.temporalAddress, 'TEMPORAL_ADDRESS'),
  };
}

/** Host and port: the rest of a URL may be a password. */
function addressOf(url: string): string {
  return url.includes('://') ? new URL(url).host : url;
}
