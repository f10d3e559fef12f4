import { Client, Connection } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { firstGlobePeriod, globeWorkflowId } from '../../domain/ids.ts';
import { createLogger } from '../../observability/logger.ts';
import { createIntentStore, insertIntent, type IntentStore } from '../../stores/intents.ts';
import { createListenerFactory, type ListenerFactory } from '../../stores/listen.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { until } from '../support/lab.ts';
import { openStoreScope, type StoreScope } from '../support/store-scope.ts';

/** No worker polls: a workflow that was started stays as it is, and can be counted. */
let store: StoreScope;
let connection: Connection;
let client: Client;
let intents: IntentStore;
let listen: ListenerFactory;
const log = createLogger({ part: 'worker', level: 'silent' });
/** temporal.api.enums.v1.CommandType.COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION */
const completeWorkflowExecution = 4;
const relays: Array<{ stop(): Promise<void> }> = [];
const deaf: ListenerFactory = () => ({ close: () => Promise.resolve() });

beforeAll(async () => {
  store = await openStoreScope();
  connection = await Connection.connect({ address: store.scope.temporalAddress });
  client = new Client({ connection, namespace: store.scope.namespace });
  intents = createIntentStore(store.db);
  listen = createListenerFactory(store.scope.databaseUrl, () => undefined);
});
afterEach(async () => {
  await Promise.all(relays.splice(0).map((relay) => relay.stop()));
});
afterAll(async () => {
  await connection?.close();
  await store?.close();
});

function relay(options: { client?: Client; listen?: ListenerFactory; intents?: IntentStore } = {}) {
  const started = relayIntents({ client, intents, listen, log, ...options });
  relays.push(started);
  return started;
}
async function ask(workflowId: string): Promise<void> {
  await insertIntent(store.db, { workflowId, type: 'drainMachine', args: [{ machineId: 'pc2' }] });
}
async function left(): Promise<number> {
  const { rows } = await sql<{ left: number }>`select count(*) as left from intents`.execute(store.db);
  return rows[0]!.left;
}
/** Executions of an id, by the server's own count; its list of them lags behind, a description does not. */
async function executions(workflowId: string): Promise<string[]> {
  const { runId } = await client.workflow.getHandle(workflowId).describe();
  const listed = [];
  for await (const { runId: other } of client.workflow.list({ query: `WorkflowId = '${workflowId}'` }))
    listed.push(other);
  return [...new Set([runId, ...listed])];
}

function start(workflowId: string, taskQueue = 'coordination') {
  return client.workflow.start('drainMachine', { workflowId, taskQueue, args: [{}] });
}

/** Runs a workflow to its end on a queue of its own, without a worker: all that counts here is that it completed. */
async function completeByHand(workflowId: string): Promise<string[]> {
  const taskQueue = `by-hand:${workflowId}`;
  await start(workflowId, taskQueue);
  const { namespace } = store.scope;
  const { taskToken } = await client.withDeadline(Date.now() + 10_000, () =>
    client.workflowService.pollWorkflowTaskQueue({ namespace, taskQueue: { name: taskQueue } }),
  );
  await client.workflowService.respondWorkflowTaskCompleted({
    namespace,
    taskToken,
    commands: [
      {
        commandType: completeWorkflowExecution,
        completeWorkflowExecutionCommandAttributes: {},
      },
    ],
  });
  return executions(workflowId);
}

test('a committed intent is started with its arguments and deleted; one that was rolled back never was', async () => {
  relay();
  await store.db
    .transaction()
    .execute(async (tx) => {
      await insertIntent(tx, { workflowId: 'drain:rolled-back:1', type: 'drainMachine', args: [{ machineId: 'pc2' }] });
      throw new Error('roll back');
    })
    .catch(() => undefined);
  await ask('drain:pc2:1');
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
  const { type, taskQueue, status } = await client.workflow.getHandle('drain:pc2:1').describe();
  expect({ type, taskQueue, status: status.name }).toEqual({
    type: 'drainMachine',
    taskQueue: 'coordination',
    status: 'RUNNING',
  });
  await expect(client.workflow.getHandle('drain:rolled-back:1').describe()).rejects.toThrow();
});

