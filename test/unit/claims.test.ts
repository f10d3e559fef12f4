import { expect, test } from 'vitest';
import { beyondOf, type Claim } from '../../domain/claims.ts';
import { settleClaim } from '../../domain/settle-claim.ts';
import { accountKey, accountOf, type Posting } from '../../domain/ledger.ts';
import { licenseByMoney, licenseSteps } from '../../domain/license-standing.ts';
import { sold } from '../../domain/postings.ts';
import { leftOf, type SaleState, saleStateOf, unsold } from '../../domain/sale-state.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';

const purchaseId = 'pur_1';
const by = { userId: 'bob', reason: 'fraudulent' };
type Told = Parameters<typeof settleClaim>[2];

/** A sale by Stripe and what has come of it, as the store keeps both. */
function openSale(paid: number, tax = 0) {
  const creators = [
    { userId: 'ada', weight: 1 },
    { userId: 'bea', weight: 1 },
  ];
  const split = splitSale(paid, tax, { weights: defaultSaleWeights, creators });
  let sale = saleStateOf(purchaseId, [
    sold({ purchaseId, currency: 'EUR', from: accountOf.outside('stripe'), split })!,
  ])!;
  let claims: Claim[] = [];
  return {
    get sale(): SaleState {
      return sale;
    },
    get beyond() {
      return Object.fromEntries(claims.map((claim) => [claim.id, beyondOf(claim)]));
    },
    /** By account: where all postings of the purchase left it. */
    get sides() {
      const sums: Record<string, number> = {};
      for (const { account, amount } of sale.postings.flatMap(({ entries }) => entries))
        sums[accountKey(account)] = (sums[accountKey(account)] ?? 0) + amount;
      return sums;
    },
    license: () => licenseByMoney(sale, claims),
    tell(kind: Claim['kind'], id: string, state: Claim['state'], amount = paid, currency = 'EUR'): Posting[] {
      const settled = settleClaim(sale, claims, { kind, id, state, amount, currency } as Told, by);
      sale = settled.sale;
      const known = (each: Claim) => settled.changed.find(({ id: other }) => other === each.id);
      claims = [
        ...claims.map((each) => known(each) ?? each),
        ...settled.changed.filter((each) => !claims.some(({ id: other }) => other === each.id)),
      ];
      expect(settled.license).toEqual(licenseByMoney(sale, claims));
      return settled.postings;
    },
  };
}
const kinds = (postings: readonly Posting[]) => postings.map(({ kind, id }) => `${kind} ${id}`);

test('what a dispute takes beyond a refund is the platform’s loss, and comes back when it is won', () => {
  const books = openSale(100);
  books.tell('refund', 'r1', 'done', 30);
  const before = books.sale;
  expect(kinds(books.tell('dispute', 'd1', 'open'))).toEqual([
    'dispute_opened dispute:d1',
    'beyond_taken dispute:d1:beyond',
  ]);
  expect(books.sale).toMatchObject({ reserved: 70, returned: 30 });
  expect(leftOf(books.sale)).toBe(0);
  // 20 of the sale, 6 of them refunded and 14 in reserve; 30 are lost. A platform without revenue is left owing.
  expect(books.sides).toMatchObject({ 'platform:': -30, 'outside:stripe': -100 + 30 + 30, 'disputes:bob': 70 });
  // Told again, it is the same.
  expect(books.tell('dispute', 'd1', 'open')).toEqual([]);
  expect(kinds(books.tell('dispute', 'd1', 'won'))).toEqual([
    'dispute_won dispute:d1:ended',
    'beyond_returned dispute:d1:beyond:ended',
  ]);
  expect(books.sale).toMatchObject({ held: before.held, reserved: 0, returned: 30 });
  expect(books.sides).toMatchObject({ 'platform:': 14, 'outside:stripe': -70, 'disputes:bob': 0 });
  // It ended: nothing that is told of it later changes anything.
  for (const state of ['won', 'lost', 'open'] as const) expect(books.tell('dispute', 'd1', state)).toEqual([]);
});

