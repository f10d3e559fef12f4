import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePorts } from '../../bench/support/fleet-bench.ts';
import { askAgent, type Message } from '../../cli/answers.ts';
import { createClient } from '../../cli/client.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, type LabProcess, openLab, openLabServers, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';

/** Processes that die by SIGKILL while an agent answers: it is answered all the same, and remembered once. */
let base: Awaited<ReturnType<typeof openLabServers>>;
let lab: Lab;
let logs: string;
let api: Awaited<ReturnType<Lab['startApi']>>;
let apiPort: number;
const modelServers: ModelServer[] = [];
const workers = new Map<string, LabProcess>();

beforeAll(async () => {
  logs = mkdtempSync(join(tmpdir(), 'soulfra-chaos-talk-'));
  base = await openLabServers();
  lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn' });
  // Some three seconds an answer, so that there is a middle to die in.
  const double = { tokensPerSecond: 100, replies: () => ({ tokens: 300 }) };
  modelServers.push(
    await startModelServer({ slots: 4, models: ['heavy_q4', 'light_q4'], ...double }),
    await startModelServer({ slots: 4, models: ['light_q4'], ...double }),
  );
  const [mainpc, pc2] = modelServers;
  await lab.apply(testFleet({ heavy: 1, light: 6, urls: { mainpc: mainpc!.url, pc2: pc2!.url } }));
  await lab.remember(plainMemories(await everyAgentId(lab.db), 8));
  for (const machineId of ['mainpc', 'pc2']) workers.set(machineId, lab.startWorker(machineId));
  await lab.settled(['mainpc', 'pc2']);
  [apiPort] = (await freePorts(1)) as [number];
  api = await lab.startApi(apiPort);
});
afterAll(async () => {
  await lab?.close();
  await base?.close();
  await Promise.all(modelServers.map((server) => server.close()));
  rmSync(logs, { recursive: true, force: true });
});

/** Talks as the command does; `whenTold` is called once some of the answer has been shown. */
async function talk(agentId: string, whenTold: (messageId: string) => Promise<void>) {
  const client = createClient({ url: api.url, token: api.token, origin: 'the test' });
  let messageId = '';
  let shown = '';
  const restarts: string[] = [];
  let struck: Promise<void> | undefined;
  const message = await askAgent(
    client,
    agentId,
    { text: 'How many boats were at the pier?' },
    {
      onQueued: (id) => {
        messageId = id;
      },
      onText: (piece) => {
        shown += piece;
        if (shown.length > 20) struck ??= whenTold(messageId);
      },
      onRestart: (machineId) => {
        restarts.push(machineId);
        shown = '';
      },
    },
    new AbortController().signal,
  );
  expect(struck).toBeDefined();
  await struck;
  return { message, shown, restarts };
}
async function rememberedOnce({ id, answer }: Message): Promise<void> {
  const kept = await lab.db
    .selectFrom('memories')
    .select(['kind', 'text'])
    .where('externalKey', 'like', `message:${id}:%`)
    .orderBy('seq')
    .execute();
  expect(kept).toEqual([
    { kind: 'conversation', text: 'How many boats were at the pier?' },
    { kind: 'reply', text: answer },
  ]);
}

test('the worker that answers dies: the stream says restart, the other machine answers', async () => {
  let dead = '';
  const { message, shown, restarts } = await talk('light-001', async (id) => {
    const row = await lab.db.selectFrom('messages').select('machineId').where('id', '=', id).executeTakeFirstOrThrow();
    dead = row.machineId!;
    await workers.get(dead)!.end('SIGKILL');
  });
  expect(message).toMatchObject({ state: 'answered', degraded: false });
  expect(message.machineId).not.toBe(dead);
  expect(restarts).toEqual([message.machineId]);
  expect(shown).toBe(message.answer);
  await rememberedOnce(message);
  workers.set(dead, lab.startWorker(dead));
  await lab.settled(['mainpc', 'pc2']);
});

test('the API dies: the reader comes back to the next one and goes on where it was', async () => {
  const { message, shown, restarts } = await talk('light-002', async () => {
    await api.process.end('SIGKILL');
    api = await lab.startApi(apiPort);
  });
  expect(message.state).toBe('answered');
  expect(restarts).toEqual([]);
  expect(shown).toBe(message.answer);
  await rememberedOnce(message);
});

test('Redis forgets everything, and Temporal dies and comes back: the answer is the same', async () => {
  const { message } = await talk('light-003', async () => {
    const redis = new Redis(base.addresses.redisUrl);
    await redis.flushall();
    await redis.quit();
    await base.servers.kill('temporal');
    await base.servers.start('temporal');
  });
  expect(message.state).toBe('answered');
  await rememberedOnce(message);
  await until('all machines live', async () => {
    const rows = await lab.db.selectFrom('machines').select('state').execute();
    return rows.every(({ state }) => state === 'ready');
  });
});
