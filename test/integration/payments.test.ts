import { ApplicationFailure } from '@temporalio/common';
import { sql } from 'kysely';
import type Stripe from 'stripe';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createHostedPayments } from '../../activities/hosted-payments.ts';
import { accountOf } from '../../domain/ledger.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import { redeemLicense } from '../../stores/license-uses.ts';
import { findPayment } from '../../stores/payments.ts';
import { openRefund } from '../../stores/provider-refunds.ts';
import { paymentChangedSignal } from '../../domain/payments.ts';
import { type MarketStage, openMarketStage } from '../support/market-stage.ts';
import { testOwner } from '../support/store-scope.ts';
import type { Fault } from '../support/stripe-double.ts';

let market: MarketStage;
beforeAll(async () => {
  market = await openMarketStage();
  // Who sells here has an address, so that mail to them would be found.
  await sql`update users set address = 'seller@people.example', verified_at = now() where id = ${testOwner}`.execute(
    market.db,
  );
});
afterAll(() => market?.close());

const seconds = () => Math.floor(Date.now() / 1000);
const refundsOf = (paymentId: string) =>
  [...market.double.objects.values()].filter(
    (each) => each.object === 'refund' && each['payment_intent'] === paymentId,
  );
/** From here on the issuer and the buyer are told of revoked licenses. */
async function listening(): Promise<void> {
  await sql`delete from webhooks`.execute(market.db);
  for (const ownerId of [testOwner, market.buyer])
    await market.db
      .insertInto('webhooks')
      .values({ id: newId('webhook'), ownerId, url: 'https://shop.example/hooks', types: ['license.revoked'] })
      .execute();
}
/** Who was told that it is revoked. */
async function told(licenseId: string): Promise<string[]> {
  const { rows } = await sql<{ ownerId: string }>`
    select owner_id from webhook_events where key = ${`license.revoked:${licenseId}`} order by owner_id = ${market.buyer}`.execute(
    market.db,
  );
  return rows.map(({ ownerId }) => ownerId);
}
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing was refused',
    (err: unknown) => {
      let at = err as { message: string; cause?: unknown };
      while (at.cause instanceof Error) at = at.cause;
      return at.message;
    },
  );

