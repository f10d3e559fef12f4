import { Client, Connection, ScheduleOverlapPolicy } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { FleetView } from '../../activities/fleet-view.ts';
import { type HealthLook, healthLooks } from '../../domain/health.ts';
import { fleetSchema } from '../../domain/fleet.ts';
import {
  digestScheduleId,
  driftScheduleId,
  heartbeatScheduleId,
  reflectScheduleId,
  sourcesScheduleId,
  weaveScheduleId,
} from '../../domain/ids.ts';
import type { HealthKind } from '../../domain/states.ts';
import { createAgentStore } from '../../stores/agents.ts';
import { neededSchedules } from '../../stores/health-facts.ts';
import { createHealthStore, type HealthStore, type SchedulesSeen } from '../../stores/health.ts';
import { newId } from '../../stores/ids.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { readFigures } from '../../stores/queries/figures.ts';
import { createRunStore } from '../../stores/runs.ts';
import { readSchedules } from '../../workers/schedule-facts.ts';
import { reconcileSchedules, remakeSchedules } from '../../workers/schedules.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { applyRetention } from '../support/retention.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
let health: HealthStore;
let machines: ReturnType<typeof createMachineStore>;
const worker = { identity: 'mainpc/worker/1', runsAs: 'local' as const };

beforeAll(async () => {
  store = await openStoreScope();
  health = createHealthStore(store.db);
  machines = createMachineStore(store.db);
  await store.apply(testFleet());
});
afterAll(() => store?.close());
beforeEach(async () => {
  const { db } = store;
  await sql`delete from runs`.execute(db);
  await sql`delete from intents`.execute(db);
  await sql`delete from health`.execute(db);
  await sql`delete from health_changes`.execute(db);
  await sql`delete from events`.execute(db);
  await sql`update agents set home_machine_id = 'mainpc', paused = false, created_at = now(), resumed_at = null`.execute(
    db,
  );
  await sql`update machines set state = 'lost', lease_until = '-infinity', model_server_up = true, missing_models = '{}'`.execute(
    db,
  );
  await sql`update fleet_health set checked_at = now()`.execute(db);
});

/** Open notices of health, by kind. */
async function noticesOf(kind: string): Promise<string[]> {
  const rows = await store.db
    .selectFrom('notices')
    .select(['subject', 'title'])
    .where('kind', '=', kind)
    .where('resolvedAt', 'is', null)
    .execute();
  return rows.map(({ subject, title }) => `${subject}: ${title}`);
}

/** Looks so often, each time as if its time had come. */
async function look(which: HealthLook, times = 1, schedules?: SchedulesSeen): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    await sql`update health_looks set looked_at = now() - interval '60 seconds'`.execute(store.db);
    await health.look(which, schedules);
  }
}

async function healthOf(kind: HealthKind, id: string): Promise<string> {
  const row = await store.db
    .selectFrom('health')
    .select(['state', 'reason'])
    .where('subjectKind', '=', kind)
    .where('subjectId', '=', id)
    .executeTakeFirst();
  return row === undefined ? 'none' : `${row.state}${row.reason === '' ? '' : `: ${row.reason}`}`;
}

async function changesOf(kind: HealthKind, id: string): Promise<string[]> {
  const rows = await store.db
    .selectFrom('healthChanges')
    .select(['fromState', 'toState'])
    .where('subjectKind', '=', kind)
    .where('subjectId', '=', id)
    .orderBy('id')
    .execute();
  return rows.map(({ fromState, toState }) => `${fromState ?? 'new'} → ${toState}`);
}

