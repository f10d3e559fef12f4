import { randomInt } from 'node:crypto';
import { openHome } from '../../deploy/embedded/home.ts';
import { createParts, type PartView } from '../../deploy/embedded/parts.ts';
import { type Ports, takePorts } from '../../deploy/embedded/ports.ts';
import { ensureDatabase, preparePostgres, postgresUrl, resolvePostgres } from '../../deploy/embedded/postgres.ts';
import { redisPart, redisUrl, resolveRedis } from '../../deploy/embedded/redis.ts';
import { createScreen } from '../../deploy/embedded/screen.ts';
import { openSecrets } from '../../deploy/embedded/secrets.ts';
import { resolveTemporal, temporalPart } from '../../deploy/embedded/temporal.ts';

/** Blocks of 20 ports that `npm start` never takes; the first one tried is drawn, so two test runs at once rarely meet. */
export const testRange = { first: 18_000, last: 19_980 };

export interface TestServers {
  ports: Ports;
  /** Of the database `postgres`. */
  postgresUrl: string;
  /** Of database `n`. */
  redisUrl: (n: number) => string;
  temporalAddress: string;
  list(): PartView[];
  /** SIGKILL; with `start` the part comes back with the data it had. */
  kill(part: 'postgres' | 'redis' | 'temporal'): Promise<void>;
  start(part: 'postgres' | 'redis' | 'temporal'): Promise<void>;
  stop(): Promise<void>;
}

/** Postgres, Redis and Temporal by the shipped resolvers and supervision, their data in `folder`. */
export async function startServers(
  folder: string,
  options: { namespaces: readonly string[]; redisDatabases: number },
): Promise<TestServers> {
  // What the caller's shell points at is never touched by a test.
  const { DATABASE_URL: _d, REDIS_URL: _r, TEMPORAL_ADDRESS: _t, ...env } = process.env;
  const home = openHome({ ...env, SOULFRA_HOME: folder }, process.cwd());
  const screen = createScreen(process.stderr);
  const first = testRange.first + 20 * randomInt((testRange.last - testRange.first) / 20);
  const ports = await takePorts(home, { ...testRange, first });
  const secrets = openSecrets(home);
  const parts = createParts({
    home,
    onEvent: (text) => screen.line(`test servers: ${text}`),
    onFailed: (_part, why) => screen.line(`test servers: ${why}`),
  });

  const postgres = await resolvePostgres(env);
  const redis = await resolveRedis(env, home, screen.step('Redis for tests'));
  const temporal = await resolveTemporal(env, home, screen.step('Temporal for tests'));
  if ('url' in postgres.found || 'url' in redis.found || 'address' in temporal.found)
    throw new Error('the tests start servers of their own');
  const postgresAt = { port: ports.postgres, password: secrets.postgresPassword };
  const redisAt = { port: ports.redis, password: secrets.redisPassword };
  const specs = {
    postgres: await preparePostgres({ binaries: postgres.found, folder: home.path('postgres'), env, ...postgresAt }),
    redis: redisPart({
      found: redis.found,
      folder: home.path('redis'),
      env,
      databases: options.redisDatabases,
      ...redisAt,
    }),
    temporal: temporalPart({
      binary: temporal.found.binary,
      port: ports.temporal,
      uiPort: undefined,
      metricsPort: ports.temporalMetrics,
      dbFile: home.path('temporal.db'),
      namespaces: options.namespaces,
      env,
    }),
  };
  try {
    await Promise.all(Object.values(specs).map((spec) => parts.start(spec)));
  } catch (err) {
    await parts.stopAll();
    throw err;
  }
  return {
    ports,
    postgresUrl: postgresUrl({ ...postgresAt, database: 'postgres' }),
    redisUrl: (database) => redisUrl({ ...redisAt, database }),
    temporalAddress: `127.0.0.1:${ports.temporal}`,
    list: () => parts.list(),
    kill: async (part) => void (await parts.kill(part)),
    start: (part) => parts.start(specs[part]),
    stop: () => parts.stopAll(),
  };
}

/** The same server's address with another database. */
export function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

export { ensureDatabase };
