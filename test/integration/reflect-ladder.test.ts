import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { callsInHand, createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage, type StageMachine } from '../support/stage.ts';

/** Only the small card lives at first: `heavy_q4` fits nowhere, `light_q4` is served. */
let stage: Stage;
let mainpc: StageMachine;
const small = createScriptedInference();
const large = createScriptedInference();

beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 4, light: 1, limits: { scheduleToStart: '1s', parkedFor: '3s' } }));
  await stage.remember(plainMemories(await everyAgentId(stage.db), 8));
  await stage.join('pc2', small);
  await stage.plan();
});
afterAll(() => stage?.close());
afterEach(() => {
  small.answer();
  large.answer();
});

async function eventsOf(runId: string, type: string) {
  return stage.db.selectFrom('events').select('data').where('subject', '=', runId).where('type', '=', type).execute();
}

test('nobody serves the agent’s model: the smaller one stands in, and run and reflections are marked degraded', async () => {
  const result = await (await stage.reflect('heavy-001', 'call-degraded')).result();
  expect(result).toMatchObject({ state: 'done', degraded: true });
  expect(await stage.run('heavy-001', 'call-degraded')).toMatchObject({
    state: 'done',
    wantedModelId: 'heavy_q4',
    modelId: 'light_q4',
    degraded: true,
    moves: 1,
    machineId: 'pc2',
  });
  const reflections = await stage.db.selectFrom('reflections').selectAll().where('runId', '=', result.runId).execute();
  expect(reflections.length).toBe(result.reflections);
  expect(reflections.every(({ degraded, modelId }) => degraded && modelId === 'light_q4')).toBe(true);
  expect(small.calls.at(-1)!.request.model).toBe('light_q4');
});

test('an agent that may not degrade parks with a notice, and gives up with a reason after the limit', async () => {
  const handle = await stage.reflect('proud-001', 'call-gives-up');
  await until('parked', async () => (await stage.run('proud-001', 'call-gives-up'))?.state === 'parked');
  expect(await stage.run('proud-001', 'call-gives-up')).toMatchObject({
    reason: 'no living machine serves heavy_q4, and the agent may not degrade',
  });
  expect(await stage.openNotice('parked_work:heavy_q4')).toMatchObject({ title: 'Runs wait for heavy_q4', seen: 1 });
  await expect(handle.result()).rejects.toThrow();
  expect(await stage.run('proud-001', 'call-gives-up')).toMatchObject({
    state: 'failed',
    reason: 'parked for too long: no living machine serves heavy_q4, and the agent may not degrade',
  });
  expect(await stage.openNotice('parked_work:heavy_q4')).toBeUndefined();
});

test('a parked run is canceled like any other', async () => {
  const handle = await stage.reflect('proud-002', 'call-canceled');
  await until('parked', async () => (await stage.run('proud-002', 'call-canceled'))?.state === 'parked');
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow();
  expect(await stage.run('proud-002', 'call-canceled')).toMatchObject({
    state: 'canceled',
    reason: 'canceled by hand',
  });
  expect(await stage.openNotice('parked_work:heavy_q4')).toBeUndefined();
});

test('a model error never climbs', async () => {
  const calls = small.calls.length;
  let failed = 0;
  small.answer((request, watch) => {
    failed += 1;
    return failed < 3 ? Promise.reject(new Error('socket hang up')) : small.asExtractive(request, watch);
  });
  const handle = await stage.reflect('light-001', 'call-error');
  const result = await handle.result();
  expect(result).toMatchObject({ state: 'done', degraded: false });
  expect(small.calls.length - calls).toBe(3);
  const { events } = await handle.fetchHistory();
  const priorities = events?.flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
    scheduled?.activityType?.name === 'reflect' ? [scheduled.priority?.priorityKey] : [],
  );
  expect(priorities, 'what was in hand goes before what has only waited').toEqual([4, 2, 2]);
  expect(await stage.run('light-001', 'call-error')).toMatchObject({
    moves: 0,
    queue: expect.stringContaining('light_q4'),
  });
});

test('a plan that is asked for but not computed is waited for: nobody degrades before it', async () => {
  await stage.plans.requestReplan({ ownerId: 'usr_test', reason: 'a test asks' });
  const handle = await stage.reflect('heavy-002', 'call-waits');
  await until(
    'the rung was asked about and kept',
    async () => (await stage.run('heavy-002', 'call-waits'))?.state === 'queued',
  );
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(await stage.run('heavy-002', 'call-waits')).toMatchObject({ degraded: false, moves: 0, state: 'queued' });
  await stage.plan();
  expect(await handle.result()).toMatchObject({ state: 'done', degraded: true });
});

test('a saturated but living machine never degrades or parks: its work waits, before new work', async () => {
  mainpc = await stage.join('mainpc', large, { sequences: 1 });
  await stage.plan();
  const { reflect, count, letGo } = callsInHand();
  large.answer(reflect);
  const first = await stage.reflect('heavy-003', 'call-first');
  await until('the machine is full', async () => count() === 1);
  const waiting = [await stage.reflect('heavy-004', 'call-full'), await stage.reflect('proud-003', 'call-full')];
  // Three times schedule-to-start: each asks, finds the machine living, and stays.
  await new Promise((resolve) => setTimeout(resolve, 3_300));
  expect(count()).toBe(1);
  for (const agentId of ['heavy-004', 'proud-003']) {
    const run = await stage.run(agentId, 'call-full');
    expect(run).toMatchObject({ state: 'queued', degraded: false, moves: 0, modelId: 'heavy_q4' });
    expect(await eventsOf(run!.id, 'run.parked')).toEqual([]);
  }
  // Between two rungs none is pending.
  await until('it waits before new work', async () => {
    const { raw } = await waiting[0]!.describe();
    return raw.pendingActivities?.[0]?.priority?.priorityKey === 3;
  });
  letGo();
  const results = await Promise.all([first, ...waiting].map((handle) => handle.result()));
  expect(results.map(({ state, degraded }) => `${state} ${degraded}`)).toEqual(Array(3).fill('done false'));
});

test('a machine whose lease has run out is waited for until it is judged lost: only then somebody degrades', async () => {
  // What follows a long silence of the judge is a fresh lease for all.
  await stage.machines.judgeLeases();
  await mainpc.leave();
  await sql`update machines set lease_until = clock_timestamp() - interval '1 second' where id = 'mainpc'`.execute(
    stage.db,
  );
  const handle = await stage.reflect('heavy-001', 'call-silent');
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  expect(await stage.run('heavy-001', 'call-silent')).toMatchObject({ degraded: false, moves: 0, state: 'queued' });
  expect(await stage.machines.judgeLeases()).toMatchObject({ lost: ['mainpc'] });
  await stage.plan();
  expect(await handle.result()).toMatchObject({ state: 'done', degraded: true });
});
