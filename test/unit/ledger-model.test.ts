import fc from 'fast-check';
import { expect, test } from 'vitest';
import { accountKey, accountOf, mayOverdraw, type AccountRef, type Posting } from '../../domain/ledger.ts';
import {
  blessingsShared,
  creditsGranted,
  disputeEnded,
  disputeOpened,
  feeTaken,
  moneyHeld,
  payoutEnded,
  payoutStarted,
  refunded,
  sold,
} from '../../domain/postings.ts';
import { leftOf, type SaleState, saleStateOf } from '../../domain/sale-state.ts';
import { splitSale } from '../../domain/shares.ts';

/**
 * Any sequence of what may happen to purchases, against books that are kept here by the plainest means: a balance an
 * account. Steps name things by number, so that every sequence means something.
 */
type Step =
  | {
      do: 'sale';
      paid: number;
      taxShare: number;
      weights: [number, number, number];
      creators: number[];
      by: 'credits' | 'held' | 'stripe';
    }
  | { do: 'refund'; of: number; share: number; again: boolean }
  | { do: 'dispute'; of: number; amount: number; again: boolean }
  | { do: 'end'; of: number; won: boolean; again: boolean }
  | { do: 'payout'; creator: number; share: number }
  | { do: 'payoutEnd'; of: number; paid: boolean }
  | { do: 'blessings'; counts: number[] };

const nat = (max: number) => fc.integer({ min: 0, max });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('sale' as const),
    paid: fc.oneof(nat(30), nat(5_000)),
    taxShare: nat(4),
    weights: fc.oneof(
      fc.constant<[number, number, number]>([70, 20, 10]),
      fc.tuple(nat(60), nat(60), nat(60)).filter(([a, b, c]) => a + b + c > 0),
    ),
    creators: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
    by: fc.constantFrom('credits', 'held', 'stripe'),
  }),
  fc.record({ do: fc.constant('refund' as const), of: nat(9), share: nat(100), again: fc.boolean() }),
  fc.record({ do: fc.constant('dispute' as const), of: nat(9), amount: nat(5_000), again: fc.boolean() }),
  fc.record({ do: fc.constant('end' as const), of: nat(9), won: fc.boolean(), again: fc.boolean() }),
  fc.record({ do: fc.constant('payout' as const), creator: nat(2), share: nat(100) }),
  fc.record({ do: fc.constant('payoutEnd' as const), of: nat(9), paid: fc.boolean() }),
  fc.record({ do: fc.constant('blessings' as const), counts: fc.array(nat(5), { minLength: 3, maxLength: 3 }) }),
);

function openBooks() {
  const balances = new Map<string, number>();
  const posted = new Map<string, Posting>();
  const ofPurchase = new Map<string, Posting[]>();
  return {
    balances,
    posted,
    balance: (account: AccountRef) => balances.get(accountKey(account)) ?? 0,
    sale: (purchaseId: string) => saleStateOf(purchaseId, ofPurchase.get(purchaseId) ?? []),
    /** As the store does it: an id once, no side of zero, nobody below zero who may not be. */
    post(each: Posting | undefined): void {
      if (!each) return;
      const known = posted.get(each.id);
      if (known) {
        expect(each).toEqual(known);
        return;
      }
      expect(each.entries.length).toBeGreaterThanOrEqual(2);
      let sum = 0;
      for (const { account, amount } of each.entries) {
        const key = accountKey(account);
        const after = (balances.get(key) ?? 0) + amount;
        expect(amount).not.toBe(0);
        if (after < 0 && amount < 0 && !mayOverdraw(each.kind, account.kind))
          throw new Error(`${each.id} overdraws ${key}`);
        balances.set(key, after);
        sum += amount;
      }
      expect(sum).toBe(0);
      posted.set(each.id, each);
      if (each.purchaseId !== null) {
        const own = ofPurchase.get(each.purchaseId);
        if (own) own.push(each);
        else ofPurchase.set(each.purchaseId, [each]);
      }
    },
  };
}

