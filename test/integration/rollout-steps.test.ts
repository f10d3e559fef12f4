import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { rolloutFileSchema } from '../../domain/rollouts.ts';
import { serviceSchema } from '../../domain/services.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { createRolloutStore, type RolloutStore } from '../../stores/rollout-steps.ts';
import { actOnRollout, beginRollout } from '../../stores/rollouts.ts';
import { testFleet } from '../support/fleets.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
let db: Database;
let rollouts: RolloutStore;
const token = 'tok_steps';

beforeAll(async () => {
  store = await openStoreScope();
  db = store.db;
  await store.apply(testFleet());
  rollouts = createRolloutStore(db);
  await db
    .insertInto('tokens')
    .values({ id: token, ownerId: testOwner, kind: 'bearer', role: 'operator', hash: Buffer.from(token) })
    .execute();
});
afterAll(() => store?.close());
beforeEach(async () => {
  await sql`update rollouts set ended_at = now(), state = 'rolled_back' where ended_at is null`.execute(db);
  await sql`delete from service_runs`.execute(db);
  await sql`delete from services`.execute(db);
});

const rolloutOf = (id: string, workPackages: object[]) => ({
  id,
  ownerId: testOwner,
  file: rolloutFileSchema.parse({ version: 1, workPackages }),
  machines: ['mainpc', 'pc2'],
  requestHash: Buffer.from(id),
  madeBy: token,
});
async function begin(workPackages: object[]): Promise<string> {
  const id = newId('rollout');
  await db.transaction().execute((tx) => beginRollout(tx, rolloutOf(id, workPackages)));
  return id;
}
/** Its first step is under way. */
async function firstStep(id: string) {
  const [move] = (await rollouts.next(id)).moves;
  if (move?.kind !== 'step') throw new Error(`no step: ${JSON.stringify(move)}`);
  const { key } = (await rollouts.beginStep(id, move))!;
  return { ...move, key };
}
const manual = { kind: 'manual', text: 'do it' };

/** One package that is verified, five minutes long. */
async function verifying() {
  const id = await begin([{ id: 'a', title: 'A', steps: [manual], verify: { healthyMinutes: 5 } }]);
  await rollouts.endStep(id, await firstStep(id), { state: 'done' });
  const of = { packageId: 'a', attempt: 1 };
  const row = () => db.selectFrom('rolloutPackages').selectAll().where('rolloutId', '=', id).executeTakeFirstOrThrow();
  return {
    look: (unwell?: string) => rollouts.noteLook(id, of, unwell),
    row,
    was: (wellSince: string, lookedAt: string, changedAt = wellSince) =>
      sql`update rollout_packages set well_since = now() - ${wellSince}::interval, looked_at = now() - ${lookedAt}::interval,
        changed_at = now() - ${changedAt}::interval where rollout_id = ${id}`.execute(db),
  };
}

test('time without looks is no time in which all was well, nor in which it was not', async () => {
  const seen = await verifying();
  expect(await seen.look()).toBe(true);
  await seen.was('20 minutes', '4 minutes');
  const before = (await seen.row()).wellSince!;
  expect(await seen.look()).toBe(true);
  expect((await seen.row()).wellSince!.getTime()).toBeGreaterThan(before.getTime());
  expect((await seen.row()).state).toBe('verifying');
  // Looked at all the while.
  await seen.was('5 minutes', '10 seconds');
  expect(await seen.look()).toBe(false);
  expect((await seen.row()).state).toBe('done');

  const unseen = await (async () => {
    await sql`update rollouts set ended_at = now() where ended_at is null`.execute(db);
    return verifying();
  })();
  await unseen.was('1 minute', '3 hours', '3 hours');
  expect(await unseen.look('machine pc2 is lost')).toBe(true);
  expect((await unseen.row()).state).toBe('verifying');
  await unseen.was('1 minute', '10 seconds', '3 hours');
  expect(await unseen.look('machine pc2 is lost')).toBe(false);
  expect((await unseen.row()).state).toBe('failed');
});

const service = (id: string, state: string, more: object = {}, reason = '') =>
  sql`insert into services (id, owner_id, spec, machine_id, state, reason)
    values (${id}, ${testOwner}, ${JSON.stringify(serviceSchema.parse({ id, kind: 'process', source: 'a.yaml:1', ...more }))}::jsonb, null, ${state}, ${reason})`.execute(
    db,
  );
const healthCheck = { kind: 'http', port: 7001, path: '/' };

