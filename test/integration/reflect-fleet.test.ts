import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { firstGlobePeriod, globeWorkflowId } from '../../domain/ids.ts';
import { queueSlots } from '../../domain/plan.ts';
import { windowOf } from '../../domain/sweeps.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createOverdueWorkflowStore } from '../../stores/overdue-workflows.ts';
import { readGlobe } from '../../stores/queries/globe.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { callsInHand, createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

/** 4 heavy and 20 light agents over two machines that run 3 and 2 sequences: the light window is smaller than the work. */
let stage: Stage;
let agentIds: string[];
const model = createScriptedInference();
/** Told after a refill has committed and before the sweep gets to know: what a crash of the worker loses. */
let afterRefill: (refill: number) => Promise<void> = () => Promise.resolve();

beforeAll(async () => {
  const fleet = testFleet({ heavy: 2, light: 20 });
  fleet.machines[0]!.modelServer!.sequences = 3;
  fleet.machines[1]!.modelServer!.sequences = 2;
  stage = await openStage(fleet, (shipped) => ({
    async refillSweep(input) {
      const refill = await shipped.refillSweep(input);
      await afterRefill(input.refill);
      return refill;
    },
  }));
  agentIds = await everyAgentId(stage.db);
  await stage.remember(plainMemories(agentIds, 6));
  await stage.join('mainpc', model);
  await stage.join('pc2', model);
  await stage.plan();
});
afterAll(() => stage?.close());
afterEach(() => {
  model.answer();
  model.calls.length = 0;
  afterRefill = () => Promise.resolve();
});

interface Open {
  queue: string;
  open: number;
}
async function openByQueue(period: string): Promise<Open[]> {
  const { rows } = await sql<Open>`
    select queue, count(*) as open from runs
    where period = ${period} and refill is not null and state in ('queued', 'running') group by queue`.execute(
    stage.db,
  );
  return rows;
}
async function slots(): Promise<Map<string, number>> {
  return queueSlots((await stage.plans.residency())!.machines);
}
async function sweepRow(workflowId: string) {
  return stage.db.selectFrom('sweeps').selectAll().where('workflowId', '=', workflowId).executeTakeFirst();
}
async function runsOf(period: string) {
  return stage.db.selectFrom('runs').selectAll().where('period', '=', period).orderBy('refill').execute();
}
/** Every agent exactly one run in the period, done; nobody left open anywhere. */
async function expectAllDoneOnce(period: string): Promise<void> {
  const runs = await runsOf(period);
  expect(runs.map(({ agentId }) => agentId).sort()).toEqual(agentIds);
  expect(new Set(runs.map(({ state }) => state))).toEqual(new Set(['done']));
  const stored = await stage.db
    .selectFrom('reflections')
    .select(['runId', sql<number>`count(*)`.as('count')])
    .where(
      'runId',
      'in',
      runs.map(({ id }) => id),
    )
    .groupBy('runId')
    .execute();
  const byRun = new Map(stored.map(({ runId, count }) => [runId, count]));
  expect(runs.filter((run) => (byRun.get(run.id) ?? 0) !== run.reflections)).toEqual([]);
}

