import { MockActivityEnvironment } from '@temporalio/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createEmbeddingActivities } from '../../activities/embeddings.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { builtInModel, embeddingModelOf, type EmbeddingSettings } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';
import { earlyMemories } from '../../domain/globe.ts';
import { earlyGlobePeriod, firstGlobePeriod, globeWorkflowId } from '../../domain/ids.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createGlobeStore } from '../../stores/globe.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { plainMemories } from '../support/memories.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

/** Two models of which one does not work: neither keeps the other from its work, and it is told. */
let store: StoreScope;
let embeddings: ReturnType<typeof createEmbeddingStore>;
/** Models that do not answer. */
const away = new Set<string>();
const second: EmbeddingSettings = { kind: 'openai', url: 'http://127.0.0.1:9/v1', model: 'second' };
const agentId = 'light-001';

beforeAll(async () => {
  store = await openStoreScope();
  embeddings = createEmbeddingStore(store.db);
});
afterAll(() => store?.close());
beforeEach(async () => {
  away.clear();
  await sql`truncate memories, embeddings, embedding_models, unusable_texts, notices, intents cascade`.execute(
    store.db,
  );
  await want({ kind: 'built-in' });
});

async function want(settings: EmbeddingSettings): Promise<void> {
  await store.apply({ ...testFleet({ light: 1 }), embeddings: settings });
}
let told = 0;
async function remember(count: number): Promise<void> {
  await createMemoryStore(store.db).add(testOwner, plainMemories([agentId], count, told + 1));
  told += count;
}
/** Each by a run of its own. */
let runs = 0;
async function run(most = 1_000): Promise<number> {
  runs += 1;
  const workflowExecution = { workflowId: 'embeddings', runId: `run-${runs}` };
  const activities = createEmbeddingActivities({
    embeddings,
    globe: createGlobeStore(store.db),
    embedderOf(settings) {
      const model = embeddingModelOf(settings);
      return {
        model,
        embed: (texts) =>
          away.has(model)
            ? Promise.reject(new DomainError('EMBEDDINGS_FAILED', `${model}: connect ECONNREFUSED`))
            : hashedEmbedder.embed(texts),
      };
    },
    fleet: createFleetReader(createFleetStore(store.db)),
  });
  const { embedded } = (await new MockActivityEnvironment({ workflowExecution }).run(
    (input: { most: number }) => activities.embedMissing(input),
    { most },
  )) as { embedded: number };
  return embedded;
}
const vectorsOf = async (model: string) =>
  (await store.db.selectFrom('embeddings').select('contentHash').where('model', '=', model).execute()).length;
const notices = () =>
  store.db
    .selectFrom('notices')
    .select(['subject', 'title', 'detail', 'action', 'seen'])
    .where('kind', '=', 'embedding_model_failing')
    .where('resolvedAt', 'is', null)
    .orderBy('subject')
    .execute();

test('a new model that does not answer takes nothing from searches and is told once; mended, it follows and the notice closes', async () => {
  await remember(5);
  expect(await run()).toBe(5);
  await want(second);
  away.add('second');
  await remember(100);
  await expect(run()).rejects.toMatchObject({ code: 'EMBEDDINGS_FAILED' });
  expect(await vectorsOf(builtInModel)).toBe(105);
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: builtInModel });
  await remember(3);
  await expect(run()).rejects.toMatchObject({ code: 'EMBEDDINGS_FAILED' });
  expect(await vectorsOf(builtInModel)).toBe(108);
  const [notice, ...others] = await notices();
  expect(others).toEqual([]);
  expect(notice).toMatchObject({
    subject: 'second',
    title: 'The change of embeddings to second does not go on',
    seen: 2,
  });
  expect(notice!.detail).toContain('second: connect ECONNREFUSED');
  expect(notice!.detail).toContain(`Searches go by ${builtInModel}`);
  expect(notice!.action).toContain('fleet.yaml');

  away.clear();
  expect(await run()).toBe(108);
  expect(await notices()).toEqual([]);
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: 'second' });
  expect([await vectorsOf(builtInModel), await vectorsOf('second')]).toEqual([0, 108]);
});

