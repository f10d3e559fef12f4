import { WorkflowIdReusePolicy } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { toUnitLength } from '../../domain/embeddings.ts';
import { clusterWorkflowId } from '../../domain/ids.ts';
import { createRandom } from '../../domain/random.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { vectorBytes } from '../../stores/embeddings.ts';
import { findCluster, listClusters } from '../../stores/queries/clusters.ts';
import type { ClusterAgentsResult } from '../../workflows/cluster-agents.ts';
import { testFleet } from '../support/fleets.ts';
import { applyRetention } from '../support/retention.ts';
import { spawningSchema } from '../../domain/spawn-policy.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

const dimensions = 32;
const count = 60;
const agentIds = Array.from({ length: count }, (_, i) => `light-${String(i + 1).padStart(3, '0')}`);
const fleet = testFleet({ heavy: 0, light: count });
let stage: Stage;
let dies = false;

beforeAll(async () => {
  stage = await openStage(fleet, (shipped) => ({
    clusterPeriod: async (input) => {
      const result = await shipped.clusterPeriod(input);
      if (dies) {
        dies = false;
        throw new Error('died after the run was stored');
      }
      return result;
    },
  }));
});
afterAll(() => stage?.close());
beforeEach(() => {
  dies = false;
});

async function find(period: string): Promise<ClusterAgentsResult> {
  const handle = await stage.client.workflow.start('clusterAgents', {
    workflowId: clusterWorkflowId(period),
    taskQueue: coordinationQueue,
    args: [{ period }],
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
  });
  return (await handle.result()) as ClusterAgentsResult;
}

let rated = 0;
/** Gives agents the recent vector of a group each, as a rating would. */
async function standAs(groupOf: (place: number) => number): Promise<void> {
  rated += 1;
  const random = createRandom(rated);
  for (const [place, agentId] of agentIds.entries()) {
    const group = groupOf(place);
    const vector = toUnitLength(
      Array.from({ length: dimensions }, (_, i) => 0.2 + (i === group ? 1 : 0) + 0.1 * (random.next() - 0.5)),
    );
    const id = `drt_${rated}-${agentId}`;
    await sql`insert into drift_ratings (id, owner_id, agent_id, period, state, drift, weighted, window_size, history, model)
      values (${id}, ${testOwner}, ${agentId}, ${`p${rated}`}, 'calm', ${0.3 + random.next() / 50}, 0.3, 10, 10, 'use-lite-en')`.execute(
      stage.db,
    );
    await sql`insert into agent_drift (agent_id, owner_id, rating_id, state, since, model, newest_output, vector)
      values (${agentId}, ${testOwner}, ${id}, 'calm', now(), 'use-lite-en', 'x', ${vectorBytes(vector)})
      on conflict (agent_id) do update set rating_id = excluded.rating_id, vector = excluded.vector`.execute(stage.db);
  }
}
const living = () => listClusters(stage.db, { ownerId: testOwner, limit: 50, state: 'living' });
const newEvents = async (after: number) =>
  (
    await stage.db
      .selectFrom('events')
      .select(['id', 'type', 'subject', 'data'])
      .where('type', 'like', 'cluster.%')
      .where('id', '>', after)
      .orderBy('id')
      .execute()
  ).map(({ id, type, subject, data }) => ({ id, type, subject, data: data as Record<string, unknown> }));
const lastEvent = async () =>
  (await stage.db.selectFrom('events').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst())?.id ?? 0;
const thirds = (place: number) => place % 3;

test('a fleet without vectors has no clusters, and the run says why', async () => {
  expect(await find('empty')).toMatchObject({ agents: 0, clusters: 0, apart: 0 });
  const run = await stage.db
    .selectFrom('clusterRuns')
    .select('reason')
    .where('period', '=', 'empty')
    .executeTakeFirst();
  expect(run!.reason).toBe('0 agents have a rating of their drift; two clusters take 10');
});

test('groups are found and born; the same period again, also after a crash, makes no second run', async () => {
  await stage.embeddings.models(testOwner, { kind: 'built-in' });
  await standAs(thirds);
  const from = await lastEvent();
  dies = true;
  const first = await find('first');
  expect(first).toMatchObject({ agents: count, clusters: 3, apart: 0, sampledShare: 1 });
  expect(await find('first')).toEqual(first);
  const clusters = await living();
  expect(clusters.map(({ members }) => members)).toEqual([20, 20, 20]);
  const events = await newEvents(from);
  expect(events.map(({ type }) => type)).toEqual(['cluster.born', 'cluster.born', 'cluster.born']);
  expect(events.map(({ data }) => data['members'])).toEqual([20, 20, 20]);
  const detail = await findCluster(stage.db, testOwner, clusters[0]!.id);
  expect(new Set(detail!.agents.map(({ id }) => agentIds.indexOf(id) % 3)).size).toBe(1);
  expect(await findCluster(stage.db, 'usr_other', clusters[0]!.id)).toBeUndefined();
});

