import { Client, Connection, ScheduleNotFoundError } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFleetReader, type FleetReader } from '../../activities/fleet-view.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { sourceSchema } from '../../domain/sources.ts';
import { embeddingScheduleId, retentionScheduleId } from '../../domain/ids.ts';
import type { FleetStore } from '../../stores/fleets.ts';
import { reconcileSchedules } from '../../workers/schedules.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { until } from '../support/lab.ts';
import { plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage } from '../support/stage.ts';

/** Without a worker, so that what a Schedule starts stays open. */
let scope: TestScope;
let connection: Connection;
let client: Client;

beforeAll(async () => {
  scope = await createTestScope();
  connection = await Connection.connect({ address: scope.temporalAddress });
  client = new Client({ connection, namespace: scope.namespace });
});
afterAll(async () => {
  for await (const { scheduleId } of client.schedule.list()) await client.schedule.getHandle(scheduleId).delete();
  await connection?.close();
  await scope?.close();
});

function readerOf(change: Partial<Fleet['schedules']> = {}, sources: Fleet['sources'] = []): FleetReader {
  const fleet = { ...testFleet(), sources };
  Object.assign(fleet.schedules, change);
  const stored = { version: 1, ownerId: 'usr_test', source: '', fleet, appliedAt: '', undoOf: null };
  return createFleetReader({
    currentVersion: () => Promise.resolve(1),
    byVersion: () => Promise.resolve(stored),
  } as unknown as FleetStore);
}
/** The cadences that living agents have; no source is left over. */
const living = (...cadences: string[]) => ({
  cadences: () => Promise.resolve(cadences),
  sources: () => Promise.resolve(false),
});
async function listed(): Promise<string[]> {
  const ids: string[] = [];
  for await (const { scheduleId } of client.schedule.list())
    if (scheduleId.startsWith('reflect-')) ids.push(scheduleId);
  return ids.sort();
}
const described = (id: string) => client.schedule.getHandle(id).describe();

test('makes one Schedule a cadence, which starts its sweep and skips one that overlaps', async () => {
  await reconcileSchedules(client, readerOf({ catchUp: '30m' }), living('6h', '1d'));
  await until('both are listed', async () => (await listed()).length === 2);
  expect(await listed()).toEqual(['reflect-1d', 'reflect-6h']);
  const { action, spec, policies, state } = await described('reflect-6h');
  expect(action).toMatchObject({
    workflowType: 'reflectFleet',
    workflowId: 'reflect-fleet:6h',
    taskQueue: 'coordination',
    args: [{ cadence: '6h', trigger: 'schedule' }],
  });
  expect(spec.intervals).toMatchObject([{ every: 6 * 3_600_000 }]);
  expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 30 * 60_000 });
  expect(state.paused).toBe(false);
});

test('updates what differs, leaves paused what its operator paused, and removes orphans', async () => {
  await client.schedule.getHandle('reflect-6h').pause('harvest');
  await reconcileSchedules(client, readerOf({ catchUp: '1h' }), living('6h', '12h'));
  await until('the orphan is gone', async () => !(await listed()).includes('reflect-1d'));
  await until('the new one is listed', async () => (await listed()).includes('reflect-12h'));
  const kept = await described('reflect-6h');
  expect(kept.policies.catchupWindow).toBe(3_600_000);
  expect(kept.state).toMatchObject({ paused: true, note: 'harvest' });
  expect((await described('reflect-12h')).state.paused).toBe(false);
});

test('two at once agree, and a fleet that says so has new ones made paused', async () => {
  const reader = readerOf({ paused: true });
  const cadences = living('6h', '2h', '3h');
  await Promise.all([reconcileSchedules(client, reader, cadences), reconcileSchedules(client, reader, cadences)]);
  await until(
    'only those of the fleet are listed',
    async () => (await listed()).join() === 'reflect-2h,reflect-3h,reflect-6h',
  );
  expect((await described('reflect-2h')).state.paused).toBe(true);
  expect((await described('reflect-6h')).state).toMatchObject({ paused: true, note: 'harvest' });
});