test('a crash between start and delete starts nothing twice', async () => {
  await ask('drain:pc2:2');
  await expect(
    intents.take(async ({ workflowId, type, args }) => {
      await client.workflow.start(type, { workflowId, taskQueue: 'coordination', args });
      throw new Error('the relay died here');
    }),
  ).rejects.toThrow('the relay died here');
  expect(await left()).toBe(1);
  const [first] = await executions('drain:pc2:2');
  relay();
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
  expect(await executions('drain:pc2:2')).toEqual([first]);
});

test('what is asked for while the same id is being started is asked for anew', async () => {
  await ask('drain:pc2:8');
  let second: Promise<void> | undefined;
  await intents.take(async () => {
    second = ask('drain:pc2:8');
    await until('it waits', async () => {
      const { rows } = await sql<{ waiting: boolean }>`select exists(select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like 'insert into "intents"%') as waiting`.execute(
        store.db,
      );
      return rows[0]!.waiting;
    });
  });
  await second;
  expect(await left()).toBe(1);
  relay();
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
  expect((await executions('drain:pc2:8')).length).toBe(1);
});

test('an id that has done its work is not started again', async () => {
  const [before] = await completeByHand('drain:pc2:3');
  await ask('drain:pc2:3');
  relay();
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
  expect(await executions('drain:pc2:3')).toEqual([before]);
});

test('a first globe that found nothing to place is asked for anew by the same id; while one is under way it is that one', async () => {
  const id = globeWorkflowId(firstGlobePeriod);
  const [first] = await completeByHand(id);
  relay();
  const told = async () => {
    await ask(id);
    await until('the intent is gone', async () => (await left()) === 0, 20_000);
    return (await client.workflow.getHandle(id).describe()).runId;
  };
  const second = await told();
  expect(second).not.toBe(first);
  expect(await told()).toBe(second);
});

test('an id that ended without having done its work is started again', async () => {
  const started = await start('drain:ended:1');
  await started.terminate('by the test');
  await ask('drain:ended:1');
  relay();
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
  const { runId, status } = await client.workflow.getHandle('drain:ended:1').describe();
  expect({ again: runId !== started.firstExecutionRunId, status: status.name }).toEqual({
    again: true,
    status: 'RUNNING',
  });
});

test('two relays share the work and start each intent once', async () => {
  let starts = 0;
  const counting: IntentStore = {
    ...intents,
    take: (start) =>
      intents.take(async (intent) => {
        starts += 1;
        await start(intent);
      }),
  };
  relay({ intents: counting });
  relay({ intents: counting });
  const ids = Array.from({ length: 30 }, (_, i) => `drain:shared:${i}`);
  await Promise.all(ids.map((id) => ask(id)));
  await until('all intents are gone', async () => (await left()) === 0);
  expect(starts).toBe(ids.length);
  for (const id of ids) await client.workflow.getHandle(id).describe();
});

test('while Temporal does not answer, the intent stays, and goes once it does', async () => {
  const nowhere = Connection.lazy({ address: '127.0.0.1:9', connectTimeout: 500 });
  const away = relay({ client: new Client({ connection: nowhere, namespace: store.scope.namespace }) });
  await ask('drain:pc2:4');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(await left()).toBe(1);
  await away.stop();
  await nowhere.close();
  relay();
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
  expect((await executions('drain:pc2:4')).length).toBe(1);
});

test('a connection that breaks in the middle of a take is an error of that take, and the intent stays', async () => {
  await ask('drain:pc2:7');
  const taken = intents.take(async () => {
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and state = 'idle in transaction'`.execute(store.db);
    await new Promise((resolve) => setTimeout(resolve, 100));
  });
  await expect(taken).rejects.toThrow();
  expect(await left()).toBe(1);
  relay();
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
});

test('a lost notification is made good by the sweep of every 10 s', async () => {
  relay({ listen: deaf });
  // The relay looks once as it starts; what comes after that it was never told of.
  await new Promise((resolve) => setTimeout(resolve, 300));
  await ask('drain:pc2:5');
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(await left()).toBe(1);
  await until('the intent is gone', async () => (await left()) === 0, 12_000);
  expect((await executions('drain:pc2:5')).length).toBe(1);
});

test('a listener whose connection breaks listens again', async () => {
  relay();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = 'soulfra listen intents'`.execute(store.db);
  await ask('drain:pc2:6');
  await until('the intent is gone', async () => (await left()) === 0, 5_000);
});
