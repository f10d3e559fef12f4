import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Claim } from '../../domain/claims.ts';
import { settleClaim } from '../../domain/settle-claim.ts';
import { isDomainError } from '../../domain/errors.ts';
import { accountOf, type Posting } from '../../domain/ledger.ts';
import {
  blessingsShared,
  creditsGranted,
  feeTaken,
  moneyHeld,
  moneyReleased,
  payoutEnded,
  payoutStarted,
  refunded,
  sold,
} from '../../domain/postings.ts';
import { leftOf } from '../../domain/sale-state.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { balanceOf, findPosting, lockSale, postTransfers } from '../../stores/ledger.ts';
import { migrate } from '../../stores/migrate.ts';
import { createTestScope } from '../support/isolation.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
/** With as many connections as there are posters at once. */
let wide: Database;
const users: string[] = [];

beforeAll(async () => {
  store = await openStoreScope();
  wide = createDatabase({
    url: store.scope.databaseUrl,
    name: 'test wide',
    connections: 40,
    onIdleError: () => undefined,
  });
  for (const name of ['ada', 'bea', 'bob', 'cyd']) users.push(await user(store.db, name));
});
afterAll(async () => {
  await wide?.destroy();
  await store?.close();
});

async function user(db: Database, name: string): Promise<string> {
  const id = newId('user');
  await db.insertInto('users').values({ id, name, role: 'member' }).execute();
  return id;
}

const by = { ownerId: testOwner, madeBy: 'test' };
const post = (postings: Posting[], db = store.db) => db.transaction().execute((tx) => postTransfers(tx, by, postings));
const balance = (account: Parameters<typeof balanceOf>[2], currency = 'EUR') =>
  balanceOf(store.db, testOwner, account, currency);
let made = 0;
const next = () => (made += 1);

function grant(userId: string, amount: number, currency = 'EUR'): Posting {
  return creditsGranted({ grantId: `g${next()}`, userId, money: { amount, currency }, reason: 'test' });
}
function sale(purchaseId: string, from: Parameters<typeof sold>[0]['from'], paid: number, currency = 'EUR'): Posting {
  const terms = {
    weights: defaultSaleWeights,
    creators: [
      { userId: users[0]!, weight: 2 },
      { userId: users[1]!, weight: 1 },
    ],
  };
  return sold({ purchaseId, currency, from, split: splitSale(paid, 0, terms) })!;
}
const transfers = async (like: string) =>
  (await store.db.selectFrom('ledgerTransfers').select('id').where('id', 'like', like).execute()).length;

/** Every invariant of the books, asked of the tables themselves. */
async function faults(db = store.db): Promise<unknown[]> {
  const { rows } = await sql`
    select 'sum' as fault, currency as of from ledger_accounts group by currency having sum(balance) <> 0
    union all select 'transfer', transfer_id from ledger_entries group by transfer_id having sum(amount) <> 0
    union all select 'account', a.id from ledger_accounts a left join ledger_entries e on e.account_id = a.id
      group by a.id having coalesce(sum(e.amount), 0) <> a.balance or count(e.amount) <> a.version
        or coalesce(max(e.version), 0) <> a.version
    union all select 'running', e.account_id from (select account_id, version, balance, amount,
        lag(balance, 1, 0) over w as before, lag(version, 1, 0) over w as earlier from ledger_entries
        window w as (partition by account_id order by version)) e
      where e.balance <> e.before + e.amount or e.version <> e.earlier + 1`.execute(db);
  return rows;
}
async function refusal(work: Promise<unknown>): Promise<{ code: string | undefined; constraint: string | undefined }> {
  const err = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (isDomainError(err)) return { code: err.code, constraint: undefined };
  if (!(err instanceof pg.DatabaseError)) throw new Error('it was not refused by the database', { cause: err });
  return { code: err.code, constraint: err.constraint };
}

