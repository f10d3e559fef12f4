import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import type { NewPurchase } from '../../stores/purchases.ts';
import type { PurchaseLicenseResult } from '../../workflows/purchase-license.ts';
import { addPerson, openShop, type Person, type Shop } from '../support/market.ts';
import { scriptedPayments } from '../support/scripted-payments.ts';

/** Who may buy: a user with a verified address, or their agent within its budget; by credits and by a provider. */
let shop: Shop;
let listing: string;
/** Who runs the marketplace and has agents; a token with which nobody sets a budget. */
let owner: Person;
const payments = scriptedPayments();
beforeAll(async () => {
  shop = await openShop({ providers: { scripted: payments.provider } });
  listing = await shop.list();
  owner = { ownerId: shop.api.ownerId, token: shop.api.tokens.member };
  await shop.grant(owner.ownerId, 1_000_000);
}, 60_000);
afterAll(() => shop?.close(), 60_000);

const purchase = (ownerId: string, payment: string, buyerAgentId?: string): NewPurchase => ({
  purchaseId: newId('purchase'),
  ownerId,
  listingId: listing,
  licenseKind: 'personal',
  payment,
  requestHash: 'ab',
  madeBy: 'tok_test',
  ...(buyerAgentId === undefined ? {} : { buyerAgentId }),
});
/** The first step of each way to buy, as a worker runs it for a request that was let through before. */
const begin = (input: NewPurchase) =>
  input.payment === 'credits' ? shop.activities.settleByCredits(input) : shop.activities.openPurchase(input);
const rowOf = (id: string) =>
  shop.db
    .selectFrom('purchases')
    .select(['state', 'reasonCode', 'reason', 'licenseId'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
const setBudget = (agent: string, amount: number, currency = 'EUR') =>
  shop.api.call('POST', `/v1/agents/${agent}/budgets`, { body: { amount, currency } });
async function budgetOf(agent: string, currency = 'EUR') {
  const { json } = await shop.api.call('GET', `/v1/agents/${agent}/budgets`, { token: shop.api.tokens.reader });
  return json.items.find((item) => item['currency'] === currency);
}
/** Asked again, as a caller does whom the worker keeps waiting for longer than the request. */
async function through(options: { by: Person; key: string; buyerAgentId: string }) {
  for (;;) {
    const answer = await shop.buy(listing, options);
    if (answer.status !== 202) return answer;
  }
}

test.each(['credits', 'scripted'])('an unverified or deleted user buys nothing by %s', async (payment) => {
  const person = await addPerson(shop.db, 'unverified');
  await shop.grant(person.ownerId, 5_000);
  await sql`update users set verified_at = null where id = ${person.ownerId}`.execute(shop.db);
  const before = await shop.api.rowCounts();
  expect((await shop.buy(listing, { by: person })).json).toMatchObject({ status: 403, code: 'ADDRESS_NOT_VERIFIED' });
  const dry = await shop.api.call('POST', '/v1/purchases?dryRun=true', {
    body: { listingId: listing, kind: 'personal' },
    headers: { 'idempotency-key': 'dry' },
    token: person.token,
  });
  expect(dry.json['code']).toBe('ADDRESS_NOT_VERIFIED');
  expect(await shop.api.rowCounts()).toEqual(before);
  // Let through before the address was another's: the transaction asks again.
  const late = purchase(person.ownerId, payment);
  expect(await begin(late)).toMatchObject({ state: 'canceled', licenseId: null });
  expect(await rowOf(late.purchaseId)).toMatchObject({ reasonCode: 'ADDRESS_NOT_VERIFIED', licenseId: null });
  expect((await shop.balances('credits'))[person.ownerId]).toBe(5_000);
  await sql`update users set deleted_at = now(), address = null where id = ${person.ownerId}`.execute(shop.db);
  const gone = purchase(person.ownerId, payment);
  expect(await begin(gone)).toMatchObject({ state: 'canceled' });
  expect(await rowOf(gone.purchaseId)).toMatchObject({ reasonCode: 'NOT_FOUND' });
  await sql`update users set deleted_at = null, address = ${`${person.ownerId}@people.example`}, verified_at = now()
    where id = ${person.ownerId}`.execute(shop.db);
  expect(await begin(purchase(person.ownerId, payment))).toMatchObject({
    state: payment === 'credits' ? 'completed' : 'pending',
  });
});

test('who runs the marketplace buys without an address; an agent buys within its budget, for its owner who pays', async () => {
  expect((await shop.buy(listing, { by: owner })).status).toBe(201);
  const { json: none } = await shop.buy(listing, { by: owner, buyerAgentId: 'vesper-002' });
  expect(none).toMatchObject({ status: 409, code: 'BUDGET_EXCEEDED', detail: 'vesper-002 has no budget in EUR' });
  expect((await setBudget('vesper-002', 2_500)).json).toMatchObject({ amount: 2_500, spent: 0 });
  const credits = (await shop.balances('credits'))[owner.ownerId]!;
  const { status, json } = await shop.buy(listing, { by: owner, buyerAgentId: 'vesper-002' });
  expect({ status, agent: json['buyerAgentId'], buyer: json['buyer'] }).toEqual({
    status: 201,
    agent: 'vesper-002',
    buyer: owner.ownerId,
  });
  expect((await shop.balances('credits'))[owner.ownerId]).toBe(credits - 1_000);
  expect(await budgetOf('vesper-002')).toMatchObject({ amount: 2_500, spent: 1_000 });
  await shop.buy(listing, { by: owner, buyerAgentId: 'vesper-002' });
  const { json: over } = await shop.buy(listing, { by: owner, buyerAgentId: 'vesper-002' });
  expect(over['detail']).toBe('it costs 10.00 EUR, and vesper-002 may spend 5.00 EUR more this month');
  // Of another currency, of another agent, and of what the owner buys alone.
  expect((await shop.buy(listing, { by: owner, buyerAgentId: 'vesper-003' })).json['code']).toBe('BUDGET_EXCEEDED');
  expect((await shop.buy(listing, { by: owner })).status).toBe(201);
  await setBudget('vesper-003', 100_000, 'USD');
  expect((await shop.buy(listing, { by: owner, buyerAgentId: 'vesper-003' })).json['code']).toBe('BUDGET_EXCEEDED');
});

test.each([
  ['credits', 'completed'],
  ['scripted', 'pending'],
])('at once by %s an agent never spends more than its budget', async (payment, state) => {
  const agent = payment === 'credits' ? 'vesper-001' : 'vesper-002';
  const spent = ((await budgetOf(agent))?.['spent'] as number | undefined) ?? 0;
  await setBudget(agent, spent + 3_999);
  const asked = Array.from({ length: 40 }, () => purchase(owner.ownerId, payment, agent));
  const ends = await Promise.all(asked.map(begin));
  expect(ends.filter((end) => end.state === state)).toHaveLength(3);
  const refused = asked.filter((_, i) => ends[i]!.state === 'canceled');
  for (const { purchaseId } of refused) expect((await rowOf(purchaseId)).reasonCode).toBe('BUDGET_EXCEEDED');
  expect(await budgetOf(agent)).toMatchObject({ spent: spent + 3_000 });
  // Done again, each is what it was.
  expect(await Promise.all(asked.map(begin))).toEqual(ends);
  expect(await budgetOf(agent)).toMatchObject({ spent: spent + 3_000 });
});

test('100 equal keys on the last of a budget are one purchase and 100 equal answers', async () => {
  const spent = (await budgetOf('vesper-001'))!['spent'] as number;
  await setBudget('vesper-001', spent + 1_000);
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => through({ by: owner, key: 'last', buyerAgentId: 'vesper-001' })),
  );
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(await budgetOf('vesper-001')).toMatchObject({ spent: spent + 1_000 });
});

