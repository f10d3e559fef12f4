import { sql } from 'kysely';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createEmbeddingActivities } from '../../activities/embeddings.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { embedEach, type Embedder, embeddingModelOf, unitVectors, UnusableText } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createGlobeStore } from '../../stores/globe.ts';
import { createMemorySearch } from '../../stores/memory-search.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
let memories: ReturnType<typeof createMemoryStore>;
let asked: string[][];
let answers = true;
const embedder: Embedder = {
  model: hashedEmbedder.model,
  embed(texts) {
    asked.push([...texts]);
    if (texts.some((text) => text.includes('unspeakable'))) {
      return Promise.resolve().then(() =>
        unitVectors(
          'use-lite-en',
          texts.map((text) => (text.includes('unspeakable') ? [0, Number.NaN] : [1, 0])),
          0,
        ),
      );
    }
    if (!answers) return Promise.reject(new DomainError('EMBEDDINGS_FAILED', 'it does not answer'));
    return hashedEmbedder.embed(texts);
  },
};
const failures: unknown[] = [];
const searchWith = (cacheBytes: number) =>
  createMemorySearch({
    db: store.db,
    embedderOf: () => embedder,
    settings: () => Promise.resolve({ kind: 'built-in' }),
    cacheBytes: () => cacheBytes,
    onFailure: (err) => failures.push(err),
  });

beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet({ light: 3 }));
  memories = createMemoryStore(store.db);
});
afterAll(() => store?.close());
beforeEach(async () => {
  asked = [];
  answers = true;
  failures.length = 0;
  await sql`truncate memories, embeddings, embedding_models, unusable_texts cascade`.execute(store.db);
});

const agentId = 'light-001';
const now = new Date('2026-01-10T00:00:00Z');
async function remember(texts: string[], importance = 5): Promise<void> {
  const added = await memories.add(
    testOwner,
    texts.map((text) => ({
      agentId,
      externalKey: text,
      kind: 'observation' as const,
      text,
      importance,
      source: 'test',
      occurredAt: '2026-01-01T00:00:00.000Z',
    })),
  );
  expect(added.added).toBe(texts.length);
}
const idOf = async (text: string) =>
  (await store.db.selectFrom('memories').select('id').where('text', '=', text).executeTakeFirstOrThrow()).id;
const about = (text: string, limit = 10) => ({ ownerId: testOwner, agentId, text, limit, now, used: false });

test('what is alike comes first; new memories are embedded by the first search that meets them, once', async () => {
  await remember(['the lamp went out', 'a boat came home', 'the lamp went out in the storm', 'bread was baked']);
  const search = searchWith(1 << 24);
  const first = await search.search(about('lamp storm'));
  expect(first).toMatchObject({ scored: 4, unembedded: 0, model: 'use-lite-en' });
  expect(first.found[0]!.text).toBe('the lamp went out in the storm');
  expect(asked).toHaveLength(1);
  expect(asked[0]).toHaveLength(5);
  await remember(['a storm at night']);
  const second = await search.search(about('storm'));
  expect(second.scored).toBe(5);
  expect(asked[1]).toEqual(['storm', 'a storm at night']);
});

test('a text without a usable vector stops nobody: it is passed over, found by its words, and a change of model ends', async () => {
  await remember(['the lamp went out', 'an unspeakable lamp', 'bread was baked']);
  const search = searchWith(1 << 24);
  const first = await search.search(about('lamp'));
  expect(first).toMatchObject({ scored: 3, unembedded: 1, model: 'use-lite-en' });
  expect(first.found.map(({ text }) => text)).toContain('an unspeakable lamp');
  expect(failures).toEqual([]);
  const askedOnce = asked.flat().filter((text) => text.includes('unspeakable')).length;
  await search.search(about('lamp'));
  expect(asked.flat().filter((text) => text.includes('unspeakable'))).toHaveLength(askedOnce);
  // A week later it is asked for again; what a person has forgotten is not even known by its hash.
  await sql`update unusable_texts set marked_at = marked_at - interval '8 days'`.execute(store.db);
  const embeddings = createEmbeddingStore(store.db);
  const again = await embeddings.missing({ ownerId: testOwner, model: embedder.model, limit: 9 });
  expect(again.map(({ text }) => text)).toEqual(['an unspeakable lamp']);
  await memories.forget(testOwner, await idOf('an unspeakable lamp'), 'asked');
  const { rows } = await sql`select content_hash from unusable_texts`.execute(store.db);
  expect(rows).toEqual([]);
});

