import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { upkeepScheduleIds } from '../../domain/ids.ts';
import { newId } from '../../stores/ids.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { type ScopeWorker, startScopeWorker } from '../support/machine-worker.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
/** Started before any worker runs. */
let waitingSweep: string;
let canceledSweep: string;
const workers: ScopeWorker[] = [];

beforeAll(async () => {
  api = await createApiFixture();
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
  for (const agentId of ['vesper-001', 'vesper-002', 'vesper-003', 'rook-001']) {
    const raw = Array.from(
      { length: 12 },
      (_, i) => `${JSON.stringify({ agentId, text: `At dusk ${i + 3} boats came home, the wind from the west.` })}\n`,
    );
    await api.call('POST', '/v1/memories', { raw: raw.join(''), headers: { 'content-type': 'application/x-ndjson' } });
  }
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  await api?.close();
}, 60_000);

async function until<T extends Answer>(
  read: () => Promise<T>,
  is: (answer: T) => boolean,
  withinMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const answer = await read();
    if (is(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`not in time: ${answer.text}`);
    await sleep(150);
  }
}

test('without a worker a sweep is promised, not written; the same key asks once', async () => {
  const before = await api.rowCounts();
  const headers = { 'idempotency-key': 'early' };
  const dry = await api.call('POST', '/v1/sweeps?dryRun=true', { body: {}, headers });
  expect(dry.json).toEqual({ dryRun: true, would: 'start a sweep over 4 agents' });
  const first = await api.call('POST', '/v1/sweeps', { body: {}, headers, token: api.tokens.member });
  expect(first.status).toBe(202);
  const { id } = first.json as unknown as { id: string };
  waitingSweep = id;
  expect(first.json).toMatchObject({ started: true });
  expect(first.headers['location']).toBe(`/v1/sweeps/${id}`);
  const again = await api.call('POST', '/v1/sweeps', { body: {}, headers });
  expect(again.json).toMatchObject({ id, started: false });
  const other = await api.call('POST', '/v1/sweeps', { body: { cadence: '6h' }, headers });
  expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
  const waiting = await api.call('GET', `/v1/sweeps/${id}`);
  expect(waiting.json).toMatchObject({ state: 'running', total: 0 });
  expect(await api.rowCounts()).toEqual(before);
});

test('a sweep that no worker has begun is canceled too', async () => {
  // Of a cadence that nobody has, so that the other sweep's agents are free.
  const { json } = await api.call('POST', '/v1/sweeps', { body: { cadence: '9h' } });
  canceledSweep = json['workflowId'] as string;
  const answer = await api.call('POST', `/v1/sweeps/${canceledSweep}/cancel`);
  expect({ status: answer.status, state: answer.json['state'] }).toEqual({ status: 202, state: 'running' });
});

test('machines join, the plan is applied, and the sweep that waited reflects every agent', async () => {
  for (const machineId of ['big', 'small']) {
    workers.push(await startScopeWorker(api.scope, machineId));
  }
  const fleet = await until(
    () => api.call('GET', '/v1/fleet'),
    ({ json }) =>
      (json['plan'] as { state: string }).state === 'applied' &&
      (json['machines'] as Array<{ state: string }>).every(({ state }) => state === 'ready'),
  );
  expect(fleet.json['machines']).toMatchObject([
    { id: 'big', runsAs: 'simulated', models: ['llama8b_q4'], state: 'ready' },
    { id: 'small', state: 'ready' },
  ]);
  const sweep = await until(
    async () => {
      return api.call('GET', `/v1/sweeps/${waitingSweep}?include=coordinationShare`);
    },
    ({ json }) => json['state'] === 'done',
  );
  expect(sweep.json).toMatchObject({ total: 4, reflected: 4, degraded: 0, counts: { done: 4, failed: 0 } });
  const sum = (record: unknown) => Object.values(record as Record<string, number>).reduce((a, b) => a + b, 0);
  expect(sum(sweep.json['byMachine'])).toBe(4);
  expect(sum(sweep.json['coordinationShare'])).toBeCloseTo(1, 3);
  expect(
    Object.keys(sweep.json['coordinationShare'] as object).every((machine) => ['big', 'small'].includes(machine)),
  ).toBe(true);
  const canceled = await until(
    () => api.call('GET', `/v1/sweeps/${canceledSweep}`),
    ({ json }) => json['state'] === 'canceled',
  );
  expect(canceled.json['reflected']).toBe(0);
});

