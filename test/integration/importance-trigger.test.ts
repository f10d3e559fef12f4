import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { createLogger } from '../../observability/logger.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import type { NewMemory } from '../../stores/memories.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { callsInHand, createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

/** What moves an agent enough: from the row of a memory through the real relay to the run, on real servers. */
const model = createScriptedInference();
let stage: Stage;
let relay: ReturnType<typeof relayIntents> | undefined;

beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 0, light: 20 }));
  await stage.join('mainpc', model);
  await stage.plan();
});
afterAll(async () => {
  await relay?.stop();
  await stage?.close();
});
afterEach(async () => {
  await relay?.stop();
  relay = undefined;
  model.answer();
  await sql`delete from intents`.execute(stage.db);
});

function startRelay(): void {
  relay = relayIntents({
    client: stage.client,
    intents: createIntentStore(stage.db),
    listen: createListenerFactory(stage.scope.databaseUrl, () => undefined),
    log: createLogger({ part: 'worker', level: 'silent' }),
  });
}

let taken = 0;
function nextAgent(): string {
  taken += 1;
  return `light-${String(taken).padStart(3, '0')}`;
}
let told = 0;
/** Happened just now, unless said otherwise. */
function lived(agentId: string, count: number, over: Partial<NewMemory> = {}): NewMemory[] {
  return Array.from({ length: count }, () => {
    told += 1;
    return {
      agentId,
      externalKey: `lived-${told}`,
      kind: 'observation' as const,
      text: `Thing number ${told} happened at the quay and mattered a lot.`,
      importance: 10,
      source: 'test',
      occurredAt: new Date().toISOString(),
      ...over,
    };
  });
}
const agent = (agentId: string) =>
  stage.db.selectFrom('agents').selectAll().where('id', '=', agentId).executeTakeFirstOrThrow();
const runsOf = (agentId: string) =>
  stage.db.selectFrom('runs').selectAll().where('agentId', '=', agentId).orderBy('id').execute();
const intents = async () =>
  (await stage.db.selectFrom('intents').select('workflowId').orderBy('createdAt').execute()).map(
    (row) => row.workflowId,
  );

test('what adds up to the threshold starts one run, however it comes in; then the sum begins anew', async () => {
  startRelay();
  const agentId = nextAgent();
  const batches = Array.from({ length: 20 }, () => lived(agentId, 1));
  // At once, and each one twice, as a client does that lost its answer.
  await Promise.all([...batches, ...batches].map((batch) => stage.memories.add(testOwner, batch)));
  await until('a run is done', async () => (await runsOf(agentId)).some(({ state }) => state === 'done'));
  const [run, ...others] = await runsOf(agentId);
  expect(run).toMatchObject({ trigger: 'importance', state: 'done' });
  expect(run!.period).toMatch(/^importance-\d+$/);
  expect(run!.workflowId).toBe(`reflect:${agentId}:${run!.period}`);
  expect(others).toEqual([]);
  const { importanceSum } = await agent(agentId);
  expect(importanceSum).toBe(200 - run!.importanceSum);
  expect(importanceSum).toBeLessThan(150);
});

test('under the threshold, told late, of its own making, paused, or switched off: nobody is asked', async () => {
  const [under, late, own, paused, off] = [nextAgent(), nextAgent(), nextAgent(), nextAgent(), nextAgent()];
  await stage.agents.setPaused(paused, testOwner, true);
  await stage.db.updateTable('agents').set({ importanceThreshold: 0 }).where('id', '=', off).execute();
  await stage.remember([
    ...lived(under, 14),
    ...lived(late, 300, { occurredAt: '2026-01-01T00:00:00.000Z' }),
    ...lived(own, 300, { kind: 'reflection' }),
    ...lived(paused, 20),
    ...lived(off, 20),
  ]);
  expect(await intents()).toEqual([]);
  expect([
    (await agent(under)).importanceSum,
    (await agent(late)).importanceSum,
    (await agent(own)).importanceSum,
  ]).toEqual([140, 0, 0]);
  await stage.remember(lived(under, 1));
  expect(await intents()).toEqual([`reflect:${under}:importance-15`]);
});

