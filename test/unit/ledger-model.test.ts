import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beyondOf, type Claim, onItsWay } from '../../domain/claims.ts';
import { settleClaim } from '../../domain/settle-claim.ts';
import { accountKey, accountOf, mayOverdraw, type AccountRef, type Posting } from '../../domain/ledger.ts';
import { licenseByMoney, type LicenseStanding, licenseSteps } from '../../domain/license-standing.ts';
import { mayCome, operatorCause, runningState } from '../../domain/licenses.ts';
import {
  blessingsShared,
  creditsGranted,
  feeTaken,
  moneyHeld,
  payoutEnded,
  payoutStarted,
  refunded,
  sold,
} from '../../domain/postings.ts';
import { leftOf, saleStateOf } from '../../domain/sale-state.ts';
import { splitSale } from '../../domain/shares.ts';
import type { LicenseState } from '../../domain/states.ts';

/**
 * Any sequence of what may happen to purchases, against books that are kept here by the plainest means: a balance an account
 * and currency, and of each purchase what its buyer's bank would say. The rules are the product's own; what they must come to
 * is counted here without them. Steps name things by number, so that every sequence means something.
 */
type Step =
  | {
      do: 'sale';
      paid: number;
      taxShare: number;
      weights: [number, number, number];
      creators: number[];
      currency: Currency;
      by: 'credits' | 'held' | 'stripe';
    }
  /** `beyond`: made at the provider, which asks nobody how much is left. */
  | { do: 'refund'; of: number; share: number; by: 'asked' | 'beyond'; again: boolean }
  | { do: 'refundEnd'; of: number; done: boolean; again: boolean }
  /** One that was given up, and was made all the same. */
  | { do: 'refundAfterAll'; of: number; again: boolean }
  /** In the currency of the sale, or in whichever the bank takes it. */
  | { do: 'dispute'; of: number; amount: number; by: Currency | 'sale'; again: boolean }
  /** Told of one that nobody has told of before, too. */
  | { do: 'disputeEnd'; of: number; won: boolean; again: boolean }
  | { do: 'byHand'; of: number; suspend: boolean }
  | { do: 'payout'; creator: number; currency: Currency; share: number }
  | { do: 'payoutEnd'; of: number; paid: boolean }
  | { do: 'blessings'; currency: Currency; counts: number[] };

/** Of no, two and three decimals. */
const currencies = ['JPY', 'EUR', 'KWD'] as const;
type Currency = (typeof currencies)[number];

const nat = (max: number) => fc.integer({ min: 0, max });
const currency = fc.constantFrom(...currencies);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('sale' as const),
    paid: fc.oneof(nat(30), nat(5_000), fc.integer({ min: 2 ** 40, max: 2 ** 41 })),
    taxShare: nat(4),
    weights: fc.oneof(
      fc.constant<[number, number, number]>([70, 20, 10]),
      fc.tuple(nat(60), nat(60), nat(60)).filter(([a, b, c]) => a + b + c > 0),
    ),
    creators: fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
    currency,
    by: fc.constantFrom('credits', 'held', 'stripe', 'stripe'),
  }),
  fc.record({
    do: fc.constant('refund' as const),
    of: nat(9),
    share: nat(100),
    by: fc.constantFrom('asked', 'asked', 'beyond'),
    again: fc.boolean(),
  }),
  fc.record({ do: fc.constant('refundEnd' as const), of: nat(9), done: fc.boolean(), again: fc.boolean() }),
  fc.record({ do: fc.constant('refundAfterAll' as const), of: nat(9), again: fc.boolean() }),
  fc.record({
    do: fc.constant('dispute' as const),
    of: nat(9),
    amount: fc.oneof(nat(40), nat(6_000)),
    by: fc.constantFrom('sale', 'sale', 'sale', ...currencies),
    again: fc.boolean(),
  }),
  fc.record({ do: fc.constant('disputeEnd' as const), of: nat(9), won: fc.boolean(), again: fc.boolean() }),
  fc.record({ do: fc.constant('byHand' as const), of: nat(9), suspend: fc.boolean() }),
  fc.record({ do: fc.constant('payout' as const), creator: nat(2), currency, share: nat(100) }),
  fc.record({ do: fc.constant('payoutEnd' as const), of: nat(9), paid: fc.boolean() }),
  fc.record({
    do: fc.constant('blessings' as const),
    currency,
    counts: fc.array(nat(5), { minLength: 3, maxLength: 3 }),
  }),
);