test('ids last while most of a group does; nothing new is no event', async () => {
  const before = (await living()).map(({ id }) => id).sort();
  const from = await lastEvent();
  await standAs(thirds);
  await find('second');
  expect((await living()).map(({ id }) => id).sort()).toEqual(before);
  expect(await newEvents(from)).toEqual([]);
  await standAs((place) => (place < 6 ? 0 : thirds(place)));
  await find('third');
  expect((await living()).map(({ id }) => id).sort()).toEqual(before);
  const kept = await newEvents(from);
  expect(kept.map(({ type }) => type)).toEqual(['cluster.kept', 'cluster.kept', 'cluster.kept']);
  expect(kept.map(({ data }) => Number(data['joined']) + Number(data['left'])).sort((a, b) => a - b)).toEqual([
    2, 2, 4,
  ]);
});

test('a group that splits and groups that merge say so', async () => {
  await standAs(thirds);
  await find('before-split');
  const from = await lastEvent();
  await standAs((place) => (thirds(place) === 0 && place % 2 === 0 && place < 50 ? 7 : thirds(place)));
  await find('split');
  const split = (await newEvents(from)).find(({ type }) => type === 'cluster.split');
  expect(split).toBeDefined();
  expect((await living()).map(({ id }) => id)).toContain(split!.data['from']);
  const between = await lastEvent();
  await standAs((place) => (thirds(place) === 2 ? 2 : 0));
  await find('merged');
  const merged = (await newEvents(between)).filter(({ type }) => type === 'cluster.merged');
  expect(merged.length).toBe(2);
  const ended = await findCluster(stage.db, testOwner, merged[0]!.subject);
  expect(ended).toMatchObject({ state: 'merged', mergedInto: merged[0]!.data['into'] });
  expect(ended!.endedAt).not.toBeNull();
  expect((await living()).length).toBe(2);
});

test('while another embedding model has rated too few, the clusters there are stay', async () => {
  const before = await living();
  await sql`update agent_drift set model = 'before'`.execute(stage.db);
  const from = await lastEvent();
  expect(await find('between-models')).toMatchObject({ agents: 0, clusters: 0 });
  expect(await living()).toEqual(before);
  expect(await newEvents(from)).toEqual([]);
  await sql`update agent_drift set model = 'use-lite-en'`.execute(stage.db);
  await find('model-back');
  expect((await living()).map(({ id }) => id)).toEqual(before.map(({ id }) => id));
});

test('two runs at once follow one another, each stored once', async () => {
  await standAs(thirds);
  const [one, two] = await Promise.all([find('one-of-two'), find('two-of-two')]);
  expect(one.runId).not.toBe(two.runId);
  expect([one.clusters, two.clusters]).toEqual([3, 3]);
  expect((await living()).length).toBe(3);
});

test('an agent that is retired between the reading and the storing is in no cluster', async () => {
  const members = agentIds.slice(0, 12);
  await sql`update agents set state = 'retired', retired_by = 'file' where id = ${members[0]!}`.execute(stage.db);
  const stored = await stage.clusters.store({
    ownerId: testOwner,
    period: 'leaving',
    model: 'use-lite-en',
    agents: 12,
    sampledShare: 1,
    memoryLimitMib: 256,
    seconds: 0,
    skipped: false,
    reason: '',
    clusters: [{ members, terms: [] }],
  });
  expect(stored).toMatchObject({ clusters: 1, apart: 1 });
  const rows = await stage.db
    .selectFrom('clusterMembers')
    .select('agentId')
    .where('runId', '=', stored.runId)
    .execute();
  expect(rows.map(({ agentId }) => agentId).sort()).toEqual(members.slice(1));
  await sql`update agents set state = 'active', retired_by = null where id = ${members[0]!}`.execute(stage.db);
});