test('keeps each queue’s window, longest expected first, and reflects every agent once', async () => {
  await sql`update agents set expected_tokens = 100 + 10 * new.n
    from unnest(${agentIds}::text[], ${agentIds.map((_, i) => (i * 7) % agentIds.length)}::int[]) as new (id, n)
    where agents.id = new.id`.execute(stage.db);
  const windows = new Map([...(await slots())].map(([queue, count]) => [queue, windowOf(count, 1.15)]));
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const handle = await stage.sweep('window');
  await until('every sequence is in use', async () => count() === 5);
  await pause(600);
  const full = await openByQueue('call-window');
  for (const { queue, open } of full) {
    const waiting = (await runsOf('call-window')).filter((run) => run.queue === queue).length;
    expect([queue, open]).toEqual([queue, Math.min(windows.get(queue)!, waiting)]);
  }
  expect(count()).toBe(5);
  letGo();
  let over = 0;
  const watching = new AbortController();
  const watched = (async () => {
    while (!watching.signal.aborted) {
      for (const { queue, open } of await openByQueue('call-window')) over = Math.max(over, open - windows.get(queue)!);
      await pause(20);
    }
  })();
  expect(await handle.result()).toMatchObject({ started: agentIds.length });
  watching.abort();
  await watched;
  expect(over).toBe(0);
  await expectAllDoneOnce('call-window');
  expect(await sweepRow('reflect-fleet:call-window')).toMatchObject({ state: 'done', endedAt: expect.any(Date) });
  const runs = await runsOf('call-window');
  for (const queue of windows.keys()) {
    const started = runs.filter((run) => run.queue === queue);
    const expected = started.toSorted((a, b) => a.refill! - b.refill! || b.expectedTokens - a.expectedTokens);
    expect(expected.map((run) => run.expectedTokens)).toEqual(
      started.map((run) => run.expectedTokens).toSorted((a, b) => b - a),
    );
  }
});

test('a refill that is executed twice starts the same agents, each once', async () => {
  const lost = new Set<number>();
  afterRefill = (refill) => {
    if (refill > 2 || lost.has(refill)) return Promise.resolve();
    lost.add(refill);
    return Promise.reject(new Error('the worker died before it could say so'));
  };
  const handle = await stage.sweep('twice');
  expect(await handle.result()).toMatchObject({ started: agentIds.length });
  expect(lost).toEqual(new Set([1, 2]));
  await expectAllDoneOnce('call-twice');
});

test('two executions of one refill at once give the same answer', async () => {
  const sweep = { workflowId: 'by hand', trigger: 'call' as const, cadence: null, period: 'call-by-hand' };
  const [{ sweepId }, again] = [await stage.activities.beginSweep(sweep), await stage.activities.beginSweep(sweep)];
  expect(again).toEqual({ sweepId, outweighed: false });
  const refills = await Promise.all([1, 2].map(() => stage.activities.refillSweep({ sweepId, refill: 1 })));
  const names = refills.map(({ start }) => start.map(({ agentId }) => agentId).sort());
  expect(names[0]!.length).toBeGreaterThan(0);
  expect(names[0]).toEqual(names[1]);
  await stage.activities.endSweep({ sweepId, state: 'canceled', reason: 'by the test' });
  expect((await runsOf('call-by-hand')).filter(({ state }) => state !== 'canceled')).toEqual([]);
});

test('a history that grows too long goes on as new, and starts nobody again', async () => {
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const handle = await stage.sweep('long');
  const { runId: first } = await handle.describe();
  await until('every sequence is in use', async () => count() === 5);
  // The server suggests continue-as-new at 4 MB of history; the content of the signal is not looked at.
  for (let i = 0; i < 4; i += 1) await handle.signal(rowsChangedSignal, 'x'.repeat(1_200_000));
  const current = stage.client.workflow.getHandle(handle.workflowId);
  await until('it continued as new', async () => (await current.describe()).runId !== first);
  letGo();
  expect(await handle.result()).toMatchObject({ started: agentIds.length });
  await expectAllDoneOnce('call-long');
  const sweeps = await stage.db.selectFrom('sweeps').select('id').where('period', '=', 'call-long').execute();
  expect(sweeps.length).toBe(1);
});

test('a canceled sweep cancels who still waits, and lets go on who has begun', async () => {
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const handle = await stage.sweep('canceled');
  await until('every sequence is in use', async () => count() === 5);
  const begun = (await runsOf('call-canceled')).filter((run) => run.refill !== null).length;
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow();
  expect(await sweepRow(handle.workflowId)).toMatchObject({ state: 'canceled' });
  const waited = (await runsOf('call-canceled')).filter((run) => run.state === 'canceled');
  expect(waited.length).toBe(agentIds.length - begun);
  expect(new Set(waited.map(({ reason }) => reason))).toEqual(new Set(['the sweep was canceled']));
  letGo();
  await until('those that had begun are done', async () => {
    const runs = await runsOf('call-canceled');
    return runs.filter((run) => run.state === 'done').length === begun;
  });
});

