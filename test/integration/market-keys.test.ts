import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Answer } from '../support/api.ts';
import { addPerson, openShop, type Person, type Shop } from '../support/market.ts';

/** A key that stood in Redis while the money stood in Postgres would be forgotten, or remembered, without it. */
let shop: Shop;
let by: Person;
let listing: string;
beforeAll(async () => {
  shop = await openShop();
  by = await addPerson(shop.db, 'buyer');
  await shop.grant(by.ownerId, 5_000);
  listing = await shop.list();
}, 60_000);
afterAll(() => shop?.close(), 60_000);

const grant = (key: string) =>
  shop.api.call('POST', '/v1/credits/grants', {
    body: { userId: by.ownerId, amount: 700, currency: 'EUR', reason: 'to buy' },
    headers: { 'idempotency-key': key },
  });
const refund = (purchaseId: string) =>
  shop.api.call('POST', `/v1/purchases/${purchaseId}/refunds`, {
    body: { reason: 'a mistake', amount: 100 },
    headers: { 'idempotency-key': 'refund' },
  });
/** Asked again, as a caller does whom the worker keeps waiting for longer than the request. */
async function buy(key: string): Promise<Answer> {
  for (;;) {
    const answer = await shop.buy(listing, { by, key });
    if (answer.status !== 202) return answer;
  }
}
const books = async () => ({
  credits: await shop.balances('credits'),
  creator: await shop.balances('creator'),
  platform: await shop.balances('platform'),
  blessings: await shop.balances('blessings'),
});

test('Redis loses everything between a request and its repetition: each is one effect and one answer', async () => {
  const bought = await buy('purchase');
  expect(bought.status).toBe(201);
  const licenseId = bought.json['licenseId'] as string;
  const redeem = () =>
    shop.api.call('POST', `/v1/licenses/${licenseId}/redeem`, { token: by.token, body: { redemptionId: 'first' } });
  const given = (await buy('given-back')).json['id'] as string;
  const first = [bought, await grant('grant'), await redeem(), await refund(given)];
  expect(first.map(({ status }) => status)).toEqual([201, 201, 200, 201]);
  const before = [await books(), await shop.api.rowCounts()];
  await shop.api.deps.redis!.flushall();
  const again = [await buy('purchase'), await grant('grant'), await redeem(), await refund(given)];
  expect(again.map(({ status, text }) => ({ status, text }))).toEqual(
    first.map(({ status, text }) => ({ status, text })),
  );
  expect([await books(), await shop.api.rowCounts()]).toEqual(before);
});

test('what breaks as it commits leaves neither money nor key: asked again, it is done once', async () => {
  await sql`create function fail_grants() returns trigger language plpgsql as $$
    begin raise exception 'the server went away'; end $$`.execute(shop.db);
  await sql`create constraint trigger fail_grants after insert on ledger_transfers deferrable initially deferred
    for each row when (new.kind = 'grant') execute function fail_grants()`.execute(shop.db);
  const before = [await books(), await shop.api.rowCounts()];
  expect((await grant('broken')).status).toBe(500);
  expect([await books(), await shop.api.rowCounts()]).toEqual(before);
  await sql`drop trigger fail_grants on ledger_transfers`.execute(shop.db);
  const done = await grant('broken');
  expect({ status: done.status, replayed: done.headers['idempotent-replayed'] }).toEqual({ status: 201 });
  const held = (await shop.balances('credits'))[by.ownerId];
  const again = await grant('broken');
  expect({ text: again.text, replayed: again.headers['idempotent-replayed'] }).toEqual({
    text: done.text,
    replayed: 'true',
  });
  expect((await shop.balances('credits'))[by.ownerId]).toBe(held);
});