describe('a payment', () => {
  test.each<[string, string, Fault | undefined]>([
    ['openPurchase', '', undefined],
    ['authorizePayment', '', undefined],
    ['issuePending', '', undefined],
    ['capturePayment', '', undefined],
    ['completePurchase', '', undefined],
    ['nothing', 'POST /v1/checkout/sessions', 'cut-after'],
    ['nothing', 'POST /v1/checkout/sessions', '500-after'],
    ['nothing', 'POST /v1/payment_intents/:id/capture', 'silent-after'],
    ['nothing', 'POST /v1/payment_intents/:id/capture', '500-after'],
    ['nothing', 'POST /v1/payment_intents/:id/capture', '500-before'],
    ['nothing', 'GET /v1/payment_intents/:id', '429'],
  ])('goes through once when %s dies and %s answers %s', async (step, route, fault) => {
    if (step !== 'nothing') market.dying.add(step);
    if (fault !== undefined) market.double.fail(route, fault);
    const sale = await market.buy({ amount: 2_000 });
    expect(market.dying.size).toBe(0);
    const captures = market.double.done.filter(({ what, id }) => what === 'capture' && id === sale.paymentId);
    expect(captures).toHaveLength(1);
    expect((await market.license(sale.licenseId)).state).toBe('active');
    expect((await market.postings(sale.purchaseId)).toSorted()).toEqual(['fee_taken', 'hold', 'sale']);
    expect(await market.held(sale.purchaseId)).toBe(2_000);
    expect(await market.sums()).toEqual([]);
  });

  test('bought and given back through the API: 202 with the page, once by key, and its refund by Stripe', async () => {
    const { purchaseId: other, handle, result } = await market.begin();
    const { listingId } = await market.db
      .selectFrom('purchases')
      .select('listingId')
      .where('id', '=', other)
      .executeTakeFirstOrThrow();
    await handle.cancel();
    await expect(result).rejects.toThrow();
    const body = { listingId, kind: 'personal', payment: 'stripe' };
    const asked = await Promise.all(
      Array.from({ length: 5 }, () => market.call('POST', '/v1/purchases', body, { 'idempotency-key': 'by-card' })),
    );
    expect(new Set(asked.map(({ statusCode }) => statusCode))).toEqual(new Set([202]));
    const { id, payUrl } = asked[0]!.json() as { id: string; payUrl: string };
    expect(new Set(asked.map((each) => each.json().id))).toEqual(new Set([id]));
    const { checkoutId } = (await market.payments.find(id))!;
    expect(payUrl).toContain(checkoutId);
    await market.tell(market.double.pay(checkoutId!));
    const view = async () => (await market.call('GET', `/v1/purchases/${id}`)).json() as Record<string, unknown>;
    await market.until('it is completed', async () => (await view())['state'] === 'completed');
    expect(await view()).toMatchObject({ payUrl: null, refunded: 0 });
    const refund = (body: object = {}) =>
      market.call('POST', `/v1/purchases/${id}/refunds`, { reason: 'asked', ...body }, { 'idempotency-key': 'back' });
    const begun = await refund();
    const { location } = begun.headers;
    // 202 where Stripe takes longer than a request waits.
    expect([201, 202]).toContain(begun.statusCode);
    await market.until('it is given back', async () => (await refund()).statusCode === 201);
    const refunded = (await refund()).json() as Record<string, unknown>;
    expect(refunded).toMatchObject({ purchaseId: id, payment: 'stripe', state: 'done', amount: 1_000, posted: 1_000 });
    expect(refunded).toMatchObject({ id: begun.json().id, revokedLicense: true, forced: false, failure: '' });
    expect((await market.call('GET', location as string)).json()).toEqual(refunded);
    for (const list of [`/v1/purchases/${id}/refunds`, `/v1/refunds?purchaseId=${id}`])
      expect((await market.call('GET', list)).json().items).toEqual([refunded]);
    expect((await refund({ reason: 'another' })).json().code).toBe('CONFLICT');
    expect(await view()).toMatchObject({ refunded: 1_000 });
    const more = await market.call(
      'POST',
      `/v1/purchases/${id}/refunds`,
      { reason: 'more' },
      { 'idempotency-key': 'more' },
    );
    expect([more.statusCode, more.json().code]).toEqual([409, 'CONFLICT']);
  });

  test('that nobody pays in time is undone, and nothing is taken', async () => {
    const { purchaseId, checkoutId, result } = await market.begin();
    const page = market.double.objects.get(checkoutId)!;
    Object.assign(page, { status: 'expired', url: null });
    const { event } = {
      event: {
        ...market.double.events[0]!,
        id: `evt_expired`,
        type: 'checkout.session.expired',
        data: { object: page },
      },
    };
    await market.tell(event as unknown as Stripe.Event);
    expect(await result).toMatchObject({ state: 'canceled' });
    expect(await market.postings(purchaseId)).toEqual([]);
    expect((await market.payments.find(purchaseId))?.state).toBe('canceled');
  });

  test('that is canceled while its buyer is on the page ends the page; nobody can pay on it any more', async () => {
    const { purchaseId, checkoutId, handle, result } = await market.begin();
    await handle.cancel();
    await expect(result).rejects.toThrow();
    expect(market.double.objects.get(checkoutId)).toMatchObject({ status: 'expired' });
    expect((await market.payments.find(purchaseId))?.state).toBe('canceled');
    expect(await market.postings(purchaseId)).toEqual([]);
  });

  test('tells its fee, which comes out of the platform’s part once the sale is posted, also where it is told first or again', async () => {
    const platform = await market.balance(accountOf.platform());
    const sale = await market.buy({ amount: 2_000 });
    expect(await market.balance(accountOf.platform())).toBe(platform + 400 - 88);
    for (const type of ['charge.captured', 'payment_intent.succeeded'])
      await market.settled(await told(type, sale.paymentId));
    expect((await market.postings(sale.purchaseId)).toSorted()).toEqual(['fee_taken', 'hold', 'sale']);
  });

  test('that cannot be looked at for long goes on while its buyer pays; a notice is open meanwhile', async () => {
    const { purchaseId, checkoutId, result } = await market.begin();
    market.before.set('lookAtPayment', () => Promise.reject(ApplicationFailure.nonRetryable('Stripe is away', 'AWAY')));
    await market.tell(market.double.pay(checkoutId));
    const stuck = async () => (await market.notices('purchase_stuck')).find(({ subject }) => subject === purchaseId);
    await market.until('somebody is told', async () => (await stuck()) !== undefined);
    expect((await stuck())?.title).toBe('a purchase is stuck at lookAtPayment');
    expect(await result).toMatchObject({ state: 'completed' });
    expect((await stuck())?.resolvedAt).not.toBe(null);
  });

  test('whose card was declined goes on while its page is open, and ends with it', async () => {
    const first = await market.begin();
    await market.settled(await sent(market.double.decline(first.checkoutId)));
    await market.tell(market.double.pay(first.checkoutId));
    expect(await first.result).toMatchObject({ state: 'completed' });
    const second = await market.begin();
    await market.settled(await sent(market.double.decline(second.checkoutId)));
    await market.tell(market.double.expire(second.checkoutId));
    expect(await second.result).toMatchObject({ state: 'canceled' });
  });

  test('that nobody has paid when its time is over is ended by us, whatever Stripe says of the page', async () => {
    const { purchaseId, checkoutId, handle, result } = await market.begin();
    await sql`update payments set expires_at = now() - interval '3 minutes' where purchase_id = ${purchaseId}`.execute(
      market.db,
    );
    await handle.signal(paymentChangedSignal);
    expect(await result).toMatchObject({ state: 'canceled' });
    expect(market.double.objects.get(checkoutId)).toMatchObject({ status: 'expired' });
  });

  test('that Stripe still works on when it is captured is captured later', async () => {
    const { checkoutId, result, purchaseId } = await market.begin();
    const intent = () => market.double.objects.get(market.double.objects.get(checkoutId)!['payment_intent'] as string)!;
    const captures = () => market.double.requests.filter(({ route }) => route.endsWith('/capture')).length;
    const before = captures();
    market.before.set('capturePayment', () => Promise.resolve((intent()['status'] = 'processing')));
    await market.tell(market.double.pay(checkoutId));
    await market.until('it was tried', () => Promise.resolve(captures() > before));
    await expect(market.activities.capturePayment({ purchaseId })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    intent()['status'] = 'requires_capture';
    expect(await result).toMatchObject({ state: 'completed' });
  });

  test('that somebody captured at Stripe while it was undone is given back whole, once', async () => {
    const { purchaseId, checkoutId, handle, result } = await market.begin();
    market.double.pay(checkoutId);
    const paymentId = market.double.objects.get(checkoutId)!['payment_intent'] as string;
    market.double.captureOutside(paymentId);
    market.dying.add('voidPayment');
    await handle.cancel();
    await expect(result).rejects.toThrow();
    expect(refundsOf(paymentId)).toMatchObject([{ amount: 1_000, status: 'succeeded' }]);
    const told = market.double.events.filter(({ type }) => type === 'refund.created').at(-1)!;
    await market.tell(told);
    expect(await market.settled(told)).toBe('nothing_taken');
    expect((await market.postings(purchaseId)).toSorted()).toEqual(['fee_taken', 'hold', 'release']);
    expect(await market.balance(accountOf.escrow(market.buyer))).toBe(0);
    // It was given back, and the bank takes it once more: the platform's loss, until it is won.
    const { id, event } = market.double.dispute(paymentId);
    await market.tell(event);
    expect(await market.settled(event)).toBe('open');
    const open = async () =>
      (await market.notices('payment_beyond')).find(({ subject, resolvedAt }) => subject === purchaseId && !resolvedAt);
    expect((await open())?.title).toBe(`${id} took 10.00 EUR more than was left of ${purchaseId}`);
    expect((await market.postings(purchaseId)).slice(3).toSorted()).toEqual(['beyond_taken', 'fee_taken']);
    const closed = market.double.endDispute(id, 'won');
    await market.tell(closed);
    expect(await market.settled(closed)).toBe('won');
    expect((await market.postings(purchaseId)).slice(5).toSorted()).toEqual(['beyond_returned', 'fee_returned']);
    expect(await open()).toBe(undefined);
    expect(await market.sums()).toEqual([]);
    // Who sold has got nothing of it, and is told of no dispute.
    const mails = await sql`select from mails where data ->> 'purchaseId' = ${purchaseId}`.execute(market.db);
    expect(mails.rows).toEqual([]);
  });

  test('of another amount than the price is refused and told: let go where it is authorised, given back where it is taken', async () => {
    const told = async (id: string) =>
      (await market.notices('payment_differs')).filter(({ subject }) => subject === id).map(({ title }) => title);
    const less = await market.begin();
    market.double.objects.get(less.checkoutId)!['amount_total'] = 900;
    await market.tell(market.double.pay(less.checkoutId));
    expect(await less.result).toMatchObject({ state: 'canceled' });
    expect((await market.payments.find(less.purchaseId))?.state).toBe('canceled');
    expect(await told(less.purchaseId)).toEqual([`stripe has 9.00 EUR for ${less.purchaseId}, which costs 10.00 EUR`]);

    const part = await market.begin();
    market.before.set('capturePayment', async () => {
      market.double.captureOutside((await market.payments.find(part.purchaseId))!.paymentId!, 400);
    });
    await market.tell(market.double.pay(part.checkoutId));
    expect(await part.result).toMatchObject({ state: 'canceled' });
    const { paymentId } = (await market.payments.find(part.purchaseId))!;
    expect(refundsOf(paymentId!)).toMatchObject([{ amount: 400 }]);
    expect(await told(part.purchaseId)).toEqual([`stripe has 4.00 EUR for ${part.purchaseId}, which costs 10.00 EUR`]);
    expect((await market.postings(part.purchaseId)).toSorted()).toEqual(['fee_taken', 'hold', 'release']);
    expect(await market.balance(accountOf.escrow(market.buyer))).toBe(0);
  });

  test('that is let go is told as a refund by older versions of Stripe: nothing was taken', async () => {
    market.double.cancelingRefunds = true;
    const { purchaseId, checkoutId, handle, result } = await market.begin();
    market.double.pay(checkoutId);
    await handle.cancel();
    await expect(result).rejects.toThrow();
    market.double.cancelingRefunds = false;
    const told = market.double.events.filter(({ type }) => type === 'refund.created').at(-1)!;
    await market.tell(told);
    expect(await market.settled(told)).toBe('nothing_taken');
    expect((await market.payments.find(purchaseId))?.state).toBe('canceled');
  });

  test('asked for again is asked for as it was first, whatever the fleet and the listing say by then', async () => {
    const { fleet } = await market.fleet();
    const pages = () => market.double.done.filter(({ what }) => what === 'checkout').length;
    const before = pages();
    market.double.fail('POST /v1/checkout/sessions', 'cut-after');
    const change = async () => {
      await market.apply({ ...fleet, market: { ...fleet.market, returnUrl: 'https://shop.example/elsewhere' } });
      await market.db.updateTable('listings').set({ title: 'Another title' }).execute();
    };
    market.before.set('authorizePayment', () => Promise.resolve(market.before.set('authorizePayment', change)));
    const { checkoutId, result } = await market.begin();
    expect(pages() - before).toBe(1);
    await market.tell(market.double.pay(checkoutId));
    expect(await result).toMatchObject({ state: 'completed' });
    await market.apply(fleet);
  });

  test('whose page opens when it is undone already ends that page', async () => {
    const late = createHostedPayments({
      name: 'stripe',
      payments: market.payments,
      fleet: market.fleet,
      providers: {
        stripe: {
          ...market.stripe,
          cancel: (...asked) => market.stripe.cancel(...asked),
          openCheckout: async (request, key) => {
            const page = await market.stripe.openCheckout(request, key);
            await market.payments.cancelUnopened(request.purchaseId);
            return page;
          },
        },
      },
    });
    let refused = '';
    market.before.set('authorizePayment', async () => {
      const { rows } = await sql<{ id: string }>`select id from purchases where state = 'pending'`.execute(market.db);
      const asked = { amount: 1_000, currency: 'EUR', buyerId: market.buyer, booksId: testOwner };
      refused = await refusal(late.authorize({ ...asked, key: rows[0]!.id }) as Promise<unknown>);
    });
    const { checkoutId, result } = await market.begin();
    expect(await result).toMatchObject({ state: 'canceled' });
    expect(refused).toContain('nobody paid');
    expect(market.double.objects.get(checkoutId)).toMatchObject({ status: 'expired', url: null });
  });

  test('that is to be captured by a key of another account or mode waits, and is never undone', async () => {
    market.double.addKey('sk_live_of_another', 'acct_another');
    market.double.addKey('sk_test_double', 'acct_platform');
    const asked = () => market.double.requests.filter(({ route }) => route === 'GET /v1/account').length;
    const reasons: string[] = [];
    for (const other of ['sk_live_of_another', 'sk_test_double']) {
      const before = asked();
      market.before.set('capturePayment', () => Promise.resolve(market.useKey(other)));
      const { purchaseId, checkoutId, result } = await market.begin();
      await market.tell(market.double.pay(checkoutId));
      await market.until('it was tried by the other key', () => Promise.resolve(asked() > before));
      reasons.push(await refusal(market.activities.capturePayment({ purchaseId })));
      market.useKey(market.double.secretKey);
      expect(await result).toMatchObject({ state: 'completed' });
    }
    expect(reasons).toEqual([
      "the books are of acct_platform in live mode, and this worker's key is of acct_another in live mode",
      "the books are of acct_platform in live mode, and this worker's key is of acct_platform in test mode",
    ]);
  });

  async function sent(event: Stripe.Event): Promise<Stripe.Event> {
    expect((await market.tell(event)).statusCode).toBe(200);
    return event;
  }
  async function told(type: string, paymentId: string): Promise<Stripe.Event> {
    const event = market.double.events.find(
      (each) => each.type === type && JSON.stringify(each.data.object).includes(paymentId),
    )!;
    expect((await market.tell(event)).statusCode).toBe(200);
    return event;
  }
});

describe('events of Stripe', () => {
  test('100 of them shuffled, doubled, stale, ahead of time, badly signed and written anew have one effect', async () => {
    const sale = await market.buy({ amount: 1_500 });
    const { id, event } = market.double.dispute(sale.paymentId);
    const now = seconds();
    const rewritten = market.double.signed(event);
    rewritten.raw = JSON.stringify(JSON.parse(rewritten.raw));
    const ways: Array<() => ReturnType<typeof market.tell>> = [
      () => market.tell(event, now),
      () => market.tell(event, now - 250),
      () => market.tell(event, now - 301),
      () => market.tell(event, now + 400),
      () => market.tell(event, now, 'whsec_other'),
      () => market.send(rewritten),
      () => market.send({ raw: rewritten.raw, headers: { 'content-type': 'application/json' } }),
    ];
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ways[(i * 5) % ways.length]!()));
    const count = (status: number) => answers.filter(({ statusCode }) => statusCode === status).length;
    expect(count(200) + count(401)).toBe(100);
    expect(count(401)).toBeGreaterThan(60);
    expect(answers.filter((answer) => answer.statusCode === 200 && answer.json().known === false)).toHaveLength(1);
    expect(await market.settled(event)).toBe('open');
    expect((await market.postings(sale.purchaseId)).toSorted()).toEqual([
      'dispute_opened',
      'fee_taken',
      'fee_taken',
      'hold',
      'sale',
    ]);
    expect(await market.license(sale.licenseId)).toEqual({ state: 'suspended', suspendedBy: [`dispute:${id}`] });
    const rows = await market.db.selectFrom('paymentEvents').select('id').where('id', '=', event.id).execute();
    expect(rows).toHaveLength(1);
  });

  test('the end before the beginning, and both again: the license and the money are where the end left them', async () => {
    const sale = await market.buy();
    const { id, event: opened } = market.double.dispute(sale.paymentId);
    const closed = market.double.endDispute(id, 'won');
    await market.tell(closed);
    expect(await market.settled(closed)).toBe('won');
    await market.tell(opened);
    expect(await market.settled(opened)).toBe('won');
    expect(await market.held(sale.purchaseId)).toBe(1_000);
    expect(await market.license(sale.licenseId)).toEqual({ state: 'active', suspendedBy: [] });
    const kinds = await market.postings(sale.purchaseId);
    expect(kinds.filter((kind) => kind.startsWith('dispute'))).toEqual(['dispute_opened', 'dispute_won']);
    expect(kinds.filter((kind) => kind === 'fee_returned')).toHaveLength(1);
  });

  test('one that overtakes the posting of its sale waits for it; one of a stranger’s payment is nothing to us', async () => {
    const { checkoutId, purchaseId, result } = await market.begin();
    let complete: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (complete = resolve));
    market.before.set('completePurchase', () => held);
    await market.tell(market.double.pay(checkoutId));
    await market.until('it is captured', async () => (await market.payments.find(purchaseId))?.state === 'captured');
    expect(await market.balance(accountOf.escrow(market.buyer))).toBe(1_000);
    const { event } = market.double.dispute((await market.payments.find(purchaseId))!.paymentId!);
    let failed = false;
    const again = () => Promise.resolve((failed = true));
    market.before.set('settlePaymentObject', () => Promise.resolve(market.before.set('settlePaymentObject', again)));
    await market.tell(event);
    await market.until('it was tried, and is tried again', () => Promise.resolve(failed));
    expect((await market.eventRow(event.id))?.settledAt).toBe(null);
    complete();
    const { licenseId } = await result;
    expect(await market.settled(event)).toBe('open');
    expect((await market.license(licenseId!)).state).toBe('suspended');

    for (const [name, other, outcome] of [
      ['test', { livemode: false }, 'the event of acct_platform in test mode'],
      ['connected', { account: 'acct_ada' }, 'the event of acct_ada in live mode'],
    ] as const) {
      const elsewhere = { ...structuredClone(event), id: `evt_${name}`, ...other };
      await market.tell(elsewhere as unknown as Stripe.Event);
      expect(await market.settled(elsewhere)).toContain(outcome);
    }
    const foreign = structuredClone(event) as unknown as { id: string; data: { object: { id: string } } };
    Object.assign(foreign, { id: 'evt_foreign' });
    foreign.data.object.id = 'dp_of_another_account';
    await market.tell(foreign as unknown as Stripe.Event);
    expect(await market.settled(foreign)).toContain('No such object');
    const unknown = {
      ...structuredClone(event),
      id: 'evt_unknown',
      type: 'customer.created',
      data: { object: { id: 'cus_1', object: 'customer' } },
    };
    await market.tell(unknown as unknown as Stripe.Event);
    expect(await market.settled(unknown)).toBe('nothing is done for it');
  });

  test('one that failed for good is told, asked for again by the hourly sweep, and let be where a person says so', async () => {
    const sale = await market.buy();
    const { id, event } = market.double.dispute(sale.paymentId);
    const dispute = market.double.objects.get(id)!;
    const stuck = async (subject: string) =>
      (await market.notices('payment_stuck')).find((notice) => notice.subject === subject);
    const resume = () =>
      market.client.workflow.execute('resumePayments', {
        workflowId: `resume-payments:${newId('request')}`,
        taskQueue: coordinationQueue,
        args: [{}],
      }) as Promise<{ events: number; refunds: number }>;
    /** As Temporal or an operator ends it, after somebody was told that it does not come through. */
    const broken = async (subject: string) => {
      const handle = market.client.workflow.getHandle(`payment-event:stripe:${subject}`);
      await market.until('it has begun', () => handle.describe().then(Boolean, () => false));
      await market.paymentEvents.stuck({ provider: 'stripe', eventId: subject }, 'it is not known here');
      await handle.terminate();
    };
    // Nobody here knows what that is.
    const { status } = dispute;
    dispute['status'] = 'a_new_one';
    await market.tell(event);
    await broken(event.id);
    expect(await stuck(event.id)).toMatchObject({ resolvedAt: null });
    expect(await resume()).toEqual({ events: 0, refunds: 0 });
    await sql`update payment_events set received_at = received_at - interval '2 hours' where id = ${event.id}`.execute(
      market.db,
    );
    dispute['status'] = status;
    expect(await resume()).toEqual({ events: 1, refunds: 0 });
    expect(await market.settled(event)).toBe('open');
    expect((await stuck(event.id))?.resolvedAt).not.toBe(null);

    dispute['status'] = 'a_new_one';
    const next = { ...structuredClone(event), id: 'evt_let_be' };
    await market.tell(next as unknown as Stripe.Event);
    await broken(next.id);
    const { id: noticeId } = (await stuck(next.id))!;
    const done = () => market.call('POST', `/v1/inbox/${noticeId}/done`);
    expect((await done()).json()).toEqual({ id: noticeId, changed: true });
    expect((await done()).json()).toEqual({ id: noticeId, changed: false });
    expect(await market.settled(next)).toContain('ended by tok_');
    const open = (await market.notices('dispute_open')).find(({ resolvedAt }) => resolvedAt === null)!;
    const refused = await market.call('POST', `/v1/inbox/${open.id}/done`);
    expect([refused.statusCode, refused.json().code]).toEqual([409, 'CONFLICT']);
  });

  test('one that Stripe would not say anything of is no stranger’s: it is asked again', async () => {
    const sale = await market.buy();
    const { event } = market.double.dispute(sale.paymentId);
    market.double.fail('GET /v1/disputes/:id', '402');
    await market.tell(event);
    expect(await market.settled(event)).toBe('open');
  });

  test('of a refund of what somebody captured there, told before the payment itself: it waits for its sale', async () => {
    const { purchaseId, checkoutId, result } = await market.begin();
    const paid = market.double.pay(checkoutId);
    const paymentId = market.double.objects.get(checkoutId)!['payment_intent'] as string;
    market.double.captureOutside(paymentId);
    market.double.refundOutside(paymentId, 1_000);
    const refunded = market.double.events.findLast(({ type }) => type === 'refund.created')!;
    await market.tell(refunded);
    const known = async () => (await market.payments.find(purchaseId))?.paymentId;
    await market.until('it is known whose it is', async () => (await known()) === paymentId);
    await market.tell(paid);
    const { licenseId } = await result;
    expect(await market.settled(refunded)).toBe('done');
    expect(await market.held(purchaseId)).toBe(0);
    expect((await market.license(licenseId!)).state).toBe('revoked');
    expect(await market.sums()).toEqual([]);
  });

  test.each(['paymentEventObject', 'fetchPaymentObject', 'settlePaymentObject', 'endPaymentEvent'])(
    'a worker that dies after %s settles the dispute once',
    async (step) => {
      const sale = await market.buy();
      const { event } = market.double.dispute(sale.paymentId);
      market.dying.add(step);
      await market.tell(event);
      expect(await market.settled(event)).toBe('open');
      expect(market.dying.size).toBe(0);
      const kinds = await market.postings(sale.purchaseId);
      expect(kinds.filter((kind) => kind === 'dispute_opened')).toHaveLength(1);
      expect(await market.sums()).toEqual([]);
    },
  );
});

