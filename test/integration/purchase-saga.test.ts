import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { purchaseWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import type { PurchaseLicenseInput, PurchaseLicenseResult } from '../../workflows/purchase-license.ts';
import { until } from '../support/lab.ts';
import { openShop, type Shop } from '../support/market.ts';
import { createMortal } from '../support/mortal.ts';
import { gate, scriptedPayments } from '../support/scripted-payments.ts';

/** A purchase by a provider, with the shipped steps on real servers; the provider alone is scripted. */
let shop: Shop;
let listing: string;
const payments = scriptedPayments();
const { dying, mortal } = createMortal();
beforeAll(async () => {
  shop = await openShop({ providers: { scripted: payments.provider }, change: mortal });
  listing = await shop.list();
}, 60_000);
afterAll(() => shop?.close(), 60_000);

async function begin(id = newId('purchase')) {
  const input: PurchaseLicenseInput = {
    purchaseId: id,
    ownerId: shop.buyer.ownerId,
    listingId: listing,
    licenseKind: 'personal',
    payment: 'scripted',
    requestHash: 'ab',
    madeBy: 'tok_test',
  };
  const handle = await shop.client.workflow.start('purchaseLicense', {
    workflowId: purchaseWorkflowId(id),
    taskQueue: coordinationQueue,
    args: [input],
    workflowTaskTimeout: '2 seconds',
  });
  return { id, handle, result: () => handle.result() as Promise<PurchaseLicenseResult> };
}
const row = (id: string) => shop.db.selectFrom('purchases').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
async function licenseOf(id: string): Promise<string | undefined> {
  return (await shop.db.selectFrom('licenses').select('state').where('purchaseId', '=', id).executeTakeFirst())?.state;
}
async function transfersOf(id: string): Promise<string[]> {
  const rows = await shop.db.selectFrom('ledgerTransfers').select('id').where('purchaseId', '=', id).execute();
  return rows.map((transfer) => transfer.id).toSorted((a, b) => (a < b ? -1 : 1));
}
async function openNotices(id: string): Promise<string[]> {
  const rows = await shop.db
    .selectFrom('notices')
    .select('title')
    .where('subject', '=', id)
    .where('resolvedAt', 'is', null)
    .execute();
  return rows.map(({ title }) => title);
}
/** License and money agree: all of it once. */
async function expectSold(id: string): Promise<void> {
  expect(await row(id)).toMatchObject({ state: 'completed', paymentReference: `ch_${id}`, reasonCode: '' });
  expect(await licenseOf(id)).toBe('active');
  expect({ state: payments.stateOf(id), taken: payments.taken.get(id) }).toEqual({ state: 'captured', taken: 1_000 });
  expect(await transfersOf(id)).toEqual([`sale:${id}`]);
  expect(await openNotices(id)).toEqual([]);
}
/** Nothing was taken, nobody holds anything. */
async function expectUndone(id: string, why: { state: 'canceled' | 'failed'; code: string }): Promise<void> {
  expect(await row(id)).toMatchObject({ state: why.state, reasonCode: why.code });
  expect([undefined, 'revoked']).toContain(await licenseOf(id));
  expect({ state: payments.stateOf(id), taken: payments.taken.get(id) }).toEqual({ state: 'void', taken: undefined });
  expect(await transfersOf(id)).toEqual([]);
  expect(await openNotices(id)).toEqual([]);
}
const refuse = () => {
  throw new DomainError('PAYMENT_REFUSED', 'the card was declined');
};
const breakDown = () => {
  throw ApplicationFailure.nonRetryable('it broke', 'BROKEN');
};

test('money is taken, the license is active, and the price is split', async () => {
  const platform = (await shop.balances('platform'))[''] ?? 0;
  const { id, result } = await begin();
  expect(await result()).toMatchObject({ purchaseId: id, state: 'completed' });
  await expectSold(id);
  expect((await shop.balances('platform'))['']).toBe(platform + 200);
  expect((await shop.balances('outside'))['scripted']).toBeLessThan(0);
});

test.each(['openPurchase', 'authorizePayment', 'issuePending', 'capturePayment', 'completePurchase'])(
  'a crash after %s has done its work: it is done again and sold once',
  async (step) => {
    dying.add(step);
    const { id, result } = await begin();
    expect(await result()).toMatchObject({ state: 'completed' });
    expect(dying.size).toBe(0);
    await expectSold(id);
  },
);

test('a refused authorization cancels the purchase, and its undo has run', async () => {
  payments.script.set('authorize', refuse);
  const { id, result } = await begin();
  expect(await result()).toMatchObject({ state: 'canceled', licenseId: null });
  await expectUndone(id, { state: 'canceled', code: 'PAYMENT_REFUSED' });
});

test('an authorization that happened and was never heard of is given back', async () => {
  // It breaks with a failure that is not tried again: for the workflow it never happened.
  payments.script.set('authorized', breakDown);
  const { id, result } = await begin();
  expect(await result()).toMatchObject({ state: 'canceled' });
  await expectUndone(id, { state: 'canceled', code: 'BROKEN' });
});

test.each(['voidPayment', 'dropLicense', 'endPurchase'])(
  'a capture that is refused undoes all, also when %s crashes after its work',
  async (undo) => {
    payments.script.set('capture', refuse);
    dying.add(undo);
    const { id, result } = await begin();
    expect(await result()).toMatchObject({ state: 'canceled' });
    expect(dying.size).toBe(0);
    expect(await licenseOf(id)).toBe('revoked');
    await expectUndone(id, { state: 'canceled', code: 'PAYMENT_REFUSED' });
  },
);

test('canceled before the pivot, while the provider thinks, all is undone once it has thought', async () => {
  const thinks = gate();
  payments.script.set('authorize', () => thinks.pass());
  const { id, handle, result } = await begin();
  await thinks.reached;
  await handle.cancel();
  thinks.open();
  await expect(result()).rejects.toThrow(WorkflowFailedError);
  await expectUndone(id, { state: 'canceled', code: 'CONFLICT' });
});

test('canceled once it is being captured it goes on to the end', async () => {
  const thinks = gate();
  payments.script.set('capture', () => thinks.pass());
  const { id, handle, result } = await begin();
  await thinks.reached;
  await handle.cancel();
  thinks.open();
  expect(await result()).toMatchObject({ state: 'completed' });
  await expectSold(id);
});

test('a capture that breaks is never undone: a notice opens, it is tried on, and the notice closes', async () => {
  payments.script.set('capture', breakDown);
  const { id, result } = await begin();
  await until('it is told', async () => (await openNotices(id)).length === 1);
  expect(await openNotices(id)).toEqual(['a purchase is stuck at capturePayment']);
  expect((await row(id)).state).toBe('authorized');
  expect(await result()).toMatchObject({ state: 'completed' });
  await expectSold(id);
}, 60_000);

test('an undo that does not come through opens a notice and is tried on until it has', async () => {
  payments.script.set('authorize', refuse);
  payments.script.set('void', breakDown);
  const { id, result } = await begin();
  await until('it is told', async () => (await openNotices(id)).length === 1);
  expect(await openNotices(id)).toEqual(['a purchase is stuck at voidPayment']);
  expect((await row(id)).state).toBe('pending');
  expect(await result()).toMatchObject({ state: 'canceled' });
  await expectUndone(id, { state: 'canceled', code: 'PAYMENT_REFUSED' });
}, 60_000);

test('what comes to a step while the purchase is undone finds that it is too late', async () => {
  const holds = gate();
  payments.script.set('authorize', refuse);
  payments.script.set('void', () => holds.pass());
  const { id, result } = await begin();
  await holds.reached;
  const { activities } = shop;
  expect((await row(id)).state).toBe('pending');
  await expect(activities.authorizePayment({ purchaseId: id })).rejects.toThrow('being undone');
  await expect(activities.issuePending({ purchaseId: id })).rejects.toThrow('being undone');
  expect(await licenseOf(id)).toBe(undefined);
  holds.open();
  expect(await result()).toMatchObject({ state: 'canceled' });
  await expectUndone(id, { state: 'canceled', code: 'PAYMENT_REFUSED' });
});

test('what comes to a step after the purchase was undone changes nothing', async () => {
  payments.script.set('authorize', refuse);
  const { id, result } = await begin();
  await result();
  const at = async () => JSON.stringify([await row(id), await licenseOf(id), payments.stateOf(id)]);
  const then = await at();
  const { activities } = shop;
  await expect(activities.authorizePayment({ purchaseId: id })).rejects.toThrow('canceled');
  await expect(activities.issuePending({ purchaseId: id })).rejects.toThrow('canceled');
  await expect(activities.capturePayment({ purchaseId: id })).rejects.toThrow('not authorized');
  await expect(activities.completePurchase({ purchaseId: id })).rejects.toThrow('canceled');
  await activities.endPurchase({ purchaseId: id, state: 'failed', code: 'LATE', reason: 'late' });
  expect(await at()).toBe(then);
});

test('a sale that stands is not undone by a late undo', async () => {
  const { id, result } = await begin();
  await result();
  const { activities } = shop;
  await expect(activities.voidPayment({ purchaseId: id })).rejects.toThrow('not undone');
  await expect(activities.dropLicense({ purchaseId: id })).rejects.toThrow('not undone but refunded');
  await activities.endPurchase({ purchaseId: id, state: 'canceled', code: 'LATE', reason: 'late' });
  await activities.completePurchase({ purchaseId: id });
  await expectSold(id);
});

test('after all of it the books add up', async () => {
  const { rows } = await sql<{ sum: number; open: number }>`
    select (select coalesce(sum(balance), 0)::int from ledger_accounts) as sum,
      (select count(*)::int from purchases where ended_at is null) as open`.execute(shop.db);
  expect(rows[0]).toEqual({ sum: 0, open: 0 });
});
