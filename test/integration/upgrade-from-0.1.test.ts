import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { insightsStep } from '../../domain/messages.ts';
import type { ReflectionStep } from '../../domain/run-steps.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { migrate, missingMigrations } from '../../stores/migrate.ts';
import { createReflectionStore } from '../../stores/reflections.ts';
import { createStepResultStore } from '../../stores/step-results.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { testOwner } from '../support/store-scope.ts';

/** A database as 0.1.0 left it, filled by its own statements: agents of every state, ended runs, and one that was in hand. */

let scope: TestScope;
let old: pg.Client;
let db: Database;

const finished = 'run_01a10000-0000-7000-8000-000000000001';
const open = 'run_01a10000-0000-7000-8000-000000000002';
const reflection = 'ref_01a10000-0000-7000-8000-000000000003';
const memory = (n: number) => `mem_01a10000-0000-7000-8000-00000000010${n}`;

const filled = `
insert into users (id, name, role) values ('${testOwner}', 'test', 'operator');
insert into fleet_versions (owner_id, source, fleet) values ('${testOwner}', '', '{}');
insert into machines (id, owner_id, state, reason, epoch) values ('mainpc', '${testOwner}', 'ready', '', 3);
insert into agents (id, owner_id, name, archetype, persona, traits, mask_seed, state, cadence, model_id, least_class, may_degrade,
    priority, tokens_per_day, expected_tokens, memory_seq, reflected_to_seq, fleet_version)
  select id, '${testOwner}', id, 'heavy', 'Watches the harbour.', '{patient}', 1, state, '6h', 'm', '24g', true, 1, 1000, 100, seq, reflected, 1
  from (values ('anna', 'active', 4, 2), ('bert', 'parked', 0, 0), ('cleo', 'retired', 0, 0)) as v (id, state, seq, reflected);
insert into memories (id, owner_id, agent_id, seq, kind, text, importance, source, external_key, occurred_at)
  select id, '${testOwner}', 'anna', seq, 'observation', 'Ship ' || seq || ' came in.', importance, 'test', 'k' || seq, '2026-11-01T00:00Z'
  from (values ('${memory(1)}', 1, 4), ('${memory(2)}', 2, 7), ('${memory(3)}', 3, 5), ('${memory(4)}', 4, 5)) as v (id, seq, importance);
insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens,
    from_seq, to_seq, machine_id, tokens, reflections, started_at, ended_at)
  select id, '${testOwner}', 'anna', workflow, 'schedule', period, state, 'm', 'm', 'q', 100, from_seq, to_seq, 'mainpc', tokens, made,
    '2026-11-01T01:00Z', ended
  from (values
    ('${finished}', 'reflect:anna:p1', 'p1', 'done', 0, 2, 90, 1, '2026-11-01T01:01Z'::timestamptz),
    ('${open}', 'reflect:anna:p2', 'p2', 'running', 2, 4, null, 0, null)) as v (id, workflow, period, state, from_seq, to_seq, tokens, made, ended);
insert into reflections (id, owner_id, agent_id, run_id, ordinal, text, model_id, source, prompt_version, degraded, machine_id, tokens, seconds)
  values ('${reflection}', '${testOwner}', 'anna', '${finished}', 0, 'Ships come in pairs.', 'm', 'model', 'reflection/1', false, 'mainpc', 90, 2);
insert into reflection_evidence (reflection_id, ordinal, memory_id) values ('${reflection}', 0, '${memory(1)}'), ('${reflection}', 1, '${memory(2)}');
`;
const stepOf = (texts: string[], evidence: string[], left: string[]) => ({
  source: 'model',
  insights: texts.map((text) => ({ text, evidence })),
  refused: [],
  used: evidence,
  left,
  tokens: 80,
  promptVersion: 'reflection/1',
  repaired: false,
  modelId: 'm',
  machineId: 'mainpc',
  seconds: 3,
});

beforeAll(async () => {
  scope = await createTestScope({ migrated: false });
  old = new pg.Client({ connectionString: scope.databaseUrl });
  await old.connect();
  await runner({
    dbClient: old,
    dir: fileURLToPath(new URL('../../stores/migrations/', import.meta.url)),
    direction: 'up',
    count: 1,
    migrationsTable: 'migrations',
    log: () => undefined,
  });
  await old.query(filled);
  const store = 'insert into step_results (run_id, step, machine_id, epoch, result) values ($1, $2, $3, 3, $4)';
  const texts = stepOf(['Ships come in pairs.'], [memory(1), memory(2)], []);
  await old.query(store, [finished, 'insights', 'mainpc', JSON.stringify(texts)]);
  const inHand = stepOf(['The third ship was late.'], [memory(3)], [memory(4)]);
  await old.query(store, [open, 'insights', 'mainpc', JSON.stringify(inHand)]);
  await old.end();
  await migrate(scope.databaseUrl);
  db = createDatabase({ url: scope.databaseUrl, name: 'test', onIdleError: () => undefined });
});
afterAll(async () => {
  await db.destroy();
  await scope.close();
});

