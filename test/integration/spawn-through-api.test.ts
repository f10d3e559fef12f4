import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { type ScopeWorker, startScopeWorker } from '../support/machine-worker.ts';
import { smallFleet } from '../support/small-fleet.ts';

/** The whole way: API, admission, relay, worker with the built-in embedder, a person's word, plan. */
let api: ApiFixture;
let worker: ScopeWorker | undefined;

beforeAll(async () => {
  api = await createApiFixture();
  const source = `${smallFleet}spawning: { approval: operator, growth: 0.9, inheritedMemories: 3 }\n`;
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source } })).status).toBe(200);
  const raw = Array.from(
    { length: 6 },
    (_, i) => `${JSON.stringify({ agentId: 'vesper-001', text: `Lamp ${i} on the east mole went out again.` })}\n`,
  );
  await api.call('POST', '/v1/memories', {
    raw: raw.join(''),
    headers: { 'content-type': 'application/x-ndjson' },
  });
  worker = await startScopeWorker(api.scope, 'big');
}, 60_000);
afterAll(async () => {
  await worker?.stop();
  await api?.close();
}, 60_000);

const get = (url: string) => api.call('GET', url);
async function waiting(text: string): Promise<string> {
  const body = { parentId: 'vesper-001', text };
  const { json } = await api.call('POST', '/v1/whispers', { body, token: api.tokens.member });
  const id = json['id'] as string;
  await until(
    'it waits for an operator',
    async () => (await get(`/v1/whispers/${id}`)).json['state'] === 'awaiting_approval',
    60_000,
  );
  return id;
}

test('a whisper waits in the inbox, is approved, and its persona gets a home', async () => {
  const id = await waiting('Somebody must keep the lamps.');
  const { items } = (await get('/v1/inbox')).json;
  expect(items).toMatchObject([{ kind: 'whisper_waiting', subject: id }]);
  expect((await api.call('POST', `/v1/whispers/${id}/approve?dryRun=true`)).json).toMatchObject({ dryRun: true });
  const approved = await api.call('POST', `/v1/whispers/${id}/approve`);
  expect({ status: approved.status, state: approved.json['state'] }).toEqual({ status: 200, state: 'spawned' });
  expect(approved.json).toMatchObject({ personaSource: 'extractive', code: null });
  expect(approved.json['nearestCosine']).toBeLessThan(0.9);
  const agentId = approved.json['agentId'] as string;
  expect((await get(`/v1/agents/${agentId}`)).json).toMatchObject({ origin: 'spawn', ego: 100_000, memories: 4 });
  await until('a plan counts it', async () => (await get(`/v1/agents/${agentId}`)).json['machineId'] === 'big');
  expect((await get('/v1/inbox')).json.items).toEqual([]);
  expect((await api.call('POST', `/v1/whispers/${id}/approve`)).json['code']).toBe('CONFLICT');
}, 90_000);

test('a whisper that is refused leaves nobody', async () => {
  const id = await waiting('And somebody must put them out.');
  const refused = await api.call('POST', `/v1/whispers/${id}/refuse`, { body: { reason: 'one is enough' } });
  expect(refused.json).toMatchObject({ state: 'refused', code: 'NOT_APPROVED', reason: 'one is enough' });
  expect((await get('/v1/agents?origin=spawn')).json.items).toHaveLength(1);
}, 90_000);
