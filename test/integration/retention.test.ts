import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createRetentionStore } from '../../stores/retention.ts';
import { testFleet } from '../support/fleets.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

const day = 86_400;
let store: StoreScope;
beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet());
});
afterAll(() => store.close());

async function run(agentId: string, daysAgo: number): Promise<string> {
  const id = newId('run');
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens, ended_at)
    values (${id}, ${testOwner}, ${agentId}, ${id}, 'call', ${id}, 'done', 'light_q4', 'light_q4', 'q', 1, now() - make_interval(days => ${daysAgo}))`.execute(
    store.db,
  );
  await sql`insert into step_results (work_id, step, machine_id, epoch, result, stored_at)
    values (${id}, 'insights', 'pc2', 1, '{}', now() - make_interval(days => ${daysAgo}))`.execute(store.db);
  return id;
}
async function ids(table: 'runs' | 'step_results' | 'sweeps' | 'plans' | 'tokens', column: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select ${sql.ref(column)} as id from ${sql.table(table)}`.execute(
    store.db,
  );
  return rows.map((row) => row.id);
}

test('a fleet that was applied before a limit existed has its default', async () => {
  await sql`update fleet_versions set fleet = fleet #- '{retention,tokens}' #- '{retention,plans}'`.execute(store.db);
  expect((await createFleetStore(store.db).current())?.fleet.retention).toMatchObject({ plans: '365d', tokens: '30d' });
});

test('rows leave by their table’s retention; a run that a reflection rests on and an open notice stay', async () => {
  const old = await run('light-001', 400);
  const reflected = await run('light-002', 400);
  const recent = await run('light-003', 10);
  await sql`insert into reflections (id, owner_id, agent_id, run_id, ordinal, text, model_id, source, prompt_version, degraded, machine_id, tokens, seconds)
    values (${newId('reflection')}, ${testOwner}, 'light-002', ${reflected}, 0, 'it rests on this run', 'light_q4', 'model', 'v', false, 'pc2', 1, 1)`.execute(
    store.db,
  );
  await sql`insert into notices (id, owner_id, kind, key, subject, title, opened_at, resolved_at) values
    (${newId('notice')}, ${testOwner}, 'machine_lost', 'open', 's', 't', now() - interval '900 days', null),
    (${newId('notice')}, ${testOwner}, 'machine_lost', 'settled', 's', 't', now() - interval '900 days', now() - interval '800 days')`.execute(
    store.db,
  );
  await sql`update events set at = now() - interval '100 days'`.execute(store.db);

  await sql`insert into sweeps (id, owner_id, workflow_id, trigger, period, state, ended_at) values
    ('swp_old', ${testOwner}, 'w1', 'call', 'p', 'done', now() - interval '400 days'),
    ('swp_kept', ${testOwner}, 'w2', 'call', 'p', 'done', now() - interval '400 days')`.execute(store.db);
  await sql`update runs set sweep_id = 'swp_kept' where id = ${reflected}`.execute(store.db);
  await sql`delete from plans`.execute(store.db);
  await sql`insert into plans (owner_id, state, reason, plan, created_at) values
    (${testOwner}, 'superseded', 'old', null, now() - interval '900 days'),
    (${testOwner}, 'superseded', 'in force until today', '{}', now() - interval '400 days'),
    (${testOwner}, 'applied', 'in force', '{}', now())`.execute(store.db);
  await sql`insert into tokens (id, owner_id, kind, role, hash, expires_at, revoked_at) values
    ('tok_revoked', ${testOwner}, 'bearer', 'reader', '1', null, now() - interval '40 days'),
    ('tok_expired', ${testOwner}, 'once', 'reader', '2', now() - interval '40 days', null),
    ('tok_lasting', ${testOwner}, 'bearer', 'reader', '3', null, null)`.execute(store.db);

  const retention = createRetentionStore(store.db);
  const keep = {
    events: 90 * day,
    runs: 365 * day,
    stepResults: 30 * day,
    notices: 365 * day,
    plans: 365 * day,
    tokens: 30 * day,
    sourceItems: 90 * day,
    driftRatings: 365 * day,
    clusterRuns: 365 * day,
  };
  while ((await retention.deleteBatch(keep)) > 0);
  expect((await ids('runs', 'id')).sort()).toEqual([reflected, recent].sort());
  expect(await ids('step_results', 'work_id')).toEqual([recent]);
  expect(await ids('runs', 'id')).not.toContain(old);
  const notices = await store.db.selectFrom('notices').select('key').execute();
  expect(notices.map((notice) => notice.key)).toEqual(['open']);
  expect(await ids('sweeps', 'id')).toEqual(['swp_kept']);
  expect(await ids('plans', 'reason')).toEqual(['in force until today', 'in force']);
  expect(await ids('tokens', 'id')).toEqual(['tok_revoked', 'tok_lasting']);
  expect(await store.db.selectFrom('events').select('id').execute()).toEqual([]);
});
