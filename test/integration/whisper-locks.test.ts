import { sql, type RawBuilder } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { sourceSchema } from '../../domain/sources.ts';
import { spawningSchema } from '../../domain/spawn-policy.ts';
import { receiveWhisper } from '../../stores/admission.ts';
import { createClusterStore } from '../../stores/clusters.ts';
import { newId } from '../../stores/ids.ts';
import { lockNumbers } from '../../stores/locks.ts';
import { createMessageStore } from '../../stores/messages.ts';
import { createSourceItemStore } from '../../stores/source-items.ts';
import { createSpawnStore } from '../../stores/spawns.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

/**
 * Whoever answers, delivers, clusters, bears or forgets takes the same locks: admission, agents by id, then the whisper,
 * the message or the item. Each is held back at its first lock here, and must not hold a later one.
 */
let store: StoreScope;
const spawning = spawningSchema.parse({
  growth: 0.99,
  lineage: { burst: 100, perHour: 0 },
  fleet: { burst: 100, perHour: 0 },
});
/** Of the lineage of light-001; by id it comes after it. */
const child = 'zzz-born';

beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet({ heavy: 0, light: 4 }));
  await sql`insert into agents select (jsonb_populate_record(a, jsonb_build_object('id', ${child}::text, 'name', 'Zzz', 'origin', 'spawn',
      'parent_id', a.id, 'lineage_id', a.id, 'generation', 1))).* from agents a where id = 'light-001'`.execute(
    store.db,
  );
});
afterAll(() => store?.close());
beforeEach(async () => {
  await sql`delete from whispers`.execute(store.db);
});

const admission = sql`select pg_advisory_xact_lock(${lockNumbers.admission}::integer, hashtext(${testOwner}))`;
const agent = (id: string) => sql`select from agents where id = ${id} for update`;