test('why is told in members’ words, and what was taken away since is told no more', async () => {
  const say = (agentId: string, text: string) => ({
    agentId,
    externalKey: `${agentId}-${text}`,
    kind: 'reply' as const,
    text,
    importance: 5,
    source: 'test',
    occurredAt: '2026-01-01T00:00:00.000Z',
  });
  const group = agentIds.filter((_, place) => thirds(place) === 1).slice(0, 4);
  await stage.remember(group.map((agentId, i) => say(agentId, `The harbour froze. I counted ${i} lanterns.`)));
  await standAs(thirds);
  await find('words');
  const cluster = (await living()).find(({ terms }) => terms.includes('harbour'))!;
  const detail = await findCluster(stage.db, testOwner, cluster.id);
  const why = detail!.why.find(({ term }) => term === 'harbour')!;
  expect(why.quotes.length).toBe(3);
  for (const { quote, agentId } of why.quotes) {
    expect(quote).toBe('The harbour froze.');
    expect(group).toContain(agentId);
  }
  await stage.memories.delete(testOwner, why.quotes[0]!.outputId, 'asked');
  const after = await findCluster(stage.db, testOwner, cluster.id);
  expect(after!.why.find(({ term }) => term === 'harbour')!.quotes.length).toBe(2);
});

test('beyond the limit of memory a sample is clustered and the others are assigned, and the run says so', async () => {
  await standAs(thirds);
  const wide = 3_900;
  const vectors = await stage.db.selectFrom('agentDrift').select(['agentId', 'vector']).execute();
  // Beside the thread and the components 52 MiB hold 27 vectors of so many numbers.
  for (const { agentId, vector } of vectors) {
    const long = new Float32Array(wide);
    long.set(new Float32Array(vector.buffer.slice(vector.byteOffset, vector.byteOffset + vector.length)));
    await stage.db
      .updateTable('agentDrift')
      .set({ vector: vectorBytes(long) })
      .where('agentId', '=', agentId)
      .execute();
  }
  await stage.apply({ ...fleet, clusters: { memoryMiB: 64 } });
  const run = await find('sampled');
  expect(run.sampledShare).toBe(27 / 60);
  const { reason } = (await stage.db
    .selectFrom('clusterRuns')
    .select('reason')
    .where('period', '=', 'sampled')
    .executeTakeFirst())!;
  expect(reason).toMatch(/^\d+ of 60 agents were clustered within 64 MiB, the others assigned$/);
  expect(run.clusters).toBe(3);
  expect(run.apart).toBeLessThan(6);
});

test('runs outlive nothing but their retention; the newest stays, and so do clusters', async () => {
  await sql`update cluster_runs set made_at = now() - interval '400 days'`.execute(stage.db);
  const before = await stage.db.selectFrom('clusters').select('id').execute();
  await applyRetention(stage.db);
  expect((await stage.db.selectFrom('clusterRuns').select('period').execute()).map(({ period }) => period)).toEqual([
    'sampled',
  ]);
  expect((await stage.db.selectFrom('clusters').select('id').execute()).length).toBe(before.length);
});

test('a cluster that is born beside others whispers once, to one of its members; those of a first run do not', async () => {
  const policy = spawningSchema.parse({ fleet: { burst: 5, perHour: 0 } });
  const run = (period: string, groups: string[][], spawning: typeof policy | undefined) =>
    stage.clusters.store({
      ownerId: testOwner,
      period,
      model: 'use-lite-en',
      agents: count,
      sampledShare: 1,
      memoryLimitMib: 256,
      seconds: 0,
      skipped: false,
      reason: '',
      clusters: groups.map((members, i) => ({ members, terms: [{ term: `word${i}`, outputs: [] }] })),
      ...(spawning === undefined ? {} : { spawning }),
    });
  const whispers = () => stage.db.selectFrom('whispers').selectAll().where('source', '=', 'cluster').execute();
  const [one, two, three] = [agentIds.slice(0, 10), agentIds.slice(10, 20), agentIds.slice(20, 30)];
  await sql`update clusters set state = 'gone', ended_at = now() where state = 'living'`.execute(stage.db);
  await sql`delete from whispers`.execute(stage.db);
  await sql`delete from intents`.execute(stage.db);
  await run('whisper-first', [one], policy);
  expect(await whispers()).toEqual([]);
  await run('whisper-quiet', [one, two], undefined);
  expect(await whispers()).toEqual([]);
  await Promise.all([run('whisper-born', [one, two, three], policy), run('whisper-born', [one, two, three], policy)]);
  const rows = await whispers();
  expect(rows).toHaveLength(1);
  expect(three).toContain(rows[0]!.parentId);
  expect(rows[0]).toMatchObject({ state: 'received', text: expect.stringContaining('10 of us') as string });
  expect(rows[0]!.text).toContain('word2');
  const intents = await stage.db
    .selectFrom('intents')
    .select('workflowId')
    .where('type', '=', 'spawnPersona')
    .execute();
  expect(intents).toEqual([{ workflowId: `spawn:${rows[0]!.id}` }]);
});
