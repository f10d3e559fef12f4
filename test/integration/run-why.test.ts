import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { openOutbound } from '../support/outbound.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
let outbound: Awaited<ReturnType<typeof openOutbound>>;
beforeAll(async () => {
  api = await createApiFixture({ temporalUi: 'http://127.0.0.1:17004/' });
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
  await sql`delete from intents`.execute(api.db);
  const deleteExpired = () => Promise.reject(new Error('connection refused'));
  outbound = await openOutbound(api, {}, { activities: { deleteExpired } });
});
afterAll(async () => {
  await outbound?.close();
  await api?.close();
});

async function addRun(agentId: string, state: string, workflowId: string, reason = ''): Promise<string> {
  const id = newId('run');
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, reason, wanted_model_id, model_id, queue,
      expected_tokens, temporal_run_id, started_at, ended_at)
    select ${id}, owner_id, id, ${workflowId}, 'call', ${id}, ${state}, ${reason}, model_id, model_id, 'inference_8g_x', 1, ${randomUUID()}, now(),
      case when ${state} in ('done', 'failed') then now() end from agents where id = ${agentId}`.execute(api.db);
  return id;
}

const why = async (id: string, token?: string) =>
  api.call('GET', `/v1/runs/${id}/why`, token === undefined ? {} : { token });

test('why a run is where it is: by its rows and what its workflow is at', async () => {
  const workflowId = 'reflect:vesper-001:call-1';
  const handle = await outbound.client.workflow.start('applyRetention', {
    workflowId,
    taskQueue: coordinationQueue,
    args: [{}],
  });
  const run = await addRun('vesper-001', 'running', workflowId);
  await until('its step has failed', async () =>
    ((await why(run)).json['why'] as string).startsWith('It is tried again: deleteExpired failed'),
  );
  const progress = async () => (await api.call('GET', `/v1/runs/${run}`)).json['progress'];
  expect(await progress()).toEqual({ stage: 'reading', done: 0, of: null });
  const asked = JSON.stringify({ questions: ['Who rings the bell?', 'Why at dawn?'] });
  for (const [step, result] of [
    ['questions', asked],
    ['focus-1', '{"insights": []}'],
  ])
    await sql`insert into step_results (work_id, step, machine_id, epoch, result)
      values (${run}, ${step}, 'big', 0, ${result}::jsonb)`.execute(api.db);
  expect(await progress()).toEqual({ stage: 'drawing', done: 2, of: 3 });
  const listed = await api.call('GET', '/v1/runs?state=running');
  expect(listed.json.items).toEqual([expect.objectContaining({ id: run, progress: await progress() })]);
  const { json } = await why(run);
  expect(json['why']).toContain('last with: connection refused');
  expect(json['facts']).toEqual(
    expect.arrayContaining(['No machine in service polls inference_8g_x.', expect.stringContaining('vesper-001')]),
  );
  const temporal = `http://127.0.0.1:17004/namespaces/${api.scope.namespace}/workflows/reflect%3Avesper-001%3Acall-1`;
  expect(json['links']).toEqual({ temporal });
  expect((await api.call('GET', `/v1/runs/${run}`)).json['links']).toEqual({ temporal });
  await handle.terminate('the test ends');
});

test('a run without a workflow, and one that has failed', async () => {
  const queued = await addRun('vesper-002', 'queued', 'reflect:vesper-002:none');
  expect((await why(queued)).json['why']).toMatch(/^Its workflow is gone/);
  await sql`update runs set started_at = null, temporal_run_id = null where id = ${queued}`.execute(api.db);
  expect((await why(queued)).json).toMatchObject({ waitsFor: 'room in the window of its sweep' });
  await sql`insert into sweeps (id, owner_id, workflow_id, trigger, period)
    select 'swp_lost', owner_id, 'reflect-fleet:lost', 'call', 'lost' from runs where id = ${queued}`.execute(api.db);
  await sql`update runs set sweep_id = 'swp_lost' where id = ${queued}`.execute(api.db);
  expect((await why(queued)).json).toMatchObject({
    why: expect.stringMatching(/^Its sweep has ended in Temporal without beginning it/),
    links: { temporal: null },
  });
  const failed = await addRun('vesper-003', 'failed', 'reflect:vesper-003:none', 'the model said nothing');
  expect((await why(failed)).json).toMatchObject({
    state: 'failed',
    why: expect.stringMatching(/^It failed at .*: the model said nothing\.$/),
    waitsFor: null,
  });
  expect((await api.call('GET', `/v1/runs/${failed}`)).json['progress']).toBeNull();
  expect((await why(failed, api.stranger.token)).status).toBe(404);
});
