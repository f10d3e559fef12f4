import { Client, Connection } from '@temporalio/client';
import { Redis } from 'ioredis';
import { createServer } from '../../api/server.ts';
import { createPayloads, dataConverterOf, type PayloadSettings } from '../../config/payload-codec.ts';
import type { Api, ApiDeps } from '../../api/types.ts';
import type { Role } from '../../domain/states.ts';
import { createLogger } from '../../observability/logger.ts';
import { announcePayloadKey } from '../../integrations/payload-keys.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { createApiMetrics } from '../../observability/api-metrics.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { hashedEmbedder } from './hashed-embedder.ts';
import { createTestScope, type TestScope } from './isolation.ts';

export interface Json {
  items: Array<Record<string, unknown>>;
  [key: string]: unknown;
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | number | undefined>;
  text: string;
  /** The body as JSON; any shape, which the test then judges. */
  json: Json;
}

export interface Call {
  token?: string | null;
  body?: unknown;
  /** Sent as it is. */
  raw?: string | Buffer;
  headers?: Record<string, string>;
}

export interface ApiFixture {
  scope: TestScope;
  db: Database;
  app: Api;
  deps: ApiDeps;
  ownerId: string;
  tokens: Record<Role, string>;
  /** An operator of other things. */
  stranger: { ownerId: string; token: string };
  call(method: string, url: string, call?: Call): Promise<Answer>;
  /** What an answer links to for a workflow. */
  linksTo(workflowId: string): { temporal: string };
  /** Rows of every table: what a refused request must leave as it was. */
  rowCounts(): Promise<Record<string, number>>;
  close(): Promise<void>;
}

const log = createLogger({ part: 'api', level: 'silent' });

/** What the API does with payloads in Temporal, by keys of the test's own. */
export function payloadDeps(
  { namespace }: Pick<TestScope, 'namespace'>,
  connection: Connection,
  settings?: PayloadSettings,
): Pick<ApiDeps, 'payloads' | 'temporal'> {
  const payloads = createPayloads(settings, {
    announce: (keyId) => announcePayloadKey(connection, { namespace, keyId, log }),
  });
  return { payloads, temporal: new Client({ connection, namespace, dataConverter: dataConverterOf(payloads) }) };
}

/**
 * The shipped server over servers of the test's own; calls go in without a socket.
 * @param given servers of a bench, which has no scopes to take from
 */
export async function createApiFixture(change: Partial<ApiDeps> = {}, given?: TestScope): Promise<ApiFixture> {
  const scope = given ?? (await createTestScope());
  const db = createDatabase({ url: scope.databaseUrl, name: 'test api', onIdleError: () => undefined });
  const connection = Connection.lazy({ address: scope.temporalAddress });
  const redis = new Redis(scope.redisUrl, { enableOfflineQueue: false, maxRetriesPerRequest: 0, lazyConnect: true });
  redis.on('error', () => undefined);
  await redis.connect();
  await redis.flushdb();
  const deps: ApiDeps = {
    db,
    listen: createListenerFactory(scope.databaseUrl, () => undefined),
    ...payloadDeps(scope, connection),
    redis,
    controlSocket: undefined,
    embedderOf: () => hashedEmbedder,
    secretBox: createSecretBox(Buffer.alloc(32, 7)),
    webhookBox: createSecretBox(Buffer.alloc(32, 9)),
    log,
    metrics: createApiMetrics(),
    ollamaUrl: 'http://127.0.0.1:9',
    revocationsKeptSeconds: 0,
    temporalUi: 'http://temporal.example',
    ...change,
  };
  const principals = createPrincipalStore(db);
  const { ownerId } = await principals.ensureOperator();
  const issue = async (owner: string, role: Role) =>
    (await principals.issue({ ownerId: owner, kind: 'bearer', role, name: 'test' })).secret;
  const otherId = newId('user');
  await db.insertInto('users').values({ id: otherId, name: 'stranger', role: 'operator' }).execute();
  const tokens = {
    operator: await issue(ownerId, 'operator'),
    creator: await issue(ownerId, 'creator'),
    member: await issue(ownerId, 'member'),
    reader: await issue(ownerId, 'reader'),
  };
  const app = await createServer(deps);
  await app.ready();

  return {
    scope,
    db,
    app,
    deps,
    ownerId,
    tokens,
    stranger: { ownerId: otherId, token: await issue(otherId, 'operator') },
    linksTo: (workflowId) => ({
      temporal: `http://temporal.example/namespaces/${scope.namespace}/workflows/${encodeURIComponent(workflowId)}`,
    }),
    async call(method, url, { token = tokens.operator, body, raw, headers = {} } = {}) {
      const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
      const response = await app.inject({
        method: method as 'GET',
        url,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(payload === undefined ? {} : { payload }),
      });
      const isJson = String(response.headers['content-type'] ?? '').includes('json') && response.body !== '';
      return {
        status: response.statusCode,
        headers: response.headers as Answer['headers'],
        text: response.body,
        json:
          isJson && !String(response.headers['content-type']).includes('ndjson')
            ? response.json<Json>()
            : { items: [] },
      };
    },
    async rowCounts() {
      // A write that was refused leaves its row in the audit log, and must.
      const tables = (await db.introspection.getTables()).filter(({ name }) => name !== 'audit_entries');
      const counts: Record<string, number> = {};
      for (const { name } of tables) {
        const { total } = await db
          .selectFrom(name as 'users')
          .select((eb) => eb.fn.countAll<number>().as('total'))
          .executeTakeFirstOrThrow();
        counts[name] = Number(total);
      }
      return counts;
    },
    async close() {
      await app.close();
      redis.disconnect();
      await connection.close();
      await db.destroy();
      await scope.close();
    },
  };
}