describe('a refund through Stripe', () => {
  test.each<[string, Fault | undefined]>([
    ['openRefund', undefined],
    ['refundAtProvider', undefined],
    ['settlePaymentObject', undefined],
    ['nothing', 'silent-after'],
    ['nothing', 'cut-after'],
    ['nothing', '500-after'],
    ['nothing', '500-before'],
    ['nothing', '429'],
  ])('is made and posted once when %s dies and Stripe answers %s', async (step, fault) => {
    const sale = await market.buy();
    if (step !== 'nothing') market.dying.add(step);
    if (fault !== undefined) market.double.fail('POST /v1/refunds', fault);
    expect(await market.refund({ purchaseId: sale.purchaseId })).toEqual({ state: 'done' });
    expect(market.dying.size).toBe(0);
    expect(refundsOf(sale.paymentId)).toHaveLength(1);
    expect(await market.held(sale.purchaseId)).toBe(0);
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    // What Stripe tells of it afterwards is known.
    const event = market.double.events.findLast(({ type }) => type === 'refund.created')!;
    await market.tell(event);
    expect(await market.settled(event)).toBe('done');
    expect((await market.postings(sale.purchaseId)).filter((kind) => kind === 'refund')).toHaveLength(1);
    expect(await market.sums()).toEqual([]);
  });

  test('in parts gives back exactly what was paid; more is refused, in all and at once', async () => {
    const sale = await market.buy({ amount: 999 });
    const { purchaseId } = sale;
    await listening();
    const outcomes = await Promise.allSettled(
      [333, 333, 333, 333].map((amount) => market.refund({ purchaseId, amount })),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await market.held(purchaseId)).toBe(0);
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    expect(await told(sale.licenseId)).toEqual([testOwner, market.buyer]);
    expect(await refusal(market.refund({ purchaseId }))).toContain('nothing is left');
    expect(await market.sums()).toEqual([]);
  });

  test('of a license that was used is an operator’s decision; while the money is on its way nothing is used', async () => {
    const used = await market.buy({ kind: 'single_use' });
    const redeem = (licenseId: string) =>
      market.db.transaction().execute((tx) =>
        redeemLicense(tx, {
          licenseId,
          ownerId: market.buyer,
          redemptionId: newId('request'),
          actor: 'test',
        }),
      );
    await redeem(used.licenseId);
    expect(await refusal(market.refund({ purchaseId: used.purchaseId }))).toContain('was used 1 of 1 times');
    expect(await market.refund({ purchaseId: used.purchaseId, force: true })).toEqual({ state: 'done' });

    const fresh = await market.buy({ kind: 'single_use' });
    market.before.set('refundAtProvider', async () => {
      expect(await refusal(redeem(fresh.licenseId))).toContain('SUSPENDED');
    });
    expect(await market.refund({ purchaseId: fresh.purchaseId })).toEqual({ state: 'done' });
    expect((await market.license(fresh.licenseId)).state).toBe('revoked');
  });

  test('that Stripe refuses leaves everything as it was', async () => {
    const sale = await market.buy();
    market.double.dispute(sale.paymentId);
    expect(await market.refund({ purchaseId: sale.purchaseId })).toEqual({ state: 'failed' });
    const url = `/v1/purchases/${sale.purchaseId}/refunds`;
    const asked = () => market.call('POST', url, { reason: 'by API' }, { 'idempotency-key': 'refused' });
    await market.until('it is refused', async () => (await asked()).statusCode === 409);
    expect((await asked()).json().detail).toContain('stripe did not give it back: ');
    expect((await market.call('GET', url)).json().items).toMatchObject([
      { state: 'failed', posted: 0, revokedLicense: false, reason: 'by API' },
      { state: 'failed', posted: 0, reason: 'asked' },
    ]);
    expect(await market.license(sale.licenseId)).toEqual({ state: 'active', suspendedBy: [] });
    expect(await market.held(sale.purchaseId)).toBe(1_000);
  });

  test('that is on its way for long is ended by its event; one that fails gives the license back', async () => {
    for (const [status, state, license] of [
      ['succeeded', 'done', 'revoked'],
      ['failed', 'failed', 'active'],
    ] as const) {
      const sale = await market.buy();
      market.double.refundStatus = 'pending';
      const refundId = newId('refund');
      const asked = refusal(market.refund({ purchaseId: sale.purchaseId, refundId }));
      await market.until('it is asked for', async () => refundsOf(sale.paymentId).length === 1);
      market.double.refundStatus = undefined;
      const event = market.double.endRefund(refundsOf(sale.paymentId)[0]!.id, status);
      await market.tell(event);
      expect(await market.settled(event)).toBe(state);
      expect((await market.license(sale.licenseId)).state).toBe(license);
      await market.client.workflow.getHandle(`refund:${refundId}`).terminate('the test has seen enough');
      expect(await asked).toBe('the test has seen enough');
    }
  });

  test('whose workflow was ended is taken up by the hourly sweep; pending for long it is told, and made once', async () => {
    const sale = await market.buy();
    market.double.refundStatus = 'pending';
    const refundId = newId('refund');
    const args = [
      { refundId, purchaseId: sale.purchaseId, reason: 'asked', force: false, madeBy: 'tok_test', looked: 40 },
    ];
    const handle = await market.client.workflow.start('settleRefund', {
      workflowId: `refund:${refundId}`,
      taskQueue: coordinationQueue,
      args,
    });
    const stuck = async () => (await market.notices('payment_stuck')).find(({ subject }) => subject === refundId);
    await market.until('it is told', async () => (await stuck()) !== undefined);
    await handle.terminate('as by an operator');
    market.double.refundStatus = undefined;
    market.double.endRefund(refundsOf(sale.paymentId)[0]!.id, 'succeeded');
    await sql`update refunds set made_at = made_at - interval '2 hours' where id = ${refundId}`.execute(market.db);
    const resumed = await market.client.workflow.execute('resumePayments', {
      workflowId: `resume-payments:${newId('request')}`,
      taskQueue: coordinationQueue,
      args: [{}],
    });
    expect(resumed).toEqual({ events: 0, refunds: 1 });
    await market.until('it is posted', async () => (await market.held(sale.purchaseId)) === 0);
    expect(refundsOf(sale.paymentId)).toHaveLength(1);
    expect((await stuck())?.resolvedAt).not.toBe(null);
  });

  test('that somebody made at Stripe is posted too, and one that came back is told', async () => {
    const sale = await market.buy();
    market.double.refundOutside(sale.paymentId, 1_000);
    const event = market.double.events.findLast(({ type }) => type === 'refund.created')!;
    await market.tell(event);
    expect(await market.settled(event)).toBe('done');
    expect(await market.held(sale.purchaseId)).toBe(0);
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    const failed = market.double.endRefund(refundsOf(sale.paymentId)[0]!.id, 'failed');
    await market.tell(failed);
    expect(await market.settled(failed)).toBe('done');
    expect((await market.notices('refund_failed')).map(({ subject }) => subject)).toEqual([sale.purchaseId]);
  });

  test('that was given up and made all the same is booked and told; made twice, it is booked twice', async () => {
    const sale = await market.buy();
    const { purchaseId, paymentId } = sale;
    const refundId = newId('refund');
    market.double.fail('POST /v1/refunds', '402');
    expect(await market.refund({ purchaseId, refundId, amount: 600 })).toEqual({ state: 'failed' });
    expect(await market.held(purchaseId)).toBe(1_000);
    for (const held of [400, 0]) {
      market.double.refundOutside(paymentId, 600, { soulfra_refund: refundId });
      const event = market.double.events.findLast(({ type }) => type === 'refund.created')!;
      await market.tell(event);
      expect(await market.settled(event)).toBe('done');
      expect(await market.held(purchaseId)).toBe(held);
    }
    const second = refundsOf(paymentId)[1]!.id;
    expect((await market.notices('refund_differs')).map(({ title }) => title)).toEqual([
      `${refundId} was given up, and stripe has made it all the same`,
      `stripe was asked once for ${refundId}, and has made it twice`,
    ]);
    const rows = await market.db
      .selectFrom('refunds')
      .select(['amount', 'posted', 'state', 'failure', 'providerRefundId'])
      .where('purchaseId', '=', purchaseId)
      .orderBy('madeAt')
      .execute();
    expect(rows).toMatchObject([
      { amount: 600, posted: 600, state: 'done', failure: '' },
      { amount: 600, posted: 400, state: 'done', providerRefundId: second },
    ]);
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    expect(await market.sums()).toEqual([]);
  });

  test('that has failed is not booked by what was looked up before; looked up anew, it is', async () => {
    const sale = await market.buy();
    const refundId = newId('refund');
    market.double.refundStatus = 'pending';
    const asked = refusal(market.refund({ purchaseId: sale.purchaseId, refundId }));
    await market.until('it is asked for', async () => refundsOf(sale.paymentId).length === 1);
    market.double.refundStatus = undefined;
    const { id } = refundsOf(sale.paymentId)[0]!;
    const failed = market.double.endRefund(id, 'failed');
    await market.tell(failed);
    expect(await market.settled(failed)).toBe('failed');
    await market.client.workflow.getHandle(`refund:${refundId}`).terminate('the test has seen enough');
    await asked;
    const facts = {
      providerRefundId: id,
      refundId,
      paymentId: sale.paymentId,
      state: 'done',
      money: { amount: 1_000, currency: 'EUR' },
      reason: '',
    } as const;
    const stale = { provider: 'stripe', object: { kind: 'refund', facts }, of: { refundId } } as const;
    expect(await market.activities.settlePaymentObject(stale)).toMatchObject({ outcome: 'contradicted' });
    expect(await market.held(sale.purchaseId)).toBe(1_000);
    const made = market.double.endRefund(id, 'succeeded');
    await market.tell(made);
    expect(await market.settled(made)).toBe('done');
    expect(await market.held(sale.purchaseId)).toBe(0);
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    const told = (await market.notices('refund_differs')).filter(({ subject }) => subject === sale.purchaseId);
    expect(told).toHaveLength(1);
  });
});

