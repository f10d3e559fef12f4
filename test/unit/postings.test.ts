import { expect, test } from 'vitest';
import { accountKey, accountOf, mayOverdraw, posting, type Posting } from '../../domain/ledger.ts';
import {
  blessingsShared,
  creditsGranted,
  feeReturned,
  feeTaken,
  moneyHeld,
  moneyReleased,
  payoutEnded,
  payoutStarted,
  refunded,
  sold,
} from '../../domain/postings.ts';
import { saleStateOf } from '../../domain/sale-state.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';

const eur = (amount: number) => ({ amount, currency: 'EUR' });
const terms = {
  weights: defaultSaleWeights,
  creators: [
    { userId: 'ada', weight: 1 },
    { userId: 'bea', weight: 1 },
  ],
};
const purchaseId = 'pur_1';
const sale = (paid: number, tax = 0, from = accountOf.credits('bob')) =>
  sold({ purchaseId, currency: 'EUR', from, split: splitSale(paid, tax, terms) })!;
const sides = ({ entries }: Posting) =>
  Object.fromEntries(entries.map(({ account, amount }) => [accountKey(account), amount]));
const stateOf = (...postings: Posting[]) => saleStateOf(purchaseId, postings)!;

test('credits are granted from outside', () => {
  const grant = creditsGranted({ grantId: 'grt_1', userId: 'bob', money: eur(500), reason: 'hello' });
  expect(grant).toMatchObject({ id: 'grant:grt_1', kind: 'grant', currency: 'EUR', reason: 'hello', purchaseId: null });
  expect(sides(grant)).toEqual({ 'outside:credits': -500, 'credits:bob': 500 });
});

test('a sale by credits goes to creators, platform, pool and tax', () => {
  expect(sides(sale(1190, 190))).toEqual({
    'credits:bob': -1190,
    'creator:ada': 350,
    'creator:bea': 350,
    'platform:': 200,
    'blessings:': 100,
    'tax:': 190,
  });
});

test('no posting has a side of zero, and a price of zero moves nothing', () => {
  expect(sides(sale(1))).toEqual({ 'credits:bob': -1, 'creator:ada': 1 });
  expect(sold({ purchaseId, currency: 'EUR', from: accountOf.credits('bob'), split: splitSale(0, 0, terms) })).toBe(
    undefined,
  );
  expect(() => creditsGranted({ grantId: 'g', userId: 'bob', money: eur(0), reason: '' })).toThrow('at least 1');
});

test('money of a provider is held, then sold, with its fee out of the platform’s revenue and no part of the split', () => {
  const stripe = accountOf.outside('stripe');
  const held = moneyHeld({ purchaseId, userId: 'bob', money: eur(1000) }, stripe);
  const fromEscrow = sale(1000, 0, accountOf.escrow('bob'));
  const fee = feeTaken({ feeId: 'ch_1', purchaseId, provider: 'stripe', money: eur(59) });
  expect(sides(held)).toEqual({ 'outside:stripe': -1000, 'escrow:bob': 1000 });
  expect(sides(fee)).toEqual({ 'platform:': -59, 'fees:stripe': 59 });
  expect(sides(feeReturned({ feeId: 'ch_1', purchaseId, provider: 'stripe', money: eur(59) }))).toEqual({
    'platform:': 59,
    'fees:stripe': -59,
  });
  const state = stateOf(held, fromEscrow, fee);
  expect(state).toMatchObject({ payer: stripe, paid: 1000, returned: 0, reserved: 0 });
  // All of what was paid can be refunded; the fee stays the platform's loss.
  const all = refunded(state, { refundId: 'r', amount: 1000, reason: '' });
  expect(sides(all)).toMatchObject({ 'outside:stripe': 1000, 'platform:': -200 });
  expect(sides(moneyReleased({ purchaseId, userId: 'bob', money: eur(1000) }, stripe))).toEqual({
    'escrow:bob': -1000,
    'outside:stripe': 1000,
  });
});