test('a damaged vector is as good as none: its memory is found by its words, the others as ever', async () => {
  await remember(['owls over the chapel', 'the owls of the tide mark', 'a boat at the pier']);
  await searchWith(2 ** 26).search(about('owls'));
  const damaged = await idOf('owls over the chapel');
  for (const bytes of ['\\x0102', '\\x0000803f']) {
    await sql`update embeddings e set vector = ${bytes}::bytea from memories m
      where m.id = ${damaged} and m.content_hash = e.content_hash`.execute(store.db);
    for (const cacheBytes of [2 ** 26, 0]) {
      const answer = await searchWith(cacheBytes).search(about('owls'));
      expect(answer.found.map(({ id }) => id)).toContain(damaged);
      expect(answer.found).toHaveLength(3);
      expect(answer.unembedded).toBe(1);
    }
  }
});

test('embedMissing ends a change of model although one text has no usable vector of it', async () => {
  await remember(['the lamp went out', 'an unspeakable lamp', 'bread was baked']);
  const embeddings = createEmbeddingStore(store.db);
  await embeddings.models(testOwner, { kind: 'openai', url: 'http://localhost:1/v1', model: 'old' });
  const activities = createEmbeddingActivities({
    embeddings,
    globe: createGlobeStore(store.db),
    embedderOf: (settings) => ({ ...embedder, model: embeddingModelOf(settings) }),
    fleet: createFleetReader(createFleetStore(store.db)),
  });
  const environment = new MockActivityEnvironment();
  await environment.run((input: { most: number }) => activities.embedMissing(input), { most: 100 });
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: 'use-lite-en' });
});

test('a model that embeds not even plain words is broken, whatever it says of the texts', async () => {
  const broken: Embedder = { model: 'broken', embed: () => Promise.reject(new UnusableText('no memory left')) };
  await expect(embedEach(broken, ['one', 'two'])).rejects.toMatchObject({ code: 'EMBEDDINGS_FAILED' });
});

test('where the model has no usable vector for any text, none is marked', async () => {
  const broken: Embedder = {
    model: 'm',
    embed: (texts) =>
      Promise.resolve().then(() =>
        unitVectors(
          'm',
          texts.map(() => [0]),
          0,
        ),
      ),
  };
  await expect(embedEach(broken, ['a', 'b'])).rejects.toMatchObject({
    code: 'EMBEDDINGS_FAILED',
    message: expect.stringContaining('text 1'),
  });
});

test('deleted and superseded memories never come to mind, also where they were cached; their successor does', async () => {
  await remember(['the key hangs by the door', 'the well is deep', 'the cat is grey']);
  const search = searchWith(1 << 24);
  await search.search(about('key door'));
  const old = await idOf('the key hangs by the door');
  const next = await memories.supersede(testOwner, old, {
    externalKey: 'moved',
    text: 'the key lies under the stone',
    importance: 5,
    source: 'test',
    occurredAt: '2026-01-05T00:00:00.000Z',
  });
  await memories.delete(testOwner, await idOf('the well is deep'), 'it was filled in');
  const { found, scored } = await search.search(about('key'));
  expect(scored).toBe(2);
  expect(found.map(({ id }) => id)).toContain(next);
  expect(found.map(({ text }) => text)).not.toContain('the key hangs by the door');
  const row = await store.db.selectFrom('memories').selectAll().where('id', '=', old).executeTakeFirstOrThrow();
  expect(row).toMatchObject({ supersededBy: next, validTo: new Date('2026-01-05T00:00:00.000Z') });
});