interface Disputed {
  purchaseId: string;
  disputeId: string;
  before: SaleState;
  ended: boolean;
}

const users = ['ada', 'bea', 'cyd'];
const purchaseOf = (number: number) => `pur_${number}`;

function play(steps: readonly Step[]): void {
  const books = openBooks();
  const purchases: Array<{ id: string; paid: number }> = [];
  const disputes: Disputed[] = [];
  const payouts: Posting[] = [];
  let count = 0;
  const pick = <Item>(items: readonly Item[], at: number): Item | undefined => items[at % Math.max(1, items.length)];
  const currency = 'EUR';

  for (const each of steps) {
    count += 1;
    if (each.do === 'sale') {
      const purchaseId = purchaseOf(count);
      const money = { amount: each.paid, currency };
      const split = splitSale(each.paid, Math.floor((each.paid * each.taxShare) / 20), {
        weights: { creator: each.weights[0], platform: each.weights[1], blessings: each.weights[2] },
        creators: each.creators.map((weight, i) => ({ userId: users[i]!, weight })),
      });
      const from = {
        credits: accountOf.credits('bob'),
        held: accountOf.escrow('bob'),
        stripe: accountOf.outside('stripe'),
      };
      if (each.paid > 0) {
        if (each.by === 'credits')
          books.post(creditsGranted({ grantId: `g${count}`, userId: 'bob', money, reason: '' }));
        if (each.by === 'held')
          books.post(moneyHeld({ purchaseId, userId: 'bob', money }, accountOf.outside('stripe')));
      }
      books.post(sold({ purchaseId, currency, from: from[each.by], split }));
      if (each.paid > 0) purchases.push({ id: purchaseId, paid: each.paid });
      if (each.paid > 50 && each.by !== 'credits')
        books.post(feeTaken({ feeId: purchaseId, purchaseId, provider: 'stripe', money: { amount: 30, currency } }));
    } else if (each.do === 'refund') {
      const of = pick(purchases, each.of);
      const state = of && books.sale(of.id);
      const amount = state ? Math.ceil((leftOf(state) * each.share) / 100) : 0;
      if (!state || amount === 0) continue;
      const refund = { refundId: `r${count}`, amount, reason: '' };
      books.post(refunded(state, refund));
      if (each.again) books.post(refunded(books.sale(state.purchaseId)!, refund));
      expect(() => refunded(books.sale(state.purchaseId)!, { ...refund, refundId: 'more', amount: 6_000 })).toThrow();
    } else if (each.do === 'dispute') {
      const of = pick(purchases, each.of);
      const before = of && books.sale(of.id);
      if (!before || each.amount === 0) continue;
      const disputeId = `d${count}`;
      const dispute = { disputeId, userId: 'bob', amount: each.amount, reason: '' };
      const opened = disputeOpened(before, dispute);
      books.post(opened.posting);
      expect(opened.beyond).toBe(Math.max(0, each.amount - leftOf(before)));
      if (each.again) books.post(disputeOpened(books.sale(of.id)!, dispute).posting);
      disputes.push({ purchaseId: of.id, disputeId, before, ended: false });
    } else if (each.do === 'end') {
      const dispute = pick(disputes, each.of);
      if (!dispute || dispute.ended) continue;
      const { purchaseId, disputeId } = dispute;
      const standing = books.sale(purchaseId)!;
      const end = { disputeId, won: each.won, reason: '' };
      books.post(disputeEnded(standing, end));
      if (each.again) books.post(disputeEnded(books.sale(purchaseId)!, end));
      const opened = books.posted.get(`dispute:${disputeId}`);
      if (each.won && opened) {
        // Each party has exactly what the opening took of it.
        const taken = new Map(opened.entries.map(({ account, amount }) => [accountKey(account), amount]));
        const back = books.sale(purchaseId)!.held;
        for (const [i, { account, amount }] of standing.held.entries())
          expect(back[i]!.amount).toBe(amount - (taken.get(accountKey(account)) ?? 0));
      }
      dispute.ended = true;
    } else if (each.do === 'payout') {
      const userId = users[each.creator]!;
      const amount = Math.floor((Math.max(0, books.balance(accountOf.creator(userId))) * each.share) / 100);
      if (amount === 0) continue;
      const started = payoutStarted({ payoutId: `p${count}`, userId, money: { amount, currency } });
      books.post(started);
      payouts.push(started);
    } else if (each.do === 'payoutEnd') {
      const started = pick(payouts, each.of);
      if (!started || books.posted.has(`${started.id}:ended`)) continue;
      books.post(payoutEnded(started, each.paid ? { paidBy: 'stripe' } : { failed: 'closed' }));
    } else {
      const pool = { amount: Math.max(0, books.balance(accountOf.blessings())), currency };
      const received = each.counts.map((blessings, i) => ({ userId: users[i]!, blessings }));
      books.post(blessingsShared({ ownerId: 'ops', period: `b${count}`, pool, received }));
    }
    judge();
  }

  // The rest of every sale goes back to the last unit.
  for (const { id, paid } of purchases) {
    const left = leftOf(books.sale(id)!);
    if (left > 0) books.post(refunded(books.sale(id)!, { refundId: `all-${id}`, amount: left, reason: '' }));
    const state = books.sale(id)!;
    expect(state.held.map(({ amount }) => amount)).toEqual(state.held.map(() => 0));
    expect(state.returned + state.reserved).toBe(paid);
  }
  judge();

  function judge(): void {
    expect([...books.balances.values()].reduce((sum, balance) => sum + balance, 0)).toBe(0);
    for (const { id, paid } of purchases) {
      const state = books.sale(id)!;
      expect(state.paid).toBe(paid);
      expect(state.returned + state.reserved).toBeLessThanOrEqual(paid);
      expect(state.returned).toBeGreaterThanOrEqual(0);
      // No unit is anywhere but with a party, in reserve, or back.
      expect(leftOf(state) + state.returned + state.reserved).toBe(paid);
      for (const { amount } of state.held) expect(amount).toBeGreaterThanOrEqual(0);
    }
    for (const [key, balance] of books.balances) {
      if (/^(credits|escrow|tax|disputes|payouts):/.test(key)) expect([key, balance >= 0]).toEqual([key, true]);
    }
    // What is in reserve is what open disputes took, and what is on its way is what payouts took.
    const reserved = purchases.reduce((sum, { id }) => sum + books.sale(id)!.reserved, 0);
    expect(books.balance(accountOf.disputes('bob'))).toBe(reserved);
  }
}

