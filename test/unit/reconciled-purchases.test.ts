import { expect, test } from 'vitest';
import type { Claim } from '../../domain/claims.ts';
import { accountOf } from '../../domain/ledger.ts';
import { moneyHeld, moneyReleased, sold } from '../../domain/postings.ts';
import { comparePurchase, type PurchaseFacts } from '../../domain/reconciled-purchases.ts';
import { saleStateOf, unsold } from '../../domain/sale-state.ts';
import { settleClaim } from '../../domain/settle-claim.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';

const id = 'pur_1';
const by = { userId: 'bob', reason: '' };
const split = splitSale(1_000, 0, { weights: defaultSaleWeights, creators: [{ userId: 'ada', weight: 1 }] });
const sale = sold({ purchaseId: id, currency: 'EUR', from: accountOf.outside('stripe'), split })!;

/** A purchase by Stripe as the rules leave it, with what is told of its claims. */
function facts(...told: Array<Parameters<typeof settleClaim>[2]>): PurchaseFacts {
  let state = saleStateOf(id, [sale])!;
  const claims = new Map<string, Claim>();
  let license: NonNullable<PurchaseFacts['license']> = { state: 'active', suspendedBy: [], revokedByMoney: false };
  for (const each of told) {
    const settled = settleClaim(state, [...claims.values()], each, by);
    state = settled.sale;
    for (const claim of settled.changed) claims.set(claim.id, claim);
    const { revoked, causes } = settled.license;
    license = revoked
      ? { state: 'revoked', suspendedBy: [], revokedByMoney: true }
      : { state: causes.length > 0 ? 'suspended' : 'active', suspendedBy: causes, revokedByMoney: false };
  }
  const paid = { id, state: 'completed', amount: 1_000, currency: 'EUR' } as const;
  return { ...paid, license, claims: [...claims.values()], postings: state.postings };
}
const dispute = (state: 'open' | 'won' | 'lost', claim = 'd1', amount = 1_000) =>
  ({ kind: 'dispute', id: claim, amount, currency: 'EUR', state }) as const;
const refund = (state: 'pending' | 'done' | 'failed', amount = 1_000) =>
  ({ kind: 'refund', id: 'r1', amount, currency: 'EUR', state }) as const;
const found = (changed: PurchaseFacts) =>
  comparePurchase(changed).map(({ kind, subject, expected, found: is }) => `${kind} ${subject}: ${expected} / ${is}`);
const active = { state: 'active', suspendedBy: [], revokedByMoney: false } as const;

test('what the rules make of any claim agrees', () => {
  const ways: Array<Parameters<typeof facts>> = [
    [],
    [dispute('open')],
    [dispute('won')],
    [dispute('lost')],
    [refund('pending')],
    [refund('done')],
    [refund('done', 400)],
    [refund('failed')],
    [refund('done', 400), dispute('open')],
    [refund('done', 400), dispute('open'), dispute('won')],
    [dispute('open'), dispute('open', 'd2', 300), dispute('won')],
    [dispute('open'), dispute('open', 'd2', 300), dispute('won'), dispute('lost', 'd2', 300)],
  ];
  for (const way of ways) expect([way, found(facts(...way))]).toEqual([way, []]);
});

test('an open dispute leaves no license in force, and one that is over holds none up', () => {
  expect(found({ ...facts(dispute('open')), license: active })).toEqual([
    'license pur_1: suspended by dispute:d1 / active',
  ]);
  const held = { state: 'suspended', suspendedBy: ['dispute:d1'], revokedByMoney: false } as const;
  expect(found({ ...facts(dispute('won')), license: held })).toEqual([
    'license pur_1: no longer suspended by dispute:d1 / suspended',
  ]);
  expect(found({ ...facts(), license: { ...held, suspendedBy: ['operator'] } })).toEqual([]);
});