function openBooks() {
  const balances = new Map<string, number>();
  const posted = new Map<string, Posting>();
  const ofPurchase = new Map<string, Posting[]>();
  const keyIn = (of: string, account: AccountRef) => `${of} ${accountKey(account)}`;
  return {
    balances,
    posted,
    balance: (account: AccountRef, of: string) => balances.get(keyIn(of, account)) ?? 0,
    sale: (purchaseId: string) => saleStateOf(purchaseId, ofPurchase.get(purchaseId) ?? []),
    /** As the store and the database do it: an id once, no side of zero, nobody below zero who may not be. */
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
        const key = keyIn(each.currency, account);
        const after = (balances.get(key) ?? 0) + amount;
        expect(amount).not.toBe(0);
        if (after < 0 && amount < 0 && !mayOverdraw(each.kind, account.kind))
          throw new Error(`${each.id} overdraws ${accountKey(account)}`);
        balances.set(key, after);
        sum += amount;
      }
      expect(sum).toBe(0);
      posted.set(each.id, each);
      if (each.purchaseId !== null) {
        const own = ofPurchase.get(each.purchaseId);
        if (own) own.push(each);
        else ofPurchase.set(each.purchaseId, [each]);
        withinPurchase(each.purchaseId, ofPurchase.get(each.purchaseId)!);
      }
    },
  };
}

/** What the trigger of the database refuses: stores/migrations/000037_beyond.sql. */
function withinPurchase(purchaseId: string, postings: readonly Posting[]): void {
  const sides = new Map<string, number>();
  for (const { kind, entries } of postings) {
    if (kind === 'fee_taken' || kind === 'fee_returned') continue;
    const beyond = kind === 'beyond_taken' || kind === 'beyond_returned';
    for (const { account, amount } of entries) {
      const isPayer = account.kind === 'outside' || account.kind === 'credits';
      const side = beyond ? `${account.kind} beyond` : isPayer ? 'payers' : accountKey(account);
      sides.set(side, (sides.get(side) ?? 0) + amount);
    }
  }
  for (const [side, sum] of sides) {
    const isIn = side === 'payers' || side === 'platform beyond' ? sum <= 0 : sum >= 0;
    if (!isIn) throw new Error(`${purchaseId}: ${side} is at ${sum}`);
  }
}

interface Bought {
  id: string;
  paid: number;
  currency: Currency;
  byCredits: boolean;
  claims: Claim[];
  /** By credits: given back, with nobody between. */
  refunded: number;
  license: { state: LicenseState; suspendedBy: string[] };
}

const users = ['ada', 'bea', 'cyd'];
const by = { userId: 'bob', reason: 'told' };
const refundOf = ({ currency: of }: Bought, id: string, amount: number) =>
  ({ kind: 'refund', id, amount, currency: of }) as const;
const isOpen = ({ state }: Claim) => state === 'pending' || state === 'open';