test('a sweep canceled between its refill and the start of its children leaves no run open', async () => {
  const canceled = Promise.withResolvers<void>();
  afterRefill = () => canceled.promise;
  const handle = await stage.sweep('canceled-early');
  await until('the refill has committed', async () => (await openByQueue('call-canceled-early')).length > 0);
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow();
  canceled.resolve();
  const runs = await runsOf('call-canceled-early');
  expect(runs.filter(({ state }) => state !== 'canceled')).toEqual([]);
});

test.each([0, 5, 10, 15, 20, 30, 40, 60])(
  'a sweep canceled %i ms after its start ends, whatever its children were about to do',
  async (ms) => {
    const { reflect, letGo } = callsInHand();
    model.answer(reflect);
    const period = `call-canceled-${ms}`;
    const handle = await stage.sweep(`canceled-${ms}`);
    await pause(ms);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    letGo();
    await until('no run is open', async () => (await runsOf(period)).every((run) => run.endedAt !== null));
    const { rows } = await sql<{ open: number }>`select count(*) as open from runs where ended_at is null`.execute(
      stage.db,
    );
    expect(rows[0]!.open).toBe(0);
  },
  15_000,
);

test('a child whose id is taken does not hang the sweep, and its run ends with the reason', async () => {
  const [agentId] = agentIds as [string];
  await (await stage.reflect(agentId, 'call-taken')).result();
  // As after a restore of Postgres to before that run: Temporal knows the id, the rows do not.
  await sql`update runs set workflow_id = 'restored', period = 'restored' where workflow_id = ${`reflect:${agentId}:call-taken`}`.execute(
    stage.db,
  );
  const handle = await stage.sweep('taken');
  expect(await handle.result()).toMatchObject({ started: agentIds.length - 1 });
  const ends = await stage.ends('call-taken');
  expect(ends[agentId]).toMatchObject({ state: 'canceled', reason: expect.stringContaining('already') });
  expect(Object.values(ends).filter(({ state }) => state === 'done').length).toBe(agentIds.length - 1);
});

test('a sweep that Temporal has lost goes on from its rows: what it had taken and not begun, and what it had not taken', async () => {
  const lost = Promise.withResolvers<void>();
  let terminate: () => Promise<unknown> = () => Promise.resolve();
  afterRefill = async () => {
    await terminate();
    lost.resolve();
  };
  const begun = Promise.withResolvers<void>();
  terminate = async () => {
    await begun.promise;
    await handle.terminate('as if Temporal’s database had been deleted');
  };
  const handle = await stage.sweep('lost');
  begun.resolve();
  await lost.promise;
  afterRefill = () => Promise.resolve();
  const unbegun = (await runsOf('call-lost')).filter((run) => run.temporalRunId === null);
  expect(unbegun.map(({ agentId }) => agentId).sort()).toEqual(agentIds);
  expect(unbegun.some(({ refill }) => refill !== null)).toBe(true);

  const overdue = createOverdueWorkflowStore(stage.db);
  // Not for long yet: it may be at work.
  expect(await overdue.resume()).toMatchObject({ sweeps: 0 });
  await sql`update sweeps set started_at = now() - interval '20 minutes' where workflow_id = ${handle.workflowId}`.execute(
    stage.db,
  );
  // Who looks twice asks for the same.
  expect(await overdue.resume()).toMatchObject({ sweeps: 1 });
  expect(await overdue.resume()).toMatchObject({ sweeps: 1 });
  const intents = await stage.db
    .selectFrom('intents')
    .select(['type', 'args'])
    .where('workflowId', '=', handle.workflowId)
    .execute();
  expect(intents).toHaveLength(1);
  await stage.client.workflow.execute(intents[0]!.type, {
    workflowId: handle.workflowId,
    taskQueue: coordinationQueue,
    args: intents[0]!.args as unknown[],
    workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
  });
  expect(await sweepRow(handle.workflowId)).toMatchObject({ state: 'done' });
  await expectAllDoneOnce('call-lost');
  expect(await overdue.resume()).toMatchObject({ sweeps: 0 });
});

