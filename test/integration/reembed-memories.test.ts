import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { embeddingScheduleId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createOpenAiEmbedder } from '../../integrations/embeddings/openai.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createMemorySearch } from '../../stores/memory-search.ts';
import type { ReembedMemoriesResult } from '../../workflows/reembed-memories.ts';
import { type EmbeddingServer, startEmbeddingServer } from '../support/embedding-server.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, type LabProcess, labOwner, openLab, until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';

/** A change of model by the shipped worker in a process of its own, which is killed, and by a model that is wrong at first. */
const agentId = 'light-001';
const memories = 600;
const batch = 64;
let scope: TestScope;
let lab: Lab;
let server: EmbeddingServer;
let worker: LabProcess;
const logs = mkdtempSync(join(tmpdir(), 'soulfra-reembed-'));

beforeAll(async () => {
  scope = await createTestScope();
  server = await startEmbeddingServer();
  lab = await openLab({ ...scope }, { logs, workerLogLevel: 'warn' });
});
afterAll(async () => {
  for await (const { scheduleId } of lab.client.schedule.list())
    await lab.client.schedule.getHandle(scheduleId).delete();
  await lab?.close();
  await server?.close();
  await scope?.close();
  rmSync(logs, { recursive: true, force: true });
});

/** Nobody reflects, so that there are no more memories than the test's own. */
function want(model: string, url = server.url): Promise<void> {
  const fleet = testFleet({ heavy: 0, light: 3 });
  for (const archetype of fleet.archetypes) archetype.importanceThreshold = 0;
  return lab.apply({
    ...fleet,
    schedules: { ...fleet.schedules, paused: true },
    embeddings: { kind: 'openai', url, model },
  });
}
function start(name: string) {
  return lab.client.workflow.start('reembedMemories', {
    workflowId: `reembed-memories:test-${name}`,
    taskQueue: coordinationQueue,
    args: [{}],
    workflowTaskTimeout: '2 seconds',
  });
}
const vectorsOf = async (model: string) =>
  (await lab.db.selectFrom('embeddings').select('contentHash').where('model', '=', model).execute()).length;
const openNotices = () =>
  lab.db
    .selectFrom('notices')
    .select(['subject', 'detail'])
    .where('kind', '=', 'embedding_model_failing')
    .where('resolvedAt', 'is', null)
    .execute();
async function searchedBy(): Promise<{ model: string | null; unembedded: number }> {
  const search = createMemorySearch({
    db: lab.db,
    embedderOf: (settings) => {
      if (settings.kind === 'built-in') throw new Error('no fleet of this test names it');
      return createOpenAiEmbedder({ baseUrl: settings.url, model: settings.model });
    },
    settings: () => expect.unreachable('a model serves already'),
    cacheBytes: () => 1 << 26,
    onFailure: (err) => expect.unreachable(String(err)),
  });
  const now = new Date();
  const request = { ownerId: labOwner, agentId, text: 'boats at the pier', limit: 5, now, used: false };
  const { model, unembedded, found } = await search.search(request);
  expect(found).toHaveLength(5);
  return { model, unembedded };
}

test('a worker killed half-way: what was embedded stays, the old vectors serve until the switch', {
  timeout: 240_000,
}, async () => {
  await want('old');
  await lab.remember(plainMemories([agentId], memories));
  worker = lab.startWorker('pc2');
  expect(await (await start('old')).result()).toEqual({ embedded: memories } satisfies ReembedMemoriesResult);
  // What the Schedule starts meanwhile would ask for the same texts at the same time.
  await lab.client.schedule.getHandle(embeddingScheduleId).pause();

  await want('new');
  server.slowBy('new', 300);
  const change = await start('new');
  await until('a part of it has its new vector', async () => (await vectorsOf('new')) >= 2 * batch);
  await worker.end('SIGKILL');
  const kept = await vectorsOf('new');
  expect(kept).toBeLessThan(memories);
  expect(await vectorsOf('old')).toBe(memories);
  expect(await searchedBy()).toEqual({ model: 'old', unembedded: 0 });
  const before = server.askedOf('new').length;
  expect(before).toBeLessThanOrEqual(kept + batch);

  server.slowBy('new', 0);
  worker = lab.startWorker('pc2');
  await change.result();
  expect(await createEmbeddingStore(lab.db).serving(labOwner)).toMatchObject({ model: 'new' });
  expect([await vectorsOf('old'), await vectorsOf('new')]).toEqual([0, memories]);
  expect(await searchedBy()).toEqual({ model: 'new', unembedded: 0 });
  // At most the batch in hand was asked for twice; beside the texts of memories, the one that was searched for.
  const asked = server.askedOf('new').filter((text) => text !== 'boats at the pier');
  expect(new Set(asked).size).toBe(memories);
  expect(asked.length - memories).toBeLessThanOrEqual(batch);
  const { events } = await lab.db
    .selectFrom('events')
    .select((eb) => eb.fn.countAll<number>().as('events'))
    .where('type', '=', 'embeddings.served')
    .executeTakeFirstOrThrow();
  expect(events).toBe(1);
});

test('a wrong address is told while the old model goes on serving what comes in; mended, the same run ends', {
  timeout: 240_000,
}, async () => {
  const nobody = createServer();
  await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
  const { port } = nobody.address() as AddressInfo;
  await new Promise((resolve) => nobody.close(resolve));

  await want('third', `http://127.0.0.1:${port}/v1`);
  const change = await start('third');
  await until('it is told', async () => (await openNotices()).length === 1);
  expect(await openNotices()).toMatchObject([
    {
      subject: 'third',
      detail: expect.stringMatching(/^third at 127\.0\.0\.1:\d+: .*ECONNREFUSED.* Searches go by new until/),
    },
  ]);
  await lab.remember(plainMemories([agentId], batch * 2, memories + 1));
  await until(
    'what came in has vectors of the model that serves',
    async () => (await vectorsOf('new')) === memories + batch * 2,
  );
  expect(await searchedBy()).toEqual({ model: 'new', unembedded: 0 });

  await want('third');
  await change.result();
  expect(await openNotices()).toEqual([]);
  expect([await vectorsOf('new'), await vectorsOf('third')]).toEqual([0, memories + batch * 2]);
  expect(await searchedBy()).toEqual({ model: 'third', unembedded: 0 });
});