test('a refund that is asked for again is the same posting, though less is left; another amount is refused', () => {
  const first = sale(100);
  const refund = refunded(stateOf(first), { refundId: 'r1', amount: 60, reason: 'broken' });
  const state = stateOf(first, refund);
  expect(refunded(state, { refundId: 'r1', amount: 60, reason: 'broken' })).toEqual(refund);
  expect(() => refunded(state, { refundId: 'r1', amount: 50, reason: '' })).toThrow('with another amount than 50');
  expect(() => refunded(state, { refundId: 'r2', amount: 41, reason: '' })).toThrow(
    '0.41 EUR is more than the 0.40 EUR that is left of pur_1',
  );
});

test('a payout sets out, and arrives or comes back: one of both', () => {
  const started = payoutStarted({ payoutId: 'pay_1', userId: 'ada', money: eur(70) });
  expect(sides(started)).toEqual({ 'creator:ada': -70, 'payouts:ada': 70 });
  const paid = payoutEnded(started, { paidBy: 'stripe' });
  const failed = payoutEnded(started, { failed: 'account closed' });
  expect([sides(paid), sides(failed)]).toEqual([
    { 'payouts:ada': -70, 'outside:stripe': 70 },
    { 'payouts:ada': -70, 'creator:ada': 70 },
  ]);
  expect(paid.id).toBe(failed.id);
  expect(failed.reason).toBe('account closed');
  expect(() => payoutEnded(paid, { paidBy: 'stripe' })).toThrow('is not the start of a payout');
});

test('the pool is shared with those who were blessed; what does not divide stays', () => {
  const received = [
    { userId: 'ada', blessings: 2 },
    { userId: 'bea', blessings: 1 },
    { userId: 'cyd', blessings: 0 },
  ];
  const shared = blessingsShared({ ownerId: 'ops', period: '2026-11-01', pool: eur(100), received })!;
  expect(sides(shared)).toEqual({ 'blessings:': -99, 'creator:ada': 66, 'creator:bea': 33 });
  const elsewhere = blessingsShared({ ownerId: 'others', period: '2026-11-01', pool: eur(100), received })!;
  expect([shared.id, elsewhere.id]).toEqual(['blessings:ops:2026-11-01:EUR', 'blessings:others:2026-11-01:EUR']);
  expect(blessingsShared({ ownerId: 'ops', period: 'p', pool: eur(0), received })).toBe(undefined);
});

test('only what is taken back leaves a creator or the pool owing', () => {
  expect(mayOverdraw('refund', 'creator')).toBe(true);
  expect(mayOverdraw('dispute_opened', 'blessings')).toBe(true);
  expect(mayOverdraw('payout_started', 'creator')).toBe(false);
  expect(mayOverdraw('blessings_shared', 'blessings')).toBe(false);
  expect(mayOverdraw('refund', 'credits')).toBe(false);
  expect(mayOverdraw('sale', 'outside')).toBe(true);
});

test('a reason is cut to what the database keeps', () => {
  const reasonOf = (reason: string) =>
    creditsGranted({ grantId: 'grt_1', userId: 'bob', money: eur(500), reason }).reason;
  expect(reasonOf('a\0b')).toBe('ab');
  expect(reasonOf(`${'x'.repeat(299)}🎁 and more`)).toBe(`${'x'.repeat(299)}\ufffd`);
  expect(reasonOf(`\0${'x'.repeat(298)}🎁 and more`)).toBe(`${'x'.repeat(298)}🎁`);
});

test('entries that do not add up are no posting; those of one account become one', () => {
  const draft = { id: 'x', kind: 'sale' as const, currency: 'EUR', purchaseId: null, reason: '' };
  const side = (amount: number, account = accountOf.platform()) => ({ account, amount });
  expect(() => posting({ ...draft, entries: [side(1), side(-2, accountOf.tax())] })).toThrow('do not add up to zero');
  expect(posting({ ...draft, entries: [side(1), side(-1)] })).toBe(undefined);
  expect(posting({ ...draft, entries: [side(1), side(2), side(-3, accountOf.tax())] })!.entries).toHaveLength(2);
});