test('a license goes with the last of the money, and not before', () => {
  for (const state of ['active', 'expired', 'used_up'] as const)
    expect(found({ ...facts(refund('done')), license: { ...active, state } })).toEqual([
      `license pur_1: revoked, for its money went back / ${state}`,
    ]);
  expect(found({ ...facts(dispute('lost', 'd1', 300)), license: active })).toHaveLength(1);
  const revoked = { state: 'revoked', suspendedBy: [] } as const;
  expect(found({ ...facts(refund('done', 400)), license: { ...revoked, revokedByMoney: true } })).toEqual([
    'license pur_1: in force, for money is left of its sale / revoked',
  ]);
  expect(found({ ...facts(refund('done', 400)), license: { ...revoked, revokedByMoney: false } })).toEqual([]);
});

test('a purchase that is completed has a license and a sale; one that is not has neither', () => {
  expect(found({ ...facts(), license: null })).toEqual(['license pur_1: one, for it was paid / none']);
  expect(found({ ...facts(), license: { ...active, state: 'pending' } })).toEqual([
    'license pur_1: active, for it was paid / pending',
  ]);
  expect(found({ ...facts(), postings: [] })).toEqual(['purchase pur_1: a sale in the ledger / none']);
  expect(found({ ...facts(), amount: 999 })).toEqual(['purchase pur_1: 999 EUR paid / 1000 EUR']);
  for (const state of ['pending', 'authorized', 'captured', 'canceled', 'failed'] as const) {
    expect(found({ ...facts(), state })).toHaveLength(2);
    for (const license of [null, { ...active, state: 'pending' }, { ...active, state: 'revoked' }] as const)
      expect(found({ ...facts(), state, postings: [], license })).toEqual([]);
  }
});

test('rows of disputes and refunds agree with the ledger to the last unit', () => {
  const at = facts(refund('done', 400), dispute('open'));
  const changed = (change: Partial<Claim>) => ({
    ...at,
    claims: at.claims.map((claim) => (claim.kind === 'dispute' ? ({ ...claim, ...change } as Claim) : claim)),
  });
  expect(found(changed({ covered: 599 }))).toEqual([
    'purchase dispute:d1: 599 covered / 600',
    'purchase dispute:d1: 401 beyond / 400',
  ]);
  expect(found(changed({ amount: 1_001 }))).toEqual(['purchase dispute:d1: 401 beyond / 400']);
  const without = at.postings.filter(({ kind }) => kind !== 'beyond_taken');
  expect(found({ ...at, postings: without })).toEqual(['purchase dispute:d1: 400 beyond / 0']);
});

test('what was captured for a purchase that has ended waits nowhere', () => {
  const money = { amount: 1_000, currency: 'EUR' };
  const held = moneyHeld({ purchaseId: id, userId: 'bob', money }, accountOf.outside('stripe'));
  const nothing = { ...facts(), postings: [held], license: null };
  for (const state of ['authorized', 'captured'] as const) expect(found({ ...nothing, state })).toEqual([]);
  for (const state of ['canceled', 'failed'] as const)
    expect(found({ ...nothing, state })).toEqual(['purchase pur_1: nothing in escrow, for it has ended / 1000']);
  const released = moneyReleased({ purchaseId: id, userId: 'bob', money }, accountOf.outside('stripe'));
  expect(found({ ...nothing, state: 'canceled', postings: [held, released] })).toEqual([]);
});

test('a dispute of a purchase that came to nothing is judged too', () => {
  const claim = { kind: 'dispute', id: 'd1', amount: 700, currency: 'EUR', state: 'open', covered: 0 } as const;
  const canceled = { ...facts(), state: 'canceled', license: null, postings: [], claims: [claim] } as const;
  expect(found(canceled)).toEqual(['purchase dispute:d1: 700 beyond / 0']);
  const of = unsold({ purchaseId: id, currency: 'EUR', provider: 'stripe' });
  expect(found({ ...canceled, postings: settleClaim(of, [], claim, by).postings })).toEqual([]);
});