describe('a dispute', () => {
  const disputed = async (sale: { paymentId: string }, amount?: number) => {
    const { id, event } = market.double.dispute(sale.paymentId, amount);
    await market.tell(event);
    await market.settled(event);
    return {
      id,
      end: async (how: 'won' | 'lost') => {
        const closed = market.double.endDispute(id, how);
        await market.tell(closed);
        return market.settled(closed);
      },
    };
  };

  test('lost takes the money back for good and revokes the license; the notice closes with it', async () => {
    const sale = await market.buy();
    const { id, end } = await disputed(sale);
    expect(await market.held(sale.purchaseId)).toBe(0);
    expect(await market.balance(accountOf.disputes(market.buyer))).toBeGreaterThanOrEqual(1_000);
    await listening();
    expect(await end('lost')).toBe('lost');
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    expect(await told(sale.licenseId)).toEqual([testOwner, market.buyer]);
    expect((await market.call('GET', `/v1/disputes?purchaseId=${sale.purchaseId}`)).json().items).toMatchObject([
      { id, purchaseId: sale.purchaseId, provider: 'stripe', amount: 1_000, reserved: 1_000, state: 'lost' },
    ]);
    const notice = (await market.notices('dispute_open')).find(({ key }) => key === `dispute_open:${id}`);
    expect(notice?.resolvedAt).not.toBe(null);
  });

  test('after a refund takes no more than is left, and tells what is beyond; won, it gives that much back', async () => {
    const sale = await market.buy();
    await market.refund({ purchaseId: sale.purchaseId, amount: 600 });
    const { id, end } = await disputed(sale, 1_000);
    expect(await market.held(sale.purchaseId)).toBe(0);
    const notice = async () =>
      (await market.notices('payment_beyond')).find(({ subject }) => subject === sale.purchaseId);
    expect(await notice()).toMatchObject({
      title: `${id} took 6.00 EUR more than was left of ${sale.purchaseId}`,
      resolvedAt: null,
    });
    expect(await beyond(sale.purchaseId)).toEqual({ [`dispute:${id}:beyond`]: 600 });
    expect(await end('won')).toBe('won');
    expect(await market.held(sale.purchaseId)).toBe(400);
    expect(await beyond(sale.purchaseId)).toEqual({
      [`dispute:${id}:beyond`]: 600,
      [`dispute:${id}:beyond:ended`]: -600,
    });
    expect((await notice())?.resolvedAt).not.toBe(null);
    expect((await market.license(sale.licenseId)).state).toBe('active');
    expect(await market.sums()).toEqual([]);
  });

  test('that comes while a refund is on its way leaves the refund its part: both together take what was paid', async () => {
    const sale = await market.buy();
    let opened: { end(how: 'won' | 'lost'): Promise<string> } | undefined;
    // The refund was made at Stripe, and the dispute is told before it is.
    market.before.set('settlePaymentObject', async () => {
      const payment = await findPayment(market.db, { purchaseId: sale.purchaseId });
      const { id } = market.double.dispute(payment!.paymentId!, 1_000);
      expect(
        await market.disputes.settle('stripe', {
          ...(
            await market.activities.fetchPaymentObject({
              provider: 'stripe',
              kind: 'dispute',
              id,
              of: { refundId: 'none' },
            })
          ).facts,
        } as never),
      ).toBe('open');
      opened = { end: async (how) => await disputedEnd(id, how) };
    });
    expect(await market.refund({ purchaseId: sale.purchaseId, amount: 700 })).toEqual({ state: 'done' });
    expect(await market.held(sale.purchaseId)).toBe(0);
    const rows = await market.db
      .selectFrom('disputes')
      .select(['amount', 'reserved'])
      .where('purchaseId', '=', sale.purchaseId)
      .execute();
    expect(rows).toEqual([{ amount: 1_000, reserved: 300 }]);
    expect(await opened!.end('won')).toBe('won');
    expect(await market.held(sale.purchaseId)).toBe(300);
    expect(await market.sums()).toEqual([]);
  });

  test.each(['won', 'lost'] as const)(
    'that is won covers what a later open one lacks, once, though workers die; that one is then %s',
    async (how) => {
      const sale = await market.buy();
      expect(await platformOf(sale.purchaseId)).toBe(200);
      const first = await disputed(sale, 1_000);
      const second = await disputed(sale, 300);
      const rows = async () =>
        (
          await market.db
            .selectFrom('disputes')
            .select('reserved')
            .where('purchaseId', '=', sale.purchaseId)
            .orderBy('openedAt')
            .execute()
        ).map(({ reserved }) => reserved);
      expect(await rows()).toEqual([1_000, 0]);
      expect(await platformOf(sale.purchaseId)).toBe(-300);
      market.dying.add('settlePaymentObject');
      expect(await first.end('won')).toBe('won');
      expect(market.dying.size).toBe(0);
      expect(await rows()).toEqual([1_000, 300]);
      expect(await market.held(sale.purchaseId)).toBe(700);
      expect(await beyond(sale.purchaseId)).toEqual({
        [`dispute:${second.id}:beyond`]: 300,
        [`dispute:${second.id}:beyond:${first.id}`]: -300,
      });
      expect(await market.license(sale.licenseId)).toEqual({
        state: 'suspended',
        suspendedBy: [`dispute:${second.id}`],
      });
      expect(await second.end(how)).toBe(how);
      expect(await market.held(sale.purchaseId)).toBe(how === 'won' ? 1_000 : 700);
      expect((await market.license(sale.licenseId)).state).toBe(how === 'won' ? 'active' : 'revoked');
      expect(await platformOf(sale.purchaseId)).toBe(how === 'won' ? 200 : 140);
      const open = (await market.notices('payment_beyond')).filter(({ resolvedAt }) => resolvedAt === null);
      expect(open.filter(({ subject }) => subject === sale.purchaseId)).toEqual([]);
      expect(await market.sums()).toEqual([]);
    },
  );

  test('that stands in the way of a refund gets what was reserved for it once Stripe refuses the refund', async () => {
    const sale = await market.buy();
    const seen: unknown[] = [];
    market.before.set('refundAtProvider', async () => {
      await disputed(sale, 1_000);
      seen.push(await market.held(sale.purchaseId), Object.values(await beyond(sale.purchaseId)));
    });
    expect(await market.refund({ purchaseId: sale.purchaseId })).toEqual({ state: 'failed' });
    expect(seen).toEqual([1_000, [1_000]]);
    expect(await market.held(sale.purchaseId)).toBe(0);
    expect(Object.values(await beyond(sale.purchaseId))).toEqual([1_000, -1_000]);
    expect(await market.license(sale.licenseId)).toMatchObject({ state: 'suspended' });
    expect(await market.sums()).toEqual([]);
  });

  test('beyond leaves a platform without revenue owing: the loss is in the books, and events are settled', async () => {
    const sale = await market.buy({ amount: 10_000, currency: 'CHF' });
    const { id } = await disputed(sale, 10_000);
    market.double.refundOutside(sale.paymentId, 4_000);
    const event = market.double.events.findLast(({ type }) => type === 'refund.created')!;
    await market.tell(event);
    expect(await market.settled(event)).toBe('done');
    expect(await platformOf(sale.purchaseId)).toBe(-4_000);
    expect(await market.balance(accountOf.platform(), 'CHF')).toBeLessThan(0);
    expect(await market.balance(accountOf.outside('stripe'), 'CHF')).toBe(-10_000 + 4_000);
    expect(await disputedEnd(id, 'won')).toBe('won');
    expect(await market.held(sale.purchaseId)).toBe(6_000);
    expect(await platformOf(sale.purchaseId)).toBe(2_000 - 800);
    expect(await market.sums()).toEqual([]);
  });

  test('in another currency than the sale takes nothing of the parties; it is booked as it was taken, and told', async () => {
    const sale = await market.buy();
    const outside = await market.balance(accountOf.outside('stripe'), 'USD');
    const { id, event } = market.double.dispute(sale.paymentId, 1_200, 'needs_response', 'usd');
    await market.tell(event);
    expect(await market.settled(event)).toBe('open');
    expect(await market.held(sale.purchaseId)).toBe(1_000);
    expect(await market.license(sale.licenseId)).toEqual({ state: 'suspended', suspendedBy: [`dispute:${id}`] });
    expect(await beyond(sale.purchaseId)).toEqual({ [`dispute:${id}:beyond`]: 1_200 });
    expect((await market.balance(accountOf.outside('stripe'), 'USD')) - outside).toBe(1_200);
    expect((await market.notices('payment_beyond')).filter(({ subject }) => subject === sale.purchaseId)).toMatchObject(
      [{ title: `${id} took 12.00 USD more than was left of ${sale.purchaseId}`, resolvedAt: null }],
    );
    expect(await disputedEnd(id, 'lost')).toBe('lost');
    expect(await market.held(sale.purchaseId)).toBe(1_000);
    expect((await market.license(sale.licenseId)).state).toBe('revoked');
    expect(await market.sums()).toEqual([]);
  });

  test('that is won in part leaves the rest with the buyer, once Stripe’s books say so: a refund like any other', async () => {
    const sale = await market.buy();
    const { id } = await disputed(sale);
    const closed = market.double.endDispute(id, 'won', null);
    await market.tell(closed);
    expect(await market.settled(closed)).toBe('won');
    expect(await market.held(sale.purchaseId)).toBe(1_000);
    const back = market.double.reinstate(id, 640);
    market.dying.add('settlePaymentObject');
    for (const each of [back, { ...back, id: `${back.id}_again` }]) {
      await market.tell(each);
      expect(await market.settled(each)).toBe('won');
    }
    expect(market.dying.size).toBe(0);
    expect(await market.held(sale.purchaseId)).toBe(640);
    expect((await market.call('GET', `/v1/purchases/${sale.purchaseId}/refunds`)).json().items).toMatchObject([
      { amount: 360, posted: 360, state: 'done', reason: `${id} was won in part` },
    ]);
    expect(await market.license(sale.licenseId)).toEqual({ state: 'active', suspendedBy: [] });
    const differs = async () =>
      (await market.notices('dispute_differs')).filter(({ subject }) => subject === sale.purchaseId);
    expect(await differs()).toEqual([]);
    const rest = market.double.reinstate(id, 360);
    await market.tell(rest);
    expect(await market.settled(rest)).toBe('won');
    expect((await differs()).map(({ title }) => title)).toEqual([
      `${id} left 3.60 EUR with its buyer, and stripe says now that it is 0.00 EUR`,
    ]);
    expect(await market.sums()).toEqual([]);
  });

  test('and refunds hold a license up as often as all that is left is on its way, in the order in which they came', async () => {
    const sale = await market.buy();
    const { purchaseId } = sale;
    const [slow, fast] = [newId('refund'), newId('refund')];
    const asked = { purchaseId, reason: 'asked', force: false, madeBy: 'tok_test' };
    // Its transaction is the older one, and gets the lock second.
    await market.db.transaction().execute(async (tx) => {
      await sql`select 1`.execute(tx);
      await market.db.transaction().execute((other) => openRefund(other, { ...asked, refundId: fast, amount: 100 }));
      await openRefund(tx, { ...asked, refundId: slow, amount: 500 });
    });
    const came = await market.db
      .selectFrom('refunds')
      .select('id')
      .where('purchaseId', '=', purchaseId)
      .orderBy('madeAt')
      .execute();
    expect(came.map(({ id }) => id)).toEqual([fast, slow]);
    const license = () => market.license(sale.licenseId);
    expect(await license()).toEqual({ state: 'active', suspendedBy: [] });
    const { id, end } = await disputed(sale, 400);
    expect((await license()).suspendedBy.toSorted()).toEqual([`dispute:${id}`, `refund:${slow}`]);
    await end('won');
    expect(await license()).toEqual({ state: 'active', suspendedBy: [] });
    market.double.refundOutside(sale.paymentId, 400);
    const event = market.double.events.findLast(({ type }) => type === 'refund.created')!;
    await market.tell(event);
    expect(await market.settled(event)).toBe('done');
    expect(await license()).toEqual({ state: 'suspended', suspendedBy: [`refund:${slow}`] });
  });

  test('of another amount than it was first is told', async () => {
    const sale = await market.buy();
    const { id } = await disputed(sale, 700);
    const dispute = market.double.objects.get(id)!;
    dispute['amount'] = 900;
    expect(await disputedEnd(id, 'lost')).toBe('lost');
    expect(
      (await market.notices('dispute_differs')).find(({ key }) => key === `dispute_differs:${id}:amount`)?.title,
    ).toBe(`${id} was of 7.00 EUR, and stripe says now that it is of 9.00 EUR`);
    expect(await market.held(sale.purchaseId)).toBe(300);
  });

  test('and a refund are told to who sold by event, mail and webhook, each once, though workers die', async () => {
    const sale = await market.buy();
    const { purchaseId } = sale;
    await sql`delete from webhooks`.execute(market.db);
    await market.db
      .insertInto('webhooks')
      .values({
        id: newId('webhook'),
        ownerId: testOwner,
        url: 'https://shop.example/hooks',
        types: ['order.refunded', 'order.disputed'],
      })
      .execute();
    market.dying.add('settlePaymentObject');
    expect(await market.refund({ purchaseId, amount: 400 })).toEqual({ state: 'done' });
    market.dying.add('settlePaymentObject');
    const { id, end } = await disputed(sale, 600);
    market.dying.add('settlePaymentObject');
    expect(await end('won')).toBe('won');
    expect(market.dying.size).toBe(0);
    const mails = await sql<{ key: string; data: object }>`
      select key, data from mails where user_id = ${testOwner} and data ->> 'purchaseId' = ${purchaseId}
      order by id`.execute(market.db);
    const hooks = await sql<{ key: string }>`
      select e.key from webhook_events e join webhook_deliveries d on d.event_id = e.id
      where e.body::jsonb -> 'data' ->> 'purchaseId' = ${purchaseId} order by e.id`.execute(market.db);
    const { rows: refunds } = await sql<{ id: string }>`
      select id from refunds where purchase_id = ${purchaseId}`.execute(market.db);
    const refundId = refunds[0]!.id;
    expect(mails.rows).toMatchObject([
      { key: `refund:${refundId}`, data: { refundId, amount: 400, currency: 'EUR', title: 'A loop', reason: 'asked' } },
      { key: `dispute:${id}:open`, data: { disputeId: id, amount: 600, state: 'open' } },
      { key: `dispute:${id}:won`, data: { disputeId: id, amount: 600, state: 'won' } },
    ]);
    expect(hooks.rows.map(({ key }) => key)).toEqual([
      `order.refunded:${refundId}`,
      `order.disputed:${id}:open`,
      `order.disputed:${id}:won`,
    ]);
    const events = await sql<{ ownerId: string; type: string }>`
      select owner_id, type from events where subject = ${purchaseId} and type !~ '^purchase.(pending|authorized|captured|completed)$'
      order by owner_id = ${market.buyer}, id`.execute(market.db);
    expect(events.rows).toEqual(
      [testOwner, market.buyer].flatMap((ownerId) =>
        ['purchase.refunded', 'dispute.opened', 'dispute.won'].map((type) => ({ ownerId, type })),
      ),
    );
  });

  /** By transfer: what went from the platform to the provider, below zero where it came back. */
  async function beyond(purchaseId: string): Promise<Record<string, number>> {
    const { rows } = await sql<{ id: string; amount: number }>`
      select t.id, e.amount from ledger_transfers t join ledger_entries e on e.transfer_id = t.id
      join ledger_accounts a on a.id = e.account_id and a.kind = 'outside'
      where t.purchase_id = ${purchaseId} and t.kind in ('beyond_taken', 'beyond_returned') order by t.seq`.execute(
      market.db,
    );
    return Object.fromEntries(rows.map((row) => [row.id, row.amount]));
  }
  /** What the platform has of a purchase, without the provider's fees. */
  async function platformOf(purchaseId: string): Promise<number> {
    const { rows } = await sql<{ sum: number }>`
      select sum(e.amount)::bigint as sum from ledger_transfers t join ledger_entries e on e.transfer_id = t.id
      join ledger_accounts a on a.id = e.account_id and a.kind = 'platform'
      where t.purchase_id = ${purchaseId} and t.kind not in ('fee_taken', 'fee_returned')`.execute(market.db);
    return rows[0]!.sum;
  }
  const disputedEnd = async (id: string, how: 'won' | 'lost') => {
    const closed = market.double.endDispute(id, how);
    await market.tell(closed);
    return market.settled(closed);
  };

  test('an inquiry takes nothing; a second, other end is told to a person and changes nothing', async () => {
    const sale = await market.buy();
    const { id, event } = market.double.dispute(sale.paymentId, 1_000, 'warning_needs_response');
    await market.tell(event);
    expect(await market.settled(event)).toBe('inquiry');
    expect((await market.license(sale.licenseId)).state).toBe('active');
    market.double.objects.get(id)!['status'] = 'needs_response';
    expect(await disputedEnd(id, 'lost')).toBe('lost');
    expect(await disputedEnd(id, 'won')).toBe('lost');
    const differs = (await market.notices('dispute_differs')).filter(({ subject }) => subject === sale.purchaseId);
    expect(differs.map(({ key }) => key)).toEqual([`dispute_differs:${id}:end`]);
    expect(await market.held(sale.purchaseId)).toBe(0);
  });
});

test('after all of it purchases, licenses and money agree, by the pass that runs every hour', async () => {
  const pass = market.client.workflow.execute('reconcileLedger', {
    workflowId: 'reconcile:payments',
    taskQueue: coordinationQueue,
    args: [{ period: 'payments' }],
  });
  expect(await pass).toMatchObject({ discrepancies: 0 });
});
