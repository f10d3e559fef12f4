import { sql } from 'kysely';
import { createServer } from '../../api/server.ts';
import { createPayloads } from '../../config/payload-codec.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { ballotWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import type { Role } from '../../domain/states.ts';
import { createLogger } from '../../observability/logger.ts';
import { createApiMetrics } from '../../observability/api-metrics.ts';
import { newId } from '../../stores/ids.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import type { HoldBallotResult } from '../../workflows/hold-ballot.ts';
import type { Answer } from './api.ts';
import { hashedEmbedder } from './hashed-embedder.ts';
import { until } from './lab.ts';
import { createMortal } from './mortal.ts';
import { openStage } from './stage.ts';
import { testOwner } from './store-scope.ts';

const log = createLogger({ part: 'api', level: 'silent' });

export type BallotStage = Awaited<ReturnType<typeof openBallotStage>>;

/** The shipped API, relay, workflows and steps over real servers; a test says when a vote is due. */
export async function openBallotStage(fleet: Fleet) {
  const { dying, before, mortal } = createMortal();
  const stage = await openStage(fleet, mortal);
  const { db, client, scope } = stage;
  const listen = createListenerFactory(scope.databaseUrl, () => undefined);
  const relay = relayIntents({ client, intents: createIntentStore(db), listen, log });
  const app = await createServer({
    db,
    listen,
    temporal: client,
    payloads: createPayloads(),
    redis: undefined,
    controlSocket: undefined,
    embedderOf: () => hashedEmbedder,
    secretBox: undefined,
    log,
    metrics: createApiMetrics(),
  });
  await app.ready();
  const tokenOf = async (ownerId: string, role: Role) =>
    (await createPrincipalStore(db).issue({ ownerId, kind: 'bearer', role, name: 'test' })).secret;
  const token = await tokenOf(testOwner, 'operator');
  const stranger = newId('user');
  await db.insertInto('users').values({ id: stranger, name: 'stranger', role: 'operator' }).execute();

  const ballots = {
    ...stage,
    dying,
    before,
    app,
    token,
    tokenOf,
    strangerToken: await tokenOf(stranger, 'operator'),

    async call(
      method: 'GET' | 'POST' | 'PUT' | 'PATCH',
      url: string,
      body?: unknown,
      { by = token, headers = {} }: { by?: string; headers?: Record<string, string> } = {},
    ): Promise<Answer> {
      const response = await app.inject({
        method,
        url: `/v1${url}`,
        headers: {
          authorization: `Bearer ${by}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
      });
      const text = response.body;
      return {
        status: response.statusCode,
        headers: response.headers as Answer['headers'],
        text,
        json: JSON.parse(text === '' ? '{}' : text) as Answer['json'],
      };
    },

    /** A proposal that is voted on at once, for an hour; its id. */
    async open(body: Record<string, unknown> = {}, by = token): Promise<string> {
      const usual = { title: 'A second ferry', discussion: '0s', vote: '1h' };
      const { status, text, json } = await ballots.call('POST', '/ballots', { ...usual, ...body }, { by });
      if (status !== 201) throw new Error(text);
      const id = json['id'] as string;
      await ballots.reaches(id, 'open');
      return id;
    },

    async reaches(id: string, state: string): Promise<void> {
      await until(`${id} is ${state}`, async () => (await ballots.row(id)).state === state);
    },

    row: (id: string) => db.selectFrom('ballots').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),

    vote: (id: string, as: string, choice: unknown, more: Record<string, unknown> = {}) =>
      ballots.call('PUT', `/ballots/${id}/vote`, { as, choice, ...more }),

    /** Its hour is over, and the workflow is told so. */
    async due(id: string): Promise<HoldBallotResult> {
      await sql`update ballots set closes_at = date_trunc('milliseconds', clock_timestamp()) where id = ${id}`.execute(
        db,
      );
      return ballots.ended(id);
    },

    async ended(id: string): Promise<HoldBallotResult> {
      const handle = client.workflow.getHandle(ballotWorkflowId(id));
      await handle.signal(rowsChangedSignal);
      return (await handle.result()) as HoldBallotResult;
    },

    async close(): Promise<void> {
      await relay.stop();
      await app.close();
      await stage.close();
    },
  };
  return ballots;
}
