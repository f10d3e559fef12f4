import Stripe from 'stripe';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isDomainError } from '../../domain/errors.ts';
import type { Money } from '../../domain/money.ts';
import { createStripe } from '../../integrations/payments/stripe.ts';
import { fromStripe, toStripe } from '../../integrations/payments/stripe-amounts.ts';
import { readStripeEvent } from '../../integrations/payments/stripe-events.ts';
import { type StripeDouble, startStripeDouble } from '../support/stripe-double.ts';

let double: StripeDouble;
let library: Stripe;
beforeAll(async () => {
  double = await startStripeDouble();
  const { hostname, port } = new URL(double.url);
  library = new Stripe(double.secretKey, {
    host: hostname,
    port,
    protocol: 'http',
    maxNetworkRetries: 0,
    timeout: 2_000,
  });
});
beforeEach(() => {
  double.slow = 0;
  double.balance = undefined;
});
afterAll(() => double?.close());

const adapter = () => createStripe({ secretKey: double.secretKey, url: double.url, callMs: 400 });
const euros = (amount: number): Money => ({ amount, currency: 'EUR' });
const doneOf = (what: string) => double.done.filter((each) => each.what === what).length;
async function codeOf(work: Promise<unknown>): Promise<string> {
  const err: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (isDomainError(err)) return err.code;
  throw err ?? new Error('it was not refused');
}
let opened = 0;
async function checkout(amount = 1_000, purchaseId = `pur_${(opened += 1)}`) {
  const stripe = adapter();
  const request = {
    purchaseId,
    money: euros(amount),
    title: 'A loop',
    returnUrl: 'https://shop.example/back',
    expiresAt: Date.now() + 3_600_000,
  };
  const { checkoutId, url } = await stripe.openCheckout(request, `${purchaseId}:checkout`);
  return { stripe, request, purchaseId, checkoutId, url };
}
async function captured(amount = 1_000) {
  const made = await checkout(amount);
  double.pay(made.checkoutId);
  const { paymentId } = await made.stripe.checkout(made.checkoutId);
  await made.stripe.capture(paymentId!, `${made.purchaseId}:capture`);
  return { ...made, paymentId: paymentId! };
}