test('the end of a sweep asks for the first globe, whoever ends it twice; where one stands nobody asks', async () => {
  const period = firstGlobePeriod;
  const asked = () =>
    stage.db.selectFrom('intents').select(['workflowId', 'args']).where('type', '=', 'placeGlobe').execute();
  const globe = () => readGlobe(stage.db, testOwner);
  expect((await globe()).placedAt).toBe(null);
  await (await stage.sweep('no-vectors')).result();
  expect(await asked()).toEqual([]);
  // As a question of a reflection does it: what is searched gets its vectors.
  for (const agentId of agentIds)
    await stage.memorySearch.search({
      ownerId: testOwner,
      agentId,
      text: 'a lamp',
      limit: 1,
      now: new Date(),
      used: false,
    });
  const { sweepId } = await (await stage.sweep('no-globe')).result();
  await stage.sweeps.end(sweepId, 'done', '');
  expect(await asked()).toEqual([{ workflowId: globeWorkflowId(period), args: [{ period }] }]);
  await stage.db.deleteFrom('intents').where('type', '=', 'placeGlobe').execute();
  await stage.client.workflow.execute('placeGlobe', {
    workflowId: globeWorkflowId(period),
    taskQueue: coordinationQueue,
    args: [{ period }],
  });
  const placed = await globe();
  expect(placed.agents.ids).toEqual(agentIds);
  expect(placed.memories.ids.length).toBeGreaterThan(agentIds.length);
  await (await stage.sweep('with-globe')).result();
  expect(await asked()).toEqual([]);
});

test('a child that is terminated by hand does not hang the sweep or block its agent', async () => {
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const handle = await stage.sweep('terminated');
  await until('every sequence is in use', async () => count() === 5);
  const victim = (await runsOf('call-terminated')).find((run) => run.state === 'running')!;
  await stage.client.workflow.getHandle(victim.workflowId).terminate('by the test');
  letGo();
  await handle.result();
  expect(await stage.run(victim.agentId, 'call-terminated')).toMatchObject({ state: 'failed' });
  const others = (await runsOf('call-terminated')).filter(({ id, state }) => id !== victim.id && state !== 'done');
  expect(others).toEqual([]);
});

test('an agent that is paused is left out; one whose run is open is skipped with the reason; nothing new is empty', async () => {
  const [paused, busy] = agentIds as [string, string];
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const open = await stage.reflect(busy, 'call-open');
  await until('its call is in hand', async () => count() === 1);
  await sql`update agents set paused = true where id = ${paused}`.execute(stage.db);
  const handle = await stage.sweep('left-out', { trigger: 'schedule' });
  await handle.result();
  const ends = await stage.ends('call-left-out');
  expect(ends[paused]).toBeUndefined();
  const run = await stage.run(busy, 'call-open');
  expect(ends[busy]).toEqual({ state: 'canceled', reason: `skipped: ${run!.id} is still running` });
  const rest = Object.entries(ends).filter(([agentId]) => agentId !== busy);
  expect(rest.length).toBe(agentIds.length - 2);
  expect(new Set(rest.map(([, end]) => `${end.state}: ${end.reason}`))).toEqual(new Set(['empty: no new memories']));
  letGo();
  await open.result();
  await sql`update agents set paused = false`.execute(stage.db);
});

test('a machine that is gone leaves the window at once', async () => {
  await sql`update machines set lease_until = '-infinity' where id = 'pc2'`.execute(stage.db);
  const living = queueSlots((await stage.plans.residency())!.machines, new Set(['mainpc']));
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const handle = await stage.sweep('one-machine');
  await until('calls are in hand', async () => count() >= 3);
  await pause(300);
  for (const { queue, open } of await openByQueue('call-one-machine')) {
    expect(open).toBeLessThanOrEqual(windowOf(living.get(queue) ?? 0, 1.15));
  }
  letGo();
  await handle.result();
  await expectAllDoneOnce('call-one-machine');
});