test('lost it stays the platform’s loss, and the reserve goes to who paid', () => {
  const books = openSale(101, 7);
  books.tell('refund', 'r1', 'done', 33);
  books.tell('dispute', 'd1', 'open', 101);
  expect(kinds(books.tell('dispute', 'd1', 'lost'))).toEqual(['dispute_lost dispute:d1:ended']);
  expect(books.sale).toMatchObject({ reserved: 0, returned: 101 });
  expect(books.sides).toMatchObject({ 'platform:': -33, 'outside:stripe': 33, 'creator:ada': 0, 'tax:': 0 });
  expect(books.beyond).toEqual({ r1: 0, d1: 33 });
});

test('a dispute that is won sets aside what later open ones lack; ending them moves all of it', () => {
  for (const end of ['won', 'lost'] as const) {
    const books = openSale(100);
    books.tell('dispute', 'd1', 'open', 80);
    books.tell('dispute', 'd2', 'open', 60);
    expect(books.beyond).toEqual({ d1: 0, d2: 40 });
    expect(kinds(books.tell('dispute', 'd1', 'won'))).toEqual([
      'dispute_won dispute:d1:ended',
      'beyond_covered dispute:d2:covered:d1',
      'beyond_returned dispute:d2:beyond:d1',
    ]);
    expect(books.beyond).toEqual({ d1: 0, d2: 0 });
    expect(books.sale).toMatchObject({ reserved: 60, returned: 0 });
    expect(books.sides).toMatchObject({ 'disputes:bob': 60, 'outside:stripe': -100 });
    books.tell('dispute', 'd2', end);
    expect(books.sale).toMatchObject(end === 'won' ? { reserved: 0, returned: 0 } : { reserved: 0, returned: 60 });
    expect(leftOf(books.sale)).toBe(end === 'won' ? 100 : 40);
    expect(books.sides).toMatchObject({ 'disputes:bob': 0, 'outside:stripe': end === 'won' ? -100 : -40 });
  }
});

test('a refund that fails covers the dispute that it stood in the way of', () => {
  const books = openSale(100);
  expect(books.tell('refund', 'r1', 'pending')).toEqual([]);
  expect(books.license()).toEqual({ revoked: false, causes: ['refund:r1'] });
  expect(kinds(books.tell('dispute', 'd1', 'open'))).toEqual(['beyond_taken dispute:d1:beyond']);
  expect(() => books.tell('refund', 'r2', 'pending', 1)).toThrow('nothing is left of pur_1');
  books.tell('refund', 'r1', 'failed');
  expect(books.beyond).toEqual({ r1: 0, d1: 0 });
  expect(books.sale.reserved).toBe(100);
  expect(books.license()).toEqual({ revoked: false, causes: ['dispute:d1'] });
});

test('what has ended beyond is covered too: in any order the end is the same', () => {
  const told: Array<[string, 'dispute' | 'refund', Claim['state'], number]> = [
    ['d1', 'dispute', 'won', 100],
    ['d2', 'dispute', 'lost', 50],
    ['r1', 'refund', 'done', 30],
    ['d3', 'dispute', 'open', 40],
  ];
  const permute = <Item>(items: Item[]): Item[][] =>
    items.length < 2
      ? [items]
      : items.flatMap((item, i) => permute(items.filter((_, j) => j !== i)).map((rest) => [item, ...rest]));
  const ends = permute(told).map((order) => {
    const books = openSale(100);
    for (const [id, kind, , amount] of order) if (kind === 'dispute') books.tell(kind, id, 'open', amount);
    for (const [id, kind, state, amount] of order) books.tell(kind, id, state, amount);
    const beyond = Object.values(books.beyond).reduce((sum, each) => sum + each, 0);
    const covered = books.sale.returned + books.sale.reserved;
    return { beyond, covered, outside: books.sides['outside:stripe']! + books.sides['disputes:bob']! };
  });
  // 120 are claimed of 100.
  for (const end of ends) expect(end).toEqual({ beyond: 20, covered: 100, outside: 20 });
});

