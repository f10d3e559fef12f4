import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createRandom } from '../../domain/random.ts';
import { builtInModel } from '../../domain/embeddings.ts';
import type { AsOf } from '../../domain/validity.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createMemoryIndex } from '../../stores/memory-index.ts';
import { createMemorySearch } from '../../stores/memory-search.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { listMemories } from '../../stores/queries/memories.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

/** What was held true at a time and what was known at a time, against Postgres. */
let store: StoreScope;
let memories: ReturnType<typeof createMemoryStore>;
beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet({ light: 3 }));
  memories = createMemoryStore(store.db);
});
afterAll(() => store?.close());
beforeEach(async () => {
  await sql`truncate memories, embeddings, embedding_models, unusable_texts cascade`.execute(store.db);
});

const agentId = 'light-001';
const day = (n: number) => new Date(Date.UTC(2026, 0, n));
const search = () =>
  createMemorySearch({
    db: store.db,
    embedderOf: () => hashedEmbedder,
    settings: () => Promise.resolve({ kind: 'built-in' }),
    cacheBytes: () => 1 << 24,
    onFailure: (err) => expect.unreachable(String(err)),
  });

interface Told {
  text: string;
  from: number;
  to?: number;
  recorded: number;
}
async function remember({ text, from, to, recorded }: Told, agent = agentId): Promise<string> {
  await memories.add(testOwner, [
    {
      agentId: agent,
      externalKey: text,
      kind: 'observation',
      text,
      importance: 5,
      source: 'test',
      occurredAt: day(from).toISOString(),
      ...(to === undefined ? {} : { past: { validTo: day(to).toISOString() } }),
    },
  ]);
  return recordedOn(text, recorded, agent);
}
async function recordedOn(text: string, recorded: number, agent = agentId): Promise<string> {
  const { id } = await store.db
    .updateTable('memories')
    .set({ recordedAt: day(recorded) })
    .where('text', '=', text)
    .where('agentId', '=', agent)
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}
async function supersede(old: string, { text, from, recorded }: Told): Promise<string> {
  const occurredAt = day(from).toISOString();
  await memories.supersede(testOwner, old, { externalKey: text, text, importance: 5, source: 'test', occurredAt });
  await sql`update memories set superseded_at = ${day(recorded)} where id = ${old}`.execute(store.db);
  return recordedOn(text, recorded);
}
/** By search and by list, which are to agree. */
async function asOf(at: number | undefined, knownAt?: number): Promise<string[]> {
  const times: AsOf = {
    at: at === undefined ? undefined : day(at),
    knownAt: knownAt === undefined ? undefined : day(knownAt),
  };
  const request = { ownerId: testOwner, agentId, text: 'the key', limit: 50, now: day(20), used: false };
  const { found, scored } = await search().search({ ...request, asOf: times });
  const listed = await listMemories(store.db, {
    ownerId: testOwner,
    agentId,
    limit: 50,
    after: undefined,
    asOf: times,
  });
  const texts = found.map(({ text }) => text).sort();
  expect(listed.map(({ text }) => text).sort()).toEqual(texts);
  expect(scored).toBe(texts.length);
  return texts;
}

test('what held then, and what was known then, are two questions with two answers', async () => {
  const door = await remember({ text: 'the key hangs by the door', from: 1, recorded: 2 });
  await remember({ text: 'the fair is on', from: 3, to: 6, recorded: 3 });
  const rumour = await remember({ text: 'the well is dry', from: 1, recorded: 2 });
  const letter = await remember({ text: 'her letter lies in the drawer', from: 1, recorded: 2 });
  await supersede(door, { text: 'the key lies under the stone', from: 5, recorded: 10 });
  await memories.delete(testOwner, rumour, 'it was none');
  await sql`update memories set deleted_at = ${day(8)} where id = ${rumour}`.execute(store.db);
  await memories.forget(testOwner, letter, 'she asked');

  expect(await asOf(2)).toEqual(['the key hangs by the door']);
  expect(await asOf(4)).toEqual(['the fair is on', 'the key hangs by the door']);
  // An end is the first moment at which it holds no longer.
  expect(await asOf(5)).toEqual(['the fair is on', 'the key lies under the stone']);
  expect(await asOf(6)).toEqual(['the key lies under the stone']);
  // On the 7th nobody knew that the key had been moved, nor that the well was not dry; the fair's end was told with it.
  expect(await asOf(6, 7)).toEqual(['the key hangs by the door', 'the well is dry']);
  expect(await asOf(6, 9)).toEqual(['the key hangs by the door']);
  expect(await asOf(6, 10)).toEqual(['the key lies under the stone']);
  expect(await asOf(2, 10)).toEqual(['the key hangs by the door']);
  expect(await asOf(undefined, 1)).toEqual([]);
  expect(await asOf(undefined, 2)).toEqual(['the key hangs by the door', 'the well is dry']);
  expect(await asOf(undefined, 7)).toEqual(['the fair is on', 'the key hangs by the door', 'the well is dry']);
  expect(await asOf(undefined, 12)).toEqual(['the fair is on', 'the key lies under the stone']);
});

