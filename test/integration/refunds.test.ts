import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import type { Call } from '../support/api.ts';
import { addPerson, openShop, type Person, type Shop } from '../support/market.ts';

let shop: Shop;
let creators: Person[];
beforeAll(async () => {
  shop = await openShop();
  creators = [await addPerson(shop.db, 'first'), await addPerson(shop.db, 'second')];
}, 60_000);
afterAll(() => shop?.close(), 60_000);

interface Bought {
  id: string;
  licenseId: string;
  by: Person;
}
async function bought(kind = 'personal', amount = 999): Promise<Bought> {
  const by = await addPerson(shop.db, 'buyer');
  await shop.grant(by.ownerId, amount);
  const listing = await shop.list({
    price: { amount, currency: 'EUR' },
    kinds: [kind],
    creators: creators.map(({ ownerId }, i) => ({ userId: ownerId, weight: [6_667, 3_333][i]! })),
  });
  const { status, json, text } = await shop.buy(listing, { by, kind });
  if (status !== 201) throw new Error(text);
  const { id, licenseId } = json as unknown as Bought;
  return { id, licenseId, by };
}
let keys = 0;
function refund(id: string, body: Record<string, unknown> = {}, { key, token }: { key?: string; token?: string } = {}) {
  keys += 1;
  const headers = { 'idempotency-key': key ?? `refund-${keys}` };
  const call: Call = { body: { reason: 'a mistake', ...body }, headers, token: token ?? shop.api.tokens.operator };
  return shop.api.call('POST', `/v1/purchases/${id}/refunds`, call);
}
const licenseState = async ({ licenseId, by }: Bought) =>
  (await shop.api.call('GET', `/v1/licenses/${licenseId}`, { token: by.token })).json['state'];
const redeem = ({ licenseId, by }: Bought, redemptionId = 'one') =>
  shop.api.call('POST', `/v1/licenses/${licenseId}/redeem`, { token: by.token, body: { redemptionId } });
const held = async (): Promise<Record<string, number>> => ({
  ...(await shop.balances('creator')),
  ...(await shop.balances('platform')),
  pool: (await shop.balances('blessings'))[''] ?? 0,
});

test('refunds in part take of each by what it holds; the last gives back exactly the rest and revokes', async () => {
  const before = await held();
  const sale = await bought();
  for (const amount of [333, 333])
    expect((await refund(sale.id, { amount })).json).toMatchObject({
      amount,
      posted: amount,
      state: 'done',
      revokedLicense: false,
    });
  expect(await licenseState(sale)).toBe('active');
  expect((await refund(sale.id, { amount: 334 })).json).toMatchObject({ status: 409, code: 'CONFLICT' });
  expect((await refund(sale.id)).json).toMatchObject({ amount: 333, revokedLicense: true, currency: 'EUR' });
  expect(await held()).toEqual(before);
  expect((await shop.balances('credits'))[sale.by.ownerId]).toBe(999);
  expect(await licenseState(sale)).toBe('revoked');
  expect((await refund(sale.id, { amount: 1 })).json).toMatchObject({ status: 409 });
  const seen = await shop.api.call('GET', `/v1/purchases/${sale.id}`, { token: sale.by.token });
  expect(seen.json).toMatchObject({ state: 'completed', refunded: 999 });
  const list = await shop.api.call('GET', `/v1/purchases/${sale.id}/refunds`, { token: sale.by.token });
  expect(list.json.items.map((item) => item['amount'])).toEqual([333, 333, 333]);
  // Who bought, who sold and who runs the marketplace see the same; nobody else sees any.
  const every = (token: string) => shop.api.call('GET', `/v1/refunds?purchaseId=${sale.id}&state=done`, { token });
  for (const token of [sale.by.token, shop.seller.token, shop.api.tokens.operator])
    expect((await every(token)).json.items).toEqual(list.json.items);
  expect((await every(shop.api.stranger.token)).json.items).toEqual([]);
  const one = `/v1/refunds/${list.json.items[0]!['id'] as string}`;
  expect((await shop.api.call('GET', one, { token: sale.by.token })).json).toEqual(list.json.items[0]);
  expect((await shop.api.call('GET', one, { token: shop.api.stranger.token })).status).toBe(404);
});

test('100 equal keys are one refund and 100 equal answers; 50 others at once never give back more than was paid', async () => {
  const sale = await bought();
  const same = await Promise.all(Array.from({ length: 100 }, () => refund(sale.id, { amount: 100 }, { key: 'same' })));
  expect(new Set(same.map(({ status }) => status))).toEqual(new Set([201]));
  expect(new Set(same.map(({ text }) => text)).size).toBe(1);
  expect((await refund(sale.id, { amount: 101 }, { key: 'same' })).json['code']).toBe('CONFLICT');
  expect((await shop.balances('credits'))[sale.by.ownerId]).toBe(100);
  const crowd = await Promise.all(Array.from({ length: 50 }, () => refund(sale.id, { amount: 100 })));
  expect(crowd.filter(({ status }) => status === 201)).toHaveLength(8);
  expect((await shop.balances('credits'))[sale.by.ownerId]).toBe(900);
}, 60_000);