test('a license follows the money: suspended while it is disputed or on its way, revoked once all is back', () => {
  const books = openSale(100);
  expect(books.license()).toEqual({ revoked: false, causes: [] });
  // The rest is in reserve: it may come back, so the license is not gone.
  books.tell('dispute', 'd1', 'open', 60);
  books.tell('refund', 'r1', 'done', 40);
  expect(leftOf(books.sale)).toBe(0);
  expect(books.license()).toEqual({ revoked: false, causes: ['dispute:d1'] });
  books.tell('dispute', 'd1', 'won');
  expect(books.license()).toEqual({ revoked: false, causes: [] });
  // Two that together take the rest: one is enough to hold it up.
  books.tell('refund', 'r2', 'pending', 30);
  expect(books.license().causes).toEqual([]);
  books.tell('refund', 'r3', 'pending', 30);
  expect(books.license().causes).toEqual(['refund:r3']);
  books.tell('refund', 'r3', 'done');
  expect(books.license().causes).toEqual(['refund:r2']);
  books.tell('refund', 'r2', 'done');
  expect(books.license()).toEqual({ revoked: true, causes: [] });
});

test('steps bring a license there without permitting in between; what people have done by hand stays', () => {
  const standing = { revoked: false, causes: ['refund:r2'] };
  expect(licenseSteps({ state: 'suspended', suspendedBy: ['operator', 'dispute:d1'] }, standing)).toEqual([
    { change: 'suspended', cause: 'refund:r2' },
    { change: 'reinstated', cause: 'dispute:d1' },
  ]);
  expect(licenseSteps({ state: 'active', suspendedBy: [] }, { revoked: true, causes: [] })).toEqual([
    { change: 'revoked' },
  ]);
  expect(licenseSteps({ state: 'revoked', suspendedBy: [] }, { revoked: true, causes: [] })).toEqual([]);
  expect(licenseSteps({ state: 'revoked', suspendedBy: [] }, standing)).toEqual([]);
  expect(licenseSteps({ state: 'suspended', suspendedBy: ['operator'] }, { revoked: false, causes: [] })).toEqual([]);
});

test('a dispute in another currency than the sale is booked in its own, and takes nothing of the parties', () => {
  const books = openSale(1_000);
  const { held } = books.sale;
  const taken = books.tell('dispute', 'd1', 'open', 1_000, 'JPY');
  expect(taken).toMatchObject([{ id: 'dispute:d1:beyond', kind: 'beyond_taken', currency: 'JPY' }]);
  expect(books.sale).toMatchObject({ held, reserved: 0, returned: 0 });
  expect(books.license()).toEqual({ revoked: false, causes: ['dispute:d1'] });
  // A thousand yen are no thousand cents: nothing of the sale covers it, and it frees nothing of the sale.
  books.tell('dispute', 'd2', 'open', 1_500);
  expect(books.beyond).toEqual({ d1: 1_000, d2: 500 });
  expect(books.tell('dispute', 'd1', 'won')).toMatchObject([{ id: 'dispute:d1:beyond:ended', currency: 'JPY' }]);
  expect(books.beyond).toEqual({ d1: 0, d2: 500 });
  books.tell('dispute', 'd3', 'lost', 10, 'USD');
  expect(books.license()).toEqual({ revoked: true, causes: [] });
  expect(books.sale.returned).toBe(0);
});

test('a refund that was given up and made all the same is taken like any other', () => {
  const books = openSale(100);
  books.tell('refund', 'r1', 'pending', 60);
  books.tell('refund', 'r1', 'failed');
  books.tell('refund', 'r2', 'done', 70);
  expect(kinds(books.tell('refund', 'r1', 'done'))).toEqual(['refund refund:r1', 'beyond_taken refund:r1:beyond']);
  expect(books.beyond).toEqual({ r1: 30, r2: 0 });
  expect(books.license()).toEqual({ revoked: true, causes: [] });
  for (const state of ['done', 'failed', 'pending'] as const) expect(books.tell('refund', 'r1', state)).toEqual([]);
});

test('of a purchase that came to nothing all that is taken is beyond', () => {
  const of = unsold({ purchaseId, currency: 'EUR', provider: 'stripe' });
  const dispute = { kind: 'dispute', id: 'd1', amount: 40, currency: 'EUR' } as const;
  const opened = settleClaim(of, [], { ...dispute, state: 'open' }, by);
  expect(kinds(opened.postings)).toEqual(['beyond_taken dispute:d1:beyond']);
  const won = settleClaim(opened.sale, opened.changed, { ...dispute, state: 'won' }, by);
  expect(kinds(won.postings)).toEqual(['beyond_returned dispute:d1:beyond:ended']);
});
