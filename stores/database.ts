import { CamelCasePlugin, Kysely, PostgresDialect, sql, type Transaction } from 'kysely';
import pg from 'pg';
import type { DB } from './database.generated.ts';

export type Database = Kysely<DB>;
export type DatabaseTransaction = Transaction<DB>;

// Counts and sequence numbers fit a safe integer; as text they would compare as text.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export interface DatabaseOptions {
  url: string;
  /** Most connections. @default 10 */
  connections?: number;
  /** Shown in pg_stat_activity. */
  name: string;
  /** Called for errors of idle connections, which the pool replaces by itself. */
  onIdleError: (err: Error) => void;
}

/** No transaction lives over 10 s: an open one anywhere holds back the readers of events. */
const transactionTimeoutMs = 10_000;

function createPool({ url, connections = 10, name, onIdleError }: DatabaseOptions): pg.Pool {
  const pool = new pg.Pool({
    Client: PreparingClient,
    connectionString: url,
    max: connections,
    application_name: name,
    connectionTimeoutMillis: 5_000,
    idle_in_transaction_session_timeout: transactionTimeoutMs,
    statement_timeout: transactionTimeoutMs,
    // For a server that hangs and keeps no time itself.
    query_timeout: transactionTimeoutMs + 2_000,
    keepAlive: true,
    onConnect: boundTransactions,
  } satisfies PoolConfig);
  pool.on('error', onIdleError);
  // Without a listener a connection that breaks between two queries of a transaction ends the process; the next query
  // brings the error to who holds it.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** Put before a statement that runs all day long: each connection parses and plans it once. Its text must not vary. */
export const preparedAs = (name: string) => sql.raw(`/*prepared ${name}*/`);
const preparedName = /^\s*\/\*prepared (\w+)\*\//;

/** Kysely has no word for prepared statements; pg prepares what has a name. */
class PreparingClient extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    super(config);
    const plain = (...asked: unknown[]): unknown => super.query(...(asked as [pg.Submittable]));
    const query = (statement: unknown, values?: unknown, ...rest: unknown[]) => {
      const name = typeof statement === 'string' ? preparedName.exec(statement)?.[1] : undefined;
      return name === undefined ? plain(statement, values, ...rest) : plain({ name, text: statement, values }, ...rest);
    };
    this.query = query as typeof this.query;
  }
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
  return new Kysely<DB>({
    dialect: new PostgresDialect({ pool: createPool(options) }),
    plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
  });
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