test('once every memory has its vector, a fleet without a globe gets its first; however many runs ask it is one', async () => {
  const asked = () =>
    store.db.selectFrom('intents').select(['workflowId', 'type']).where('type', '=', 'placeGlobe').execute();
  await run();
  expect(await asked()).toEqual([]);
  await remember(5);
  await expect(run(3)).resolves.toBe(5);
  expect(await asked()).toEqual([]);
  await run();
  await run();
  expect(await asked()).toHaveLength(1);
});

test('where much is to be embedded the first globe is of what weighs most, and the one of all follows it', async () => {
  const asked = async () => {
    const rows = await sql<{
      id: string;
    }>`delete from intents where type = 'placeGlobe' returning workflow_id as id`.execute(store.db);
    return rows.rows.map(({ id }) => id);
  };
  const stands = (period: string) =>
    sql`insert into globes (owner_id, period, model, digest, agents, memories)
      values (${testOwner}, ${period}, ${builtInModel}, '\\x00', 1, 1) on conflict (owner_id) do update set period = excluded.period`.execute(
      store.db,
    );
  await remember(600);
  const agents = await store.db.selectFrom('agents').select('id').where('state', '<>', 'retired').execute();
  const weightiest = Math.floor(earlyMemories / agents.length);
  expect(await run(1)).toBe(weightiest);
  const [early, ...others] = await asked();
  expect(others).toEqual([]);
  expect(early).toBe(globeWorkflowId(earlyGlobePeriod));
  // With the last vector all of it is placed in the place of the early one.
  await stands(early!.slice('globe:'.length));
  expect(await run()).toBe(600 - weightiest);
  const [whole] = await asked();
  expect(whole).toBe(globeWorkflowId(firstGlobePeriod));
  await stands(whole!.slice('globe:'.length));
  await remember(600);
  await run();
  expect(await asked()).toEqual([]);
  await sql`delete from globes`.execute(store.db);
});

test('where there are more agents than are asked for, those whose weightiest weigh most come first', async () => {
  await store.apply({ ...testFleet({ light: 3 }), embeddings: { kind: 'built-in' } });
  // The weight of the n-th is n + 1.
  const memories = ['light-001', 'light-002', 'light-003'].flatMap((id, n) => plainMemories([id], 1, told + 1 + n));
  const light = memories.map((memory, n) => ({ ...memory, importance: n + 1 }));
  told += 3;
  await createMemoryStore(store.db).add(testOwner, light);
  const asked = async (limit: number) =>
    (await embeddings.weightiestMissing({ ownerId: testOwner, model: builtInModel, limit })).map(({ text }) => text);
  expect(await asked(2)).toEqual([light[2]!.text, light[1]!.text]);
  expect(await asked(9)).toHaveLength(3);
});

test('an old model that is gone does not keep the new one from following it', async () => {
  await remember(5);
  await run();
  await want(second);
  away.add(builtInModel);
  await remember(70);
  // What fits into one execution: the new model is not finished, and the old one is told of.
  expect(await run(64)).toBe(64);
  expect(await notices()).toMatchObject([
    { subject: builtInModel, title: `The embedding model ${builtInModel} gives no vectors` },
  ]);
  expect(await run()).toBe(11);
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: 'second' });
  expect(await notices()).toEqual([]);
});

test('a change that is taken back takes its notice with it; a model that was not asked keeps its own', async () => {
  await remember(5);
  await run();
  await want(second);
  away.add('second');
  await expect(run()).rejects.toMatchObject({ code: 'EMBEDDINGS_FAILED' });
  await remember(200);
  // All of it goes into vectors of the model that serves.
  expect(await run(64)).toBe(64);
  expect(await notices()).toMatchObject([{ subject: 'second', seen: 1 }]);
  await want({ kind: 'built-in' });
  await run();
  expect(await notices()).toEqual([]);
});

test('the only model there is tells, too, that it does not answer, until it does', async () => {
  await remember(2);
  away.add(builtInModel);
  await expect(run()).rejects.toMatchObject({ code: 'EMBEDDINGS_FAILED' });
  expect(await notices()).toMatchObject([{ subject: builtInModel }]);
  away.clear();
  expect(await run()).toBe(2);
  expect(await notices()).toEqual([]);
});