test('amounts come back as numbers, exactly, up to the largest that is safe', async () => {
  const userId = await user(store.db, 'rich');
  await post([grant(userId, Number.MAX_SAFE_INTEGER, 'CHF')]);
  expect(await balance(accountOf.credits(userId), 'CHF')).toBe(9_007_199_254_740_991);
  // One more would be rounded where it is read: refused by name, and by the database itself.
  expect(await refusal(post([grant(userId, 1, 'CHF')]))).toMatchObject({ code: 'INVALID_INPUT' });
  expect(await faults()).toEqual([]);
});

test('100 at once on the same accounts, in opposite orders, do not lock each other out and lose nothing', async () => {
  const [ada, bea, bob, cyd] = users as [string, string, string, string];
  await post([grant(bob, 1_000_000), grant(cyd, 1_000_000)]);
  const before = await balance(accountOf.platform());
  await Promise.all(
    Array.from({ length: 100 }, (_, i) => {
      const purchaseId = `pur_opposite${i}`;
      const posting = sale(purchaseId, accountOf.credits(i % 2 === 0 ? bob : cyd), 100 + i);
      const fee = feeTaken({
        feeId: purchaseId,
        purchaseId,
        provider: 'stripe',
        money: { amount: 3, currency: 'EUR' },
      });
      // Half of them name everything the other way round.
      const turned = { ...posting, entries: posting.entries.toReversed() };
      return post(i % 3 === 0 ? [fee, turned] : [posting, fee], wide);
    }),
  );
  const sums = Array.from({ length: 100 }, (_, i) => 100 + i);
  const paid = (odd: number) => sums.filter((_, i) => i % 2 === odd).reduce((sum, each) => sum + each, 0);
  expect(await balance(accountOf.credits(bob))).toBe(1_000_000 - paid(0));
  expect(await balance(accountOf.credits(cyd))).toBe(1_000_000 - paid(1));
  const split = sums.map((each) =>
    splitSale(each, 0, { weights: defaultSaleWeights, creators: [{ userId: ada, weight: 1 }] }),
  );
  const of = (party: 'platform' | 'blessings') => split.reduce((sum, each) => sum + each[party], 0);
  expect((await balance(accountOf.platform())) - before).toBe(of('platform') - 300);
  expect(await balance(accountOf.creator(ada))).toBeGreaterThan(await balance(accountOf.creator(bea)));
  expect(await transfers('sale:pur_opposite%')).toBe(100);
  expect(await faults()).toEqual([]);
});