test('superseding is once: the same key answers with the successor, another is refused, and time does not run back', async () => {
  await remember(['the gate is open', 'the gate was shut']);
  const id = await idOf('the gate is open');
  const successor = { text: 'the gate is shut', importance: 5, source: 'test' };
  const early = { ...successor, externalKey: 'k', occurredAt: '2025-12-01T00:00:00.000Z' };
  await expect(memories.supersede(testOwner, id, early)).rejects.toMatchObject({ code: 'CONFLICT' });
  const good = { ...early, occurredAt: '2026-01-02T00:00:00.000Z' };
  const both = await Promise.all([memories.supersede(testOwner, id, good), memories.supersede(testOwner, id, good)]);
  expect(both[0]).toBe(both[1]);
  await expect(memories.supersede(testOwner, id, { ...good, externalKey: 'other' })).rejects.toMatchObject({
    code: 'CONFLICT',
  });
  await expect(memories.supersede('usr_other', id, good)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const rows = await store.db.selectFrom('memories').select(['rev', 'seq']).where('agentId', '=', agentId).execute();
  expect(new Set(rows.map(({ rev }) => rev)).size).toBe(3);
});

test('what a person asks to forget is gone: text, hash, vectors, and what a process had of it', async () => {
  await remember(['her letter lies in the drawer', 'the drawer sticks']);
  const search = searchWith(1 << 24);
  await search.search(about('letter drawer'));
  const id = await idOf('her letter lies in the drawer');
  expect(await memories.forget(testOwner, id, 'she asked')).toEqual({
    reflections: [],
    messages: [],
    forgotten: [],
    copies: [],
    packages: [],
  });
  const { found, scored } = await search.search(about('letter'));
  expect({ scored, texts: found.map(({ text }) => text) }).toEqual({ scored: 1, texts: ['the drawer sticks'] });
  const { rows } = await sql<{ text: string; vectors: number }>`
    select (select text from memories where id = ${id}) as text, (select count(*) from embeddings)::int as vectors`.execute(
    store.db,
  );
  expect(rows).toEqual([{ text: '', vectors: 1 }]);
});

test('an agent over the cache’s limit is searched all the same, with the same answer, and nothing of it stays', async () => {
  const texts = Array.from({ length: 60 }, (_, i) => `memory ${i} of lamp ${i % 7} and boat ${i % 5} word${i}`);
  await remember(texts);
  // All of them have their vectors, as the background brings them.
  const embeddings = createEmbeddingStore(store.db);
  const missing = await embeddings.missing({ ownerId: testOwner, model: embedder.model, limit: 100 });
  const vectors = await hashedEmbedder.embed(missing.map(({ text }) => text));
  await embeddings.put(
    embedder.model,
    missing.map((each, i) => ({ ...each, vector: vectors[i]! })),
  );
  const request = { ...about('lamp 3 word17', 20), weights: { recency: 0, importance: 0, relevance: 1 } };
  const roomy = await searchWith(1 << 24).search(request);
  const tight = searchWith(1_000);
  expect(await tight.search(request)).toEqual(roomy);
  expect(await tight.search(request)).toEqual(roomy);
  expect(tight.cachedBytes()).toBe(0);
  expect(roomy.found).toHaveLength(20);
});

test('without the model words alone are searched, and that is said', async () => {
  await remember(['the lamp went out', 'a boat came home']);
  answers = false;
  const result = await searchWith(1 << 24).search(about('boats coming home'));
  expect(result).toMatchObject({ scored: 2, unembedded: 2, model: null });
  expect(result.found[0]!.text).toBe('a boat came home');
  expect(failures).toHaveLength(1);
});

test('what was used is recent again, noted every five minutes at most', async () => {
  await remember(['the lamp went out', 'a boat came home', 'the oven is cold']);
  const search = searchWith(1 << 24);
  const { found } = await search.search({ ...about('lamp', 1), used: true });
  const before = await store.db.selectFrom('agents').select('memoryRev').where('id', '=', agentId).executeTakeFirst();
  await search.search({ ...about('lamp', 1), used: true });
  const after = await store.db.selectFrom('agents').select('memoryRev').where('id', '=', agentId).executeTakeFirst();
  expect(after).toEqual(before);
  const again = await search.search(about('oven', 3));
  const parts = again.found.find(({ id }) => id === found[0]!.id)!.parts;
  expect(parts.recency).toBe(1);
});

test('words that are operators or quotes elsewhere are only words here', async () => {
  await remember(["the harbour's bell rang", String.raw`C:\lamps & oil`, 'a boat | came']);
  const search = searchWith(1 << 24);
  for (const text of ["bell's & | ! ( :*", String.raw`c:\lamps`, "''' \\", '%_', 'the and of']) {
    expect((await search.search(about(text))).scored, text).toBe(3);
  }
});

test('two models: the first serves until the second has every memory, then the old vectors go', async () => {
  await remember(['one lamp', 'two lamps']);
  const embeddings = createEmbeddingStore(store.db);
  const second = { kind: 'openai', url: 'http://127.0.0.1:9/v1', model: 'second' } as const;
  const first = await embeddings.models(testOwner, { kind: 'built-in' });
  expect(first).toEqual({ serving: { model: 'use-lite-en', settings: { kind: 'built-in' } } });
  expect(await embeddings.models(testOwner, second)).toMatchObject({
    serving: { model: 'use-lite-en' },
    building: { model: 'second' },
  });
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: 'use-lite-en' });
  // Wanted back before it was done: nothing is built any more, and the end of the old work changes nothing.
  expect(await embeddings.models(testOwner, { kind: 'built-in' })).toEqual(first);
  await embeddings.serve(testOwner, 'second');
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: 'use-lite-en' });
  await embeddings.models(testOwner, second);
  await searchWith(1 << 24).search(about('lamp'));
  await embeddings.serve(testOwner, 'second');
  expect(await embeddings.serving(testOwner)).toMatchObject({ model: 'second', settings: second });
  expect(await embeddings.deleteUnused(testOwner, 100)).toBe(2);
});