/** Runs the work while the first lock is taken, and looks whether the other is free while it waits. */
async function heldBack<Result>(first: RawBuilder<unknown>, work: () => Promise<Result>, other: RawBuilder<unknown>) {
  let working: Promise<Result> | undefined;
  await store.db.transaction().execute(async (tx) => {
    await first.execute(tx);
    working = work();
    await until('it waits', async () => {
      const { rows } = await sql<{ waiting: number }>`select count(*) as waiting from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(store.db);
      return rows[0]!.waiting === 1;
    });
    await store.db.transaction().execute((beside) => sql`${other} nowait`.execute(beside));
  });
  return working!;
}

async function answering(): Promise<string> {
  const messageId = newId('message');
  await sql`insert into messages (id, owner_id, agent_id, conversation_id, author_id, author, text, content_hash, wanted_model_id,
      model_id, queue, whisper)
    values (${messageId}, ${testOwner}, ${child}, 'cnv', 'tok', 'Ada', 'Somebody.', 'x', 'light', 'light', 'q', true)`.execute(
    store.db,
  );
  return messageId;
}
const answer = (messageId: string) =>
  createMessageStore(store.db).complete(
    messageId,
    {
      source: 'extractive',
      text: 'Yes.',
      citations: [],
      tokens: 1,
      promptVersion: 'x',
      seed: null,
      cut: false,
      modelId: 'light_q4',
      machineId: 'pc2',
      seconds: 1,
    },
    spawning,
  );
const reply = () =>
  store.db.selectFrom('whispers').select(['state', 'parentId']).where('source', '=', 'reply').execute();

test('an answer waits for admission before it takes its agent', async () => {
  const messageId = await answering();
  expect(await heldBack(admission, () => answer(messageId), agent(child))).toBe('answered');
  expect(await reply()).toEqual([{ state: 'received', parentId: child }]);
});

test('an answer takes the agent and the first of its lineage by their ids', async () => {
  const messageId = await answering();
  expect(await heldBack(agent('light-001'), () => answer(messageId), agent(child))).toBe('answered');
  expect(await reply()).toHaveLength(1);
});

test('a delivery waits for admission and agents before it takes the item', async () => {
  const source = sourceSchema.parse({ id: 'door', kind: 'webhook', agents: [child], whispersPerDay: 10 });
  const items = createSourceItemStore(store.db);
  for (const [i, first] of [admission, agent('light-001')].entries()) {
    await sql`insert into source_items (owner_id, source_id, item_hash, content_hash, title, text, occurred_at)
      values (${testOwner}, 'door', ${`hash-${i}`}, 'x', '', 'Somebody knocked.', now())`.execute(store.db);
    const [item] = await items.pending({ ownerId: testOwner, sourceId: 'door' }, 1);
    const row = sql`select from source_items where id = ${item!.id} for update`;
    const given = () =>
      items.delivered({ ownerId: testOwner, source, spawning }, item!, { to: child, agents: 1, done: true });
    expect(await heldBack(first, given, row)).toBe(true);
  }
  const made = await store.db.selectFrom('whispers').select(['source', 'parentId']).execute();
  expect(made).toEqual([
    { source: 'source', parentId: child },
    { source: 'source', parentId: child },
  ]);
});

async function underWay(): Promise<string> {
  const whisper = {
    ownerId: testOwner,
    source: 'api' as const,
    parentId: child,
    text: 'Somebody.',
    requestedBy: 'tok',
    requestId: newId('message'),
  };
  return (await store.db.transaction().execute((tx) => receiveWhisper(tx, whisper, spawning))).id;
}
const whisperRow = (id: string) => sql`select from whispers where id = ${id} for update`;

test('a birth takes its parent and its lineage before the whisper, a judgement the agent that it names', async () => {
  const spawns = createSpawnStore(store.db);
  const drafted = { source: 'extractive', modelId: 'light_q4', promptVersion: 'x' } as const;
  const persona = { name: 'Ysolde of the Weir', persona: 'Keeps the weir.', traits: ['quiet'], maskSeed: 1 };
  const whisperId = await underWay();
  const nearest = { agentId: 'light-002', cosine: 0.1 };
  await heldBack(
    agent('light-002'),
    () => spawns.judged(whisperId, drafted, { nearest, judgedBy: 'x' }),
    whisperRow(whisperId),
  );
  const birth = () => spawns.giveBirth({ whisperId, persona, memoryIds: [], policy: spawning, fleetVersion: 1 });
  // Nobody has vectors here, so it comes to no birth: what counts is that it waited without the whisper.
  expect(await heldBack(agent('light-001'), birth, whisperRow(whisperId))).toBe('unjudged');
});

test('a whisper takes the first of its lineage and its parent by their ids', async () => {
  const whispering = () => underWay();
  expect(await heldBack(agent('light-001'), whispering, agent(child))).toMatch(/^whi_/);
});

test('a draft that comes while its whisper is being forgotten is thrown away', async () => {
  const spawns = createSpawnStore(store.db);
  const whisperId = await underWay();
  await sql`insert into step_results (work_id, step, machine_id, epoch, result)
    values (${whisperId}, 'persona-1', 'pc2', 1, '{}'::jsonb)`.execute(store.db);
  const forgetting = sql`update whispers set text = '', forgotten_at = now() where id = ${whisperId}`;
  await heldBack(forgetting, () => spawns.dropForgottenDrafts(whisperId), agent(child));
  const left = await store.db.selectFrom('stepResults').select('step').where('workId', '=', whisperId).execute();
  expect(left).toEqual([]);
});

test('a run of clusters waits for admission before it takes their members', async () => {
  const clusters = createClusterStore(store.db);
  const run = {
    ownerId: testOwner,
    period: 'p1',
    model: null,
    agents: 2,
    sampledShare: 1,
    memoryLimitMib: 256,
    seconds: 1,
    skipped: false,
    reason: '',
    clusters: [{ members: ['light-001', 'light-002'], terms: [] }],
    spawning,
  };
  const { clusters: found } = await heldBack(admission, () => clusters.store(run), agent('light-001'));
  expect(found).toBe(1);
});
