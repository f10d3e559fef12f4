import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { creditsGranted } from '../../domain/postings.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { revokeLicense } from '../../stores/licenses.ts';
import { createPurchaseStore } from '../../stores/purchase-steps.ts';
import { readFigures } from '../../stores/queries/figures.ts';
import { refundPurchase } from '../../stores/refunds.ts';
import type { ReconcileLedgerInput, ReconcileLedgerResult } from '../../workflows/reconcile-ledger.ts';
import { testFleet } from '../support/fleets.ts';
import { addListing } from '../support/market.ts';
import { applyRetention } from '../support/retention.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: Stage;
const [buyer, creator] = [newId('user'), newId('user')];
interface Bought {
  purchaseId: string;
  licenseId: string;
}
let bought: Bought[];

beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 1 });
  stage = await openStage(fleet);
  const { db } = stage;
  await stage.apply(fleet);
  for (const id of [buyer, creator]) {
    const known = { operatorId: testOwner, address: `${id}@people.example`, verifiedAt: new Date() };
    await db
      .insertInto('users')
      .values({ id, name: id, role: 'member', ...known })
      .execute();
  }
  const listingId = await addListing(db, { ownerId: creator, agentId: 'light-001' });
  bought = [];
  for (let i = 0; i < 20; i += 1) bought.push(await buy(listingId, i));
});
afterAll(() => stage?.close());

async function buy(listingId: string, i: number): Promise<Bought> {
  const money = { amount: 1_000, currency: 'EUR' };
  const grant = creditsGranted({ grantId: `g${i}`, userId: buyer, money, reason: '' });
  const by = { ownerId: testOwner, madeBy: 'test' };
  await stage.db.transaction().execute((tx) => postTransfers(tx, by, [grant]));
  const asked = { listingId, licenseKind: 'personal', payment: 'credits', requestHash: 'ab', madeBy: 'tok_test' };
  const purchaseId = newId('purchase');
  const end = await createPurchaseStore(stage.db).settleByCredits({ ...asked, purchaseId, ownerId: buyer });
  return { purchaseId, licenseId: end.licenseId! };
}

let runs = 0;
async function reconcile(input: ReconcileLedgerInput = {}): Promise<ReconcileLedgerResult> {
  runs += 1;
  return (await stage.client.workflow.execute('reconcileLedger', {
    workflowId: `reconcile:test-${runs}`,
    taskQueue: coordinationQueue,
    args: [input],
  })) as ReconcileLedgerResult;
}
const row = (period: string) =>
  stage.db.selectFrom('ledgerReconciliations').selectAll().where('period', '=', period).executeTakeFirstOrThrow();
const events = async () =>
  (await stage.db.selectFrom('events').select('type').where('type', 'like', 'ledger.%').orderBy('id').execute()).map(
    ({ type }) => type,
  );
const sale3 = () => `sale:${bought[3]!.purchaseId}`;
const notice = () => stage.openNotice(`ledger_unbalanced:${testOwner}`);

/** As somebody does who is superuser and has the triggers disabled. */
async function spoil(work: (tx: DatabaseTransaction) => Promise<unknown>): Promise<void> {
  await stage.db.transaction().execute(async (tx) => {
    await sql`set local session_replication_role = replica`.execute(tx);
    await work(tx);
  });
}

test('books that add up are passed over whole, and nobody is told', async () => {
  expect(await reconcile({ period: 'good' })).toEqual({ books: 1, entries: 120, discrepancies: 0 });
  expect(await row('good')).toMatchObject({ accounts: 5, transfers: 40, entries: 120, discrepancies: 0, found: [] });
  expect(await notice()).toBe(undefined);
  expect(await events()).toEqual([]);
  expect(await figure('ledgerDiscrepancies')).toBe(0);
});