test('sources have their Schedule while there are any, and until the last is stopped', async () => {
  const there = async () => {
    try {
      return (await described('sources')).action;
    } catch (err) {
      if (err instanceof ScheduleNotFoundError) return undefined;
      throw err;
    }
  };
  const source = sourceSchema.parse({ id: 'door', kind: 'webhook', agents: 'all' });
  const left = { ...living('6h'), sources: () => Promise.resolve(true) };
  await reconcileSchedules(client, readerOf(), living('6h'));
  expect(await there()).toBeUndefined();
  await reconcileSchedules(client, readerOf({}, [source]), living('6h'));
  expect(await there()).toMatchObject({ workflowType: 'pollSources', workflowId: 'poll-sources' });
  await reconcileSchedules(client, readerOf(), left);
  expect(await there()).toBeDefined();
  await Promise.all([
    reconcileSchedules(client, readerOf(), living('6h')),
    reconcileSchedules(client, readerOf(), living('6h')),
  ]);
  await until('it is gone', async () => (await there()) === undefined);
});

test('the upkeep of a fleet begins running and is made up for, whatever the file says of reflections', async () => {
  for (const id of [retentionScheduleId, embeddingScheduleId]) await client.schedule.getHandle(id).delete();
  await reconcileSchedules(client, readerOf({ paused: true, catchUp: '1m' }), living());
  for (const id of [retentionScheduleId, embeddingScheduleId]) {
    const { policies, state } = await described(id);
    expect(state.paused, id).toBe(false);
    // Off each night is no reason not to be kept.
    expect(policies.catchupWindow, id).toBeGreaterThan(300 * 86_400_000);
  }
});

test('while a sweep runs, the next time of its Schedule is skipped', async () => {
  await reconcileSchedules(client, readerOf(), living('1s'));
  const handle = client.schedule.getHandle('reflect-1s');
  await until('times were skipped', async () => (await handle.describe()).info.numActionsSkippedOverlap >= 2, 10_000);
  const { info } = await handle.describe();
  expect(info.numActionsTaken).toBe(1);
  expect(info.runningActions.length).toBe(1);
  await handle.delete();
  const started = info.runningActions[0]!.workflow;
  expect(started.workflowId).toMatch(/^reflect-fleet:1s-\d{4}-/);
  await client.workflow.getHandle(started.workflowId).terminate('by the test');
});

test('a sweep’s period is the time its Schedule meant, and its children carry it', async () => {
  const fleet = testFleet({ heavy: 0, light: 2 });
  for (const archetype of fleet.archetypes) archetype.cadence = '2s';
  const stage = await openStage(fleet);
  try {
    await stage.remember(plainMemories(['light-001', 'light-002'], 6));
    await stage.join('mainpc', createScriptedInference());
    await stage.plan();
    await reconcileSchedules(stage.client, stage.fleet, { ...living(), cadences: stage.agents.livingCadences });
    const done = () =>
      stage.db.selectFrom('sweeps').selectAll().where('state', '=', 'done').orderBy('startedAt').execute();
    await until('two sweeps have been', async () => (await done()).length >= 2, 20_000);
    await stage.client.schedule.getHandle('reflect-2s').delete();
    await until('none runs', async () => {
      const open = await stage.db.selectFrom('sweeps').select('id').where('state', '=', 'running').execute();
      return open.length === 0;
    });
    const sweeps = await done();
    for (const { period, workflowId, trigger } of sweeps) {
      expect(trigger).toBe('schedule');
      expect(new Date(period).toISOString()).toBe(period);
      // The whole interval, not the moment it was started at; the Schedule's id carries the same time.
      expect(Date.parse(period) % 2_000).toBe(0);
      expect(workflowId).toBe(`reflect-fleet:2s-${period.replace('.000Z', 'Z')}`);
    }
    const [first] = sweeps;
    const ends = await stage.ends(first!.period);
    expect(Object.values(ends).map(({ state }) => state)).toEqual(['done', 'done']);
    expect(await stage.run('light-001', first!.period)).toMatchObject({ trigger: 'schedule' });
    expect(Object.values(await stage.ends(sweeps[1]!.period)).map(({ state }) => state)).toEqual(['empty', 'empty']);
  } finally {
    await stage.close();
  }
});
