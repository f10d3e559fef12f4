import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import type { Answer } from '../support/api.ts';
import { addPerson, openShop, type Person, type Shop } from '../support/market.ts';
import { smallFleet } from '../support/small-fleet.ts';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
}, 60_000);
afterAll(() => shop?.close(), 60_000);

const get = (url: string, token: string) => shop.api.call('GET', url, { token });
async function rich(amount: number, currency = 'EUR'): Promise<Person> {
  const person = await addPerson(shop.db, 'rich');
  await shop.grant(person.ownerId, amount, currency);
  return person;
}
/** Asked again, as a caller does whom the worker keeps waiting for longer than the request. */
async function through(listing: string, options: { by: Person; key: string }): Promise<Answer> {
  for (;;) {
    const answer = await shop.buy(listing, options);
    if (answer.status !== 202) return answer;
  }
}
async function transfersOf(purchaseId: string): Promise<string[]> {
  const rows = await shop.db.selectFrom('ledgerTransfers').select('id').where('purchaseId', '=', purchaseId).execute();
  return rows.map(({ id }) => id);
}

test('buying with credits brings an active license and splits the price 70 / 20 / 10 to the last unit', async () => {
  const [first, second] = [await addPerson(shop.db, 'first'), await addPerson(shop.db, 'second')];
  const by = await rich(1_000);
  const listing = await shop.list({
    price: { amount: 999, currency: 'EUR' },
    kinds: ['personal', 'commercial'],
    creators: [
      { userId: first.ownerId, weight: 3_333 },
      { userId: second.ownerId, weight: 3_333 },
      { userId: shop.seller.ownerId, weight: 3_334 },
    ],
  });
  const bought = await shop.buy(listing, { by, key: 'whole', buyerAgentId: undefined });
  expect(bought.status).toBe(201);
  expect(bought.json).toMatchObject({
    state: 'completed',
    buyer: by.ownerId,
    seller: shop.seller.ownerId,
    licenseKind: 'personal',
    contentHash: shop.contentHash,
    price: { amount: 999, currency: 'EUR' },
    // 699.3, 199.8 and 99.9; of 699 each third is 233.
    split: {
      creators: [
        { userId: first.ownerId, amount: 233 },
        { userId: second.ownerId, amount: 233 },
        { userId: shop.seller.ownerId, amount: 233 },
      ],
      platform: 200,
      blessings: 100,
      tax: 0,
    },
  });
  const { id, licenseId } = bought.json as unknown as Record<string, string>;
  expect(bought.headers['location']).toBe(`/v1/purchases/${id}`);
  const links = shop.api.linksTo(purchaseWorkflowId(id!));
  expect(bought.json['links']).toEqual(links);
  expect((await get(`/v1/purchases/${id}`, by.token)).json['links']).toEqual(links);
  expect((await get(`/v1/licenses/${licenseId}`, by.token)).json).toMatchObject({
    state: 'active',
    holder: by.ownerId,
    issuer: shop.seller.ownerId,
    kind: 'personal',
    packageHash: shop.contentHash,
    purchaseId: id,
  });
  expect((await shop.balances('credits'))[by.ownerId]).toBe(1);
  expect(await shop.balances('creator')).toMatchObject({ [first.ownerId]: 233, [second.ownerId]: 233 });
  expect(await transfersOf(id!)).toEqual([`sale:${id}`]);
  // What was frozen stays.
  const etag = (await get(`/v1/listings/${listing}`, shop.seller.token)).headers['etag'] as string;
  await shop.api.call('PATCH', `/v1/listings/${listing}`, {
    token: shop.seller.token,
    headers: { 'if-match': etag },
    body: { price: { amount: 5_000, currency: 'EUR' } },
  });
  expect((await get(`/v1/purchases/${id}`, by.token)).json).toEqual(bought.json);
  const { json } = await get(`/v1/purchases?as=seller&listingId=${listing}`, shop.seller.token);
  expect(json.items.map((item) => item['id'])).toEqual([id]);
}, 30_000);

test('100 equal keys are one charge, one license and 100 equal answers; another body under the key is refused', async () => {
  const by = await rich(5_000);
  const listing = await shop.list();
  const answers = await Promise.all(Array.from({ length: 100 }, () => through(listing, { by, key: 'same' })));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(answers.filter(({ headers }) => headers['idempotent-replayed'] === undefined)).toHaveLength(1);
  expect((await shop.balances('credits'))[by.ownerId]).toBe(4_000);
  const id = answers[0]!.json['id'] as string;
  expect(await transfersOf(id)).toEqual([`sale:${id}`]);
  const licenses = await shop.db.selectFrom('licenses').select('id').where('ownerId', '=', by.ownerId).execute();
  expect(licenses).toHaveLength(1);
  const before = await shop.api.rowCounts();
  for (const other of [{ kind: 'unlimited' }, { price: { amount: 1000, currency: 'EUR' } }])
    expect((await shop.buy(listing, { by, key: 'same', ...other })).json).toMatchObject({
      status: 409,
      code: 'CONFLICT',
    });
  expect(await shop.api.rowCounts()).toEqual(before);
  // The same key of somebody else is another purchase.
  expect((await shop.buy(listing, { by: await rich(1_000), key: 'same' })).json['id']).not.toBe(id);
}, 60_000);