test('any sequence of sales, refunds, disputes and payouts adds up to zero, to the last unit', () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 24 }), play), { numRuns: 10_000 });
}, 240_000);

test('a creator who was paid out is left owing by a refund, and later sales settle it', () => {
  const books = openBooks();
  const split = (paid: number) =>
    splitSale(paid, 0, {
      weights: { creator: 70, platform: 20, blessings: 10 },
      creators: [{ userId: 'ada', weight: 1 }],
    });
  const sell = (purchaseId: string) =>
    books.post(sold({ purchaseId, currency: 'EUR', from: accountOf.outside('stripe'), split: split(100) }));
  const owed = () => books.balance(accountOf.creator('ada'));
  sell('pur_1');
  const started = payoutStarted({ payoutId: 'p', userId: 'ada', money: { amount: 70, currency: 'EUR' } });
  books.post(started);
  books.post(payoutEnded(started, { paidBy: 'stripe' }));
  books.post(refunded(books.sale('pur_1')!, { refundId: 'r', amount: 100, reason: '' }));
  expect(owed()).toBe(-70);
  expect(() =>
    books.post(payoutStarted({ payoutId: 'q', userId: 'ada', money: { amount: 1, currency: 'EUR' } })),
  ).toThrow('overdraws creator:ada');
  sell('pur_2');
  expect(owed()).toBe(0);
  sell('pur_3');
  expect(owed()).toBe(70);
});
