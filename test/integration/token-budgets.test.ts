import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { budgetsSchema, type TokenBudgets } from '../../domain/token-budgets.ts';
import { createTokenBudgetStore, listTokenDay, type TokenBudgetStore } from '../../stores/token-budgets.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { testFleet } from '../support/fleets.ts';
import { plainMemories } from '../support/memories.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { createScriptedText } from '../support/scripted-text.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: Stage;
let store: TokenBudgetStore;
let budgets: TokenBudgets = budgetsSchema.parse({});
const model = createScriptedText();

beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 12 });
  fleet.budgets = budgetsSchema.parse({ agents: { 'light-001': 1 } });
  stage = await openStage(fleet);
  await stage.join('pc2', createScriptedInference(), { text: model });
  await stage.plan();
  store = createTokenBudgetStore(stage.db, () => budgets);
});
afterAll(() => stage?.close());

async function taken(subject: string): Promise<number | undefined> {
  const rows = await listTokenDay(stage.db, { ownerId: testOwner, limit: 100 });
  return rows.find((row) => row.subject === subject)?.tokens;
}

test('calls at once overshoot a budget by no more than one of them has reserved', async () => {
  budgets = budgetsSchema.parse({ agents: { 'light-002': 1_000 } });
  const asked = Array.from({ length: 12 }, (_, i) =>
    store.reserve({ key: `at-once/${i}`, agentId: 'light-002', most: 300 }),
  );
  const outcomes = await Promise.allSettled(asked);
  const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason as { code: string }] : []));
  expect(outcomes.length - refused.length).toBe(4);
  expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['TOKENS_SPENT']));
  expect(await taken('light-002')).toBe(1_200);
});

test('a step counts once, however often it is reserved, settled or run again after its result was lost', async () => {
  budgets = budgetsSchema.parse({});
  const spend = { key: 'twice/1', agentId: 'light-003', most: 500 };
  await store.reserve(spend);
  await store.reserve(spend);
  expect(await taken('light-003')).toBe(500);
  await store.settle(spend.key, 120);
  await store.settle(spend.key, 999);
  await store.reserve(spend);
  await store.release(spend.key);
  await store.settle(spend.key, 999);
  expect(await taken('light-003')).toBe(120);
});

test('an attempt that is given up late does not take back what the one after it has reserved', async () => {
  const spend = { key: 'late/1', agentId: 'light-011', most: 500 };
  await store.reserve(spend);
  await store.reserve(spend);
  await store.release(spend.key);
  expect(await taken('light-011')).toBe(500);
  await store.settle(spend.key, 80);
  expect(await taken('light-011')).toBe(80);
});

test('what was not done gives back what it had reserved', async () => {
  const spend = { key: 'undone/1', agentId: 'light-004', most: 500 };
  await store.reserve(spend);
  await store.release(spend.key);
  expect(await taken('light-004')).toBe(0);
  await store.reserve(spend);
  expect(await taken('light-004')).toBe(500);
});

test('an archetype is counted over its agents, a service by the name of its token', async () => {
  const { id } = await createPrincipalStore(stage.db).issue({
    ownerId: testOwner,
    kind: 'bearer',
    role: 'member',
    name: 'shop',
  });
  const before = (await taken('light'))!;
  budgets = budgetsSchema.parse({ services: { shop: 100 }, archetypes: { light: before + 250 } });
  await store.reserve({ key: 'shop/1', agentId: 'light-005', askedBy: id, most: 100 });
  const again = store.reserve({ key: 'shop/2', agentId: 'light-006', askedBy: id, most: 100 });
  await expect(again).rejects.toThrow('100 of 100 tokens of service shop are spent or reserved today (UTC)');
  // Nothing of what was refused stays.
  expect([await taken('light-006'), await taken('light'), await taken('shop')]).toEqual([undefined, before + 100, 100]);
  await store.reserve({ key: 'own/1', agentId: 'light-006', most: 100 });
  await store.reserve({ key: 'own/2', agentId: 'light-007', most: 100 });
  await expect(store.reserve({ key: 'own/3', agentId: 'light-008', most: 1 })).rejects.toThrow('archetype light');
});

test('a person is told once a day, also where they have settled it', async () => {
  const told = async () =>
    (
      await sql<{
        count: number;
      }>`select count(*)::int as count from notices where kind = 'tokens_spent' and subject = 'shop'`.execute(stage.db)
    ).rows[0]!.count;
  expect(await told()).toBe(1);
  budgets = budgetsSchema.parse({ services: { shop: 100 } });
  await sql`update notices set resolved_at = now() where subject = 'shop'`.execute(stage.db);
  const { id } = await stage.db.selectFrom('tokens').select('id').where('name', '=', 'shop').executeTakeFirstOrThrow();
  await expect(store.reserve({ key: 'shop/3', agentId: 'light-009', askedBy: id, most: 1 })).rejects.toThrow(
    'service shop',
  );
  expect(await told()).toBe(1);
});

test('an agent answers until its tokens are spent; then no model is asked, and the reason stands with the message', async () => {
  await stage.remember(plainMemories(['light-001', 'light-010'], 3));
  const first = await stage.say('light-001', 'What do you remember?');
  await first.result();
  const answered = (await stage.message(first.messageId))!;
  expect(answered.state).toBe('answered');
  expect(await taken('light-001')).toBe(answered.tokens);
  const calls = model.calls.length;
  const second = await stage.say('light-001', 'And what else?');
  await second.result().catch(() => undefined);
  expect(await stage.message(second.messageId)).toMatchObject({
    state: 'failed',
    reason: expect.stringContaining('tokens of agent light-001 are spent'),
  });
  expect(model.calls.length).toBe(calls);
  const other = await stage.say('light-010', 'What do you remember?');
  await other.result();
  expect((await stage.message(other.messageId))!.state).toBe('answered');
});