test('a reflection explains itself by its memories', async () => {
  const list = await api.call('GET', '/v1/reflections?agentId=rook-001');
  const id = list.json.items[0]!['id'] as string;
  const { json } = await api.call('GET', `/v1/reflections/${id}`);
  expect(json).toMatchObject({ agentId: 'rook-001', source: 'extractive', degraded: false });
  const evidence = json['evidence'] as Array<{ text: string; memoryId: string }>;
  expect(evidence.length).toBe(json['memories']);
  expect(evidence[0]!.text).toContain('boats came home');
});

test('an agent is triggered once a key, and shows its last and next run', async () => {
  const headers = { 'idempotency-key': 'now-please' };
  const first = await api.call('POST', '/v1/agents/rook-001/trigger', { headers });
  expect(first.status).toBe(202);
  const runId = first.json['runId'] as string;
  expect(runId).toMatch(/^run_/);
  const again = await api.call('POST', '/v1/agents/rook-001/trigger', { headers });
  expect(again.json).toMatchObject({ runId, started: false });
  const run = await until(
    () => api.call('GET', `/v1/runs/${runId}`),
    ({ json }) => json['endedAt'] !== null,
  );
  expect(run.json).toMatchObject({ agentId: 'rook-001', trigger: 'call', state: 'done' });
  const agent = await until(
    () => api.call('GET', '/v1/agents/rook-001'),
    ({ json }) => json['nextRunAt'] !== null,
  );
  expect(agent.json).toMatchObject({ lastRun: { id: runId, state: 'done' }, machineId: expect.any(String) });
  expect(Date.parse(agent.json['nextRunAt'] as string)).toBeGreaterThan(Date.now());
});

test('a done run neither cancels nor starts again; a canceled one does', async () => {
  const { json } = await api.call('GET', '/v1/runs?agentId=rook-001&limit=1');
  const done = json.items[0]!['id'] as string;
  for (const verb of ['cancel', 'retry']) {
    expect((await api.call('POST', `/v1/runs/${done}/${verb}`)).json['code']).toBe('CONFLICT');
  }
  // A run whose queue nobody polls yet waits: its workflow was never started.
  const { ownerId, db } = api;
  const canceled = 'run_01890000-0000-7000-8000-000000000001';
  await db
    .insertInto('runs')
    .values({
      id: canceled,
      ownerId,
      agentId: 'vesper-001',
      workflowId: 'reflect:vesper-001:call-by-test',
      trigger: 'call',
      period: 'call-by-test',
      wantedModelId: 'llama8b_q4',
      modelId: 'llama8b_q4',
      queue: 'inference_8g_llama8b_q4',
      expectedTokens: 400,
    })
    .execute();
  const dry = await api.call('POST', `/v1/runs/${canceled}/cancel?dryRun=true`);
  expect(dry.json).toMatchObject({ dryRun: true });
  const ended = await api.call('POST', `/v1/runs/${canceled}/cancel`);
  expect({ status: ended.status, state: ended.json['state'] }).toEqual({ status: 202, state: 'canceled' });
  const next = await api.call('POST', `/v1/runs/${canceled}/retry`);
  expect({ status: next.status, attempt: next.json['attempt'] }).toEqual({ status: 202, attempt: 2 });
  const run = await until(
    () => api.call('GET', `/v1/runs/${next.json['id'] as string}`),
    (answer) => answer.json['endedAt'] !== null,
  );
  expect(run.json).toMatchObject({ state: 'done', attempt: 2 });
  const first = await api.call('POST', `/v1/runs/${canceled}/retry`);
  expect(first.json['code']).toBe('CONFLICT');
});

