import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSourceStore } from '../../stores/sources.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

const sources = `sources:
  - { id: news, kind: feed, url: https://harbour.example/feed, agents: [vesper], every: 15m }
  - { id: notes, kind: feed, url: https://notes.example/feed, agents: all }
`;
let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet + sources } })).status).toBe(200);
});
afterAll(() => api?.close());

const item = (n: number) => ({
  itemHash: String(n).repeat(64),
  contentHash: Buffer.from(String(n)),
  title: `Item ${n}`,
  text: `Text ${n}`,
  url: null,
  occurredAt: '2026-11-01T00:00:00.000Z',
  changedAt: '2026-11-01T00:00:00.000Z',
});

test('a dry run tells what becomes of sources', async () => {
  const dry = await api.call('POST', '/v1/fleet/apply?dryRun=true', { body: { source: smallFleet } });
  expect(dry.text).toContain('is read no more; its memories stay');
});

test('sources are listed with how far they have been read', async () => {
  const store = createSourceStore(api.db);
  const news = { ownerId: api.ownerId, sourceId: 'news' };
  await store.state(news);
  await store.intake({
    ...news,
    polls: 0,
    items: [item(1), item(2)],
    cursor: { url: 'x' },
    note: '',
    limit: 10,
    updates: true,
    nextPollSeconds: () => 900,
  });
  await store.fail({ ...news, polls: 1, reason: 'the server answered 500', gone: false, nextPollSeconds: () => 900 });
  const { json } = await api.call('GET', '/v1/sources');
  expect(json.items).toEqual([
    expect.objectContaining({
      id: 'news',
      kind: 'feed',
      state: 'failing',
      from: 'https://harbour.example/feed',
      agents: ['vesper'],
      every: '15m',
      failures: 1,
      lastError: 'the server answered 500',
      items: 2,
      pending: 2,
    }),
    expect.objectContaining({ id: 'notes', state: 'waiting', nextPollAt: null, agents: 'all', items: 0 }),
  ]);
  const first = await api.call('GET', '/v1/sources?limit=1');
  expect(first.json.items).toHaveLength(1);
  const rest = await api.call('GET', `/v1/sources?cursor=${String(first.json['nextCursor'])}`);
  expect(rest.json.items.map(({ id }) => id)).toEqual(['notes']);
  expect((await api.call('GET', '/v1/sources/news')).json).toMatchObject({ id: 'news', items: 2 });
});

test('items are listed, the last received first, without the words that agents remember', async () => {
  const { json } = await api.call('GET', '/v1/sources/news/items');
  expect(json.items).toMatchObject([
    { title: 'Item 2', version: 1, agents: 0, deliveredAt: null, forgotten: false },
    { title: 'Item 1' },
  ]);
  expect(JSON.stringify(json)).not.toContain('Text 1');
});

test('a poll by hand starts once by its key', async () => {
  const poll = () => api.call('POST', '/v1/sources/news/poll', { headers: { 'idempotency-key': 'k1' } });
  const first = await poll();
  expect(first.status).toBe(202);
  expect(first.json).toMatchObject({ id: 'news', started: true });
  expect((await poll()).json).toMatchObject({ workflowId: first.json['workflowId'], started: false });
  const dry = await api.call('POST', '/v1/sources/news/poll?dryRun=true');
  expect(dry.json).toEqual({ dryRun: true, would: 'read news now' });
});

test('metrics count sources by state, not by id', async () => {
  const { text } = await api.call('GET', '/metrics');
  expect(text).toMatch(/soulfra_sources\{state="failing",part="api"\} 1/);
  expect(text).toMatch(/soulfra_source_items_pending\{part="api"\} 2/);
  expect(text).not.toContain('harbour');
});

test('a memory keeps no item that a person had forgotten', async () => {
  await sql`update source_items set text = null, delivered_at = now()`.execute(api.db);
  const externalKey = `source:news:${'1'.repeat(64)}:1`;
  const added = await api.call('POST', '/v1/agents/vesper-001/memories', { body: { text: 'Text 1', externalKey } });
  const forgotten = await api.call('POST', `/v1/memories/${String(added.json['id'])}/forget`, {
    body: { reason: 'asked' },
  });
  expect(forgotten.status).toBe(200);
  const { json } = await api.call('GET', '/v1/sources/news/items');
  expect(json.items).toMatchObject([
    { title: 'Item 2', forgotten: false },
    { title: '', forgotten: true },
  ]);
});
