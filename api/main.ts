import { setTimeout as pause } from 'node:timers/promises';
import { apiEnvironment } from '../config/environment.ts';
import { serverTls, tlsFilesChanged } from '../config/tls.ts';
import { isDomainError } from '../domain/errors.ts';
import { metricsSchema } from '../domain/fleet.ts';
import { serveMetrics } from '../observability/metrics-server.ts';
import { openProcessLog } from '../observability/process-log.ts';
import { currentFleet } from '../stores/fleets.ts';
import { startTracing, type Tracing } from '../observability/tracing.ts';
import { createDatabase } from '../stores/database.ts';
import { migrate } from '../stores/migrate.ts';
import { createPrincipalStore } from '../stores/principals.ts';
import { bootstrap } from './bootstrap.ts';
import { connect } from './connections.ts';
import { isPostgresAway } from './errors.ts';
import { createFigures } from './figures.ts';
import { createServer } from './server.ts';
import type { ApiDeps } from './types.ts';

/** Requests in hand may end within this; after it their connections are closed. */
const graceMs = 8_000;
const migrateAgainMs = 1_000;

const environment = apiEnvironment();
const renewed = tlsFilesChanged(environment.tlsFiles);
const tls = serverTls(environment.tlsFiles);
const logs = await openProcessLog({
  source: 'api',
  level: environment.logLevel,
  folder: environment.logFolder,
  redisUrl: environment.redisUrl,
  tls: tls?.redis,
});
const log = logs.of('api');

/** Postgres may come up after us; anything else about the schema ends the start. */
async function migrated(): Promise<void> {
  for (;;) {
    try {
      const applied = await migrate(environment.databaseUrl, undefined, { tls: tls?.postgres });
      if (applied.length > 0) log.info({ applied }, 'database migrated');
      return;
    } catch (err) {
      if (isDomainError(err) || !isPostgresAway(err)) throw err;
      log.warn({ err }, 'database does not answer yet');
      await pause(migrateAgainMs);
    }
  }
}

/** What the environment or the applied fleet says of traces; a fleet that is applied later is heard at the next start. */
async function tracesOf(): Promise<Tracing | undefined> {
  const db = createDatabase({
    url: environment.databaseUrl,
    name: 'soulfra api start',
    tls: tls?.postgres,
    connections: 1,
    onIdleError: (err) => log.warn({ err }, 'a database connection broke'),
  });
  try {
    const traces = (await currentFleet(db))?.fleet.traces;
    const endpoint = environment.traceEndpoint ?? traces?.endpoint;
    return endpoint === undefined
      ? undefined
      : startTracing({ endpoint, share: traces?.share ?? 1, service: 'soulfra-api' });
  } finally {
    await db.destroy();
  }
}

/** Beside the route: without a sign-in, which needs the database, and so also while that is away. */
async function serveOwnMetrics(deps: ApiDeps): Promise<void> {
  const { metrics } = (await currentFleet(deps.db))?.fleet ?? { metrics: metricsSchema.parse({}) };
  if (!metrics.enabled) return;
  const at = { host: environment.metricsHost ?? metrics.host, port: environment.metricsPort ?? metrics.port };
  try {
    await serveMetrics({ ...at, registry: deps.metrics.registry, refresh: createFigures(deps) });
    log.info(at, 'metrics are served');
  } catch (err) {
    // A port that is taken costs the metrics and not the API.
    if (!isDomainError(err, 'CONFLICT')) throw err;
    log.error({ err }, err.message);
  }
}

try {
  await migrated();
  const tracing = await tracesOf();
  const connections = connect({ ...environment, tls, traced: tracing !== undefined, log });
  logs.onLost((lines) => connections.deps.metrics.logLinesLost.inc(lines));
  const operator = await bootstrap(createPrincipalStore(connections.deps.db), environment.bootstrapTokenFile);
  if (operator.created) log.info({ ownerId: operator.ownerId }, 'operator made');
  const app = await createServer(connections.deps);
  await app.listen({ host: environment.host, port: environment.port });
  log.info({ host: environment.host, port: environment.port }, 'API listens');
  await serveOwnMetrics(connections.deps);

  const stop = Promise.withResolvers<NodeJS.Signals>();
  process.once('SIGINT', stop.resolve);
  process.once('SIGTERM', stop.resolve);
  const why = await Promise.race([stop.promise, renewed]);
  log.info({ why }, 'API ends');
  const late = setTimeout(() => app.server.closeAllConnections(), graceMs);
  await app.close();
  clearTimeout(late);
  await connections.close();
  await tracing?.close();
  await logs.close();
  process.exit(0);
} catch (err) {
  log.fatal({ err }, 'API ends');
  await logs.close();
  process.exit(1);
}
