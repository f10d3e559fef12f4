import { chmodSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Env, Home } from './home.ts';
import type { Parts, PartSpec } from './parts.ts';
import type { Ports } from './ports.ts';
import { ensureDatabase, preparePostgres, postgresUrl, resolvePostgres } from './postgres.ts';
import { redisPart, redisUrl, resolveRedis } from './redis.ts';
import type { Screen, Step } from './screen.ts';
import type { Secrets } from './secrets.ts';
import { prepareNamespace, resolveTemporal, temporalPart } from './temporal.ts';
import { refuseNewerData, type VersionStamp } from './version.ts';

export interface Services {
  databaseUrl: string;
  redisUrl: string;
  temporalAddress: string;
  postgresMajor: number | null;
  temporal: string | null;
}

interface Deps {
  home: Home;
  env: Env;
  ports: Ports;
  secrets: Secrets;
  parts: Parts;
  screen: Screen;
  /** Who wrote the data, if there is any. */
  data: VersionStamp | undefined;
  /** Where Temporal's UI has payloads decoded; undefined: none is encoded. */
  codecEndpoint?: string | undefined;
}

/** Brings up Postgres, Redis and Temporal, or finds them outside, each with a line on the screen. */
export async function startServices(deps: Deps): Promise<Services> {
  const postgres = await shown(deps, 'Postgres', (step) => startPostgres(deps, step));
  const redis = await shown(deps, 'Redis', (step) => startRedis(deps, step));
  const temporal = await shown(deps, 'Temporal', (step) => startTemporal(deps, step));
  return {
    databaseUrl: postgres.url,
    redisUrl: redis,
    temporalAddress: temporal.address,
    postgresMajor: postgres.major,
    temporal: temporal.server,
  };
}

async function shown<T>(deps: Deps, name: string, bring: (step: Step) => Promise<T>): Promise<T> {
  const step = deps.screen.step(name);
  try {
    return await bring(step);
  } catch (err) {
    step.fail(err instanceof Error ? (err.message.split('\n')[0] ?? '') : String(err));
    throw err;
  }
}

async function bringUp(deps: Deps, step: Step, spec: PartSpec, why: string, port: number): Promise<void> {
  const since = performance.now();
  step.progress('starting');
  await deps.parts.start(spec);
  step.done(`:${port}  ${((performance.now() - since) / 1000).toFixed(1)} s  (${why})`);
}

async function startPostgres(deps: Deps, step: Step): Promise<{ url: string; major: number | null }> {
  const { found, why } = await resolvePostgres(deps.env);
  if ('url' in found) {
    step.done(why);
    return { url: found.url, major: null };
  }
  refuseNewerData(deps.data, { postgresMajor: found.major });
  step.progress('preparing its data');
  const { home, env, ports, secrets } = deps;
  const at = { port: ports.postgres, password: secrets.postgresPassword };
  const spec = await preparePostgres({ binaries: found, folder: home.path('postgres'), env, ...at });
  await bringUp(deps, step, spec, why, at.port);
  await ensureDatabase(postgresUrl({ ...at, database: 'postgres' }), 'soulfra');
  return { url: postgresUrl({ ...at, database: 'soulfra' }), major: found.major };
}

async function startRedis(deps: Deps, step: Step): Promise<string> {
  const { home, env, ports, secrets } = deps;
  const { found, why } = await resolveRedis(env, home, step);
  if ('url' in found) {
    step.done(why);
    return found.url;
  }
  const at = { port: ports.redis, password: secrets.redisPassword };
  await bringUp(deps, step, redisPart({ found, folder: home.path('redis'), env, ...at }), why, at.port);
  return redisUrl(at);
}

async function startTemporal(deps: Deps, step: Step): Promise<{ address: string; server: string | null }> {
  const { home, env, ports } = deps;
  const namespace = env['TEMPORAL_NAMESPACE'] ?? 'default';
  const { found, why } = await resolveTemporal(env, home, step);
  if ('address' in found) {
    await prepareNamespace(found.address, namespace);
    step.done(why);
    return { address: found.address, server: null };
  }
  refuseNewerData(deps.data, { temporal: found.server });
  const dbFile = join(home.dir, 'temporal.db');
  const spec = temporalPart({
    binary: found.binary,
    port: ports.temporal,
    uiPort: ports.temporalUi,
    codecEndpoint: deps.codecEndpoint,
    metricsPort: ports.temporalMetrics,
    dbFile,
    env,
  });
  await bringUp(deps, step, spec, why, ports.temporal);
  // The server makes these files readable for all; what it makes later takes after the first.
  for (const file of [dbFile, `${dbFile}-wal`, `${dbFile}-shm`]) if (existsSync(file)) chmodSync(file, 0o600);
  const address = `127.0.0.1:${ports.temporal}`;
  await prepareNamespace(address, namespace);
  return { address, server: found.server };
}
