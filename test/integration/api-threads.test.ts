import { afterAll, beforeAll, expect, test } from 'vitest';
import { linkOf } from '../../domain/thread-links.ts';
import { createThreadStore } from '../../stores/threads.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
const ids: string[] = [];
const texts = ['Forty people came to the weir with shovels.', 'Six people came to the weir with shovels.'];

beforeAll(async () => {
  api = await createApiFixture();
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } })).status).toBe(200);
  for (const [i, text] of texts.entries()) {
    const body = { text, occurredAt: `2026-06-01T1${i}:00:00.000Z` };
    const { json } = await api.call('POST', `/v1/agents/${['vesper-001', 'rook-001'][i]}/memories`, { body });
    ids.push(json['id'] as string);
  }
  const pair = { memoryId: ids[1]!, otherId: ids[0]!, hours: 1, overlap: 0.8 };
  const opposition = { by: 'count' as const, one: '6 people', other: '40 people' };
  await createThreadStore(api.db).weave({
    ownerId: api.ownerId,
    memoryIds: ids,
    links: [
      linkOf({ kind: 'same_event', ...pair }, 0.9)!,
      linkOf({ kind: 'contradiction', ...pair, opposition }, 0.9)!,
    ],
    quietBefore: new Date('2026-05-30T00:00:00Z'),
    reachMs: { same_event: 7_200_000, echo: 7_200_000, contradiction: 7_200_000 },
  });
});
afterAll(() => api?.close());

test('lists threads by agent, memory, kind and state, and shows one with its evidence', async () => {
  const all = await api.call('GET', '/v1/threads');
  expect(all.json.items.map(({ kind }) => String(kind)).sort()).toEqual(['contradiction', 'same_event']);
  for (const [query, count] of [
    ['agentId=vesper-001', 2],
    ['agentId=vesper-002', 0],
    [`memoryId=${ids[0]}`, 2],
    ['kind=contradiction', 1],
    ['kind=echo', 0],
    ['state=live', 2],
    ['state=ended', 0],
  ] as const) {
    const { json } = await api.call('GET', `/v1/threads?${query}`);
    expect({ query, count: json.items.length }).toEqual({ query, count });
  }
  const [found] = (await api.call('GET', '/v1/threads?kind=contradiction')).json.items;
  expect(found).toMatchObject({ title: texts[0], memories: 2, agents: 2, state: 'live' });
  const { json } = await api.call('GET', `/v1/threads/${String(found!['id'])}`);
  expect(json['members']).toMatchObject(ids.map((memoryId, i) => ({ memoryId, text: texts[i] })));
  expect(json['links']).toEqual([
    {
      memoryId: ids[1],
      otherId: ids[0],
      score: expect.closeTo(0.3 * 0.9 + 0.7 * 0.8),
      cosine: 0.9,
      overlap: 0.8,
      hours: 1,
      opposition: { by: 'count', one: '6 people', other: '40 people' },
    },
  ]);
  const stranger = await api.call('GET', `/v1/threads/${String(found!['id'])}`, { token: api.stranger.token });
  expect(stranger.status).toBe(404);
});

test('weaves by hand, once a key', async () => {
  const headers = { 'idempotency-key': 'once' };
  const would = await api.call('POST', '/v1/threads/weave?dryRun=true', { body: {} });
  expect(would.json).toEqual({ dryRun: true, would: 'weave 0 memories' });
  const first = await api.call('POST', '/v1/threads/weave', { body: {}, headers });
  expect(first.status).toBe(202);
  expect(first.json).toMatchObject({ started: true, unwoven: 0 });
  const again = await api.call('POST', '/v1/threads/weave', { body: {}, headers });
  expect(again.json).toMatchObject({ workflowId: first.json['workflowId'], started: false });
});

test('what is forgotten is gone from the threads, their titles and their evidence', async () => {
  expect((await api.call('POST', `/v1/memories/${ids[0]}/forget`, { body: { reason: 'asked' } })).status).toBe(200);
  const { json, text } = await api.call('GET', '/v1/threads');
  expect(json.items).toMatchObject([
    { state: 'ended', endedBy: 'emptied', title: null, memories: 0 },
    { state: 'ended', endedBy: 'emptied', title: null, memories: 0 },
  ]);
  expect(text).not.toContain('Forty');
});
