import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import { deleteUser } from '../../stores/users.ts';
import type { PurchaseLicenseInput, PurchaseLicenseResult } from '../../workflows/purchase-license.ts';
import { addListing, addPerson, openShop, type Shop } from '../support/market.ts';
import { createMortal } from '../support/mortal.ts';
import { scriptedPayments } from '../support/scripted-payments.ts';

/** What is asked for in the transaction of a purchase: mails and events with an intent each; sending them is tested elsewhere. */
let shop: Shop;
let operator: string;
const payments = scriptedPayments();
const { dying, before, mortal } = createMortal();
beforeAll(async () => {
  shop = await openShop({ providers: { scripted: payments.provider }, change: mortal });
  operator = shop.api.ownerId;
  for (const ownerId of [shop.seller.ownerId, operator, shop.buyer.ownerId])
    await shop.db
      .insertInto('webhooks')
      .values({
        id: newId('webhook'),
        ownerId,
        url: 'https://shop.example/hooks',
        types: ['order.paid', 'license.revoked'],
      })
      .execute();
}, 60_000);
afterAll(() => shop?.close(), 60_000);

/** With the intent of each: what is queued and not started is nothing. */
async function receiptsOf(purchaseId: string) {
  const { rows } = await sql<{ userId: string; ownerId: string; address: string; data: Record<string, unknown> }>`
    select m.user_id, m.owner_id, m.address, m.data from mails m
    join intents i on i.type = 'sendMail' and i.args -> 0 ->> 'mailId' = m.id
    where m.template = 'receipt' and m.data ->> 'purchaseId' = ${purchaseId}`.execute(shop.db);
  return rows;
}
async function eventsOf(subject: string, type = 'order.paid') {
  const { rows } = await sql<{ ownerId: string; body: string }>`
    select e.owner_id, e.body from webhook_events e join webhook_deliveries d on d.event_id = e.id
    join intents i on i.type = 'deliverWebhook' and i.args -> 0 ->> 'deliveryId' = d.id
    where e.key = ${`${type}:${subject}`} order by e.owner_id`.execute(shop.db);
  return rows;
}
const told = async (subject: string, type?: string) => (await eventsOf(subject, type)).map(({ ownerId }) => ownerId);
const both = () => [shop.seller.ownerId, operator].toSorted((a, b) => (a < b ? -1 : 1));

function byCard(listingId: string, ownerId = shop.buyer.ownerId): PurchaseLicenseInput {
  const asked = { licenseKind: 'personal', payment: 'scripted', requestHash: 'ab', madeBy: 'tok_test' };
  return { ...asked, purchaseId: newId('purchase'), ownerId, listingId };
}
function buyByCard(input: PurchaseLicenseInput): Promise<PurchaseLicenseResult> {
  return shop.client.workflow.execute('purchaseLicense', {
    workflowId: purchaseWorkflowId(input.purchaseId),
    taskQueue: coordinationQueue,
    args: [input],
    workflowTaskTimeout: '2 seconds',
  }) as Promise<PurchaseLicenseResult>;
}
/** The input of the workflow that a request has started. */
async function inputOf(purchaseId: string): Promise<PurchaseLicenseInput> {
  const history = await shop.client.workflow.getHandle(purchaseWorkflowId(purchaseId)).fetchHistory();
  const payload = history.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
  return JSON.parse(Buffer.from(payload!).toString()) as PurchaseLicenseInput;
}

test('a purchase by credits is one receipt and one order.paid for each who is told, however often it is done', async () => {
  const listing = await shop.list({ title: 'Vesper at sea' });
  await shop.grant(shop.buyer.ownerId, 1_000);
  dying.add('settleByCredits');
  const answers = [];
  for (let i = 0; i < 3; i += 1) answers.push(await shop.buy(listing, { key: 'told-once' }));
  expect(dying.size).toBe(0);
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  const { id, licenseId, endedAt } = answers[0]!.json as unknown as Record<string, string>;
  await shop.activities.settleByCredits(await inputOf(id!));

  expect(await receiptsOf(id!)).toEqual([
    {
      userId: shop.buyer.ownerId,
      ownerId: operator,
      address: `${shop.buyer.ownerId}@people.example`,
      data: {
        purchaseId: id,
        licenseId,
        issuerId: shop.seller.ownerId,
        use: 'activate',
        paidAt: endedAt,
        currency: 'EUR',
        lines: [{ text: 'Vesper at sea (personal)', amount: 1_000 }],
        total: 1_000,
      },
    },
  ]);
  expect(await told(id!)).toEqual(both());
  for (const { body } of await eventsOf(id!))
    expect(JSON.parse(body)).toMatchObject({
      type: 'order.paid',
      data: {
        purchaseId: id,
        listingId: listing,
        licenseId,
        buyerId: shop.buyer.ownerId,
        amount: 1_000,
        currency: 'EUR',
        paidAt: endedAt,
      },
    });
});