test('what a superuser has changed is found in every place, told once, and closed when it is mended', async () => {
  await spoil((tx) =>
    sql`update ledger_entries set amount = amount + 7 where transfer_id = ${sale3()} and ordinal = 2`.execute(tx),
  );
  await spoil((tx) => sql`update ledger_accounts set balance = balance + 5 where kind = 'platform'`.execute(tx));
  expect(await reconcile({ period: 'spoilt-1' })).toMatchObject({ discrepancies: 5 });
  const { found } = await row('spoilt-1');
  const accounts = await stage.db.selectFrom('ledgerAccounts').select(['id', 'kind']).execute();
  const idOf = (kind: string) => accounts.find((account) => account.kind === kind)!.id;
  expect(found).toEqual(
    expect.arrayContaining([
      { kind: 'sum', subject: 'EUR', expected: '0', found: '5' },
      { kind: 'transfer', subject: sale3(), expected: '0', found: '7' },
      { kind: 'purchase', subject: bought[3]!.purchaseId, expected: '1000 EUR paid', found: '1007 EUR' },
      { kind: 'balance', subject: idOf('creator'), expected: '2807', found: '2800' },
      { kind: 'balance', subject: idOf('platform'), expected: '4000', found: '4005' },
    ]),
  );
  const told = (await notice())!;
  expect(told).toMatchObject({ kind: 'ledger_unbalanced', seen: 1, title: 'the ledger does not add up in 5 places' });
  expect(told.detail).toContain('sum of EUR is 5, not 0');
  expect(await figure('ledgerDiscrepancies')).toBe(5);
  expect(await figure('ledgerImbalance')).toBe(5);
  expect(await figure('ledgerReconciled')).toBeGreaterThanOrEqual(0);

  // The next pass finds the same: one notice, one event.
  await reconcile({ period: 'spoilt-2' });
  expect(await notice()).toMatchObject({ id: told.id, seen: 2 });
  expect(await events()).toEqual(['ledger.unbalanced']);
  // The same pass again, as after a crash at its worst line, tells nothing.
  await reconcile({ period: 'spoilt-2' });
  expect(await notice()).toMatchObject({ seen: 2 });

  await spoil((tx) =>
    sql`update ledger_entries set amount = amount - 7 where transfer_id = ${sale3()} and ordinal = 2`.execute(tx),
  );
  await spoil((tx) => sql`update ledger_accounts set balance = balance - 5 where kind = 'platform'`.execute(tx));
  expect(await reconcile({ period: 'mended' })).toMatchObject({ discrepancies: 0 });
  expect(await notice()).toBe(undefined);
  expect(await events()).toEqual(['ledger.unbalanced', 'ledger.balanced']);
  expect([await figure('ledgerDiscrepancies'), await figure('ledgerImbalance')]).toEqual([0, 0]);
});

test('where purchase, license and money do not agree is found, each with what it should be', async () => {
  const [active, gone, bare, undone, unknown, given] = bought as [Bought, Bought, Bought, Bought, Bought, Bought];
  const refund = (purchaseId: string, amount?: number) =>
    stage.db.transaction().execute((tx) =>
      refundPurchase(tx, {
        id: newId('refund'),
        purchaseId,
        amount,
        reason: 'test',
        forced: true,
        requestHash: Buffer.from('ab'),
        madeBy: 'tok_test',
      }),
    );
  await refund(active.purchaseId);
  await refund(gone.purchaseId, 400);
  await refund(given.purchaseId);
  expect(await reconcile({ period: 'refunded' })).toMatchObject({ discrepancies: 0 });

  const revoke = (id: string, actor: string) =>
    stage.db.transaction().execute((tx) => revokeLicense(tx, { id, by: { actor, reason: 'test' } }));
  // By hand is nobody's mistake.
  await revoke(bought[6]!.licenseId, 'tok_test');
  expect(await reconcile({ period: 'by-hand' })).toMatchObject({ discrepancies: 0 });
  const refunds = await stage.db.selectFrom('refunds').select(['id', 'purchaseId']).execute();
  const ofGone = refunds.find(({ purchaseId }) => purchaseId === gone.purchaseId)!.id;
  await revoke(gone.licenseId, ofGone);
  await spoil(async (tx) => {
    await sql`update licenses set state = 'active' where id = ${active.licenseId}`.execute(tx);
    await sql`update licenses set purchase_id = null where id = ${bare.licenseId}`.execute(tx);
    await sql`update purchases set state = 'canceled', reason_code = 'CONFLICT' where id = ${undone.purchaseId}`.execute(
      tx,
    );
    await sql`update ledger_transfers set purchase_id = 'pur_none' where id = ${`sale:${unknown.purchaseId}`}`.execute(
      tx,
    );
    await sql`update refunds set amount = 900, posted = 900 where purchase_id = ${given.purchaseId}`.execute(tx);
  });
  await reconcile({ period: 'disagreeing' });
  const { found } = await row('disagreeing');
  expect(found).toEqual(
    expect.arrayContaining([
      { kind: 'license', subject: active.purchaseId, expected: 'revoked, for its money went back', found: 'active' },
      {
        kind: 'license',
        subject: gone.purchaseId,
        expected: 'in force, for money is left of its sale',
        found: 'revoked',
      },
      { kind: 'license', subject: bare.purchaseId, expected: 'one, for it was paid', found: 'none' },
      {
        kind: 'purchase',
        subject: undone.purchaseId,
        expected: 'completed, for its sale is posted',
        found: 'canceled',
      },
      {
        kind: 'license',
        subject: undone.purchaseId,
        expected: `pending or revoked, for ${undone.purchaseId} is canceled`,
        found: 'active',
      },
      { kind: 'purchase', subject: unknown.purchaseId, expected: 'a sale in the ledger', found: 'none' },
      { kind: 'purchase', subject: `sale:${unknown.purchaseId}`, expected: 'one that is completed', found: 'none' },
      { kind: 'purchase', subject: expect.stringMatching(/^refund:/), expected: '900 covered', found: '1000' },
    ]),
  );
  expect(found).toHaveLength(8);
  expect((await notice())!.detail).toContain('not');
  await spoil(async (tx) => {
    await sql`update licenses set state = 'revoked' where id = ${active.licenseId}`.execute(tx);
    await sql`update licenses set state = 'active' where id = ${gone.licenseId}`.execute(tx);
    await sql`update licenses set purchase_id = ${bare.purchaseId} where id = ${bare.licenseId}`.execute(tx);
    await sql`update purchases set state = 'completed', reason_code = '' where id = ${undone.purchaseId}`.execute(tx);
    await sql`update ledger_transfers set purchase_id = ${unknown.purchaseId} where id = ${`sale:${unknown.purchaseId}`}`.execute(
      tx,
    );
    await sql`update refunds set amount = 1000, posted = 1000 where purchase_id = ${given.purchaseId}`.execute(tx);
  });
  expect(await reconcile({ period: 'agreeing' })).toMatchObject({ discrepancies: 0 });
});

