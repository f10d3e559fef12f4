import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createMachineStore, type MachineStore } from '../../stores/machines.ts';
import { createStepResultStore } from '../../stores/step-results.ts';
import { newId } from '../../stores/ids.ts';
import { testFleet } from '../support/fleets.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
let machines: MachineStore;
const worker = { identity: 'mainpc/worker/1', runsAs: 'simulated' as const };

beforeAll(async () => {
  store = await openStoreScope();
  machines = createMachineStore(store.db);
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.apply(testFleet());
  await sql`update machines set state = 'lost', lease_until = '-infinity', removed_at = null`.execute(store.db);
  await sql`update fleet_health set checked_at = now()`.execute(store.db);
  await sql`delete from plans where state = 'planned'`.execute(store.db);
  await sql`delete from intents`.execute(store.db);
});

async function expire(machineId: string) {
  await sql`update machines set lease_until = clock_timestamp() - interval '1 second' where id = ${machineId}`.execute(
    store.db,
  );
}
async function machine(id: string) {
  return (await machines.list()).find((row) => row.id === id)!;
}
async function plannedReason() {
  const row = await store.db.selectFrom('plans').select('reason').where('state', '=', 'planned').executeTakeFirst();
  return row?.reason;
}

test('each start takes the next epoch, and the older one can no longer renew', async () => {
  const first = await machines.register('mainpc', worker);
  const second = await machines.register('mainpc', worker);
  expect(second.epoch).toBe(first.epoch + 1);
  expect(await machines.renew(first, { polls: ['a'], planVersion: null })).toBe(false);
  expect(await machines.renew(second, { polls: ['b'], planVersion: null })).toBe(true);
  expect((await machine('mainpc')).polls).toEqual(['b']);
});

test('a lease that ran out is lost once, with its epoch bumped, a notice opened and a replan asked for', async () => {
  const lease = await machines.register('mainpc', worker);
  await expire('mainpc');
  const judged = await Promise.all([machines.judgeLeases(), machines.judgeLeases(), machines.judgeLeases()]);
  expect(judged.flatMap((result) => result.lost)).toEqual(['mainpc']);
  expect(await machine('mainpc')).toMatchObject({ state: 'lost', epoch: lease.epoch + 1, alive: false });
  expect(await plannedReason()).toContain('mainpc lost');
  expect(await machines.renew(lease, { polls: [], planVersion: null })).toBe(false);
  const notice = await store.db
    .selectFrom('notices')
    .selectAll()
    .where('key', '=', 'machine_lost:mainpc')
    .where('resolvedAt', 'is', null)
    .executeTakeFirst();
  expect(notice?.title).toBe('mainpc is lost');
  await machines.register('mainpc', worker);
  const open = await store.db
    .selectFrom('notices')
    .select('id')
    .where('key', '=', 'machine_lost:mainpc')
    .where('resolvedAt', 'is', null)
    .executeTakeFirst();
  expect(open).toBeUndefined();
});

test('one missed renewal makes a machine suspect and nothing moves; the next renewal clears it', async () => {
  const lease = await machines.register('mainpc', worker);
  await sql`delete from plans where state = 'planned'`.execute(store.db);
  await sql`update machines set lease_until = clock_timestamp() + interval '5 seconds' where id = 'mainpc'`.execute(
    store.db,
  );
  expect((await machines.judgeLeases()).lost).toEqual([]);
  expect(await machine('mainpc')).toMatchObject({ state: 'suspect', alive: true });
  expect(await plannedReason()).toBeUndefined();
  expect(await machines.renew(lease, { polls: [], planVersion: null })).toBe(true);
  expect((await machine('mainpc')).state).toBe('ready');
});

test('after a silence longer than a lease every machine first gets a fresh one', async () => {
  await machines.register('mainpc', worker);
  await machines.register('pc2', worker);
  await expire('mainpc');
  await expire('pc2');
  await sql`update fleet_health set checked_at = now() - interval '20 seconds'`.execute(store.db);
  expect(await machines.judgeLeases()).toEqual({ lost: [], silent: true });
  expect((await machine('mainpc')).alive).toBe(true);
  await expire('mainpc');
  expect((await machines.judgeLeases()).lost).toEqual(['mainpc']);
});

test('a machine that leaves fleet.yaml is fenced, and a worker of it cannot register', async () => {
  const lease = await machines.register('mainpc', worker);
  const fleet = testFleet();
  await store.apply({ ...fleet, machines: fleet.machines.filter((other) => other.id !== 'mainpc') });
  expect(await machines.renew(lease, { polls: [], planVersion: null })).toBe(false);
  await expect(machines.register('mainpc', worker)).rejects.toMatchObject({ code: 'MACHINE_UNKNOWN' });
});

