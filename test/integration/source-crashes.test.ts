import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../domain/random.ts';
import { sourceSchema } from '../../domain/sources.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { startFeedServer, type FeedServer } from '../support/feed-server.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, openLab, until } from '../support/lab.ts';
import { everyAgentId } from '../support/memories.ts';

/** Printed where it fails, so that the same kills can be had again. */
const seed = Date.now() % 100_000;
const kills = 3;
const entries = 40;

let scope: TestScope;
let lab: Lab;
let server: FeedServer;
const logs = mkdtempSync(join(tmpdir(), 'soulfra-sources-'));

beforeAll(async () => {
  scope = await createTestScope();
  server = await startFeedServer();
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

// Each worker takes seconds to come up, and what a dead one had in hand is given to the next only after its heartbeat time-out.
test('workers that are killed at any moment lose nothing and tell nothing twice', { timeout: 240_000 }, async () => {
  const random = createRandom(seed);
  const source = sourceSchema.parse({
    id: 'news',
    kind: 'feed',
    url: server.url,
    agents: 'all',
    allowPrivate: ['127.0.0.1'],
    itemsPerPoll: 15,
  });
  await lab.apply({ ...testFleet({ heavy: 10, light: 30 }), sources: [source] });
  const agentIds = await everyAgentId(lab.db);
  const publish = (round: number) =>
    server.publish(
      ...Array.from({ length: entries }, (_, i) => ({
        id: `${i}`,
        title: `Item ${i}`,
        // The first ones change with every round, so that their memories are superseded while workers die.
        text: i < 3 ? `as of round ${round}` : `text ${i}`,
        date: new Date(Date.UTC(2026, 0, i + 1)).toISOString(),
      })).toReversed(),
    );
  let polls = 0;
  const poll = () => {
    polls += 1;
    return lab.client.workflow.start('pollSource', {
      workflowId: `poll-source:news:crash-${polls}`,
      taskQueue: coordinationQueue,
      args: [{ sourceId: 'news' }],
      workflowTaskTimeout: '2 seconds',
    });
  };

  server.slowBy(40);
  for (let round = 0; round < kills; round += 1) {
    publish(round);
    const worker = lab.startWorker('pc2');
    await poll();
    const seen = server.statuses.length;
    // From the first byte of a poll on, anything may be cut in two.
    await until('a poll of this worker began', () => Promise.resolve(server.statuses.length > seen));
    await poll();
    await pause(random.int(700));
    await worker.end('SIGKILL');
  }
  publish(kills);
  lab.startWorker('pc2');
  await until(
    `everything is read and given, seed ${seed}`,
    async () => {
      await (await poll()).result();
      const { rows } = await sql<{ items: number; pending: number; current: number }>`
        select count(*) as items, count(*) filter (where text is not null) as pending,
          (select count(*) from memories where text like ${`%as of round ${kills}`} and superseded_at is null) as current
        from source_items`.execute(lab.db);
      const { items, pending, current } = rows[0]!;
      return items === entries && pending === 0 && current === 3 * agentIds.length;
    },
    150_000,
  );

  const { rows } = await sql<{ agentId: string; living: number; texts: number; broken: number }>`
    select agent_id, count(*) filter (where superseded_at is null) as living,
      count(distinct text) filter (where superseded_at is null) as texts,
      count(*) filter (where superseded_at is not null and not exists (
        select from memories n where n.id = m.superseded_by and n.agent_id = m.agent_id)) as broken
    from memories m group by agent_id order by agent_id`.execute(lab.db);
  expect(rows, `seed ${seed}`).toEqual(
    agentIds.toSorted().map((agentId) => ({ agentId, living: entries, texts: entries, broken: 0 })),
  );
  const { rows: given } = await sql<{ agents: number }>`select distinct agents from source_items`.execute(lab.db);
  expect(given).toEqual([{ agents: agentIds.length }]);
});