function play(steps: readonly Step[]): void {
  const books = openBooks();
  const purchases: Bought[] = [];
  const payouts: Posting[] = [];
  let count = 0;
  const pick = <Item>(items: readonly Item[], at: number): Item | undefined => items[at % Math.max(1, items.length)];
  const claimed = () =>
    purchases.flatMap((purchase) => purchase.claims.filter(isOpen).map((claim) => ({ purchase, claim })));

  /** What the stores do with a settlement, in their order. */
  function tell(purchase: Bought, told: Parameters<typeof settleClaim>[2], again: boolean): void {
    for (let i = 0; i < (again ? 2 : 1); i += 1) {
      const settled = settleClaim(books.sale(purchase.id)!, purchase.claims, told, by);
      if (i > 0) expect([settled.postings, settled.changed]).toEqual([[], []]);
      for (const each of settled.changed) {
        const known = purchase.claims.findIndex(({ kind, id }) => kind === each.kind && id === each.id);
        if (known === -1) purchase.claims.push(each);
        else purchase.claims[known] = each;
      }
      follow(purchase, settled.license);
      for (const posting of settled.postings) books.post(posting);
    }
  }
  function follow({ license }: Bought, standing: LicenseStanding): void {
    for (const each of licenseSteps(license, standing)) {
      expect(mayCome(each.change, license.state)).toBe(true);
      if (each.change === 'revoked') Object.assign(license, { state: 'revoked', suspendedBy: [] });
      else if (each.change === 'suspended') suspend(license, each.cause);
      else lift(license, each.cause);
    }
  }
  function suspend(license: Bought['license'], cause: string): void {
    Object.assign(license, { state: 'suspended', suspendedBy: [...license.suspendedBy, cause] });
  }
  function lift(license: Bought['license'], cause: string): void {
    license.suspendedBy = license.suspendedBy.filter((other) => other !== cause);
    if (license.suspendedBy.length === 0) license.state = runningState({ uses: 0, usesLimit: null });
  }

  for (const each of steps) {
    count += 1;
    if (each.do === 'sale') {
      const purchaseId = `pur_${count}`;
      const money = { amount: each.paid, currency: each.currency };
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
      books.post(sold({ purchaseId, currency: each.currency, from: from[each.by], split }));
      if (each.paid > 0)
        purchases.push({
          id: purchaseId,
          paid: each.paid,
          currency: each.currency,
          byCredits: each.by === 'credits',
          claims: [],
          refunded: 0,
          license: { state: 'active', suspendedBy: [] },
        });
      if (each.paid > 50 && each.by !== 'credits') {
        const fee = { amount: 30, currency: each.currency };
        books.post(feeTaken({ feeId: purchaseId, purchaseId, provider: 'stripe', money: fee }));
      }
    } else if (each.do === 'refund') {
      const of = pick(purchases, each.of);
      if (!of) continue;
      const state = books.sale(of.id)!;
      const left = leftOf(state) - onItsWay(state, of.claims);
      const amount = Math.ceil(((each.by === 'beyond' ? of.paid : left) * each.share) / 100);
      if (amount === 0) continue;
      if (of.byCredits) {
        if (amount > left) continue;
        const refund = { refundId: `r${count}`, amount, reason: '' };
        books.post(refunded(state, refund));
        if (each.again) books.post(refunded(books.sale(of.id)!, refund));
        of.refunded += amount;
        follow(of, settledStanding(of));
      } else if (each.by === 'beyond') tell(of, { ...refundOf(of, `r${count}`, amount), state: 'done' }, each.again);
      else tell(of, { ...refundOf(of, `r${count}`, amount), state: 'pending' }, each.again);
      const most = leftOf(books.sale(of.id)!) - onItsWay(of, of.claims);
      const more = { ...refundOf(of, 'more', most + 1), state: 'pending' } as const;
      expect(() => settleClaim(books.sale(of.id)!, of.claims, more, by)).toThrow(/left of/);
    } else if (each.do === 'refundEnd') {
      const of = pick(
        claimed().filter(({ claim }) => claim.kind === 'refund'),
        each.of,
      );
      if (!of) continue;
      const { id, amount } = of.claim;
      const state = each.done ? 'done' : 'failed';
      tell(of.purchase, { ...refundOf(of.purchase, id, amount), state }, each.again);
    } else if (each.do === 'refundAfterAll') {
      const failed = purchases.flatMap((purchase) =>
        purchase.claims.filter(({ state }) => state === 'failed').map(({ id, amount }) => ({ purchase, id, amount })),
      );
      const of = pick(failed, each.of);
      if (of) tell(of.purchase, { ...refundOf(of.purchase, of.id, of.amount), state: 'done' }, each.again);
    } else if (each.do === 'dispute') {
      const of = pick(
        purchases.filter(({ byCredits }) => !byCredits),
        each.of,
      );
      if (!of || each.amount === 0) continue;
      const taken = { amount: each.amount, currency: each.by === 'sale' ? of.currency : each.by };
      tell(of, { kind: 'dispute', id: `d${count}`, ...taken, state: 'open' }, each.again);
    } else if (each.do === 'disputeEnd') {
      const state = each.won ? 'won' : 'lost';
      const of = pick(
        claimed().filter(({ claim }) => claim.kind === 'dispute'),
        each.of,
      );
      const unheard = pick(
        purchases.filter(({ byCredits }) => !byCredits),
        each.of,
      );
      if (of) tell(of.purchase, { ...of.claim, kind: 'dispute', state }, each.again);
      else if (unheard)
        tell(
          unheard,
          { kind: 'dispute', id: `d${count}`, amount: 7 + count, currency: unheard.currency, state },
          each.again,
        );
    } else if (each.do === 'byHand') {
      const of = pick(purchases, each.of);
      if (!of || !mayCome('suspended', of.license.state)) continue;
      const isSuspended = of.license.suspendedBy.includes(operatorCause);
      if (each.suspend && !isSuspended) suspend(of.license, operatorCause);
      if (!each.suspend && isSuspended) lift(of.license, operatorCause);
    } else if (each.do === 'payout') {
      const userId = users[each.creator]!;
      const owed = Math.max(0, books.balance(accountOf.creator(userId), each.currency));
      const amount = Number((BigInt(owed) * BigInt(each.share)) / 100n);
      if (amount === 0) continue;
      const started = payoutStarted({ payoutId: `p${count}`, userId, money: { amount, currency: each.currency } });
      books.post(started);
      payouts.push(started);
    } else if (each.do === 'payoutEnd') {
      const started = pick(payouts, each.of);
      if (!started || books.posted.has(`${started.id}:ended`)) continue;
      books.post(payoutEnded(started, each.paid ? { paidBy: 'stripe' } : { failed: 'closed' }));
    } else {
      const amount = Math.max(0, books.balance(accountOf.blessings(), each.currency));
      const received = each.counts.map((blessings, i) => ({ userId: users[i]!, blessings }));
      books.post(
        blessingsShared({ ownerId: 'ops', period: `b${count}`, pool: { amount, currency: each.currency }, received }),
      );
    }
    judge();
  }

  // All that is open ends, and the rest of every sale goes back to the last unit.
  for (const { purchase, claim } of claimed()) {
    if (claim.kind === 'refund') tell(purchase, { ...claim, state: 'failed' }, true);
    else tell(purchase, { ...claim, state: 'won' }, true);
    judge();
  }
  for (const purchase of purchases) {
    const left = leftOf(books.sale(purchase.id)!);
    if (left > 0 && purchase.byCredits) {
      books.post(refunded(books.sale(purchase.id)!, { refundId: `all-${purchase.id}`, amount: left, reason: '' }));
      purchase.refunded += left;
      follow(purchase, settledStanding(purchase));
    } else if (left > 0) {
      const all = refundOf(purchase, `all-${purchase.id}`, left);
      tell(purchase, { ...all, state: 'pending' }, false);
      judge();
      tell(purchase, { ...all, state: 'done' }, true);
    }
    const state = books.sale(purchase.id)!;
    expect(state.held.map(({ amount }) => amount)).toEqual(state.held.map(() => 0));
    expect([state.returned, state.reserved]).toEqual([purchase.paid, 0]);
    expect(purchase.license.state).toBe('revoked');
  }
  judge();

  function settledStanding({ id, claims }: Bought): LicenseStanding {
    // Of credits nothing is on its way and nobody disputes them.
    expect(claims).toEqual([]);
    return licenseByMoney(books.sale(id)!, []);
  }

  function judge(): void {
    for (const each of currencies) {
      const all = [...books.balances].filter(([key]) => key.startsWith(each));
      expect(all.reduce((sum, [, balance]) => sum + balance, 0)).toBe(0);
      // What is in reserve is what open disputes took.
      const reserved = purchases
        .filter((purchase) => purchase.currency === each)
        .reduce((sum, { id }) => sum + books.sale(id)!.reserved, 0);
      expect(books.balance(accountOf.disputes('bob'), each)).toBe(reserved);
    }
    for (const [key, balance] of books.balances) {
      if (/ (credits|escrow|tax|disputes|payouts):/.test(key)) expect([key, balance >= 0]).toEqual([key, true]);
    }
    for (const purchase of purchases) judgePurchase(purchase);
  }

  function judgePurchase({ id, paid, currency: own, claims, refunded: byHand, license }: Bought): void {
    const state = books.sale(id)!;
    // No unit is anywhere but with a party, in reserve, or back.
    expect(state.paid).toBe(paid);
    expect(leftOf(state) + state.returned + state.reserved).toBe(paid);
    for (const { amount } of state.held) expect(amount).toBeGreaterThanOrEqual(0);
    const are = (...states: Array<Claim['state']>) => claims.filter((claim) => states.includes(claim.state));
    const sum = (...states: Array<Claim['state']>) =>
      are(...states).reduce((total, { amount, currency: of }) => total + (of === own ? amount : 0), 0);
    // The provider's own account: what it has, and has not got back. The books say the same, in whatever order it came.
    const taken = byHand + sum('open', 'lost', 'done');
    const free = paid - sum('pending');
    expect(state.returned + state.reserved).toBe(Math.min(taken, free));
    const lost = (of: Currency) =>
      state.postings
        .filter(({ kind, currency: each }) => (kind === 'beyond_taken' || kind === 'beyond_returned') && each === of)
        .flatMap(({ entries }) => entries)
        .filter(({ account }) => account.kind === 'platform')
        .reduce((total, { amount }) => total - amount, 0);
    // What was taken in another currency is the platform’s loss, to the unit, in that currency.
    for (const each of currencies) {
      const foreign = are('open', 'lost', 'done').filter((claim) => claim.currency === each);
      const all = foreign.reduce((total, { amount }) => total + amount, 0);
      expect(lost(each)).toBe(each === own ? Math.max(0, taken - free) : all);
      const beyond = claims.filter((claim) => claim.currency === each).map(beyondOf);
      expect(beyond.reduce((total, amount) => total + amount, 0)).toBe(lost(each));
    }
    // The license agrees with the money.
    const isBack = byHand + sum('lost', 'done') >= paid;
    const isLost = are('lost').length > 0;
    if (isLost || isBack) expect(license).toEqual({ state: 'revoked', suspendedBy: [] });
    const isHeldUp = are('open').length > 0 || (sum('pending') > 0 && leftOf(state) === sum('pending'));
    if (license.state === 'active') expect(isHeldUp).toBe(false);
    else if (license.state === 'revoked') expect(isLost || isBack).toBe(true);
    else expect(isHeldUp || license.suspendedBy.includes(operatorCause)).toBe(true);
  }
}

test('any sequence of sales, refunds, disputes and payouts in any currency adds up to zero, to the last unit, and licenses agree', () => {
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
  const owed = () => books.balance(accountOf.creator('ada'), 'EUR');
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