test('a deleted entry, a deleted transfer and an account that moved by itself are found', async () => {
  await stage.db.transaction().execute(async (tx) => {
    await sql`set local session_replication_role = replica`.execute(tx);
    await sql`create temporary table kept on commit drop as select * from ledger_entries where transfer_id = 'grant:g7'`.execute(
      tx,
    );
    await sql`delete from ledger_entries where transfer_id = 'grant:g7'`.execute(tx);
    await sql`insert into ledger_accounts (id, owner_id, kind, holder, currency, balance)
      values ('lac_moved', ${testOwner}, 'fees', 'nobody', 'USD', 5)`.execute(tx);
  });
  await reconcile({ period: 'deleted' });
  const found = (await row('deleted')).found as unknown as Array<{ kind: string; subject: string; found: string }>;
  expect(found).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ kind: 'transfer', subject: 'grant:g7', found: '0 entries' }),
      expect.objectContaining({ kind: 'balance', subject: 'lac_moved', found: '5' }),
      expect.objectContaining({ kind: 'sum', subject: 'USD', found: '5' }),
    ]),
  );
  // Both accounts of the grant have a gap in their versions.
  expect(found.filter(({ kind }) => kind === 'version')).toHaveLength(2);
});

test('the pass of one owner leaves the books of others alone', async () => {
  const other = newId('user');
  await stage.db.insertInto('users').values({ id: other, name: 'other', role: 'operator' }).execute();
  const grant = creditsGranted({ grantId: 'other', userId: buyer, money: { amount: 1, currency: 'EUR' }, reason: '' });
  await stage.db.transaction().execute((tx) => postTransfers(tx, { ownerId: other, madeBy: 'test' }, [grant]));
  expect(await reconcile({ period: 'theirs', ownerId: other })).toEqual({ books: 1, entries: 2, discrepancies: 0 });
  expect(await reconcile({ period: 'all' })).toMatchObject({ books: 2 });
  expect(await row('theirs')).toMatchObject({ ownerId: other });
});

test('old passes leave by their retention; the newest of each owner stays', async () => {
  await sql`update ledger_reconciliations set made_at = made_at - interval '100 days'`.execute(stage.db);
  await applyRetention(stage.db);
  const left = await stage.db.selectFrom('ledgerReconciliations').select(['ownerId', 'period']).execute();
  expect(left.map(({ period }) => period)).toEqual(['all', 'all']);
  expect(new Set(left.map(({ ownerId }) => ownerId)).size).toBe(2);
});

async function figure(name: string): Promise<number | undefined> {
  return (await readFigures(stage.db)).find((sample) => sample.figure === name)?.value;
}