test('what was superseded held no longer than had been told of it', async () => {
  const fair = await remember({ text: 'the fair is on', from: 1, to: 3, recorded: 1 });
  await supersede(fair, { text: 'the market is on', from: 8, recorded: 9 });
  expect(await asOf(2)).toEqual(['the fair is on']);
  expect(await asOf(5)).toEqual([]);
  expect(await asOf(5, 4)).toEqual([]);
  expect(await asOf(8)).toEqual(['the market is on']);
});

test('a quotation tells what it took the place of, and neither is told twice', async () => {
  const one = await remember({ text: 'a boat came home', from: 1, recorded: 1 });
  const other = await remember({ text: 'a boat went out', from: 2, to: 5, recorded: 2 });
  await remember({ text: 'boats came and went', from: 1, recorded: 10 });
  await sql`update memories set source = 'consolidated' where text = 'boats came and went'`.execute(store.db);
  await sql`update memories set superseded_at = ${day(10)}, superseded_by = (select id from memories where source = 'consolidated')
    where id = any(${[one, other]})`.execute(store.db);
  expect(await asOf(3)).toEqual(['boats came and went']);
  expect(await asOf(3, 9)).toEqual(['a boat came home', 'a boat went out']);
});

test('a search as of a time is exact: it scores what held and was known then as if there were nothing else', async () => {
  const random = createRandom(4);
  const words = ['lamp', 'key', 'boat', 'well', 'door', 'stone', 'fair', 'storm'];
  const told = Array.from({ length: 600 }, (_, i): Told => {
    const from = 1 + random.int(20);
    const text = `${i} ${Array.from({ length: 4 }, () => words[random.int(words.length)]!).join(' ')}`;
    return { text, from, recorded: 1, ...(random.int(2) === 0 ? { to: from + 1 + random.int(9) } : {}) };
  });
  const held = told.filter(({ from, to }) => from <= 10 && (to === undefined || to > 10));
  expect(held.length).toBeGreaterThan(100);
  for (const [agent, some] of [
    [agentId, told],
    ['light-002', held],
  ] as const) {
    await memories.add(
      testOwner,
      some.map(({ text, from, to }) => ({
        agentId: agent,
        externalKey: text,
        kind: 'observation' as const,
        text,
        importance: 1 + (Number.parseInt(text, 10) % 10),
        source: 'test',
        occurredAt: day(from).toISOString(),
        ...(to === undefined ? {} : { past: { validTo: day(to).toISOString() } }),
      })),
    );
  }
  const hashes = await store.db.selectFrom('memories').select(['contentHash', 'text']).distinct().execute();
  const vectors = await hashedEmbedder.embed(hashes.map(({ text }) => text));
  await createEmbeddingStore(store.db).put(
    builtInModel,
    hashes.map((each, i) => ({ ownerId: testOwner, contentHash: each.contentHash, vector: vectors[i]! })),
  );
  const index = createMemoryIndex(store.db, { cacheBytes: () => 1 << 24 });
  const [vector] = await hashedEmbedder.embed(['the key of the lamp by the door']);
  const query = { ownerId: testOwner, model: builtInModel, vector, text: 'key lamp door', now: day(40) };
  const weights = { recency: 1, importance: 1, relevance: 1 };
  const best = async (agent: string, times?: AsOf) => {
    const answer = await index.search({ ...query, agentId: agent, asOf: times }, { weights, limit: 40 });
    const rows = await memories.byIds(
      testOwner,
      answer.found.map(({ id }) => id),
    );
    const texts = new Map(rows.map((row) => [row.id, row.text]));
    return { ...answer, found: answer.found.map(({ id, score }) => [texts.get(id), score]) };
  };
  const dated = await best(agentId, { at: day(10) });
  // It takes no room from what is searched as of now.
  expect(index.cachedBytes()).toBe(0);
  expect(dated).toEqual(await best('light-002'));
  expect(dated).toMatchObject({ scored: held.length, unembedded: 0 });
});