test('100 at once with credits for three are three sales; the others are canceled with nothing half', async () => {
  const by = await rich(3_500);
  const listing = await shop.list();
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => through(listing, { by, key: `crowd-${i}` })));
  const sold = answers.filter(({ status }) => status === 201);
  expect(sold).toHaveLength(3);
  const refused = answers.filter(({ status }) => status === 409);
  expect(refused).toHaveLength(97);
  expect(new Set(refused.map(({ json }) => json['code']))).toEqual(new Set(['BALANCE_TOO_LOW']));
  expect((await shop.balances('credits'))[by.ownerId]).toBe(500);
  const rows = await shop.db
    .selectFrom('purchases')
    .select(['state', 'reasonCode', 'licenseId'])
    .where('ownerId', '=', by.ownerId)
    .execute();
  const canceled = rows.filter(({ state }) => state === 'canceled');
  expect(canceled).toHaveLength(97);
  expect(new Set(canceled.map(({ reasonCode, licenseId }) => `${reasonCode} ${licenseId}`))).toEqual(
    new Set(['BALANCE_TOO_LOW null']),
  );
  const licenses = await shop.db.selectFrom('licenses').select('id').where('ownerId', '=', by.ownerId).execute();
  expect(licenses).toHaveLength(3);
  // A canceled purchase stays so under its key.
  await shop.grant(by.ownerId, 10_000);
  const again = await shop.buy(listing, { by, key: `crowd-${answers.findIndex(({ status }) => status === 409)}` });
  expect(again.json['code']).toBe('BALANCE_TOO_LOW');
}, 90_000);

test.each([
  ['JPY', 999, { creators: 699, platform: 200, blessings: 100 }],
  ['KWD', 1_234, { creators: 864, platform: 247, blessings: 123 }],
  ['USD', 201, { creators: 141, platform: 40, blessings: 20 }],
])('%s %i is split without a unit lost', async (currency, amount, parts) => {
  const by = await rich(amount, currency);
  const listing = await shop.list({ price: { amount, currency } });
  const { status, json } = await through(listing, { by, key: `split-${currency}` });
  expect(status).toBe(201);
  const split = json['split'] as { creators: Array<{ amount: number }>; platform: number; blessings: number };
  expect({ ...split, creators: split.creators[0]!.amount }).toMatchObject(parts);
  expect(await shop.balances('credits', currency)).not.toHaveProperty(by.ownerId);
  const { rows } = await sql<{ sum: number }>`
    select sum(balance)::int as sum from ledger_accounts where currency = ${currency}`.execute(shop.db);
  expect(rows[0]!.sum).toBe(0);
});

test('what is paused, changed in price or not offered so is not sold, and nothing of it stays but why', async () => {
  const by = await rich(10_000);
  const listing = await shop.list();
  const dearer = await shop.buy(listing, { by, price: { amount: 900, currency: 'EUR' } });
  expect(dearer.json).toMatchObject({ status: 409, code: 'CONFLICT' });
  expect(dearer.json['detail']).toContain('costs 10.00 EUR by now, not 9.00 EUR');
  expect((await shop.buy(listing, { by, kind: 'unlimited' })).json).toMatchObject({
    status: 400,
    errors: [{ path: 'kind' }],
  });
  // The kind was taken off after the request was looked at.
  const late = await shop.activities.settleByCredits({
    purchaseId: newId('purchase'),
    ownerId: by.ownerId,
    listingId: listing,
    licenseKind: 'eternal',
    payment: 'credits',
    requestHash: 'ab',
    madeBy: 'tok_test',
  });
  expect(late).toMatchObject({ state: 'canceled', licenseId: null });
  await shop.api.call('POST', `/v1/listings/${listing}/pause`, { token: shop.seller.token });
  expect((await shop.buy(listing, { by })).status).toBe(404);
  expect((await shop.balances('credits'))[by.ownerId]).toBe(10_000);
  const { json } = await get('/v1/purchases?state=canceled', by.token);
  expect(json.items).toHaveLength(2);
});

