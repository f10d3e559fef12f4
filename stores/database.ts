import type { ConnectionOptions } from 'node:tls';
import {
  CamelCasePlugin,
  Kysely,
  PostgresDialect,
  type PostgresPool,
  type PostgresPoolClient,
  type Transaction,
} from 'kysely';
import pg from 'pg';
import type { DB } from './database.generated.ts';

export type Database = Kysely<DB>;
export type DatabaseTransaction = Transaction<DB>;

// Counts and sequence numbers fit a safe integer; as text they would compare as text.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface DatabaseOptions {
  url: string;
  /** Most connections; beside them one for prepared statements, and two for reads while all others wait. @default 10 */
  connections?: number;
  /** Shown in pg_stat_activity. */
  name: string;
  /** Absent: in the clear. */
  tls?: ConnectionOptions | undefined;
  /** Called for errors of idle connections, which the pool replaces by itself. */
  onIdleError: (err: Error) => void;
}

/** No transaction lives over 10 s: an open one anywhere holds back the readers of events. */
const transactionTimeoutMs = 10_000;
/** For reads while everything else waits for a standby. */
const reserveConnections = 2;

function createPool(
  { url, connections = 10, name, tls, onIdleError }: DatabaseOptions,
  { readOnly = false } = {},
): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    ...(tls && { ssl: tls }),
    max: connections,
    application_name: name,
    ...(readOnly && { options: '-c default_transaction_read_only=on' }),
    connectionTimeoutMillis: 5_000,
    idle_in_transaction_session_timeout: transactionTimeoutMs,
    statement_timeout: transactionTimeoutMs,
    // For a server that hangs and keeps no time itself.
    query_timeout: transactionTimeoutMs + 2_000,
    keepAlive: true,
    // Else a server that lost its power while it worked is noticed after two hours.
    keepAliveInitialDelayMillis: 10_000,
    onConnect: boundTransactions,
  } satisfies PoolConfig);
  pool.on('error', onIdleError);
  // Without a listener a connection that breaks between two queries of a transaction ends the process; the next query
  // brings the error to who holds it.
  pool.on('connect', (client) => {
    client.on('error', () => undefined);
    refuseUnwaited(client);
  });
  return pool;
}

/**
 * A commit that waits for a standby may be broken off (pg_cancel_backend, or the limit of the statement just before it), and Postgres
 * then answers that it is done, with a warning: it lies on one disk only. Whoever asked hears that it failed, as of any commit whose
 * answer did not come, and does it again. Without that it waits, and `query_timeout` says so.
 */
function refuseUnwaited(client: pg.PoolClient): void {
  client.on('notice', ({ routine, message }) => {
    if (routine !== 'SyncRepWaitForLSN') return;
    const refused = new pg.DatabaseError(message ?? 'the standby did not confirm', 0, 'error');
    refused.code = '57014';
    // The driver tells it at the end of the query, in place of its answer; the connection is as after any other error.
    const query = (client as unknown as HasActiveQuery)._getActiveQuery();
    if (query) query._canceledDueToError = refused;
  });
}

/** Of the driver's own, which has no name for it in its types; a test holds that it is there. */
interface HasActiveQuery {
  _getActiveQuery(): { _canceledDueToError: Error | false } | null;
}

/** Of each database what prepared statements run by. */
const ownPools = new WeakMap<Database, pg.Pool>();

/**
 * A statement that runs all day long: its connection parses and plans it once, and no query builder stands before it. It has that
 * connection to itself, so it runs while all others wait. Columns are named in it as the row's fields are.
 */
export function preparedStatement<Row extends object>(name: string, text: string) {
  return async (db: Database, values: unknown[]): Promise<Row[]> => {
    const pool = ownPools.get(db);
    if (pool === undefined) throw new TypeError(`${name} is asked of a database that createDatabase did not make`);
    return (await pool.query<Row>({ name, text, values })).rows;
  };
}

/** pg-pool waits for it before anyone gets the connection; its types do not say so. */
type PoolConfig = Omit<pg.PoolConfig, 'onConnect'> & { onConnect: (client: pg.ClientBase) => Promise<void> };

