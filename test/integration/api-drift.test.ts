import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDriftStore } from '../../stores/drift.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } })).status).toBe(200);
});
afterAll(() => api?.close());

const agentId = 'vesper-001';
let ratingId: string | null = null;
async function rate(period: string, state: 'calm' | 'drifting', z: number | null): Promise<void> {
  const rating = {
    agentId,
    after: ratingId,
    state,
    drift: 0.4,
    weighted: 0.45,
    z,
    windowSize: 60,
    history: 120,
    reason: '',
    newestOutput: 'rfl_1',
    vector: new Float32Array([1, 0]),
  };
  const input = {
    ownerId: api.ownerId,
    period,
    model: 'use-lite-en',
    spaceId: null,
    ratings: [rating],
  };
  expect((await createDriftStore(api.db).store(input)).stored).toBe(1);
  const { json } = await api.call('GET', `/v1/agents/${agentId}/drift?limit=1`);
  ratingId = json.items[0]!['id'] as string;
}

test('agents without a rating are listed with what is missing, and no state is made up for them', async () => {
  const { json } = await api.call('GET', '/v1/drift');
  expect(json.items).toHaveLength(4);
  for (const item of json.items) {
    expect(item).toMatchObject({ state: null, z: null, why: 'has said 0 things of its own; a rating takes 3' });
  }
  expect((await api.call('GET', '/v1/drift?state=calm')).json.items).toEqual([]);
  const { json: agent } = await api.call('GET', `/v1/agents/${agentId}`);
  expect(agent['drift']).toBeNull();
  expect((await api.call('GET', `/v1/agents/${agentId}/drift`)).json.items).toEqual([]);
});

test('shows how an agent stands with the agent, in the list of its state, and rating by rating', async () => {
  await rate('p1', 'calm', null);
  await rate('p2', 'drifting', 5.5);
  await rate('p3', 'drifting', 4.5);
  const { json: drifting } = await api.call('GET', '/v1/drift?state=drifting');
  expect(drifting.items).toMatchObject([{ agentId, state: 'drifting', z: 4.5, period: 'p3', why: '' }]);
  const { json: agents } = await api.call('GET', '/v1/agents?archetype=vesper');
  expect(agents.items.find(({ id }) => id === agentId)).toMatchObject({
    drift: { state: 'drifting', z: 4.5, drift: 0.4 },
  });
  const { json: first } = await api.call('GET', `/v1/agents/${agentId}/drift?limit=2`);
  expect(first.items.map(({ period }) => period)).toEqual(['p3', 'p2']);
  const { json: second } = await api.call(
    'GET',
    `/v1/agents/${agentId}/drift?limit=2&cursor=${String(first['nextCursor'])}`,
  );
  expect(second.items.map(({ period }) => period)).toEqual(['p1']);
  const since = drifting.items[0]!['since'] as string;
  expect(since).toBe(first.items[1]!['ratedAt']);
  const csv = await api.call('GET', '/v1/drift?state=drifting&format=csv');
  expect(csv.text.split('\r\n')[1]).toContain(`${agentId},`);
  const theirs = await api.call('GET', '/v1/drift', { token: api.stranger.token });
  expect(theirs.json.items).toEqual([]);
});

test('finds clusters by call, once for one key', async () => {
  expect((await api.call('GET', '/v1/clusters')).json.items).toEqual([]);
  const headers = { 'idempotency-key': 'clusters-1' };
  expect(await api.call('POST', '/v1/clusters/find?dryRun=true', { headers })).toMatchObject({
    json: { dryRun: true },
  });
  const first = await api.call('POST', '/v1/clusters/find', { headers });
  expect(first).toMatchObject({ status: 202, json: { started: true } });
  expect((await api.call('POST', '/v1/clusters/find', { headers })).json).toEqual({ ...first.json, started: false });
  const handle = api.deps.temporal.workflow.getHandle(first.json['workflowId'] as string);
  expect((await handle.describe()).type).toBe('clusterAgents');
  await handle.terminate('by the test');
});

test('rates by call, once for one key', async () => {
  const headers = { 'idempotency-key': 'drift-1' };
  const dry = await api.call('POST', '/v1/drift/rate?dryRun=true', { headers });
  expect(dry).toMatchObject({ status: 200, json: { dryRun: true } });
  const first = await api.call('POST', '/v1/drift/rate', { headers });
  expect(first).toMatchObject({ status: 202, json: { started: true } });
  const again = await api.call('POST', '/v1/drift/rate', { headers });
  expect(again.json).toEqual({ ...first.json, started: false });
  const handle = api.deps.temporal.workflow.getHandle(first.json['workflowId'] as string);
  expect((await handle.describe()).type).toBe('rateDrift');
  await handle.terminate('by the test');
});
