import { MockActivityEnvironment } from '@temporalio/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRetentionActivities } from '../../activities/retention.ts';
import { contentHash, createEmbeddingStore } from '../../stores/embeddings.ts';
import { newId } from '../../stores/ids.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { resolveNotice } from '../../stores/notices.ts';
import { inboxClearSince } from '../../stores/queries/notices.ts';
import { createRetentionStore } from '../../stores/retention.ts';
import { createUnsaidVectorStore } from '../../stores/unsaid-vectors.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { testFleet } from '../support/fleets.ts';
import { applyRetention } from '../support/retention.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

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
async function refusedWhisper(id: string, daysAgo: number, retryOf: string | null = null): Promise<void> {
  await sql`insert into whispers (id, owner_id, source, parent_id, lineage_id, text, state, reason_code, reason, retry_of,
      requested_by, request_id, body_hash, received_at, ended_at)
    values (${id}, ${testOwner}, 'api', 'light-001', 'light-001', 'a', 'refused', 'FLEET_RATE', 'why', ${retryOf},
      'test', ${id}, '', now(), now() - make_interval(days => ${daysAgo}))`.execute(store.db);
}
async function ids(
  table: 'whispers' | 'runs' | 'step_results' | 'sweeps' | 'plans' | 'tokens',
  column: string,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`select ${sql.ref(column)} as id from ${sql.table(table)}`.execute(
    store.db,
  );
  return rows.map((row) => row.id);
}

test('a fleet that was applied before a limit existed has its default', async () => {
  await sql`update fleet_versions set fleet = fleet #- '{retention,tokens}' #- '{retention,plans}'`.execute(store.db);
  expect((await createFleetStore(store.db).current())?.fleet.retention).toMatchObject({ plans: '365d', tokens: '30d' });
});

const lastSettled = new Date(Date.now() - 700 * 86_400_000).toISOString();