describe('the double, asked by Stripe’s own library', () => {
  const params = { amount: 100, currency: 'eur', destination: 'acct_1', transfer_group: 'tg' };

  test('a key gives the same object again, refuses other parameters, and is in use while it is worked on', async () => {
    const first = await library.transfers.create(params, { idempotencyKey: 'same' });
    const again = await library.transfers.create(params, { idempotencyKey: 'same' });
    expect(again.id).toBe(first.id);
    expect(again.lastResponse.headers['idempotent-replayed']).toBe('true');
    await expect(
      library.transfers.create({ ...params, amount: 101 }, { idempotencyKey: 'same' }),
    ).rejects.toBeInstanceOf(Stripe.errors.StripeIdempotencyError);
    double.slow = 100;
    const outcomes = await Promise.allSettled(
      [1, 2].map(() => library.transfers.create(params, { idempotencyKey: 'at once' })),
    );
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  test('a 500 is given again under its key; what failed its checks is not kept', async () => {
    double.fail('POST /v1/transfers', '500-before');
    for (let i = 0; i < 2; i += 1) {
      await expect(library.transfers.create(params, { idempotencyKey: 'broken' })).rejects.toMatchObject({
        statusCode: 500,
      });
    }
    await expect(
      library.transfers.create({ ...params, amount: 0 }, { idempotencyKey: 'checked' }),
    ).rejects.toMatchObject({ statusCode: 400 });
    expect((await library.transfers.create(params, { idempotencyKey: 'checked' })).amount).toBe(100);
  });

  test('a wrong key is a 401, an unknown object a 404; a signed event is taken by the library', async () => {
    const { hostname, port } = new URL(double.url);
    const wrong = new Stripe('sk_test_wrong', { host: hostname, port, protocol: 'http', maxNetworkRetries: 0 });
    await expect(wrong.disputes.retrieve('dp_1')).rejects.toBeInstanceOf(Stripe.errors.StripeAuthenticationError);
    await expect(library.disputes.retrieve('dp_none')).rejects.toMatchObject({ code: 'resource_missing' });
    const { checkoutId } = await checkout();
    const { raw, headers } = double.signed(double.pay(checkoutId));
    const event = library.webhooks.constructEvent(raw, headers['stripe-signature']!, double.webhookSecret);
    expect(event).toMatchObject({ type: 'checkout.session.completed', data: { object: { id: checkoutId } } });
  });
});

describe('the Stripe adapter', () => {
  test('opens a page with manual capture, captures once, and knows the fee', async () => {
    const { stripe, purchaseId, checkoutId, url } = await checkout(2_000);
    expect(url).toContain(checkoutId);
    expect(await stripe.checkout(checkoutId)).toMatchObject({ state: 'opened', purchaseId });
    double.pay(checkoutId);
    const paid = await stripe.checkout(checkoutId);
    expect(paid).toMatchObject({ state: 'authorized', purchaseId, fee: null });
    const intent = double.objects.get(paid.paymentId!)!;
    expect(intent).toMatchObject({ capture_method: 'manual', transfer_group: purchaseId });
    // Others cannot be authorised first and captured later.
    expect(double.objects.get(checkoutId)).toMatchObject({ allowed_payment_method_types: { 0: 'card' } });
    const before = doneOf('capture');
    for (let i = 0; i < 3; i += 1) {
      const facts = await stripe.capture(paid.paymentId!, `${purchaseId}:capture`);
      expect(facts).toMatchObject({ state: 'captured', fee: { money: euros(88) } });
    }
    expect(doneOf('capture') - before).toBe(1);
  });

  test.each(['silent-after', 'cut-after', '500-after', '500-before', 'cut-before', '429', '409'] as const)(
    'a refund whose first answer is %s is made once when it is asked for again',
    async (fault) => {
      const { stripe, paymentId } = await captured();
      const before = doneOf('refund');
      const ask = () =>
        stripe.refund({ paymentId, refundId: `rfd_${fault}`, money: euros(400) }, `rfd_${fault}:refund`);
      double.fail('POST /v1/refunds', fault);
      const passing = fault === '429' || fault === '409';
      expect(await codeOf(ask())).toBe(passing ? 'PAYMENT_PROVIDER_DOWN' : 'PAYMENT_UNKNOWN');
      expect(await ask()).toMatchObject({ state: 'done', refundId: `rfd_${fault}`, money: euros(400) });
      expect(await ask()).toMatchObject({ state: 'done' });
      expect(doneOf('refund') - before).toBe(1);
    },
  );

  test('two at once, and one after Stripe has forgotten the key, make one transfer', async () => {
    const stripe = adapter();
    const ask = () =>
      stripe.transfer({ payoutId: 'pyt_once', account: 'acct_1', money: euros(700) }, 'pyt_once:transfer');
    const before = doneOf('transfer');
    double.slow = 50;
    const both = await Promise.allSettled([ask(), ask()]);
    expect(both.some(({ status }) => status === 'fulfilled')).toBe(true);
    const { transferId } = await ask();
    const forgotten = await stripe.transfer(
      { payoutId: 'pyt_once', account: 'acct_1', money: euros(700) },
      'another key',
    );
    expect(forgotten).toEqual({ transferId });
    expect(doneOf('transfer') - before).toBe(1);
  });

  test('knows whose key it has, and finds nothing of another account or mode', async () => {
    const { stripe, checkoutId } = await checkout();
    expect(await stripe.account()).toEqual({ account: 'acct_platform', live: false });
    double.addKey('rk_live_double', 'acct_platform');
    const live = createStripe({ secretKey: 'rk_live_double', url: double.url });
    expect(await live.account()).toEqual({ account: 'acct_platform', live: true });
    expect(await codeOf(live.checkout(checkoutId))).toBe('PAYMENT_REFUSED');
    expect(await stripe.checkout(checkoutId)).toMatchObject({ state: 'opened' });
  });

  test('what is refused is told apart from what may pass', async () => {
    const { stripe, paymentId } = await captured(500);
    expect(await codeOf(stripe.refund({ paymentId, refundId: 'rfd_much', money: euros(501) }, 'much'))).toBe(
      'PAYMENT_REFUSED',
    );
    expect(await codeOf(stripe.transfer({ payoutId: 'p1', account: 'nobody', money: euros(1) }, 'p1'))).toBe(
      'PAYMENT_REFUSED',
    );
    double.balance = 10;
    expect(await codeOf(stripe.transfer({ payoutId: 'p2', account: 'acct_1', money: euros(11) }, 'p2'))).toBe(
      'PAYMENT_REFUSED',
    );
    double.fail('POST /v1/checkout/sessions', '402');
    expect(await codeOf(checkout())).toBe('PAYMENT_REFUSED');
    const wrong = createStripe({ secretKey: 'sk_test_wrong', url: double.url });
    expect(await codeOf(wrong.dispute('dp_1'))).toBe('PAYMENTS_NOT_SET_UP');
    const nobody = createStripe({ secretKey: 'sk', url: 'http://127.0.0.1:9' });
    expect(await codeOf(nobody.transfer({ payoutId: 'p3', account: 'acct_1', money: euros(1) }, 'p3'))).toBe(
      'PAYMENT_PROVIDER_DOWN',
    );
    // What cannot be looked up for a fault of the question says nothing of the money.
    double.fail('GET /v1/refunds', '402');
    expect(await codeOf(stripe.refund({ paymentId, refundId: 'rfd_seen', money: euros(1) }, 'seen'))).toBe('INTERNAL');
    expect(await codeOf(stripe.dispute('dp_none'))).toBe('PAYMENT_REFUSED');
    // The same key with other content is a fault of ours.
    const { request } = await checkout(900, 'pur_twice');
    expect(await codeOf(stripe.openCheckout({ ...request, money: euros(901) }, 'pur_twice:checkout'))).toBe('CONFLICT');
  });

  test('of a dispute that is won it knows what did not come back, once Stripe has booked it', async () => {
    const { stripe, paymentId } = await captured(1_000);
    const { id } = double.dispute(paymentId, 1_000);
    expect(await stripe.dispute(id)).toMatchObject({ state: 'open', kept: null });
    double.endDispute(id, 'won', null);
    expect(await stripe.dispute(id)).toMatchObject({ state: 'won', kept: null });
    double.reinstate(id, 640);
    expect(await stripe.dispute(id)).toMatchObject({ state: 'won', kept: euros(360) });
    double.reinstate(id, 360);
    expect(await stripe.dispute(id)).toMatchObject({ state: 'won', kept: null });
  });

  test('cancels a page nobody paid on, and money that was authorised, each again without harm; never what was captured', async () => {
    const unpaid = await checkout();
    for (let i = 0; i < 2; i += 1) {
      const facts = await unpaid.stripe.cancel({ checkoutId: unpaid.checkoutId, paymentId: null }, 'cancel unpaid');
      expect(facts.state).toBe('canceled');
    }
    const paid = await checkout();
    double.pay(paid.checkoutId);
    double.fail('POST /v1/payment_intents/:id/cancel', '500-after');
    const cancel = () => paid.stripe.cancel({ checkoutId: paid.checkoutId, paymentId: null }, 'cancel paid');
    expect(await codeOf(cancel())).toBe('PAYMENT_UNKNOWN');
    expect((await cancel()).state).toBe('canceled');
    const taken = await captured();
    expect((await taken.stripe.cancel(taken, 'cancel taken')).state).toBe('captured');
  });

  test('sends what it cannot finish in time but once: there is no second loop of the library', async () => {
    const before = double.requests.length;
    double.fail('POST /v1/checkout/sessions', 'cut-after');
    expect(await codeOf(checkout())).toBe('PAYMENT_UNKNOWN');
    expect(double.requests.length - before).toBe(1);
  });
});

describe('amounts', () => {
  test.each([
    [
      { amount: 1250, currency: 'EUR' },
      { amount: 1250, currency: 'eur' },
    ],
    [
      { amount: 500, currency: 'JPY' },
      { amount: 500, currency: 'jpy' },
    ],
    [
      { amount: 500, currency: 'ISK' },
      { amount: 50_000, currency: 'isk' },
    ],
    [
      { amount: 5, currency: 'UGX' },
      { amount: 500, currency: 'ugx' },
    ],
    [
      { amount: 700, currency: 'MGA' },
      { amount: 7, currency: 'mga' },
    ],
    [
      { amount: 5_120, currency: 'KWD' },
      { amount: 5_120, currency: 'kwd' },
    ],
  ])('%o is %o at Stripe, and back', (ours, theirs) => {
    expect(toStripe(ours)).toEqual(theirs);
    expect(fromStripe(theirs)).toEqual(ours);
  });

  test('what Stripe cannot say exactly is refused by name, never rounded', () => {
    expect(() => toStripe({ amount: 5_124, currency: 'KWD' })).toThrow('multiple of 0.010 KWD');
    expect(() => toStripe({ amount: 5_120, currency: 'LYD' })).toThrow('does not take it');
    expect(() => toStripe({ amount: 150, currency: 'MGA' })).toThrow('multiple of 1.00 MGA');
    expect(() => fromStripe({ amount: 150, currency: 'isk' })).toThrow('no whole amount');
    expect(() => fromStripe({ amount: 1, currency: 'zzz' })).toThrow('unknown here');
  });
});

describe('signed events', () => {
  const now = new Date('2026-11-21T12:00:00Z');
  const seconds = now.getTime() / 1000;
  const read = (at: number, change: (raw: string) => string = (raw) => raw, secret = double.webhookSecret) => {
    const event = {
      id: 'evt_1',
      object: 'event',
      type: 'charge.dispute.created',
      created: seconds,
      data: { object: { id: 'dp_1', object: 'dispute' } },
    };
    const { raw, headers } = double.signed(event as unknown as Stripe.Event, at, secret);
    return readStripeEvent(Buffer.from(change(raw)), headers['stripe-signature']!, double.webhookSecret, now);
  };

  test('within 300 seconds either way it is taken, beyond them refused', () => {
    for (const off of [0, -300, 300])
      expect(read(seconds + off)).toMatchObject({ id: 'evt_1', object: { kind: 'dispute', id: 'dp_1' } });
    for (const off of [-301, 301, -86_400, 86_400]) expect(read(seconds + off)).toBe(undefined);
  });

  test('another secret, another byte, JSON written anew, and headers that are none are refused', () => {
    expect(read(seconds, undefined, 'whsec_other')).toBe(undefined);
    expect(read(seconds, (raw) => raw.replace('dp_1', 'dp_2'))).toBe(undefined);
    expect(read(seconds, (raw) => JSON.stringify(JSON.parse(raw)))).toBe(undefined);
    for (const header of [
      '',
      't=',
      'v1=aa',
      `t=${seconds},v1=`,
      `t=${seconds},v1=aa`,
      't=123abc,v1=00',
      'x'.repeat(5_000),
    ])
      expect(readStripeEvent(Buffer.from('{}'), header, double.webhookSecret, now)).toBe(undefined);
  });
});