test('nothing is left to migrate, and a second start changes nothing', async () => {
  expect(await missingMigrations(scope.databaseUrl)).toEqual([]);
  expect(await migrate(scope.databaseUrl)).toEqual([]);
});

test('every agent is the first of a lineage, opens with its ego, and keeps its state', async () => {
  const agents = await db
    .selectFrom('agents')
    .select(['id', 'state', 'origin', 'parentId', 'lineageId', 'generation', 'retiredBy', 'importanceThreshold'])
    .orderBy('id')
    .execute();
  const first = { origin: 'fleet', parentId: null, generation: 0, importanceThreshold: 150 };
  expect(agents).toEqual([
    { ...first, id: 'anna', lineageId: 'anna', state: 'active', retiredBy: null },
    { ...first, id: 'bert', lineageId: 'bert', state: 'parked', retiredBy: null },
    { ...first, id: 'cleo', lineageId: 'cleo', state: 'retired', retiredBy: 'file' },
  ]);
  const ego = await db.selectFrom('egoEntries').select(['agentId', 'kind', 'amount']).orderBy('agentId').execute();
  expect(ego).toEqual(['anna', 'bert', 'cleo'].map((agentId) => ({ agentId, kind: 'opening', amount: 1_000_000 })));
});

test('a reflection is a memory above what it rests on, and does not make its agent due', async () => {
  const made = await db
    .selectFrom('memories')
    .select(['id', 'kind', 'text', 'seq', 'rev', 'depth', 'importance'])
    .where('agentId', '=', 'anna')
    .orderBy('seq')
    .execute();
  expect(made.map(({ seq, rev, depth }) => [seq, rev, depth])).toEqual([
    [1, 1, 0],
    [2, 2, 0],
    [3, 3, 0],
    [4, 4, 0],
    [5, 5, 1],
  ]);
  // The mean importance of what it rests on, 4 and 7, rounded up.
  expect(made[4]).toMatchObject({ kind: 'reflection', text: 'Ships come in pairs.', importance: 6 });
  const agent = await db
    .selectFrom('agents')
    .select(['memorySeq', 'memoryRev', 'livedSeq', 'reflectedToSeq'])
    .where('id', '=', 'anna')
    .executeTakeFirstOrThrow();
  expect(agent).toEqual({ memorySeq: 5, memoryRev: 5, livedSeq: 4, reflectedToSeq: 2 });
  const { memoryId } = await db
    .selectFrom('reflections')
    .select('memoryId')
    .where('id', '=', reflection)
    .executeTakeFirstOrThrow();
  expect(memoryId).toBe(made[4]!.id);
});

test('what was lived waits to be woven, and can be found by its words', async () => {
  const waiting = await db.selectFrom('unwovenMemories').select('memoryId').orderBy('memoryId').execute();
  expect(waiting.map(({ memoryId }) => memoryId)).toEqual([1, 2, 3, 4].map(memory));
});

describe('step results', () => {
  test('of runs that ended have lost their texts', async () => {
    expect(await createStepResultStore(db).read({ workId: finished, step: insightsStep })).toEqual({ tokens: 80 });
  });

  test('of a run in hand are stored as if this version had made them', async () => {
    const step = await createStepResultStore(db).read<ReflectionStep>({ workId: open, step: insightsStep });
    const stored = await createReflectionStore(db).complete({ runId: open, step: step!, repeated: [], mostDepth: 3 });
    expect(stored).toEqual({ state: 'done', reflections: 1, degraded: false });
    const made = await db
      .selectFrom('reflections as r')
      .innerJoin('memories as m', 'm.id', 'r.memoryId')
      .innerJoin('reflectionEvidence as e', 'e.reflectionId', 'r.id')
      .select(['m.text', 'm.depth', 'e.memoryId'])
      .where('r.runId', '=', open)
      .execute();
    expect(made).toEqual([{ text: 'The third ship was late.', depth: 1, memoryId: memory(3) }]);
    const run = await db
      .selectFrom('runs')
      .select(['state', 'tokens', 'modelCalls', 'reason'])
      .where('id', '=', open)
      .executeTakeFirstOrThrow();
    expect(run).toMatchObject({ state: 'done', tokens: 80, modelCalls: 1, reason: expect.stringContaining('1 memor') });
  });
});