test('a purchase by a provider tells once it is completed, also where that step dies and is done again', async () => {
  const listing = await shop.list({ title: 'By card' });
  const input = byCard(listing);
  before.set('completePurchase', async () => {
    expect([await receiptsOf(input.purchaseId), await told(input.purchaseId)]).toEqual([[], []]);
    // The seller calls it something else meanwhile: the receipt names what was bought.
    await shop.db.updateTable('listings').set({ title: 'Another name' }).where('id', '=', listing).execute();
  });
  dying.add('completePurchase');
  expect(await buyByCard(input)).toMatchObject({ state: 'completed' });
  expect(dying.size).toBe(0);
  const [receipt, ...more] = await receiptsOf(input.purchaseId);
  expect(more).toEqual([]);
  expect(receipt?.data).toMatchObject({ lines: [{ text: 'By card (personal)', amount: 1_000 }], total: 1_000 });
  expect(await told(input.purchaseId)).toEqual(both());
});

test('a purchase that is rolled back, or undone, tells nobody', async () => {
  const poor = await addPerson(shop.db, 'poor');
  const listing = await shop.list();
  // Money is moved last: all else was written when it is refused.
  const refused = await shop.buy(listing, { by: poor });
  expect(refused.json).toMatchObject({ code: 'BALANCE_TOO_LOW' });
  const id = String(refused.headers['location']).split('/').at(-1)!;
  expect([await receiptsOf(id), await told(id)]).toEqual([[], []]);
  const input = byCard(listing);
  payments.script.set('capture', () => {
    throw new DomainError('PAYMENT_REFUSED', 'the card was declined');
  });
  expect(await buyByCard(input)).toMatchObject({ state: 'canceled' });
  expect([await receiptsOf(input.purchaseId), await told(input.purchaseId)]).toEqual([[], []]);
});

test('who sells and runs the marketplace is told once', async () => {
  const listing = await addListing(shop.db, { ownerId: operator, agentId: 'vesper-001' });
  await shop.grant(shop.buyer.ownerId, 1_000);
  const { json } = await shop.buy(listing);
  expect(await told(json['id'] as string)).toEqual([operator]);
});

test('who was deleted, or has no verified address any more, gets no receipt; the purchase goes through', async () => {
  const listing = await shop.list();
  const gone = await addPerson(shop.db, 'gone');
  const input = byCard(listing, gone.ownerId);
  before.set('completePurchase', () =>
    shop.db.transaction().execute(async (tx) => void (await deleteUser(tx, operator, gone.ownerId))),
  );
  expect(await buyByCard(input)).toMatchObject({ state: 'completed' });
  expect(await receiptsOf(input.purchaseId)).toEqual([]);
  expect(await told(input.purchaseId)).toEqual(both());
});

test('a refund of credits is told to who sold by mail, and to who runs the marketplace too by webhook, once', async () => {
  const listing = await shop.list({ title: 'Told when it goes back' });
  await shop.grant(shop.buyer.ownerId, 1_000);
  const { id } = (await shop.buy(listing)).json as unknown as { id: string };
  await sql`update webhooks set types = array_append(types, 'order.refunded')`.execute(shop.db);
  const refund = () =>
    shop.api.call('POST', `/v1/purchases/${id}/refunds`, {
      body: { amount: 250, reason: 'half\u202e of it' },
      headers: { 'idempotency-key': 'told-when-it-goes-back' },
    });
  const refundId = (await refund()).json['id'] as string;
  await refund();
  expect(await told(refundId, 'order.refunded')).toEqual(both());
  const events = await sql<{ ownerId: string }>`
    select owner_id from events where type = 'purchase.refunded' and subject = ${id}`.execute(shop.db);
  const owners = events.rows.map(({ ownerId }) => ownerId);
  expect(owners.toSorted()).toEqual([...both(), shop.buyer.ownerId].toSorted());
  const { rows } = await sql<{ userId: string; address: string; data: unknown }>`
    select user_id, address, data from mails where template = 'refund_notice' and data ->> 'purchaseId' = ${id}`.execute(
    shop.db,
  );
  const data = { purchaseId: id, title: 'Told when it goes back', amount: 250, currency: 'EUR', refundId };
  expect(rows).toMatchObject([{ userId: shop.seller.ownerId, data }]);
});

test('a license that is revoked by a refund or by hand is told to who issued and who held it, once', async () => {
  const listing = await shop.list();
  await shop.grant(shop.buyer.ownerId, 2_000);
  const holders = [shop.seller.ownerId, shop.buyer.ownerId].toSorted((a, b) => (a < b ? -1 : 1));
  const refunded = (await shop.buy(listing)).json as unknown as Record<string, string>;
  for (let i = 0; i < 2; i += 1)
    await shop.api.call('POST', `/v1/purchases/${refunded['id']}/refunds`, {
      body: { reason: 'a mistake' },
      headers: { 'idempotency-key': 'revoked-by-refund' },
    });
  expect(await told(refunded['licenseId']!, 'license.revoked')).toEqual(holders);
  const ours = await addListing(shop.db, { ownerId: operator, agentId: 'vesper-001', says: 'two' });
  const { licenseId } = (await shop.buy(ours)).json as unknown as Record<string, string>;
  for (let i = 0; i < 2; i += 1) {
    const url = `/v1/licenses/${licenseId}/revoke`;
    expect((await shop.api.call('POST', url, { body: { reason: 'copied' } })).status).toBe(200);
  }
  expect(await told(licenseId!, 'license.revoked')).toEqual(
    [operator, shop.buyer.ownerId].toSorted((a, b) => (a < b ? -1 : 1)),
  );
});