test('schedules are listed, paused, resumed and triggered', async () => {
  const list = await until(
    () => api.call('GET', '/v1/schedules'),
    ({ json }) => json.items.length === 2 + upkeepScheduleIds.length,
  );
  expect(list.json.items.map(({ id, paused }) => [id, paused])).toEqual(
    [...upkeepScheduleIds, 'reflect-1d', 'reflect-6h'].toSorted().map((id) => [id, false]),
  );
  const of = (answer: Answer, id: string) => answer.json.items.find((schedule) => schedule['id'] === id);
  expect(of(list, 'reflect-6h')).toMatchObject({ cadence: '6h', everySeconds: 6 * 3_600 });
  expect(of(list, 'drops')).toMatchObject({ cadence: null, everySeconds: 60 });
  expect(of(list, 'backup')).toMatchObject({ cadence: null, everySeconds: null });
  const paused = await api.call('POST', '/v1/schedules/reflect-6h/pause', { body: { note: 'harvest' } });
  expect(paused.json).toEqual({ id: 'reflect-6h', paused: true });
  const shown = await until(
    () => api.call('GET', '/v1/schedules'),
    ({ json }) => json.items.some(({ note }) => note === 'harvest'),
  );
  expect(of(shown, 'reflect-6h')).toMatchObject({ paused: true, note: 'harvest' });
  const posts = await api.call('POST', '/v1/schedules/drops/pause', { body: {} });
  expect(posts.json).toEqual({ id: 'drops', paused: true });
  expect((await api.call('POST', '/v1/schedules/drops/resume')).json).toEqual({ id: 'drops', paused: false });
  await api.call('POST', '/v1/schedules/reflect-6h/resume');
  expect((await api.call('POST', '/v1/schedules/reflect-1d/trigger')).status).toBe(200);
  await until(
    () => api.call('GET', '/v1/sweeps?state=done'),
    ({ json }) => json.items.some(({ cadence, trigger }) => cadence === '1d' && trigger === 'schedule'),
  );
});

test('a machine is drained and taken back in', async () => {
  const drained = await api.call('POST', '/v1/machines/small/drain');
  expect({ status: drained.status, state: drained.json['state'] }).toEqual({ status: 202, state: 'draining' });
  await until(
    () => api.call('GET', '/v1/machines/small'),
    ({ json }) => json['state'] === 'drained',
  );
  expect((await api.call('POST', '/v1/machines/small/drain')).json['code']).toBe('CONFLICT');
  const back = await api.call('POST', '/v1/machines/small/undrain');
  expect(back.json['state']).toBe('ready');
});

test('a sweep is canceled once, also one whose workflow is gone', async () => {
  const id = newId('sweep');
  await api.db
    .insertInto('sweeps')
    .values({
      id,
      ownerId: api.ownerId,
      workflowId: 'reflect-fleet:gone',
      trigger: 'call',
      cadence: null,
      period: 'gone',
    })
    .execute();
  const dry = await api.call('POST', `/v1/sweeps/${id}/cancel?dryRun=true`);
  expect(dry.json).toEqual({ dryRun: true, would: `cancel ${id}: agents that have not begun are left out` });
  const ended = await api.call('POST', `/v1/sweeps/${id}/cancel`, { token: api.tokens.member });
  expect({ status: ended.status, state: ended.json['state'] }).toEqual({ status: 202, state: 'canceled' });
  expect((await api.call('POST', `/v1/sweeps/${id}/cancel`)).json['code']).toBe('CONFLICT');
});

test('readiness names each part, and metrics tell of requests', async () => {
  const ready = await api.call('GET', '/v1/health/ready', { token: null });
  expect(ready.json).toMatchObject({
    state: 'ready',
    parts: { postgres: { state: 'up' }, temporal: { state: 'up' }, redis: { state: 'up' } },
  });
  const metrics = await api.call('GET', '/metrics', { token: api.tokens.reader });
  expect(metrics.text).toMatch(/soulfra_api_request_seconds_count\{[^}]*route="\/v1\/agents\/:id\/trigger"/);
  expect(metrics.text).toMatch(/^soulfra_machines\{state="ready",part="api"\} 2$/m);
  expect(metrics.text).toMatch(/^soulfra_placement_unplaced\{part="api"\} 0$/m);
});