test('other people’s and unknown ids, and what is no purchase, are refused with nothing written', async () => {
  const by = await rich(10_000);
  const other = await addPerson(shop.db, 'other');
  const listing = await shop.list();
  const { json } = await shop.buy(listing, { by });
  const id = json['id'] as string;
  const before = await shop.api.rowCounts();
  expect((await get(`/v1/purchases/${id}`, other.token)).status).toBe(404);
  expect((await get('/v1/purchases', other.token)).json.items).toEqual([]);
  expect((await shop.buy(newId('listing'), { by })).status).toBe(404);
  expect((await shop.buy(listing, { by, buyerAgentId: 'vesper-001' })).status).toBe(404);
  expect((await shop.buy(listing, { by, payment: 'barter' })).status).toBe(400);
  const keyless = await shop.api.call('POST', '/v1/purchases', {
    body: { listingId: listing, kind: 'personal' },
    token: by.token,
  });
  expect(keyless.json['errors']).toMatchObject([{ path: 'headers.idempotency-key' }]);
  const dry = await shop.api.call('POST', '/v1/purchases?dryRun=true', {
    body: { listingId: listing, kind: 'personal' },
    headers: { 'idempotency-key': 'dry' },
    token: by.token,
  });
  expect(dry.json).toEqual({ dryRun: true, would: `buy ${listing} as personal for 10.00 EUR` });
  expect(await shop.api.rowCounts()).toEqual(before);
  expect((await shop.api.call('POST', `/v1/purchases/${id}/cancel`, { token: by.token })).json['code']).toBe(
    'CONFLICT',
  );
});

test('a purchase that is asked for past the retention of Temporal is answered by its row', async () => {
  const by = await rich(2_000);
  const listing = await shop.list();
  const { json } = await shop.buy(listing, { by, key: 'old' });
  const { ownerId, id } = { ownerId: by.ownerId, id: json['id'] as string };
  const input = await shop.client.workflow.getHandle(purchaseWorkflowId(id)).fetchHistory();
  const payload = input.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
  const args = [JSON.parse(Buffer.from(payload!).toString())];
  const again = await shop.client.workflow.execute('purchaseLicense', {
    workflowId: `${purchaseWorkflowId(id)}:again`,
    taskQueue: 'coordination',
    args,
  });
  expect(again).toMatchObject({ purchaseId: id, state: 'completed', licenseId: json['licenseId'] });
  expect((await shop.balances('credits'))[ownerId]).toBe(1_000);
  expect(await transfersOf(id)).toHaveLength(1);
});

test('fleet.yaml owns weights and least prices: what is sold from then on goes by them, what was sold keeps its own', async () => {
  const by = await rich(3_000);
  const listing = await shop.list();
  const before = (await shop.buy(listing, { by, key: 'before' })).json;
  const apply = (market: string) =>
    shop.api.call('POST', '/v1/fleet/apply', { body: { source: `${smallFleet}${market}` } });
  const market = 'market:\n  saleWeights: { creator: 84, platform: 16, blessings: 0 }\n  leastPrices: { EUR: 900 }\n';
  const cheap = await apply('market:\n  leastPrices: { EUR: 100 }\n');
  expect(cheap.json).toMatchObject({ status: 422, code: 'CONFIG_INVALID' });
  expect(cheap.text).toContain('market.leastPrices.EUR');
  expect((await apply(market)).status).toBe(200);
  try {
    const after = (await shop.buy(listing, { by, key: 'after' })).json;
    expect(after).toMatchObject({ state: 'completed', split: { platform: 160, blessings: 0 } });
    const known = `/v1/purchases/${before['id'] as string}`;
    expect((await get(known, by.token)).json).toEqual(before);
    expect(before).toMatchObject({ split: { platform: 200, blessings: 100 } });
    const under = await shop.draft({ price: { amount: 899, currency: 'EUR' } });
    expect(under.json).toMatchObject({ status: 400, code: 'INVALID_INPUT' });
    expect(under.text).toContain('must be at least 900');
  } finally {
    expect((await apply('')).status).toBe(200);
  }
}, 30_000);

test('a provider is asked for nothing that does not pay its fee', async () => {
  const by = await rich(1);
  const listing = await shop.list({ price: { amount: 1_000, currency: 'SEK' } });
  const purchaseId = newId('purchase');
  const start = { purchaseId, ownerId: by.ownerId, listingId: listing, licenseKind: 'personal', payment: 'elsewhere' };
  await shop.client.workflow.execute('purchaseLicense', {
    taskQueue: coordinationQueue,
    workflowId: purchaseWorkflowId(purchaseId),
    args: [{ ...start, requestHash: 'ab', madeBy: 'tok_test' }],
  });
  expect((await get(`/v1/purchases/${purchaseId}`, by.token)).json).toMatchObject({
    state: 'canceled',
    reason: expect.stringContaining('market.leastPrices'),
  });
}, 30_000);