test('a drain is taken once and undone by undrain; a drained machine keeps its state over a restart', async () => {
  await machines.register('pc2', worker);
  const { workflowId } = await machines.requestDrain('pc2', testOwner);
  expect(workflowId).toMatch(/^drain:pc2:\d+$/);
  await expect(machines.requestDrain('pc2', testOwner)).rejects.toMatchObject({ code: 'CONFLICT' });
  await expect(machines.requestDrain('nobody', testOwner)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  expect(await machines.finishDrain('pc2')).toBe(true);
  expect((await machines.register('pc2', worker)).state).toBe('drained');
  await machines.undrain('pc2', testOwner);
  expect((await machine('pc2')).state).toBe('ready');
  expect(await machines.finishDrain('pc2')).toBe(false);
});

test('a machine whose worker is gone comes back from a drain as lost, under the next epoch', async () => {
  const lease = await machines.register('pc2', worker);
  await machines.requestDrain('pc2', testOwner);
  await machines.finishDrain('pc2');
  await machines.leave(lease);
  await machines.undrain('pc2', testOwner);
  expect(await machine('pc2')).toMatchObject({
    state: 'lost',
    epoch: lease.epoch + 1,
    reason: 'its worker is gone',
  });
  expect((await machines.register('pc2', worker)).state).toBe('ready');
});

test('an orderly stop is told as one, not as a lease that ran out', async () => {
  const lease = await machines.register('pc2', worker);
  await machines.leave(lease);
  expect((await machines.judgeLeases()).lost).toEqual(['pc2']);
  expect((await machine('pc2')).reason).toBe('its worker was stopped');
  const notice = await store.db
    .selectFrom('notices')
    .select('detail')
    .where('key', '=', 'machine_lost:pc2')
    .where('resolvedAt', 'is', null)
    .executeTakeFirstOrThrow();
  expect(notice.detail).toMatch(/^Its worker was stopped/);
});

async function openRun() {
  const id = newId('run');
  await sql`update runs set state = 'done', ended_at = now() where ended_at is null`.execute(store.db);
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, wanted_model_id, model_id, queue, expected_tokens)
    values (${id}, ${testOwner}, 'light-001', ${`reflect:light-001:${id}`}, 'call', ${id}, 'light_q4', 'light_q4', 'q', 1)`.execute(
    store.db,
  );
  return id;
}

test('the first result of a step stays, whoever brings a second one', async () => {
  const steps = createStepResultStore(store.db);
  const mainpc = await machines.register('mainpc', worker);
  const pc2 = await machines.register('pc2', worker);
  const key = { workId: await openRun(), step: 'insights' };
  const stored = await Promise.all([
    steps.store(key, mainpc, { by: 'mainpc' }),
    steps.store(key, pc2, { by: 'pc2' }),
    steps.store(key, mainpc, { by: 'again' }),
  ]);
  expect(new Set(stored.map((result) => result.by)).size).toBe(1);
  expect(await steps.read(key)).toEqual(stored[0]);
});

test('a result under a passed epoch is fenced, unless the step already has one', async () => {
  const steps = createStepResultStore(store.db);
  const old = await machines.register('mainpc', worker);
  await expire('mainpc');
  await machines.judgeLeases();
  const key = { workId: await openRun(), step: 'insights' };
  await expect(steps.store(key, old, { by: 'the dead' })).rejects.toMatchObject({ code: 'FENCED' });
  expect(await steps.read(key)).toBeUndefined();
  const living = await machines.register('pc2', worker);
  await steps.store(key, living, { by: 'pc2' });
  expect(await steps.store(key, old, { by: 'the dead' })).toEqual({ by: 'pc2' });
});

test('a bump of the epoch waits for a result that is being stored, and the result after it is fenced', async () => {
  const steps = createStepResultStore(store.db);
  const lease = await machines.register('mainpc', worker);
  const first = { workId: await openRun(), step: 'insights' };
  const bump = store.db.transaction().execute(async (tx) => {
    await sql`update machines set epoch = epoch + 1 where id = 'mainpc'`.execute(tx);
    const late = steps.store(first, lease, { by: 'during the bump' }).then(
      () => 'stored',
      (err: { code: string }) => err.code,
    );
    await sql`select pg_sleep(0.3)`.execute(tx);
    return { late };
  });
  expect(await (await bump).late).toBe('FENCED');
});