test('accounts that nobody had yet are opened once by all who need them first', async () => {
  const fresh = await user(store.db, 'fresh');
  const postings = Array.from({ length: 40 }, () => grant(fresh, 5, 'NOK'));
  await Promise.all(postings.map((each) => post([each], wide)));
  expect(await balance(accountOf.credits(fresh), 'NOK')).toBe(200);
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from ledger_accounts where currency = 'NOK'`.execute(store.db);
  expect(rows[0]!.n).toBe(2);
});

test('the same transfer 100 times at once is one; the same id with other content is refused', async () => {
  const bob = users[2]!;
  const before = await balance(accountOf.credits(bob));
  const once = creditsGranted({ grantId: 'once', userId: bob, money: { amount: 7, currency: 'EUR' }, reason: 'test' });
  const posted = await Promise.all(Array.from({ length: 100 }, () => post([once], wide)));
  expect(posted.flat().filter(Boolean)).toHaveLength(1);
  expect(await balance(accountOf.credits(bob))).toBe(before + 7);
  for (const other of [
    { ...once, reason: 'another' },
    creditsGranted({ grantId: 'once', userId: bob, money: { amount: 8, currency: 'EUR' }, reason: 'test' }),
    creditsGranted({ grantId: 'once', userId: users[3]!, money: { amount: 7, currency: 'EUR' }, reason: 'test' }),
  ]) {
    expect(await refusal(post([other]))).toMatchObject({ code: 'CONFLICT' });
  }
  expect(await balance(accountOf.credits(bob))).toBe(before + 7);
});

test('who holds too little is told what is there and what would be taken, and nothing is written', async () => {
  const poor = await user(store.db, 'poor');
  await post([grant(poor, 99)]);
  const count = await transfers('%');
  const buy = post([sale('pur_poor', accountOf.credits(poor), 100)]);
  await expect(buy).rejects.toThrow(`credits of ${poor}: 0.99 EUR is less than 1.00 EUR`);
  expect(await refusal(buy)).toMatchObject({ code: 'BALANCE_TOO_LOW' });
  // 100 at once with enough for one.
  await post([grant(poor, 1)]);
  const all = await Promise.allSettled(
    Array.from({ length: 50 }, (_, i) => post([sale(`pur_poor${i}`, accountOf.credits(poor), 100)], wide)),
  );
  expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  expect(await balance(accountOf.credits(poor))).toBe(0);
  expect(await transfers('%')).toBe(count + 2);
});

test('refunds that come at once take no more than was paid', async () => {
  const [ada] = users as [string];
  await post([sale('pur_refunds', accountOf.outside('stripe'), 1000)]);
  const owed = await balance(accountOf.creator(ada));
  const refund = (i: number) =>
    wide.transaction().execute(async (tx) => {
      const state = (await lockSale(tx, testOwner, 'pur_refunds'))!;
      await postTransfers(tx, by, [refunded(state, { refundId: `re_${i}`, amount: 90, reason: '' })]);
    });
  const all = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => refund(i)));
  expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(11);
  for (const each of all)
    if (each.status === 'rejected') expect(isDomainError(each.reason, 'CONFLICT'), String(each.reason)).toBe(true);
  const state = await store.db.transaction().execute((tx) => lockSale(tx, testOwner, 'pur_refunds'));
  expect(state).toMatchObject({ paid: 1000, returned: 990, reserved: 0 });
  expect(leftOf(state!)).toBe(10);
  expect(owed - (await balance(accountOf.creator(ada)))).toBeGreaterThan(400);
  expect(await faults()).toEqual([]);
});

test('refund and chargeback cross, the payout has gone: a dispute that is lost takes what is left, one that is won gives it back', async () => {
  const eve = await user(store.db, 'eve');
  const creators = [{ userId: eve, weight: 1 }];
  const split = splitSale(1000, 0, { weights: defaultSaleWeights, creators });
  const from = accountOf.outside('stripe');
  for (const purchaseId of ['pur_won', 'pur_lost']) await post([sold({ purchaseId, currency: 'EUR', from, split })!]);
  const started = payoutStarted({ payoutId: 'pay_1', userId: eve, money: { amount: 1400, currency: 'EUR' } });
  await post([started]);
  const recorded = (await findPosting(store.db, testOwner, started.id))!;
  expect(recorded).toEqual(started);
  await post([payoutEnded(recorded, { paidBy: 'stripe' })]);
  // It ended: it cannot come back as well.
  expect(await refusal(post([payoutEnded(recorded, { failed: 'late' })]))).toMatchObject({ code: 'CONFLICT' });
  // What is not there is not paid out.
  const more = payoutStarted({ payoutId: 'pay_2', userId: eve, money: { amount: 1, currency: 'EUR' } });
  expect(await refusal(post([more]))).toMatchObject({ code: 'BALANCE_TOO_LOW' });

  for (const purchaseId of ['pur_won', 'pur_lost']) {
    const won = purchaseId === 'pur_won';
    const claims: Claim[] = [];
    const step = (told: Parameters<typeof settleClaim>[2]) =>
      store.db.transaction().execute(async (tx) => {
        const state = (await lockSale(tx, testOwner, purchaseId))!;
        const settled = settleClaim(state, claims, told, { userId: users[2]!, reason: '' });
        await postTransfers(tx, by, settled.postings);
        for (const each of settled.changed) {
          const at = claims.findIndex(({ id }) => id === each.id);
          claims.splice(at === -1 ? claims.length : at, at === -1 ? 0 : 1, each);
        }
      });
    await step({ kind: 'refund', id: `re_${purchaseId}`, amount: 300, currency: 'EUR', state: 'done' });
    // Twice, as a webhook comes.
    const dispute = { kind: 'dispute', id: `dp_${purchaseId}`, amount: 1000, currency: 'EUR' } as const;
    for (const state of ['open', 'open', won ? 'won' : 'lost', won ? 'won' : 'lost'] as const)
      await step({ ...dispute, state });
    expect(claims.map(({ covered }) => covered)).toEqual([300, 700]);
    const state = (await store.db.transaction().execute((tx) => lockSale(tx, testOwner, purchaseId)))!;
    expect(state).toMatchObject({ paid: 1000, returned: won ? 300 : 1000, reserved: 0 });
  }
  // What the provider took beyond is the platform's loss, until the dispute is won.
  expect(await transfers('dispute:dp_pur_won:beyond%')).toBe(2);
  expect(await transfers('dispute:dp_pur_lost:beyond%')).toBe(1);
  // Owing 30 % of the one and all of the other; later sales settle it.
  expect(await balance(accountOf.creator(eve))).toBe(-210 - 700);
  expect(await faults()).toEqual([]);
});

test('what is held for a purchase is sold or released, one of both, though the buyer has more in escrow', async () => {
  const buyer = await user(store.db, 'holder');
  const money = { amount: 100, currency: 'EUR' };
  const held = (purchaseId: string) => ({ purchaseId, userId: buyer, money });
  await post([grant(buyer, 300)]);
  for (const id of ['pur_h1', 'pur_h2', 'pur_h3']) await post([moneyHeld(held(id), accountOf.credits(buyer))]);
  await post([moneyReleased(held('pur_h1'), accountOf.credits(buyer))]);
  await post([sale('pur_h2', accountOf.escrow(buyer), 100)]);
  const twice = { code: 'CONFLICT' };
  expect(await refusal(post([sale('pur_h1', accountOf.escrow(buyer), 100)]))).toMatchObject(twice);
  expect(await refusal(post([moneyReleased(held('pur_h2'), accountOf.credits(buyer))]))).toMatchObject(twice);
  expect(await balance(accountOf.escrow(buyer))).toBe(100);
  expect(await balance(accountOf.credits(buyer))).toBe(100);
  // The refund finds who paid behind the escrow.
  await store.db.transaction().execute(async (tx) => {
    const state = (await lockSale(tx, testOwner, 'pur_h2'))!;
    await postTransfers(tx, by, [refunded(state, { refundId: 're_h2', amount: 100, reason: '' })]);
  });
  expect(await balance(accountOf.credits(buyer))).toBe(200);
  expect(await faults()).toEqual([]);
});

test('the pool is left owing by a refund after it was shared out, and shares nothing until it is settled', async () => {
  const pool = async () => balance(accountOf.blessings(), 'SEK');
  const creators = [{ userId: users[0]!, weight: 1 }];
  const split = splitSale(100, 0, { weights: defaultSaleWeights, creators });
  await post([sold({ purchaseId: 'pur_sek', currency: 'SEK', from: accountOf.outside('stripe'), split })!]);
  const share = (period: string, amount: number) =>
    blessingsShared({
      ownerId: testOwner,
      period,
      pool: { amount, currency: 'SEK' },
      received: [{ userId: users[1]!, blessings: 1 }],
    })!;
  expect(await refusal(post([share('p0', 11)]))).toMatchObject({ code: 'BALANCE_TOO_LOW' });
  await post([share('p1', 10)]);
  expect(await pool()).toBe(0);
  await store.db.transaction().execute(async (tx) => {
    const state = (await lockSale(tx, testOwner, 'pur_sek'))!;
    await postTransfers(tx, by, [refunded(state, { refundId: 're_sek', amount: 100, reason: '' })]);
  });
  expect(await pool()).toBe(-10);
});

/**
 * Shares a pool out among so many, reads it back, and counts what must not grow with them: parameters of a statement, of which
 * there are 65,535 at most, and how often the entries of a transfer are added up, which took time by their square.
 */
async function sharedAmong(parties: number, currency: string) {
  const split = splitSale(parties, 0, { weights: { creator: 0, platform: 0, blessings: 1 }, creators: [] });
  const from = accountOf.outside('stripe');
  await post([sold({ purchaseId: `pur_${currency}`, currency, from, split })!]);
  const prefix = `usr_${currency}_`;
  await sql`insert into users (id, name, role) select ${prefix} || n, 'user ' || n, 'member'
    from generate_series(0, ${parties - 1}::integer) n`.execute(store.db);
  const received = Array.from({ length: parties }, (_, i) => ({ userId: `${prefix}${i}`, blessings: 1 }));
  const pool = { amount: parties, currency };
  const shared = blessingsShared({ ownerId: testOwner, period: `many-${currency}`, pool, received })!;
  const asked = vi.spyOn(pg.Client.prototype, 'query');
  try {
    const added = await store.db.transaction().execute(async (tx) => {
      await sql`set local track_functions = 'all'`.execute(tx);
      const calls = async () => {
        const { rows } = await sql<{ calls: number }>`select calls from pg_stat_xact_user_functions
          where funcname = 'check_ledger_transfer'`.execute(tx);
        return rows[0]?.calls ?? 0;
      };
      // What the connection has not yet handed to the statistics counts, too.
      const before = await calls();
      expect(await postTransfers(tx, by, [shared])).toEqual([true]);
      await sql`set constraints all immediate`.execute(tx);
      return (await calls()) - before;
    });
    expect(await post([shared])).toEqual([false]);
    expect(await balance(accountOf.creator(`${prefix}${parties - 1}`), currency)).toBe(1);
    expect(await balance(accountOf.blessings(), currency)).toBe(0);
    expect(await findPosting(store.db, testOwner, shared.id)).toEqual(shared);
    const parameters = asked.mock.calls.map((call) => (call as unknown[]).find(Array.isArray)?.length ?? 0);
    return { parameters: Math.max(...parameters), added };
  } finally {
    asked.mockRestore();
  }
}

test('one transfer has any number of parties: no statement, and no adding up, grows with them', async () => {
  const some = await sharedAmong(1_100, 'ISK');
  expect(some.parameters).toBeGreaterThan(1_000);
  expect(some.added).toBeGreaterThan(0);
  expect(await sharedAmong(2_200, 'JPY')).toEqual(some);
  expect(await faults()).toEqual([]);
});

test('the books refuse to be rewritten, whoever tries', async () => {
  const { db } = store;
  const [entry] = await db.selectFrom('ledgerEntries').selectAll().limit(1).execute();
  const { transferId, accountId } = entry!;
  const refused = { code: '23001' };
  for (const statement of [
    sql`update ledger_entries set amount = amount + 1 where transfer_id = ${transferId}`,
    sql`delete from ledger_entries where transfer_id = ${transferId}`,
    sql`truncate ledger_entries`,
    sql`update ledger_transfers set reason = 'another' where id = ${transferId}`,
    sql`delete from ledger_transfers where id = ${transferId}`,
    sql`truncate ledger_transfers cascade`,
    sql`update ledger_accounts set balance = balance + 1 where id = ${accountId}`,
    sql`update ledger_accounts set version = version + 1 where id = ${accountId}`,
    sql`delete from ledger_accounts where id = ${accountId}`,
    sql`insert into ledger_accounts (id, owner_id, kind, holder, currency, balance) values ('lac_x', ${testOwner}, 'fees', 'x', 'EUR', 5)`,
    // An entry, balanced or not, never comes to a transfer that is closed.
    sql`insert into ledger_entries (transfer_id, ordinal, account_id, currency, amount) values (${transferId}, 99, ${accountId}, ${entry!.currency}, 5)`,
  ]) {
    expect(await refusal(statement.execute(db))).toMatchObject(refused);
  }
  expect(await faults()).toEqual([]);
});

test('a transfer that does not add up, mixes currencies or takes more of a purchase than there is does not commit', async () => {
  const { db } = store;
  const [bob] = [users[2]!];
  await post([grant(bob, 1000), grant(bob, 1000, 'USD'), sale('pur_bounds', accountOf.credits(bob), 100)]);
  const accounts = await db.selectFrom('ledgerAccounts').selectAll().where('ownerId', '=', testOwner).execute();
  const idOf = (kind: string, currency = 'EUR', holder?: string) =>
    accounts.find(
      (each) => each.kind === kind && each.currency === currency && (holder ?? each.holder) === each.holder,
    )!.id;
  const raw = (
    entries: Array<[account: string, currency: string, amount: number]>,
    more: Record<string, string> = {},
  ) =>
    db.transaction().execute(async (tx) => {
      const id = `raw:${next()}`;
      const row = {
        id,
        ownerId: testOwner,
        kind: 'refund',
        currency: 'EUR',
        madeBy: 'test',
        contentHash: Buffer.alloc(1),
        ...more,
      };
      await tx.insertInto('ledgerTransfers').values(row).execute();
      for (const [i, [accountId, currency, amount]] of entries.entries())
        await tx
          .insertInto('ledgerEntries')
          .values({ transferId: id, ordinal: i + 1, accountId, currency, amount })
          .execute();
    });
  const addUp = { code: '23514', constraint: 'ledger_transfers_add_up' };
  expect(await refusal(raw([]))).toEqual(addUp);
  expect(await refusal(raw([[idOf('platform'), 'EUR', 5]]))).toEqual(addUp);
  expect(
    await refusal(
      raw([
        [idOf('platform'), 'EUR', 5],
        [idOf('outside'), 'EUR', -6],
      ]),
    ),
  ).toEqual(addUp);
  // Two currencies that add up to zero as numbers, under either name.
  for (const name of ['EUR', 'USD']) {
    const mixed = raw([
      [idOf('platform'), 'EUR', 5],
      [idOf('credits', 'USD', bob), name, -5],
    ]);
    expect(await refusal(mixed)).toMatchObject({ code: '23503' });
  }
  const zero = raw([
    [idOf('platform'), 'EUR', 0],
    [idOf('outside'), 'EUR', 0],
  ]);
  expect(await refusal(zero)).toMatchObject({ code: '23514' });
  // Back to the buyer of one sale what another one brought in.
  const within = { code: '23514', constraint: 'ledger_transfers_within_purchase' };
  const beyond = raw(
    [
      [idOf('platform'), 'EUR', -101],
      [idOf('credits', 'EUR', bob), 'EUR', 101],
    ],
    { purchaseId: 'pur_bounds' },
  );
  expect(await refusal(beyond)).toEqual(within);
  const party = raw(
    [
      [idOf('platform'), 'EUR', -21],
      [idOf('credits', 'EUR', bob), 'EUR', 21],
    ],
    { purchaseId: 'pur_bounds' },
  );
  expect(await refusal(party)).toEqual(within);
  // Back to the platform more than was taken of it beyond the sale.
  for (const [kind, refused] of [
    ['beyond_taken', false],
    ['beyond_returned', false],
    ['beyond_returned', true],
  ] as const) {
    const out = kind === 'beyond_taken' ? 500 : -250 - (refused ? 1 : 0);
    const moved = raw(
      [
        [idOf('platform'), 'EUR', -out],
        [idOf('outside'), 'EUR', out],
      ],
      { kind, purchaseId: 'pur_bounds' },
    );
    if (refused) expect(await refusal(moved)).toEqual(within);
    else await moved;
  }
  // Below zero where that may not be.
  const broke = raw([
    [idOf('credits', 'EUR', bob), 'EUR', -100_000_000],
    [idOf('outside'), 'EUR', 100_000_000],
  ]);
  expect(await refusal(broke)).toEqual({ code: '23514', constraint: 'ledger_accounts_not_overdrawn' });
  const paidOut = raw(
    [
      [idOf('creator', 'EUR', users[0]), 'EUR', -100_000_000],
      [idOf('outside'), 'EUR', 100_000_000],
    ],
    { kind: 'payout_started' },
  );
  expect(await refusal(paidOut)).toEqual({ code: '23514', constraint: 'ledger_entries_not_overdrawn' });
  // Into the books of somebody else.
  const otherOwner = await user(db, 'other');
  const foreign = raw(
    [
      [idOf('platform'), 'EUR', 5],
      [idOf('outside'), 'EUR', -5],
    ],
    { ownerId: otherOwner },
  );
  expect(await refusal(foreign)).toEqual({ code: '23514', constraint: 'ledger_entries_one_books' });
  // Constraints that are checked early do not open a way in for a later entry.
  const early = db.transaction().execute(async (tx) => {
    await postTransfers(tx, by, [grant(bob, 5)]);
    await sql`set constraints all immediate`.execute(tx);
    await tx
      .insertInto('ledgerEntries')
      .values({ transferId: `grant:g${made}`, ordinal: 9, accountId: idOf('fees'), currency: 'EUR', amount: 5 })
      .execute();
  });
  expect(await refusal(early)).toEqual(addUp);
  // The last entry adds up for all: none slips in before it.
  const between = db.transaction().execute(async (tx) => {
    await postTransfers(tx, by, [grant(bob, 5)]);
    for (const ordinal of [9, 8]) {
      await tx
        .insertInto('ledgerEntries')
        .values({
          transferId: `grant:g${made}`,
          ordinal,
          accountId: idOf(ordinal === 9 ? 'fees' : 'platform'),
          currency: 'EUR',
          amount: 5,
        })
        .execute();
    }
  });
  expect(await refusal(between)).toEqual({ code: '23514', constraint: 'ledger_entries_in_order' });
  expect(await transfers('raw:%')).toBe(2);
  expect(await faults()).toEqual([]);
});

test('a posting that is rolled back leaves nothing, and its id is free', async () => {
  const bob = users[2]!;
  const before = await balance(accountOf.credits(bob));
  const each = grant(bob, 11);
  const broken = store.db.transaction().execute(async (tx) => {
    await postTransfers(tx, by, [each]);
    throw new Error('the rest of the transaction failed');
  });
  await expect(broken).rejects.toThrow('the rest');
  expect(await balance(accountOf.credits(bob))).toBe(before);
  expect(await post([each])).toEqual([true]);
  expect(await balance(accountOf.credits(bob))).toBe(before + 11);
});

test('a role that is no superuser migrates, posts, and has no right to change an entry', async () => {
  const scope = await createTestScope({ migrated: false });
  const role = `plain_${scope.number}`;
  const admin = new pg.Client({ connectionString: scope.databaseUrl });
  const plainUrl = new URL(scope.databaseUrl);
  const database = plainUrl.pathname.slice(1);
  plainUrl.username = role;
  plainUrl.password = 'plain';
  let plain: Database | undefined;
  await admin.connect();
  try {
    await admin.query(`create role ${role} login password 'plain'`);
    await admin.query(`alter database ${database} owner to ${role}`);
    await migrate(plainUrl.href);
    plain = createDatabase({ url: plainUrl.href, name: 'test plain', onIdleError: () => undefined });
    const db = plain;
    await db.insertInto('users').values({ id: testOwner, name: 'test', role: 'operator' }).execute();
    const bob = await user(db, 'bob');
    const terms = { weights: defaultSaleWeights, creators: [{ userId: bob, weight: 1 }] };
    await post([grant(bob, 500)], db);
    await post(
      [
        sold({
          purchaseId: 'pur_plain',
          currency: 'EUR',
          from: accountOf.credits(bob),
          split: splitSale(99, 0, terms),
        })!,
      ],
      db,
    );
    await db.transaction().execute(async (tx) => {
      const state = (await lockSale(tx, testOwner, 'pur_plain'))!;
      await postTransfers(tx, by, [refunded(state, { refundId: 're_plain', amount: 50, reason: '' })]);
    });
    expect(await faults(db)).toEqual([]);
    for (const statement of [
      sql`update ledger_entries set amount = 1`,
      sql`delete from ledger_entries`,
      sql`truncate ledger_entries`,
      sql`delete from ledger_transfers`,
      sql`delete from ledger_accounts`,
    ]) {
      // insufficient_privilege: it does not come as far as the trigger.
      expect(await refusal(statement.execute(db))).toMatchObject({ code: '42501' });
    }
  } finally {
    await plain?.destroy();
    await admin.query(`alter database ${database} owner to current_user`);
    await admin.query(`reassign owned by ${role} to current_user`);
    await admin.query(`drop owned by ${role}`);
    await admin.query(`drop role ${role}`);
    await admin.end();
    await scope.close();
  }
});