test('an agent is asked once a full threshold, not once a memory', async () => {
  const agentId = nextAgent();
  for (let i = 0; i < 31; i += 1) await stage.remember(lived(agentId, 1));
  expect(await intents()).toEqual([`reflect:${agentId}:importance-15`, `reflect:${agentId}:importance-30`]);
});

test('moved while a run is open, it reflects again once that has ended', async () => {
  startRelay();
  const agentId = nextAgent();
  await stage.remember(lived(agentId, 3));
  const { reflect, count, letGo } = callsInHand();
  model.answer(reflect);
  const first = await stage.reflect(agentId, 'call-open');
  await until('the call is in hand', async () => count() === 1);
  await stage.remember(lived(agentId, 16));
  await until('the run that was asked for found the open one', async () => {
    const handle = stage.client.workflow.getHandle(`reflect:${agentId}:importance-19`);
    const found = await handle.describe().catch(() => undefined);
    return found?.status.name === 'FAILED';
  });
  expect((await runsOf(agentId)).length).toBe(1);
  model.answer();
  letGo();
  await first.result();
  await until('it has reflected again', async () =>
    (await runsOf(agentId)).some(({ trigger }) => trigger === 'importance'),
  );
  await until('and has ended', async () => (await runsOf(agentId)).every(({ endedAt }) => endedAt !== null));
  const runs = await runsOf(agentId);
  expect(runs.map(({ trigger, state }) => [trigger, state])).toEqual([
    ['call', 'done'],
    ['importance', 'done'],
  ]);
  expect(runs[1]!.period).toMatch(new RegExp(`^importance-\\d+-after-${runs[0]!.id}$`));
  expect((await agent(agentId)).importanceSum).toBe(0);
});

test('a run that fails keeps the sum, and asks again only for what came while it was open', async () => {
  const agentId = nextAgent();
  await stage.remember(lived(agentId, 16));
  await sql`delete from intents`.execute(stage.db);
  model.answer(() => Promise.reject(new DomainError('MODEL_REFUSED', 'no')));
  const failed = await stage.reflect(agentId, 'call-failed');
  await failed.result().catch(() => undefined);
  expect((await agent(agentId)).importanceSum).toBe(160);
  expect(await intents()).toEqual([]);

  const { reflect, count } = callsInHand();
  model.answer(reflect);
  const open = await stage.reflect(agentId, 'call-canceled');
  await until('the call is in hand', async () => count() === 1);
  await stage.remember(lived(agentId, 15));
  await sql`delete from intents`.execute(stage.db);
  await open.cancel();
  await open.result().catch(() => undefined);
  const canceled = (await runsOf(agentId)).find(({ state }) => state === 'canceled')!;
  expect(await intents()).toEqual([`reflect:${agentId}:importance-31-after-${canceled.id}`]);
});

test('a canceled sweep asks again for whom it kept from reflecting', async () => {
  const agentId = nextAgent();
  await stage.remember(lived(agentId, 2));
  const view = await stage.fleet();
  const { sweepId } = await stage.sweeps.begin(
    { workflowId: 'a sweep', trigger: 'call', cadence: null, period: 'call-swept' },
    view.queues,
  );
  await stage.remember(lived(agentId, 16));
  await sql`delete from intents`.execute(stage.db);
  await stage.sweeps.end(sweepId, 'canceled', 'by the test');
  const run = (await runsOf(agentId)).find(({ period }) => period === 'call-swept')!;
  expect(await intents()).toEqual([`reflect:${agentId}:importance-18-after-${run.id}`]);
});

test('asked for too late, when another run has reflected on it, it ends empty', async () => {
  const agentId = nextAgent();
  await stage.remember(lived(agentId, 16));
  await (await stage.reflect(agentId, 'call-before')).result();
  const late = await stage.reflect(agentId, 'importance-16', 'importance');
  expect(await late.result()).toMatchObject({ state: 'empty', reason: 'no new memories' });
  await stage.remember(lived(agentId, 1));
  const later = await stage.reflect(agentId, 'importance-17', 'importance');
  expect(await later.result()).toMatchObject({
    state: 'empty',
    reason: 'another run has reflected on what asked for this one',
  });
});