/** Postgres knows this limit from 17 on; before it only each statement and each pause are bounded. */
async function boundTransactions(client: pg.ClientBase): Promise<void> {
  await client.query(
    `select set_config('transaction_timeout', '${transactionTimeoutMs}', false)
     where current_setting('server_version_num')::int >= 170000`,
  );
}

export function createDatabase(options: DatabaseOptions): Database {
  // Connections are made when they are first used.
  const own = createPool({ ...options, connections: 1 });
  const reserve = createPool({ ...options, connections: reserveConnections }, { readOnly: true });
  const db = databaseOf(lending(createPool(options), reserve, own));
  ownPools.set(db, own);
  return db;
}

/**
 * While the standby is away every connection ends up with a commit that waits for it. Then what reads gets one of the reserve, and what
 * writes is refused there at once (25006), in place of waiting for a connection that nobody gives back.
 */
function lending(pool: pg.Pool, reserve: pg.Pool, own: pg.Pool): PostgresPool {
  const [lender, spare] = [lenderOf(pool), lenderOf(reserve)];
  return {
    connect: () => (lender.waiting() < pool.options.max ? lender : spare).connect(),
    async end() {
      lender.giveUp();
      spare.giveUp();
      await Promise.all([pool, reserve, own].map((each) => each.end()));
    },
    options: pool.options,
  };
}

/**
 * A query that is given up runs on in Postgres: what waits for a standby waits as long as that is away. Its connection is lent to
 * nobody meanwhile, who would wait behind it, and counts against the pool's most, so that they do not become ever more; once it
 * answers, it is closed.
 */
function lenderOf(pool: pg.Pool) {
  const waiting = new Set<() => void>();
  function giveBackOnceAnswered(client: pg.PoolClient, late: Error): void {
    const giveBack = () => {
      if (!waiting.delete(giveBack)) return;
      client.off('drain', giveBack).off('end', giveBack);
      client.release(late);
    };
    waiting.add(giveBack);
    client.once('drain', giveBack).once('end', giveBack);
    if ((client as unknown as HasActiveQuery)._getActiveQuery() === null) giveBack();
  }
  return {
    waiting: () => waiting.size,
    async connect(): Promise<PostgresPoolClient> {
      const client = await pool.connect();
      let late: Error | undefined;
      return {
        query: ((...words: unknown[]) => {
          if (late !== undefined) return Promise.reject(late);
          const asked = (client.query as (...words: unknown[]) => unknown)(...words);
          if (!(asked instanceof Promise)) return asked;
          return asked.catch((err: unknown) => {
            if (isGivenUp(err)) late = err;
            throw err;
          });
        }) as PostgresPoolClient['query'],
        release: (isBroken?: boolean) =>
          late === undefined ? client.release(isBroken) : giveBackOnceAnswered(client, late),
      };
    },
    giveUp(): void {
      for (const giveBack of waiting) giveBack();
    },
  };
}

/** By `query_timeout`: the driver has no code for it. */
function isGivenUp(err: unknown): err is Error {
  return err instanceof Error && err.message === 'Query read timeout';
}

function databaseOf(pool: PostgresPool): Database {
  return new Kysely<DB>({
    dialect: new PostgresDialect({ pool }),
    plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
  });
}

/** What a connection is in the middle of: store functions that take an `Executor` write in its open transaction. The caller ends it. */
export function databaseOver(client: pg.Client): Database {
  const lent: PostgresPoolClient = {
    query: client.query.bind(client) as PostgresPoolClient['query'],
    release: () => undefined,
  };
  return databaseOf({ connect: async () => lent, end: async () => undefined, options: {} });
}

/** Either the database or a transaction of it: store functions that take part in a caller's transaction take this. */
export type Executor = Database | DatabaseTransaction;

/** In the caller's transaction where it brings one, else in one of its own. */
export function inTransaction<Result>(
  db: Database,
  within: DatabaseTransaction | undefined,
  work: (tx: DatabaseTransaction) => Promise<Result>,
): Promise<Result> {
  return within === undefined ? db.transaction().execute(work) : work(within);
}