test('a service that is unknown is not well, unless it was looked at and has nothing to be looked at', async () => {
  await service('well', 'up', { healthCheck });
  await service('unneeded', 'unknown', { required: false });
  await service('out-of-sight', 'unknown', {}, 'it has no health check and no main port to look at');
  expect(await rollouts.unwell(testOwner)).toBe(undefined);
  await service('unseen', 'unknown', {});
  await service('watched', 'unknown', { healthCheck }, 'nobody could look');
  await service('answering', 'unknown', { ports: [{ name: 'main', port: 7002 }] }, 'nobody could look');
  expect(await rollouts.unwell(testOwner)).toBe(
    'service answering is unknown, service unseen is unknown, service watched is unknown',
  );
});

async function runs(id: string, change: { action?: string; wanted?: string; state?: string } = {}): Promise<void> {
  const { action = 'start', wanted = 'running', state = 'started' } = change;
  await sql`insert into service_runs (service_id, owner_id, wanted, request_id, action, wave, state)
    values (${id}, ${testOwner}, ${wanted}, ${newId('request')}, ${action}, 0, ${state})
    on conflict (service_id) do update set wanted = excluded.wanted, request_id = excluded.request_id, action = excluded.action,
      state = excluded.state`.execute(db);
}

test('a deployment is not done by what somebody else has asked of its services since', async () => {
  const deployed = async () => {
    await sql`update rollouts set ended_at = now() where ended_at is null`.execute(db);
    await sql`update services set machine_id = 'pc2'`.execute(db);
    const id = await begin([{ id: 'a', title: 'A', machines: ['pc2'], steps: [{ kind: 'deploy' }] }]);
    const step = await firstStep(id);
    await rollouts.deploy(id, step, undefined);
    await sql`update service_runs set state = 'started'`.execute(db);
    return () => rollouts.deployment(id, step);
  };
  for (const id of ['one', 'two']) {
    await service(id, 'up');
    await runs(id);
  }
  expect(await (await deployed())()).toMatchObject({ state: 'done' });

  const stopped = await deployed();
  await runs('two', { action: 'stop', wanted: 'stopped', state: 'stopped' });
  expect(await stopped()).toMatchObject({ state: 'failed', reason: 'somebody else has stopped two since' });
  await runs('two');

  // Restarted by somebody else it is new as well, once it stands.
  const restarted = await deployed();
  await runs('two', { action: 'restart', state: 'starting' });
  expect(await restarted()).toBe(undefined);
  await sql`update service_runs set state = 'started'`.execute(db);
  expect(await restarted()).toMatchObject({ state: 'done' });

  // Whoever starts one that runs does nothing to it, so that it is asked for once more.
  const started = await deployed();
  await runs('two');
  expect(await started()).toBe(undefined);
  const row = () =>
    db.selectFrom('serviceRuns').select(['action', 'state']).where('serviceId', '=', 'two').executeTakeFirstOrThrow();
  expect(await row()).toEqual({ action: 'restart', state: 'waiting' });
  expect(await started()).toBe(undefined);
  await sql`update service_runs set state = 'started'`.execute(db);
  expect(await started()).toMatchObject({ state: 'done' });

  const often = await deployed();
  for (let i = 0; i < 5; i++) {
    await runs('one');
    expect(await often()).toBe(undefined);
  }
  await runs('one');
  expect(await often()).toMatchObject({ state: 'failed', reason: 'somebody else has started one 6 times since' });
});

test('a rollback of one that is done, beside another that begins, is a conflict by its name', async () => {
  const id = await begin([{ id: 'a', title: 'A', steps: [manual] }]);
  await rollouts.endStep(id, await firstStep(id), { state: 'done' });
  expect(await rollouts.noteLook(id, { packageId: 'a', attempt: 1 }, undefined)).toBe(false);
  expect((await rollouts.next(id)).state).toBe('done');
  // A connection of its own, whose transaction is open while the other asks.
  const other = createDatabase({ url: store.scope.databaseUrl, name: 'other', onIdleError: () => undefined });
  try {
    const begun = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const beginning = other.transaction().execute(async (tx) => {
      await beginRollout(tx, rolloutOf(newId('rollout'), [{ id: 'b', title: 'B', steps: [manual] }]));
      begun.resolve();
      await asked.promise;
    });
    await begun.promise;
    const rollback = db.transaction().execute((tx) => actOnRollout(tx, testOwner, id, 'rollback'));
    rollback.catch(() => undefined);
    // It waits for the other's row, which nobody else sees yet.
    await expect
      .poll(
        async () =>
          (
            await sql<{ waits: number }>`select count(*)::int as waits from pg_stat_activity
              where datname = current_database() and wait_event_type = 'Lock'`.execute(other)
          ).rows[0]!.waits,
        { timeout: 8_000 },
      )
      .toBeGreaterThan(0);
    asked.resolve();
    await beginning;
    await expect(rollback).rejects.toMatchObject({
      code: 'CONFLICT',
      message: 'another rollout is under way; `soulfra rollout show` has it',
    });
  } finally {
    await other.destroy();
  }
});