test('a single use that was used, or a license that was passed on, is refunded by force alone', async () => {
  const used = await bought('single_use');
  expect((await redeem(used)).status).toBe(200);
  expect((await refund(used.id)).json).toMatchObject({ status: 409, code: 'CONFLICT' });
  expect((await refund(used.id, { amount: 1 })).json['detail']).toContain('was used 1 of 1 times');
  const sellers = { token: shop.seller.token };
  expect((await refund(used.id, {}, sellers)).status).toBe(409);
  expect((await refund(used.id, { force: true }, sellers)).json['code']).toBe('FORBIDDEN');
  expect((await refund(used.id, { force: true })).json).toMatchObject({ forced: true, revokedLicense: true });
  expect(await licenseState(used)).toBe('revoked');

  const passed = await bought('commercial');
  const to = await addPerson(shop.db, 'next');
  const transfer = { token: passed.by.token, body: { to: to.ownerId, reason: 'sold on' } };
  expect((await shop.api.call('POST', `/v1/licenses/${passed.licenseId}/transfer`, transfer)).status).toBe(200);
  expect((await refund(passed.id)).json['detail']).toContain('was passed on');
});

test('a refund and a use at the same moment: one of them is first, and never both', async () => {
  for (let round = 0; round < 10; round += 1) {
    const sale = await bought('single_use');
    const [use, back] = await Promise.all([redeem(sale), refund(sale.id)]);
    expect([use.status, back.status].toSorted((a, b) => a - b)).toEqual(use.status === 200 ? [200, 409] : [201, 409]);
  }
}, 60_000);

test('the seller and who runs the marketplace refund; the buyer, others and what is no refund do not', async () => {
  const sale = await bought();
  expect((await refund(sale.id, { amount: 10 }, { token: shop.seller.token })).status).toBe(201);
  const before = await shop.api.rowCounts();
  expect((await refund(sale.id, {}, { token: sale.by.token })).status).toBe(403);
  expect((await refund(sale.id, {}, { token: shop.api.stranger.token })).status).toBe(404);
  expect((await refund(newId('purchase'))).status).toBe(404);
  for (const body of [{ amount: 0 }, { amount: 1.5 }, { amount: -1 }, { reason: ' ' }, { all: true }])
    expect((await refund(sale.id, body)).status).toBe(400);
  const dry = await shop.api.call('POST', `/v1/purchases/${sale.id}/refunds?dryRun=true`, {
    body: { reason: 'to see' },
    headers: { 'idempotency-key': 'dry' },
  });
  expect(dry.json).toEqual({ dryRun: true, would: `give back all that is left of ${sale.id}` });
  expect(await shop.api.rowCounts()).toEqual(before);
  expect(await licenseState(sale)).toBe('active');
});

test('the package is downloaded by links that end, of the holder, and only while the license is valid', async () => {
  const sale = await bought('commercial');
  const { licenseId, by } = sale;
  const ask = (token: string) => shop.api.call('POST', `/v1/licenses/${licenseId}/download`, { token });
  const link = await ask(by.token);
  expect(link.json).toMatchObject({ contentHash: shop.contentHash });
  const url = link.json['url'] as string;
  const open = (address = url) => shop.api.call('GET', address, { token: null });
  expect((await open()).status).toBe(200);
  expect((await ask(shop.seller.token)).status).toBe(403);
  expect((await ask(shop.api.stranger.token)).status).toBe(404);
  // Another end, another license, another key, half of it.
  const [name, holding, end, mark] = url.slice('/v1/downloads/'.length).split('.') as [string, string, string, string];
  const forged = [
    [name, holding, String(Number(end) + 60), mark],
    [name, '1', end, mark],
    [`${name.slice(0, -1)}${name.endsWith('0') ? '1' : '0'}`, holding, end, mark],
    [name, holding, end, Buffer.alloc(64, 1).toString('base64url')],
    [name, holding, end],
  ].map((parts) => `/v1/downloads/${parts.join('.')}`);
  for (const address of [...forged, '/v1/downloads/nothing'])
    expect((await open(address)).json).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  const change = (verb: string) =>
    shop.api.call('POST', `/v1/licenses/${licenseId}/${verb}`, {
      token: shop.api.tokens.operator,
      body: { reason: 'a look' },
    });
  // Its issuer is the seller; who runs the marketplace may suspend what was sold in it.
  expect((await change('suspend')).status).toBe(200);
  expect((await open()).json).toMatchObject({ status: 409, code: 'LICENSE_REFUSED' });
  expect((await ask(by.token)).json['code']).toBe('LICENSE_REFUSED');
  expect((await change('reinstate')).status).toBe(200);
  expect((await open()).status).toBe(200);
  const to = await addPerson(shop.db, 'next');
  const transfer = { token: by.token, body: { to: to.ownerId, reason: 'sold on' } };
  expect((await shop.api.call('POST', `/v1/licenses/${licenseId}/transfer`, transfer)).status).toBe(200);
  expect((await open()).status).toBe(404);
  expect((await ask(by.token)).status).toBe(404);
  const theirs = (await ask(to.token)).json['url'] as string;
  expect((await open(theirs)).status).toBe(200);
  expect((await refund(sale.id, { force: true })).status).toBe(201);
  expect((await open(theirs)).json['code']).toBe('LICENSE_REFUSED');
});