test('rows leave by their table’s retention; a run that a reflection rests on and an open notice stay', async () => {
  const old = await run('light-001', 400);
  const reflected = await run('light-002', 400);
  const recent = await run('light-003', 10);
  for (const runId of [old, reflected])
    await sql`insert into run_calls (run_id, ordinal, step, source, model_id, machine_id, prompt_version, model_calls, tokens, seconds, prompt)
      values (${runId}, 0, 'focus-1', 'model', 'light_q4', 'pc2', 'v', 1, 1, 1, '{}')`.execute(store.db);
  const memoryId = newId('memory');
  await sql`insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, content_hash, depth)
    values (${memoryId}, ${testOwner}, 'light-002', 1, 1, 'reflection', 'it rests on this run', 5, 'reflection', 'k', now(), '', 1)`.execute(
    store.db,
  );
  await sql`insert into reflections (id, owner_id, agent_id, run_id, ordinal, text, memory_id, model_id, source, prompt_version, degraded, machine_id, tokens, seconds)
    values (${newId('reflection')}, ${testOwner}, 'light-002', ${reflected}, 0, 'it rests on this run', ${memoryId}, 'light_q4', 'model', 'v', false, 'pc2', 1, 1)`.execute(
    store.db,
  );
  await sql`insert into notices (id, owner_id, kind, key, subject, title, opened_at, resolved_at) values
    (${newId('notice')}, ${testOwner}, 'machine_lost', 'open', 's', 't', now() - interval '900 days', null),
    (${newId('notice')}, ${testOwner}, 'machine_lost', 'settled', 's', 't', now() - interval '900 days', now() - interval '800 days'),
    (${newId('notice')}, ${testOwner}, 'machine_lost', 'settled last', 's', 't', now() - interval '900 days', ${lastSettled})`.execute(
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

  await refusedWhisper('whi_old', 200);
  await refusedWhisper('whi_named', 200);
  await refusedWhisper('whi_recent', 2, 'whi_named');
  await applyRetention(store.db);
  expect((await ids('runs', 'id')).sort()).toEqual([reflected, recent].sort());
  expect(await ids('step_results', 'work_id')).toEqual([recent]);
  expect(await ids('runs', 'id')).not.toContain(old);
  const notices = await store.db.selectFrom('notices').select('key').execute();
  expect(notices.map((notice) => notice.key).sort()).toEqual(['open', 'settled last']);
  // An empty inbox goes on saying since when.
  await resolveNotice(store.db, 'open');
  await sql`update notices set resolved_at = ${lastSettled}::timestamptz - interval '1 day' where key = 'open'`.execute(
    store.db,
  );
  await applyRetention(store.db);
  expect(await inboxClearSince(store.db, testOwner)).toBe(lastSettled);
  expect((await ids('whispers', 'id')).sort()).toEqual(['whi_named', 'whi_recent']);
  expect(await ids('sweeps', 'id')).toEqual(['swp_kept']);
  expect(await ids('plans', 'reason')).toEqual(['in force until today', 'in force']);
  expect(await ids('tokens', 'id')).toEqual(['tok_revoked', 'tok_lasting']);
  expect(await store.db.selectFrom('events').select('id').execute()).toEqual([]);
});

test('vectors that nothing says any more leave, page by page; who dies on the way goes on from there', async () => {
  await sql`delete from embeddings`.execute(store.db);
  const memories = createMemoryStore(store.db);
  const texts = Array.from({ length: 23 }, (_, i) => `what the harbour saw, part ${i}`);
  await memories.add(
    testOwner,
    texts.map((text, i) => ({
      agentId: 'light-001',
      externalKey: `vector-${i}`,
      kind: 'observation' as const,
      text,
      importance: 5,
      source: 'test',
      occurredAt: '2026-01-01T00:00:00.000Z',
    })),
  );
  const { persona } = await store.db.selectFrom('agents').select('persona').limit(1).executeTakeFirstOrThrow();
  const ahead = ['said by nobody', 'said by nobody yet'];
  const rows = [...texts, persona, ...ahead].map((text) => ({
    ownerId: testOwner,
    contentHash: contentHash(text),
    vector: new Float32Array([1, 0]),
  }));
  const embeddings = createEmbeddingStore(store.db);
  // Of two models, and so many at the same moment that pages end among them.
  for (const model of ['m1', 'm2']) await embeddings.putAhead(model, rows);
  await sql`update embeddings set created_at = '2026-01-01 00:00:00.123456'`.execute(store.db);
  await sql`update embeddings set created_at = now() where content_hash = ${contentHash(ahead[1]!)}`.execute(store.db);
  const taken = [3, 4, 17];
  for (const i of taken) {
    const { id } = await store.db
      .selectFrom('memories')
      .select('id')
      .where('text', '=', texts[i]!)
      .executeTakeFirstOrThrow();
    await memories.delete(testOwner, id, 'a mistake');
  }
  const inPages = createUnsaidVectorStore(store.db, 5);
  let pages = 0;
  const dying = createRetentionActivities({
    retention: createRetentionStore(store.db),
    unsaidVectors: {
      deletePage(after) {
        pages += 1;
        return pages === 4 ? Promise.reject(new Error('killed')) : inPages.deletePage(after);
      },
    },
    fleet: () => Promise.reject(new Error('not asked')),
  });
  const first = new MockActivityEnvironment();
  let details: unknown;
  first.on('heartbeat', (told: unknown) => {
    details = told;
  });
  await expect(first.run(() => dying.deleteUnsaidVectors())).rejects.toThrow('killed');
  const again = new MockActivityEnvironment({ attempt: 2, heartbeatDetails: details });
  // Three that were deleted and one that was never said, of both models; the fresh one is left for tomorrow.
  expect(await again.run(() => dying.deleteUnsaidVectors())).toEqual({ deleted: 8 });
  // 52 old vectors are eleven pages, one of them tried twice.
  expect(pages).toBe(12);
  const left = await store.db.selectFrom('embeddings').select(['model', 'contentHash']).execute();
  const kept = [...texts.filter((_, i) => !taken.includes(i)), persona, ahead[1]!];
  const named = (text: string, model: string) => `${model} ${contentHash(text).toString('hex')}`;
  expect(left.map(({ model, contentHash: hash }) => `${model} ${hash.toString('hex')}`).sort()).toEqual(
    kept.flatMap((text) => [named(text, 'm1'), named(text, 'm2')]).sort(),
  );
});
