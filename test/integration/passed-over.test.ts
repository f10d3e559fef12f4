import { MockActivityEnvironment } from '@temporalio/testing';
import { WorkflowIdReusePolicy } from '@temporalio/client';
import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
import { createEmbeddingActivities } from '../../activities/embeddings.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { togetherOrAlone } from '../../activities/passing-over.ts';
import { createThreadActivities } from '../../activities/threads.ts';
import { type Embedder, toUnitLength } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';
import { clusterWorkflowId, driftWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { worldMemories } from '../../domain/world.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import type { NewMemory } from '../../stores/memories.ts';
import { vectorBytes } from '../../stores/embeddings.ts';
import { vectorOf } from '../../stores/memory-columns.ts';
import type { ClusterAgentsResult } from '../../workflows/cluster-agents.ts';
import type { RateDriftResult } from '../../workflows/rate-drift.ts';
import type { WeaveMemoriesResult } from '../../workflows/weave-memories.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';
import { threadFaults, threadsByContent } from '../support/threads.ts';

let stages: Stage[] = [];
afterEach(async () => {
  for (const stage of stages) await stage.close();
  stages = [];
});

const agentIds = Array.from({ length: 14 }, (_, i) => `light-${String(i + 1).padStart(3, '0')}`);
async function open(): Promise<Stage> {
  const stage = await openStage(testFleet({ heavy: 0, light: agentIds.length }));
  stages.push(stage);
  return stage;
}

let calls = 0;
async function execute<Result>(stage: Stage, workflow: string, workflowId: string, input: object): Promise<Result> {
  return (await stage.client.workflow.execute(workflow, {
    workflowId,
    taskQueue: coordinationQueue,
    args: [input],
    workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
  })) as Result;
}
function weave(stage: Stage): Promise<WeaveMemoriesResult> {
  calls += 1;
  return execute(stage, 'weaveMemories', `weave:call-passed-${calls}`, {});
}

async function embedAll(stage: Stage): Promise<void> {
  const { model } = hashedEmbedder;
  await stage.embeddings.models(testOwner, { kind: 'built-in' });
  const missing = await stage.embeddings.missing({ ownerId: testOwner, model, limit: 5_000 });
  const vectors = await hashedEmbedder.embed(missing.map(({ text }) => text));
  await stage.embeddings.put(
    model,
    missing.map((each, i) => ({ ...each, vector: vectors[i]! })),
  );
}
/** Damages the vector of a memory. @returns mends it */
async function damage(stage: Stage, memoryId: string, broken: (whole: Buffer) => Buffer) {
  const { rows } = await sql<{ hash: Buffer; vector: Buffer }>`
    select e.content_hash as hash, e.vector from memories m join embeddings e on e.content_hash = m.content_hash
    where m.id = ${memoryId}`.execute(stage.db);
  const { hash, vector } = rows[0]!;
  const put = (bytes: Buffer) =>
    sql`update embeddings set vector = ${bytes} where content_hash = ${hash}`.execute(stage.db);
  await put(broken(vector));
  return () => put(vector);
}
const notices = (stage: Stage, kind: string) =>
  stage.db
    .selectFrom('notices')
    .select(['subject', 'title', 'detail', 'seen'])
    .where('kind', '=', kind)
    .where('resolvedAt', 'is', null)
    .orderBy('subject')
    .execute();
const allNotices = async (stage: Stage, kind: string) =>
  (await stage.db.selectFrom('notices').select('id').where('kind', '=', kind).execute()).length;
const unwoven = async (stage: Stage) =>
  (await stage.db.selectFrom('unwovenMemories').select('memoryId').orderBy('memoryId').execute()).map(
    ({ memoryId }) => memoryId,
  );

/** The shipped world in the places of six agents. */
function world(days: number): NewMemory[] {
  const agents = agentIds
    .slice(0, 6)
    .map((id, i) => ({ id, name: `Una${i} Light`, archetypeId: 'light', traits: ['steady'] }));
  return [...worldMemories(agents, { seed: 5, endsAt: '2026-11-01T00:00:00.000Z', days })];
}
async function memoriesIn(stage: Stage): Promise<Array<{ id: string; agentId: string }>> {
  return stage.db.selectFrom('memories').select(['id', 'agentId']).orderBy('occurredAt').orderBy('id').execute();
}

test('memories that cannot be woven are passed over and told once; mended, they come into the threads of a sound fleet', async () => {
  const sound = await open();
  await sound.remember(world(4));
  await embedAll(sound);
  await weave(sound);
  const expected = await threadsByContent(sound.db);
  expect(expected.length).toBeGreaterThan(5);

  const stage = await open();
  await stage.remember(world(4));
  await embedAll(stage);
  const all = await memoriesIn(stage);
  // The first of all, so that everything else waits behind it, and two from threads that there are.
  const { rows: threaded } = await sql<{ place: number }>`
    select o.place from (select id, row_number() over (order by occurred_at, id) - 1 as place from memories) o
    join thread_memories s on s.memory_id = o.id order by place`.execute(sound.db);
  const bad = [all[0]!, all[threaded[3]!.place]!, all[threaded.at(-1)!.place]!];
  const mends = [
    await damage(stage, bad[0]!.id, (whole) => whole.subarray(0, 101)),
    await damage(stage, bad[1]!.id, (whole) => Buffer.concat([whole, whole])),
    await damage(stage, bad[2]!.id, (whole) => {
      const broken = Buffer.from(whole);
      broken.writeFloatLE(Number.NaN, 8);
      return broken;
    }),
  ];
  const untimed = all[5]!;
  const { rows: when } = await sql<{ at: string }>`
    select occurred_at::text as at from memories where id = ${untimed.id}`.execute(stage.db);
  const happen = async (at: string) => {
    await sql`update memories set occurred_at = ${at} where id = ${untimed.id}`.execute(stage.db);
    await sql`update unwoven_memories set occurred_at = ${at} where memory_id = ${untimed.id}`.execute(stage.db);
  };
  await happen('-infinity');
  const left = [...new Set([...bad.map(({ id }) => id), untimed.id])].sort();

  expect(await weave(stage)).toMatchObject({ woven: all.length - left.length });
  expect(await unwoven(stage)).toEqual(left);
  expect(await threadFaults(stage.db)).toEqual([]);
  const agents = [...new Set([...bad, untimed].map(({ agentId }) => agentId))].sort();
  const told = await notices(stage, 'weaving_failing');
  expect(told.map(({ subject }) => subject)).toEqual(agents);
  for (const { id, agentId } of [...bad, untimed])
    expect(told.find(({ subject }) => subject === agentId)!.detail).toContain(id);

  // The next period tries again, and says it to nobody twice.
  expect(await weave(stage)).toMatchObject({ woven: 0 });
  expect(await unwoven(stage)).toEqual(left);
  expect((await notices(stage, 'weaving_failing')).map(({ subject }) => subject)).toEqual(agents);
  expect(await allNotices(stage, 'weaving_failing')).toBe(agents.length);

  for (const mend of mends) await mend();
  await happen(when[0]!.at);
  expect(await weave(stage)).toMatchObject({ woven: left.length });
  expect(await unwoven(stage)).toEqual([]);
  expect(await notices(stage, 'weaving_failing')).toEqual([]);
  expect(await threadsByContent(stage.db)).toEqual(expected);
  expect(await threadFaults(stage.db)).toEqual([]);
}, 60_000);

test('a rule that cannot take one memory stops no other; a model that does not answer is waited for, and nothing is passed over', async () => {
  const stage = await open();
  await stage.remember(world(2));
  const all = await memoriesIn(stage);
  const bad = all[10]!.id;
  let answers = false;
  const activities = createThreadActivities({
    threads: {
      ...stage.threads,
      weave: (input) =>
        input.memoryIds.includes(bad)
          ? Promise.reject(new RangeError('Invalid string length'))
          : stage.threads.weave(input),
    },
    weaving: stage.weaving,
    embeddings: stage.embeddings,
    embedderOf: () => ({
      model: hashedEmbedder.model,
      embed: (texts) =>
        answers
          ? hashedEmbedder.embed(texts)
          : Promise.reject(new DomainError('EMBEDDINGS_FAILED', 'it does not answer')),
    }),
    fleet: createFleetReader(createFleetStore(stage.db)),
  });
  const run = (attempt: number) =>
    new MockActivityEnvironment({ attempt }).run(
      (input: { now: string; most: number }) => activities.weavePending(input),
      { now: new Date().toISOString(), most: 5_000 },
    );
  await expect(run(11)).rejects.toThrow('it does not answer');
  expect(await notices(stage, 'weaving_failing')).toEqual([]);
  expect(await unwoven(stage)).toHaveLength(all.length);
  answers = true;
  expect(await run(1)).toMatchObject({ woven: all.length - 1, more: false });
  expect(await unwoven(stage)).toEqual([bad]);
  expect(await notices(stage, 'weaving_failing')).toMatchObject([
    { subject: all[10]!.agentId, detail: expect.stringContaining('Invalid string length') as string },
  ]);
  // Who forgets or deletes the memory has settled it.
  await stage.memories.delete(testOwner, bad, 'damaged');
  await run(1);
  expect(await notices(stage, 'weaving_failing')).toEqual([]);
});

test('a connection that breaks is tried again at any attempt; what Postgres refuses of one row is passed over at once', async () => {
  const stage = await open();
  const done: string[] = [];
  const told: Array<[string, string]> = [];
  const run = (statement: string, attempt: number) =>
    new MockActivityEnvironment({ attempt }).run(() =>
      togetherOrAlone(['a', 'bad', 'c'], {
        async work(items) {
          if (items.includes('bad')) await sql.raw(statement).execute(stage.db);
          done.push(...items);
        },
        tell(item, reason) {
          told.push([item, reason]);
          return Promise.resolve();
        },
      }),
    );
  await expect(run('select nothing_of_this_name()', 1)).rejects.toThrow(/does not exist/);
  expect([done, told]).toEqual([[], []]);
  await run(`select 'x'::timestamptz`, 1);
  expect([done, told.map(([item]) => item)]).toEqual([['a', 'c'], ['bad']]);
  await run('select nothing_of_this_name()', 8);
  expect(told.map(([item]) => item)).toEqual(['bad', 'bad']);
  await expect(run('select pg_terminate_backend(pg_backend_pid())', 11)).rejects.toThrow(/terminat/);
  expect(told).toHaveLength(2);
});

test('a text that the embedder chokes on is told in one notice, the others are embedded; with a vector the notice closes', async () => {
  const stage = await open();
  const texts = ['the lamp went out', 'a text that chokes', 'bread was baked', 'another that chokes'];
  await stage.remember(
    texts.map((text, i) => ({ ...world(1)[0]!, agentId: agentIds[i]!, externalKey: `k-${i}`, text, kind: 'reply' })),
  );
  let chokes = true;
  const embedder: Embedder = {
    model: hashedEmbedder.model,
    embed: (asked) =>
      chokes && asked.some((text) => text.includes('chokes'))
        ? Promise.reject(new RangeError('Maximum call stack size exceeded'))
        : hashedEmbedder.embed(asked),
  };
  const activities = createEmbeddingActivities({
    embeddings: stage.embeddings,
    globe: stage.globe,
    embedderOf: () => embedder,
    fleet: createFleetReader(createFleetStore(stage.db)),
  });
  const run = () =>
    new MockActivityEnvironment().run((input: { most: number }) => activities.embedMissing(input), { most: 100 });
  await run();
  const { count } = await stage.db
    .selectFrom('embeddings')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow();
  expect(count).toBe(2);
  expect(await notices(stage, 'embedding_failing')).toMatchObject([
    { subject: embedder.model, title: `${embedder.model} has no usable vector for 2 memories` },
  ]);
  await run();
  expect(await allNotices(stage, 'embedding_failing')).toBe(1);
  // A week later, the model mended.
  chokes = false;
  await sql`update unusable_texts set marked_at = marked_at - interval '8 days'`.execute(stage.db);
  await run();
  expect(await notices(stage, 'embedding_failing')).toEqual([]);
});

test('agents whose vectors are damaged are left out of the clusters, the others are clustered; mended, they are in again', async () => {
  const stage = await open();
  await stage.embeddings.models(testOwner, { kind: 'built-in' });
  for (const [place, agentId] of agentIds.entries()) {
    const vector = toUnitLength(
      Array.from({ length: 32 }, (_, i) => 0.2 + (i === place % 2 ? 1 : 0) + 0.01 * ((place * 7 + i * 3) % 5)),
    );
    await sql`insert into drift_ratings (id, owner_id, agent_id, period, state, drift, weighted, window_size, history, model)
      values (${`drt_${agentId}`}, ${testOwner}, ${agentId}, 'p', 'calm', ${0.3 + place / 500}, 0.3, 10, 10, 'use-lite-en')`.execute(
      stage.db,
    );
    await sql`insert into agent_drift (agent_id, owner_id, rating_id, state, since, model, newest_output, vector)
      values (${agentId}, ${testOwner}, ${`drt_${agentId}`}, 'calm', now(), 'use-lite-en', 'x', ${vectorBytes(vector)})`.execute(
      stage.db,
    );
  }
  const find = (period: string) =>
    execute<ClusterAgentsResult>(stage, 'clusterAgents', clusterWorkflowId(period), { period });
  const vectors = await stage.db.selectFrom('agentDrift').select(['agentId', 'vector']).orderBy('agentId').execute();
  const put = (place: number, vector: Buffer) =>
    stage.db.updateTable('agentDrift').set({ vector }).where('agentId', '=', agentIds[place]!).execute();
  // Longer than the others, so that it must not set the measure; no whole number of floats; no number.
  await put(0, Buffer.concat([vectors[0]!.vector, vectors[0]!.vector]));
  await put(1, vectors[1]!.vector.subarray(0, 77));
  await sql`update drift_ratings set drift = 'NaN' where agent_id = ${agentIds[2]!}`.execute(stage.db);
  expect(await find('damaged')).toMatchObject({ agents: 11, clusters: 2, apart: 0 });
  const run = () =>
    stage.db.selectFrom('clusterRuns').select(['skipped', 'reason']).orderBy('id', 'desc').executeTakeFirst();
  expect(await run()).toEqual({ skipped: false, reason: '3 with damaged numbers were left out' });
  const out = agentIds.slice(0, 3);
  expect((await notices(stage, 'clustering_failing')).map(({ subject }) => subject)).toEqual(out);
  await find('again');
  expect(await notices(stage, 'clustering_failing')).toMatchObject(out.map((subject) => ({ subject, seen: 2 })));
  expect(await allNotices(stage, 'clustering_failing')).toBe(3);

  // Too few are left for any two: the clusters there are stay, and it is said why.
  for (const place of [3, 4]) await put(place, Buffer.alloc(128));
  const living = () => stage.db.selectFrom('clusters').select('id').where('state', '=', 'living').execute();
  const before = await living();
  expect(await find('too-few')).toMatchObject({ agents: 9, clusters: 0 });
  expect(await run()).toMatchObject({ skipped: true, reason: expect.stringContaining('9 agents are left') as string });
  expect(await living()).toEqual(before);

  for (const place of [0, 1, 3, 4]) await put(place, vectors[place]!.vector);
  await sql`update drift_ratings set drift = 0.3 where agent_id = ${agentIds[2]!}`.execute(stage.db);
  expect(await find('mended')).toMatchObject({ agents: 14, clusters: 2 });
  expect(await notices(stage, 'clustering_failing')).toEqual([]);
}, 60_000);

test('an agent whose words have a damaged vector keeps no persona space from being learnt and no other from being rated', async () => {
  const stage = await open();
  const words = 'harbour rain market bell road lamp boat bread stone night wind letter'.split(' ');
  const said = (agentId: string, from: number, count: number): NewMemory[] =>
    Array.from({ length: count }, (_, i) => ({
      agentId,
      externalKey: `said-${from + i}`,
      kind: 'reply' as const,
      text: `${agentId.replaceAll(/\d/g, (digit) => 'qrstuvwxyz'[Number(digit)]!)} ${words[(from + i) % 12]} ${words[((from + i) * 5 + 1) % 12]} ${from + i}`,
      importance: 5,
      source: 'test',
      occurredAt: '2026-01-01T00:00:00.000Z',
    }));
  await stage.remember(agentIds.flatMap((agentId) => said(agentId, 0, 24)));
  await embedAll(stage);
  const bad = agentIds[0]!;
  const { id } = await stage.db
    .selectFrom('memories')
    .select('id')
    .where('agentId', '=', bad)
    .orderBy('seq')
    .limit(1)
    .executeTakeFirstOrThrow();
  // The first of the first agent: the measure is not taken from it.
  const mend = await damage(stage, id, (whole) => vectorBytes(vectorOf(whole).slice(1)));
  const rate = (period: string) => execute<RateDriftResult>(stage, 'rateDrift', driftWorkflowId(period), { period });
  expect(await rate('damaged')).toMatchObject({ rated: 13, left: 1 });
  const space = await stage.db.selectFrom('driftSpaces').select(['agents', 'outputs']).execute();
  expect(space).toEqual([{ agents: 13, outputs: 13 * 12 }]);
  const told = await notices(stage, 'drift_failing');
  expect(told).toMatchObject([{ subject: bad, detail: expect.stringContaining(id) as string }]);
  expect(await rate('again')).toMatchObject({ rated: 0, left: 14 });
  expect(await allNotices(stage, 'drift_failing')).toBe(1);
  await mend();
  expect(await rate('mended')).toMatchObject({ rated: 1, left: 13 });
  expect(await notices(stage, 'drift_failing')).toEqual([]);
}, 60_000);
