import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
});
afterAll(() => api?.close());

async function remember(agentId: string, text: string, more: object = {}): Promise<string> {
  const { status, json } = await api.call('POST', `/v1/agents/${agentId}/memories`, { body: { text, ...more } });
  expect(status).toBe(201);
  return json['id'] as string;
}
async function search(agentId: string, words: string): Promise<string[]> {
  const { status, json } = await api.call(
    'GET',
    `/v1/agents/${agentId}/memories/search?q=${encodeURIComponent(words)}`,
  );
  expect(status).toBe(200);
  return json.items.map((item) => item['id'] as string);
}

test('a search answers with the best, their scores and what these are made of', async () => {
  const lamp = await remember('vesper-001', 'The lamp of the harbour went out.', { importance: 9 });
  const bread = await remember('vesper-001', 'Bread was baked at noon.', { importance: 1 });
  const { json } = await api.call('GET', '/v1/agents/vesper-001/memories/search?q=harbour%20lamp');
  expect(json).toMatchObject({ scored: 2, unembedded: 0 });
  expect(json.items.map((item) => item['id'])).toEqual([lamp, bread]);
  const [best] = json.items as unknown as Array<{ score: number; parts: Record<string, number> }>;
  expect(best!.score).toBeCloseTo(best!.parts['recency']! + best!.parts['importance']! + best!.parts['relevance']!, 9);
  const { rows } = await sql`select 1 from memories where last_used_at is not null`.execute(api.db);
  expect(rows).toEqual([]);
});

test('what holds now takes the place of what held; the old one stays with its end', async () => {
  const old = await remember('vesper-002', 'Mira lives in the tower.', { occurredAt: '2026-01-01T00:00:00Z' });
  const body = { text: 'Mira lives by the quay.', occurredAt: '2026-02-01T00:00:00Z', externalKey: 'move-1' };
  const made = await api.call('POST', `/v1/memories/${old}/supersede`, { body });
  expect(made.status).toBe(201);
  expect(made.headers['location']).toBe(`/v1/memories/${made.json['id'] as string}`);
  const again = await api.call('POST', `/v1/memories/${old}/supersede`, { body });
  expect(again.json['id']).toBe(made.json['id']);
  const other = await api.call('POST', `/v1/memories/${old}/supersede`, { body: { ...body, externalKey: 'move-2' } });
  expect(other.json['code']).toBe('CONFLICT');
  const kept = await api.call('GET', `/v1/memories/${old}`);
  expect(kept.json).toMatchObject({ supersededBy: made.json['id'], validTo: '2026-02-01T00:00:00.000Z' });
  expect(await search('vesper-002', 'Where does Mira live?')).toEqual([made.json['id']]);

  const before = await remember('vesper-002', 'The gate is shut.', { occurredAt: '2026-03-01T00:00:00Z' });
  const early = { text: 'The gate is open.', occurredAt: '2026-02-01T00:00:00Z' };
  expect((await api.call('POST', `/v1/memories/${before}/supersede`, { body: early })).json['code']).toBe('CONFLICT');
});

test('a deleted memory comes to mind no more and says why; twice is once', async () => {
  const id = await remember('vesper-003', 'A rumour of gold.');
  const url = `/v1/memories/${id}?reason=never%20happened`;
  const first = await api.call('DELETE', url);
  expect(first.json).toMatchObject({ id, deletedReason: 'never happened', text: 'A rumour of gold.' });
  const second = await api.call('DELETE', `/v1/memories/${id}?reason=another`);
  expect(second.json).toEqual(first.json);
  expect(await search('vesper-003', 'gold')).toEqual([]);
});

test('what is forgotten is nowhere any more, also not in its vectors', async () => {
  const text = 'Ansel Quirke of 4 Rope Walk asked for help.';
  const id = await remember('rook-001', text, { externalKey: 'Ansel Quirke' });
  await search('rook-001', 'help');
  const vectors = async () => (await sql`select 1 from embeddings`.execute(api.db)).rows.length;
  const before = await vectors();
  const { status, json } = await api.call('POST', `/v1/memories/${id}/forget`, { body: { reason: 'asked to' } });
  expect({ status, json }).toEqual({
    status: 200,
    json: { id, reflections: [], messages: [], forgotten: [], copies: [], packages: [] },
  });
  expect(await vectors()).toBe(before - 1);
  for (const { name } of await api.db.introspection.getTables()) {
    const { rows } = await sql`select 1 from ${sql.table(name)} t where t::text like '%Quirke%'`.execute(api.db);
    expect({ name, rows }).toEqual({ name, rows: [] });
  }
});

test('another owner’s memory is not there to be changed', async () => {
  const id = await remember('vesper-001', 'Mine.');
  const { token } = api.stranger;
  const before = await api.rowCounts();
  for (const [method, url, body] of [
    ['POST', `/v1/memories/${id}/supersede`, { text: 'Theirs.' }],
    ['DELETE', `/v1/memories/${id}?reason=theirs`, undefined],
    ['POST', `/v1/memories/${id}/forget`, { reason: 'theirs' }],
    ['GET', '/v1/agents/vesper-001/memories/search?q=mine', undefined],
  ] as const) {
    const { status } = await api.call(method, url, { token, ...(body ? { body } : {}) });
    expect({ url, status }).toEqual({ url, status: 404 });
  }
  expect(await api.rowCounts()).toEqual(before);
});

test('a search and a list can ask what held at a time and what was known at a time', async () => {
  const old = await remember('vesper-003', 'The ferry lands at the mole.', { occurredAt: '2026-01-01T00:00:00Z' });
  const before = new Date().toISOString();
  const made = await api.call('POST', `/v1/memories/${old}/supersede`, {
    body: { text: 'The ferry lands at the quay.', occurredAt: '2026-02-01T00:00:00Z' },
  });
  const texts = async (query: string) => {
    const [found, listed] = await Promise.all([
      api.call('GET', `/v1/agents/vesper-003/memories/search?q=ferry&${query}`),
      api.call('GET', `/v1/agents/vesper-003/memories?${query}`),
    ]);
    expect([found.status, listed.status]).toEqual([200, 200]);
    expect(listed.json.items.map((item) => item['id'])).toEqual(found.json.items.map((item) => item['id']));
    return found.json.items.map((item) => [item['id'], item['validTo']]);
  };
  const end = '2026-02-01T00:00:00.000Z';
  expect(await texts('at=2026-01-15T00:00:00Z')).toEqual([[old, end]]);
  expect(await texts('at=2026-02-15T00:00:00%2B01:00')).toEqual([[made.json['id'], null]]);
  expect(await texts(`at=2026-02-15T00:00:00Z&knownAt=${before}`)).toEqual([[old, end]]);
  expect(await texts(`knownAt=${before}`)).toEqual([[old, end]]);
  expect(await texts('at=2025-01-01T00:00:00Z')).toEqual([]);
});
