import { existsSync, readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readJson } from '../deploy/embedded/home.ts';
import { isAlive, type ProcessRef } from '../deploy/embedded/processes.ts';
import type { Ports } from '../deploy/embedded/ports.ts';
import { postgresUrl } from '../deploy/embedded/postgres.ts';
import { redisUrl } from '../deploy/embedded/redis.ts';
import type { Secrets } from '../deploy/embedded/secrets.ts';
import type { VersionStamp } from '../deploy/embedded/version.ts';
import type { FileMode } from '../domain/doctor.ts';
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
}

interface Recorded {
  starter: ProcessRef;
  parts: Array<ProcessRef & { name: string }>;
}

export function readHome(home: string): HomeFacts {
  const folder = resolve(home);
  const recorded = readJson<Recorded>(join(folder, 'run', 'parts.json'));
  return {
    folder,
    there: existsSync(folder),
    ports: readJson<Ports>(join(folder, 'ports.json')),
    secrets: readJson<Secrets>(join(folder, 'secrets.json')),
    stamp: readJson<VersionStamp>(join(folder, 'version.json')),
    running: recorded !== undefined && isAlive(recorded.starter),
    parts: recorded?.parts.filter(isAlive).map(({ name, pid }) => ({ name, pid })) ?? [],
  };
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

export function readModes({ folder }: HomeFacts, named: readonly string[]): FileMode[] {
  const keys = existsSync(join(folder, 'keys'))
    ? readdirSync(join(folder, 'keys')).map((name) => join('keys', name))
    : [];
  return [...[...secretInHome, ...keys].map((name) => join(folder, name)), ...named]
    .filter((path) => existsSync(path))
    .map((path) => ({ path, mode: statSync(path).mode & 0o777 }));
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