test('what came to nothing is free again, what was bought in another month does not count', async () => {
  const agent = 'vesper-003';
  await setBudget(agent, 1_000);
  const first = purchase(owner.ownerId, 'scripted', agent);
  await begin(first);
  expect(await begin(purchase(owner.ownerId, 'credits', agent))).toMatchObject({ state: 'canceled' });
  await shop.activities.beginUndo({ purchaseId: first.purchaseId });
  await shop.activities.voidPayment({ purchaseId: first.purchaseId });
  await shop.activities.endPurchase({ purchaseId: first.purchaseId, state: 'canceled', code: 'CONFLICT', reason: '' });
  const sold = await through({ by: owner, key: 'free-again', buyerAgentId: agent });
  expect(sold.status).toBe(201);
  expect((await through({ by: owner, key: 'too-much', buyerAgentId: agent })).json['code']).toBe('BUDGET_EXCEEDED');
  await sql`update purchases set created_at = date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' - interval '1 second'
    where buyer_agent_id = ${agent}`.execute(shop.db);
  expect(await budgetOf(agent)).toMatchObject({ spent: 0 });
  const input = purchase(owner.ownerId, 'scripted', agent);
  const result = (await shop.client.workflow.execute('purchaseLicense', {
    workflowId: purchaseWorkflowId(input.purchaseId),
    taskQueue: coordinationQueue,
    args: [input],
  })) as PurchaseLicenseResult;
  expect(result).toMatchObject({ state: 'completed' });
  expect(await budgetOf(agent)).toMatchObject({ spent: 1_000 });
});

test('only who owns an agent, with the role for it, sets its budget', async () => {
  const body = { amount: 5, currency: 'EUR' };
  const url = '/v1/agents/vesper-001/budgets';
  expect((await shop.api.call('POST', url, { body, token: shop.api.tokens.creator })).json['code']).toBe('FORBIDDEN');
  expect((await shop.api.call('POST', url, { body, token: shop.api.stranger.token })).status).toBe(404);
  expect((await shop.api.call('GET', url, { token: shop.api.stranger.token })).status).toBe(404);
  const before = await budgetOf('vesper-001');
  const dry = await shop.api.call('POST', `${url}?dryRun=true`, { body });
  expect(dry.json).toEqual({ dryRun: true, would: 'let vesper-001 spend 0.05 EUR a month' });
  expect(await budgetOf('vesper-001')).toEqual(before);
});