interface Run {
  state?: string;
  reason?: string;
  hoursAgo?: number;
  queue?: string;
}
async function addRun(agentId: string, { state = 'done', reason = '', hoursAgo = 0, queue = '' }: Run = {}) {
  const id = newId('run');
  const ended = ['queued', 'running', 'parked'].includes(state)
    ? null
    : sql`now() - make_interval(hours => ${hoursAgo})`;
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, reason, wanted_model_id, model_id, queue,
      expected_tokens, created_at, ended_at)
    values (${id}, ${testOwner}, ${agentId}, ${id}, 'schedule', ${id}, ${state}, ${reason}, 'm', 'm', ${queue}, 1,
      now() - make_interval(hours => ${hoursAgo}), ${ended})`.execute(store.db);
}

const id = 'light-001';

test('an agent whose runs stop is late, then failing, and well again with the next run; each is told once', async () => {
  const { db } = store;
  await addRun(id);
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('ok');
  const quiet = (hours: number) =>
    sql`update agents set created_at = now() - make_interval(hours => 200)`
      .execute(db)
      .then(() => sql`update runs set ended_at = now() - make_interval(hours => ${hours})`.execute(db))
      .then(() => sql`update health set look_at = look_at - make_interval(hours => ${hours})`.execute(db));
  await quiet(10);
  await look('agents');
  expect(await healthOf('agent', id)).toBe('ok');
  await look('agents');
  expect(await healthOf('agent', id)).toMatch(
    /^late: no run has ended since .*Z, and one should every 6h; none is open$/,
  );
  await quiet(30);
  await look('agents', 3);
  expect(await healthOf('agent', id)).toMatch(/^failing: no run has ended since/);
  await addRun(id);
  await look('agents', 3);
  expect(await healthOf('agent', id)).toBe('ok');
  expect(await changesOf('agent', id)).toEqual(['ok → late', 'late → failing', 'failing → ok']);
  const events = await db
    .selectFrom('events')
    .select('data')
    .where('type', '=', 'health.changed')
    .where('subject', '=', id)
    .orderBy('id')
    .execute();
  expect(events.map(({ data }) => data)).toMatchObject([
    { kind: 'agent', from: 'ok', to: 'late' },
    { kind: 'agent', from: 'late', to: 'failing' },
    { kind: 'agent', from: 'failing', to: 'ok', reason: '' },
  ]);
});

test('for how long work is parked counts from when it was parked, not from when it was asked for', async () => {
  await addRun(id, { state: 'queued', hoursAgo: 5 });
  const { id: runId } = await store.db.selectFrom('runs').select('id').executeTakeFirstOrThrow();
  const oldest = async () => (await readFigures(store.db)).find(({ figure }) => figure === 'oldestParked')!.value;
  expect(await oldest()).toBe(0);
  expect(await createRunStore(store.db).park(runId, 'no machine serves m')).toBe(true);
  expect(await oldest()).toBeLessThan(3_600);
  await sql`update runs set parked_at = now() - interval '2 hours'`.execute(store.db);
  expect(await oldest()).toBeGreaterThan(7_100);
});

test('three empty runs in a row make an agent failing; two, or one that importance took back, do not', async () => {
  for (const hoursAgo of [3, 2]) await addRun(id, { state: 'empty', reason: 'no new memories', hoursAgo });
  await addRun(id, { state: 'canceled', hoursAgo: 1 });
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('ok');
  await addRun(id, { state: 'empty', reason: 'no new memories' });
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('failing: its last 3 runs came out empty: no new memories');
  expect(await noticesOf('agent_failing')).toEqual(['agents: 1 agent is failing']);
  await sql`update runs set trigger = 'importance' where ended_at > now() - interval '30 minutes' and state = 'empty'`.execute(
    store.db,
  );
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('ok');
  expect(await noticesOf('agent_failing')).toEqual([]);
});

test('an agent that is well is left alone until its time comes, or something happens to it', async () => {
  const { db } = store;
  await addRun(id);
  await look('agents', 2);
  const { rows } = await sql<{ inSeconds: number }>`select extract(epoch from look_at - now())::float8 as in_seconds
    from health where subject_kind = 'agent' and subject_id = ${id}`.execute(db);
  // 1.5 × 6 h after its last run.
  expect(rows[0]!.inSeconds / 3600).toBeCloseTo(9, 1);
  await addRun(id, { state: 'failed', reason: 'out of memory' });
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('late: its last run failed: out of memory');
  await sql`update agents set home_machine_id = null, home_reason = 'no card holds it' where id = 'light-002'`.execute(
    db,
  );
  await look('agents', 2);
  expect(await healthOf('agent', 'light-002')).toBe('late: no machine serves it: no card holds it');
});

test('the time in which an agent was paused is no silence of it; one that nothing works for is judged no more', async () => {
  const agents = createAgentStore(store.db);
  await sql`update agents set created_at = now() - interval '9 days'`.execute(store.db);
  await agents.setPaused(id, testOwner, true);
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('ok: paused');
  expect(await healthOf('agent', 'light-002')).toMatch(/^failing/);
  // All of them but the paused one, in one notice.
  expect(await noticesOf('agent_failing')).toEqual([expect.stringMatching(/^agents: \d+ agents are failing$/)]);
  await agents.setPaused(id, testOwner, false);
  await look('agents', 2);
  expect(await healthOf('agent', id)).toBe('ok');
  await sql`update agents set state = 'dormant' where id = 'light-002'`.execute(store.db);
  await look('agents');
  expect(await healthOf('agent', 'light-002')).toBe('none');
  await sql`update agents set state = 'active' where id = 'light-002'`.execute(store.db);
});

test('a killed worker is lost with all that stands on its machine, and well again after it is back', async () => {
  await machines.register('mainpc', worker);
  await look('machines', 2);
  expect([
    await healthOf('machine', 'mainpc'),
    await healthOf('worker', 'mainpc'),
    await healthOf('machine', 'pc2'),
  ]).toEqual(['ok', 'ok', 'not_set_up: its worker was never started']);
  await sql`update machines set lease_until = clock_timestamp() - interval '1 second' where id = 'mainpc'`.execute(
    store.db,
  );
  expect((await machines.judgeLeases()).lost).toEqual(['mainpc']);
  await look('machines', 2);
  expect(await healthOf('machine', 'mainpc')).toBe('lost: its lease ran out');
  for (const kind of ['worker', 'model_server', 'disk'] as const)
    expect(await healthOf(kind, 'mainpc')).toBe('lost: its machine is lost');
  const lease = await machines.register('mainpc', worker);
  await machines.renew(lease, { polls: [], planVersion: null, diskFree: 0.5 });
  await look('machines', 2);
  for (const kind of ['machine', 'worker', 'model_server', 'disk'] as const)
    expect(await healthOf(kind, 'mainpc')).toBe('ok');
  expect(await changesOf('machine', 'mainpc')).toEqual(['ok → lost', 'lost → ok']);
});

test('a worker that polls and completes nothing while work waits for it is late, then failing, until it completes something', async () => {
  const lease = await machines.register('mainpc', worker);
  const polling = { polls: ['inference_24g_heavy_q4'], planVersion: 1 };
  await machines.renew(lease, polling);
  await addRun(id, { state: 'queued', queue: 'inference_24g_heavy_q4', hoursAgo: 1 });
  const idle = (seconds: number) =>
    sql`update machines set progress_at = clock_timestamp() - make_interval(secs => ${seconds}) where id = 'mainpc'`.execute(
      store.db,
    );
  await look('machines', 2);
  expect(await healthOf('worker', 'mainpc')).toBe('ok');
  await idle(300);
  await machines.renew(lease, { ...polling, quietSeconds: 4_000 });
  await look('machines', 2);
  expect(await healthOf('worker', 'mainpc')).toMatch(/^late: work waits for it, and it has completed nothing since/);
  expect(await healthOf('machine', 'mainpc')).toBe('ok');
  await idle(700);
  await look('machines', 2);
  expect(await healthOf('worker', 'mainpc')).toMatch(/^failing/);
  await machines.renew(lease, { ...polling, quietSeconds: 1 });
  await look('machines', 2);
  expect(await healthOf('worker', 'mainpc')).toBe('ok');
  await sql`insert into intents (workflow_id, type, args, created_at) values ('w', 't', '[]', now() - interval '2 minutes')`.execute(
    store.db,
  );
  await look('machines', 2);
  expect(await healthOf('worker', 'coordination')).toMatch(/^late: what was asked for at/);
});

test('a model server that is down or lacks a model, and a disk that fills up, are named', async () => {
  const lease = await machines.register('mainpc', worker);
  await machines.renew(lease, { polls: [], planVersion: null, diskFree: 0.04, missingModels: ['heavy_q4'] });
  await look('machines', 2);
  expect(await healthOf('model_server', 'mainpc')).toBe('failing: it lacks heavy_q4');
  expect(await healthOf('disk', 'mainpc')).toBe('failing: 4 % of its disk is free, and it should be 5 % at least');
  expect(await noticesOf('disk_low')).toEqual(['mainpc: The disk of mainpc is nearly full']);
  await machines.renew(lease, { polls: [], planVersion: null, diskFree: 0.5, missingModels: ['heavy_q4'] });
  await look('machines', 2);
  expect(await noticesOf('disk_low')).toEqual([]);
  await sql`update machines set model_server_up = false where id = 'mainpc'`.execute(store.db);
  await look('machines');
  expect(await healthOf('model_server', 'mainpc')).toBe('failing: it does not answer');
});

/** With Schedules of its own: a digest, a heartbeat, a source. */
const toldFleet = fleetSchema.parse({
  ...testFleet(),
  notify: {
    destinations: [{ id: 'phone', kind: 'ntfy', url: 'https://ntfy.example/topic' }],
    digest: { at: '08:00', timeZone: 'Europe/Berlin' },
    heartbeat: { url: 'https://watch.example/ping' },
  },
  sources: [{ id: 'news', kind: 'feed', url: 'https://news.example/feed', agents: ['light-001'] }],
});

test('a schedule that was stopped or is gone is named, and is well again once it runs', async () => {
  const { scope, db } = store;
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  try {
    const agents = createAgentStore(db);
    const reconcile = () =>
      reconcileSchedules(client, () => Promise.resolve({ fleet: toldFleet } as FleetView), {
        cadences: agents.livingCadences,
        sources: () => Promise.resolve(false),
      });
    await store.apply(toldFleet);
    await reconcile();
    const reflect = reflectScheduleId('6h');
    const named = [digestScheduleId, heartbeatScheduleId, sourcesScheduleId];
    await client.schedule.getHandle(weaveScheduleId).pause('to look into it');
    for (const gone of [driftScheduleId, ...named]) await client.schedule.getHandle(gone).delete();
    // The list of Temporal follows after a moment.
    await until(
      'the list shows it',
      async () => {
        const seen = await readSchedules(client);
        return (
          seen.get(weaveScheduleId)?.paused === true &&
          [driftScheduleId, ...named].every((gone) => !seen.has(gone)) &&
          typeof seen.get(reflect)?.nextAt === 'number'
        );
      },
      15_000,
    );
    await look('schedules', 2, await readSchedules(client));
    expect(await healthOf('schedule', reflect)).toBe('ok');
    expect(await healthOf('schedule', weaveScheduleId)).toBe('late: paused: to look into it');
    // Also what fleet.yaml alone asks for.
    for (const gone of [driftScheduleId, ...named])
      expect(await healthOf('schedule', gone)).toMatch(/^lost: Temporal does not have it/);
    await client.schedule.getHandle(weaveScheduleId).unpause();
    let made = 0;
    const remake = () =>
      remakeSchedules(health, () => {
        made += 1;
        return reconcile();
      });
    await remake();
    expect(made).toBe(1);
    await until(
      'the list shows it',
      async () => {
        const seen = await readSchedules(client);
        return (
          seen.get(weaveScheduleId)?.paused === false &&
          [driftScheduleId, ...named].every((id) => typeof seen.get(id)?.nextAt === 'number')
        );
      },
      15_000,
    );
    await look('schedules', 2, await readSchedules(client));
    expect([await healthOf('schedule', weaveScheduleId), await healthOf('schedule', driftScheduleId)]).toEqual([
      'ok',
      'ok',
    ]);
    for (const id of named) expect(await healthOf('schedule', id)).toBe('ok');
    // None is lacking: nothing is made.
    await remake();
    expect(made).toBe(1);
    // The reconciler makes just what is looked for.
    expect((await neededSchedules(db)).toSorted()).toEqual([...(await readSchedules(client)).keys()].toSorted());
    // Temporal did not answer: what was known stays.
    await look('schedules');
    expect(await healthOf('schedule', reflect)).toBe('ok');
  } finally {
    for await (const { scheduleId } of client.schedule.list()) await client.schedule.getHandle(scheduleId).delete();
    await connection.close();
  }
});

test('books that do not add up are failing at once; what the deploy kit brings is not set up', async () => {
  const { db } = store;
  await look('upkeep');
  expect([
    await healthOf('ledger', testOwner),
    await healthOf('backup', 'fleet'),
    await healthOf('certificate', 'edge'),
  ]).toEqual([
    'not_set_up: nobody has an account yet',
    'not_set_up: none was made yet: soulfra backup',
    'not_set_up: no box has been invited: nothing listens beyond this host',
  ]);
  await sql`insert into ledger_accounts (id, owner_id, kind, holder, currency) values (${newId('ledgerAccount')}, ${testOwner}, 'platform', '', 'EUR')`.execute(
    db,
  );
  await sql`insert into ledger_reconciliations (owner_id, period, accounts, transfers, entries, discrepancies) values (${testOwner}, 'p', 1, 1, 2, 3)`.execute(
    db,
  );
  await look('upkeep');
  expect(await healthOf('ledger', testOwner)).toBe(
    'failing: the last pass over the books found 3 places that do not add up',
  );
  expect(await changesOf('ledger', testOwner)).toEqual(['not_set_up → failing']);
});

test('a token that is in use and ends within a week is late, with a notice, and failing once it has ended', async () => {
  const { db } = store;
  const add = async (name: string, change: { expires: string; used?: string; made?: string }) => {
    const tokenId = newId('token');
    await sql`insert into tokens (id, owner_id, kind, role, name, hash, created_at, used_at, expires_at)
      values (${tokenId}, ${testOwner}, 'bearer', 'reader', ${name}, ${Buffer.from(tokenId)}, now() - ${change.made ?? '85 days'}::interval,
        now() - ${change.used ?? '1 hour'}::interval, now() + ${change.expires}::interval)`.execute(db);
    return tokenId;
  };
  const ending = await add('backup script', { expires: '5 days' });
  const others = [
    await add('later', { expires: '8 days' }),
    await add('unused', { expires: '5 days', used: '40 days' }),
    await add('short', { expires: '5 days', made: '1 day' }),
  ];
  await look('upkeep');
  expect(await healthOf('token', ending)).toMatch(/^late: backup script ends 20/);
  for (const other of others) expect(await healthOf('token', other)).toBe('none');
  expect(await noticesOf('token_ending')).toEqual([`${ending}: The token ${ending} ends`]);
  await sql`update tokens set expires_at = now() - interval '1 hour' where id = ${ending}`.execute(db);
  await look('upkeep');
  expect(await healthOf('token', ending)).toMatch(/^failing: backup script has ended/);
  await sql`update tokens set revoked_at = now() where id = ${ending}`.execute(db);
  await look('upkeep');
  expect([await healthOf('token', ending), ...(await noticesOf('token_ending'))]).toEqual(['none']);
});

test('what a look finds as it was is not written again, also of an agent that has just been changed', async () => {
  const versions = async () =>
    (
      await sql<{ version: string; lookAt: Date | null }>`
        select ctid::text || xmin::text as version, look_at from health where subject_kind = 'agent' order by subject_id`.execute(
        store.db,
      )
    ).rows;
  await sql`update agents set changed_at = now()`.execute(store.db);
  await look('agents', 2);
  const before = await versions();
  expect(before.length).toBeGreaterThan(1);
  expect(before[0]!.lookAt).not.toBeNull();
  await look('agents', 2);
  expect(await versions()).toEqual(before);
  // A run that ends puts off the time of its agent alone.
  await sql`update agents set created_at = now() - interval '1 hour'`.execute(store.db);
  await look('agents');
  const moved = await versions();
  await addRun(id);
  await look('agents');
  const after = await versions();
  expect(after.filter(({ version }, i) => version !== moved[i]!.version)).toHaveLength(1);
});

test('a look that is taken twice counts once, also at the same moment, and comes due by the database’s clock', async () => {
  await sql`update agents set created_at = now() - interval '9 days'`.execute(store.db);
  await look('agents');
  await Promise.all([health.look('agents'), health.look('agents'), health.look('agents')]);
  expect(await healthOf('agent', id)).toBe('ok');
  expect(await health.due()).not.toContain('agents');
  await sql`update health_looks set looked_at = now() - make_interval(secs => ${healthLooks.agents.everySeconds})`.execute(
    store.db,
  );
  expect(await health.due()).toContain('agents');
  const told = (await Promise.all([health.look('agents'), health.look('agents')])).flat();
  expect(told.filter((change) => change.id === id)).toHaveLength(1);
  expect(await healthOf('agent', id)).toMatch(/^failing/);
});

test('changes are kept as long as fleet.yaml says', async () => {
  await sql`insert into health_changes (owner_id, subject_kind, subject_id, to_state, reason, at)
    values (${testOwner}, 'agent', 'old', 'late', '', now() - interval '91 days'), (${testOwner}, 'agent', 'new', 'late', '', now() - interval '89 days')`.execute(
    store.db,
  );
  await applyRetention(store.db);
  expect([await changesOf('agent', 'old'), await changesOf('agent', 'new')]).toEqual([[], ['new → late']]);
});

test('a Schedule that acts in its time and whose workflows fail is named, with why', async () => {
  const { scope } = store;
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  const schedule = await client.schedule.create({
    scheduleId: weaveScheduleId,
    spec: { intervals: [{ every: '1 hour' }] },
    action: {
      type: 'startWorkflow',
      workflowType: 'weaveMemories',
      workflowId: 'weave',
      taskQueue: 'nobody-polls',
      args: [{}],
      workflowExecutionTimeout: '1 second',
    },
  });
  try {
    // Their ids are made of the second.
    for (let start = 1; start <= 3; start += 1) {
      await schedule.trigger(ScheduleOverlapPolicy.ALLOW_ALL);
      await until(
        `it has failed ${start} times`,
        async () => (await readSchedules(client)).get(weaveScheduleId)?.ends.length === start,
        20_000,
      );
    }
    const seen = await readSchedules(client);
    expect(seen.get(weaveScheduleId)).toMatchObject({ ends: ['failed', 'failed', 'failed'], lastFailure: 'timed out' });
    await look('schedules', 2, seen);
    expect(await healthOf('schedule', weaveScheduleId)).toBe(
      'failing: what it started the last 3 times failed: timed out',
    );
    expect(await noticesOf('schedule_failing')).toContain(
      `${weaveScheduleId}: The Schedule ${weaveScheduleId} does not act`,
    );
  } finally {
    await schedule.delete();
    await connection.close();
  }
});

test('a channel whose posts are only tried again is not well, whatever came of those before; one by which others come out is', async () => {
  const { db } = store;
  await sql`insert into channels (id, owner_id, kind, name, settings, destination, stage)
    values ('chn_x', ${testOwner}, 'discord', 'town', '{}', 'discord:town', 'free')`.execute(db);
  const post = (name: string, state: string, minutesAgo: number) =>
    sql`with d as (insert into drops (id, owner_id, title, body, content_hash, state, publish_at, begun_at, ended_at)
        values (${`drp_${name}`}, ${testOwner}, 't', 'b', '', ${state === 'pending' ? 'publishing' : 'published'}, now(), now(),
          case when ${state} <> 'pending' then now() end)),
      l as (insert into deliveries (id, owner_id, drop_id, channel_id, state, due_at, ended_at)
        values (${`dlv_${name}`}, ${testOwner}, ${`drp_${name}`}, 'chn_x', ${state}, now() - make_interval(mins => ${minutesAgo}),
          case when ${state} <> 'pending' then now() - make_interval(mins => ${minutesAgo}) end))
      insert into delivery_attempts (delivery_id, attempt, again, began_at, ended_at, outcome, reason)
        values (${`dlv_${name}`}, 1, 0, now() - make_interval(mins => ${minutesAgo}), now(),
          ${state === 'pending' ? 'deferred' : 'published'}, ${state === 'pending' ? 'it answered 503' : ''})`.execute(
      db,
    );
  await post('1', 'published', 500);
  await look('channels', 2);
  expect(await healthOf('channel', 'chn_x')).toBe('ok');
  await post('2', 'pending', 20);
  await look('channels', 2);
  expect(await healthOf('channel', 'chn_x')).toMatch(
    /^late: what should have left since .*Z has not: it answered 503$/,
  );
  await sql`update delivery_attempts set began_at = now() - interval '3 hours' where delivery_id = 'dlv_2'`.execute(db);
  await look('channels', 2);
  expect(await healthOf('channel', 'chn_x')).toMatch(/^failing: /);
  await post('3', 'published', 1);
  await look('channels', 2);
  expect(await healthOf('channel', 'chn_x')).toBe('ok');
  // Due, and nobody has tried: the worker of the channel does nothing.
  await sql`delete from deliveries where id = 'dlv_2'`.execute(db);
  await post('4', 'pending', 0);
  await sql`delete from delivery_attempts where delivery_id = 'dlv_4'`.execute(db);
  await sql`update deliveries set due_at = now() - interval '30 minutes' where id = 'dlv_4'`.execute(db);
  await sql`update deliveries set ended_at = now() - interval '1 hour' where id = 'dlv_3'`.execute(db);
  await look('channels', 2);
  expect(await healthOf('channel', 'chn_x')).toMatch(/^late: what should have left since/);
  // All that a person has stopped waits for nothing.
  await sql`insert into drop_stops (owner_id, stopped_at) values (${testOwner}, now())`.execute(db);
  await look('channels', 2);
  expect(await healthOf('channel', 'chn_x')).toBe('ok');
});

test('who is to be told and cannot be, and mail that no longer leaves, show among the channels', async () => {
  const { db } = store;
  await store.apply(toldFleet);
  await sql`insert into notifications (id, owner_id, destination, kind, key, content, state, attempts, reason, created_at, began_at)
    values ('ntf_x', ${testOwner}, 'phone', 'notices', 'k', '{}', 'sending', 9, 'it answered 500', now() - interval '3 hours', now())`.execute(
    db,
  );
  await sql`insert into mails (id, owner_id, key, template, template_version, queued_at)
    values ('mal_x', ${testOwner}, 'k', 'sign_in', 1, now() - interval '20 minutes')`.execute(db);
  await look('channels', 2);
  expect(await healthOf('channel', 'notify:phone')).toMatch(
    /^failing: what should have left since .*: it answered 500$/,
  );
  expect(await healthOf('channel', 'mail')).toMatch(/^late: what should have left since/);
  await sql`update notifications set state = 'sent', ended_at = now()`.execute(db);
  await sql`update mails set state = 'sent', ended_at = now()`.execute(db);
  await look('channels', 2);
  expect([await healthOf('channel', 'notify:phone'), await healthOf('channel', 'mail')]).toEqual(['ok', 'ok']);
});

test('a worker that answers nobody is not well, though no run waits', async () => {
  const lease = await machines.register('mainpc', worker);
  await machines.renew(lease, { polls: ['inference_24g_m'], planVersion: null, quietSeconds: 4_000 });
  await sql`insert into messages (id, owner_id, agent_id, conversation_id, author_id, author, text, content_hash, wanted_model_id,
      model_id, queue, created_at)
    values ('msg_x', ${testOwner}, ${id}, 'c', 'tok', 'Ada', 'Anybody?', '', 'm', 'm', 'inference_24g_m', now() - interval '5 minutes')`.execute(
    store.db,
  );
  await sql`update machines set progress_at = clock_timestamp() - interval '5 minutes' where id = 'mainpc'`.execute(
    store.db,
  );
  await look('machines', 2);
  expect(await healthOf('worker', 'mainpc')).toMatch(/^late: work waits for it, and it has completed nothing since/);
  await sql`delete from messages`.execute(store.db);
});
