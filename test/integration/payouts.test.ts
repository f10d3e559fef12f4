import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { accountOf } from '../../domain/ledger.ts';
import { payable, payoutUnit } from '../../domain/market.ts';
import { sold } from '../../domain/postings.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { giveBlessing } from '../../stores/blessings.ts';
import { settleRestored } from '../../stores/database-copy.ts';
import { endNotice } from '../../stores/inbox.ts';
import { newId } from '../../stores/ids.ts';
import { balanceOf, postTransfers } from '../../stores/ledger.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { createPayoutStore } from '../../stores/payouts.ts';
import { listBlessingShares } from '../../stores/queries/blessing-shares.ts';
import { type MarketStage, openMarketStage } from '../support/market-stage.ts';
import { testOwner } from '../support/store-scope.ts';
import type { Fault } from '../support/stripe-double.ts';

let market: MarketStage;
beforeAll(async () => {
  market = await openMarketStage();
});
afterAll(() => market?.close());

const transfers = () => market.double.done.filter(({ what }) => what === 'transfer').length;
const payouts = (userId: string) =>
  market.db.selectFrom('payouts').selectAll().where('userId', '=', userId).orderBy('startedAt').execute();
const creator = (userId: string, currency = 'EUR') => market.balance(accountOf.creator(userId), currency);

let sweeps = 0;
async function sweep(period = `period-${(sweeps += 1)}`): Promise<number> {
  const { started } = (await market.client.workflow.execute('payOutCreators', {
    workflowId: `pay-out-creators:${newId('request')}`,
    taskQueue: coordinationQueue,
    args: [{ done: { period, after: '', started: 0 } }],
  })) as { started: number };
  return started;
}
/** As the hold time passes, which the ledger itself does not let anybody change. */
async function older(purchaseId: string): Promise<void> {
  await market.db.transaction().execute(async (tx) => {
    await sql`set local session_replication_role = replica`.execute(tx);
    await sql`update ledger_transfers set at = at - interval '20 days' where purchase_id = ${purchaseId}`.execute(tx);
  });
}
const ended = (userId: string) =>
  market.until('no payout is on the way', async () =>
    (await payouts(userId)).every(({ state }) => state !== 'started'),
  );

describe('a payout', () => {
  beforeEach(async () => {
    market.double.balance = undefined;
    // Each test has creators of its own to look at.
    for (const key of ['ada', 'bea'] as const) {
      const id = newId('user');
      await market.db.insertInto('users').values({ id, name: key, role: 'creator' }).execute();
      market[key] = id;
    }
  });
  const account = (userId: string, name = 'acct_ada') =>
    market.payouts.setAccount({ ownerId: testOwner, userId, madeBy: 'test' }, { provider: 'stripe', account: name });

  test('waits for the hold time and the threshold, and then is all that is free', async () => {
    await account(market.ada);
    const sale = await market.buy({ amount: 6_000 });
    expect(await creator(market.ada)).toBe(2_800);
    expect(await sweep()).toBe(0);
    await older(sale.purchaseId);
    const young = await market.buy({ amount: 3_000 });
    await sweep();
    await ended(market.ada);
    const [paid, ...others] = await payouts(market.ada);
    expect(others).toEqual([]);
    expect(paid).toMatchObject({ state: 'paid', amount: 2_800, currency: 'EUR', account: 'acct_ada' });
    expect(market.double.objects.get(paid!.reference!)).toMatchObject({
      amount: 2_800,
      destination: 'acct_ada',
      transfer_group: paid!.id,
    });
    expect(await creator(market.ada)).toBe(1_400);
    // Under the threshold.
    await older(young.purchaseId);
    await sweep();
    expect(await payouts(market.ada)).toHaveLength(1);
    expect(await market.sums()).toEqual([]);
  });

  test.each<[string, Fault | undefined]>([
    ['startDuePayouts', undefined],
    ['sendPayout', undefined],
    ['endPayout', undefined],
    ['nothing', 'silent-after'],
    ['nothing', 'cut-after'],
    ['nothing', '500-after'],
    ['nothing', '500-before'],
    ['nothing', '429'],
  ])('is sent once when %s dies and Stripe answers %s', async (step, fault) => {
    await account(market.ada);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    const before = transfers();
    if (step !== 'nothing') market.dying.add(step);
    if (fault !== undefined) market.double.fail('POST /v1/transfers', fault);
    const period = `once-${step}-${fault}`;
    await Promise.all([sweep(period), sweep(period), sweep(`${period}-too`)]);
    await ended(market.ada);
    expect(market.dying.size).toBe(0);
    expect(transfers() - before).toBe(1);
    expect((await payouts(market.ada)).map(({ state, amount }) => [state, amount])).toEqual([['paid', 4_200]]);
    expect(await creator(market.ada)).toBe(0);
    expect(await market.balance(accountOf.payouts(market.ada))).toBe(0);
    expect(await market.sums()).toEqual([]);
  });

  test('that was sent and not heard of is not sent again by a key of another account', async () => {
    await account(market.ada);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    market.double.addKey('sk_live_of_another', 'acct_another');
    const before = transfers();
    const asked = () => market.double.requests.filter(({ route }) => route === 'GET /v1/account').length;
    market.double.fail('POST /v1/transfers', 'cut-after');
    await sweep();
    await market.until('it was sent', () => Promise.resolve(transfers() > before));
    market.useKey('sk_live_of_another');
    const then = asked();
    await market.until('the other key was tried', () => Promise.resolve(asked() > then));
    market.useKey(market.double.secretKey);
    await ended(market.ada);
    expect(transfers() - before).toBe(1);
    expect(await payouts(market.ada)).toMatchObject([{ state: 'paid', amount: 4_200 }]);
  });

  test('is never by hand in books that began in test mode', async () => {
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    const mode = (live: boolean) => market.db.updateTable('providerAccounts').set({ live }).execute();
    await mode(false);
    await sweep();
    expect(await payouts(market.ada)).toEqual([]);
    await mode(true);
    await sweep();
    expect(await payouts(market.ada)).toMatchObject([{ provider: 'by_hand' }]);
  });

  test('that is refused gives the money back, and the next period tries anew under another id', async () => {
    await account(market.ada);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    market.double.balance = 100;
    await sweep();
    await ended(market.ada);
    expect(await payouts(market.ada)).toMatchObject([{ state: 'failed', reason: 'Stripe: Insufficient funds.' }]);
    expect(await creator(market.ada)).toBe(4_200);
    market.double.balance = undefined;
    await sweep();
    await ended(market.ada);
    expect((await payouts(market.ada)).map(({ state }) => state)).toEqual(['failed', 'paid']);
    expect(await creator(market.ada)).toBe(0);
  });

  test('that is refused again and again waits ever longer, and is told once until one is paid', async () => {
    await account(market.ada);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    market.double.balance = 100;
    const told = async () => (await market.notices('payout_refused')).filter(({ subject }) => subject === market.ada);
    const days = async (ago: number) => {
      const by = sql`make_interval(days => ${ago})`;
      await sql`update payouts set ended_at = ended_at - ${by} where user_id = ${market.ada}`.execute(market.db);
      await sql`update payout_accounts set changed_at = changed_at - ${by}`.execute(market.db);
    };
    const refusedAfter = async () => {
      await sweep();
      await ended(market.ada);
      return (await payouts(market.ada)).length;
    };
    expect(await refusedAfter()).toBe(1);
    expect(await refusedAfter()).toBe(2);
    expect(await refusedAfter()).toBe(2);
    await days(1);
    expect(await refusedAfter()).toBe(2);
    await days(1);
    expect(await told()).toEqual([]);
    expect(await refusedAfter()).toBe(3);
    expect(await told()).toMatchObject([
      { title: `stripe has refused to pay ${market.ada} in EUR 3 times`, resolvedAt: null },
    ]);
    await days(3);
    expect(await refusedAfter()).toBe(3);
    // Another account begins anew.
    market.double.balance = undefined;
    await account(market.ada, 'acct_ada_2');
    await sweep();
    await ended(market.ada);
    expect((await payouts(market.ada)).map(({ state }) => state).toSorted()).toEqual([
      'failed',
      'failed',
      'failed',
      'paid',
    ]);
    expect((await told())[0]!.resolvedAt).not.toBe(null);
  });

  test('that cannot be set out keeps no other creator from theirs, and is told until it can', async () => {
    await older((await market.buy({ amount: 20_000 })).purchaseId);
    await sql`create function refuse_one() returns trigger language plpgsql as $$ begin raise exception 'no row for them'; end $$`.execute(
      market.db,
    );
    await sql`create trigger refuse_one before insert on payouts for each row when (new.user_id = ${sql.lit(market.ada)})
      execute function refuse_one()`.execute(market.db);
    await sweep();
    expect(await payouts(market.ada)).toEqual([]);
    expect(await payouts(market.bea)).toMatchObject([{ state: 'started' }]);
    const told = async () => (await market.notices('payout_failing')).find(({ subject }) => subject === market.ada);
    expect((await told())?.resolvedAt).toBe(null);
    await sql`drop trigger refuse_one on payouts`.execute(market.db);
    await sweep();
    expect(await payouts(market.ada)).toMatchObject([{ state: 'started' }]);
    expect((await told())?.resolvedAt).not.toBe(null);
  });

  test('in a currency without a threshold is made by nobody, and who runs the marketplace is told until there is one', async () => {
    await older((await market.buy({ amount: 3_000, currency: 'CAD' })).purchaseId);
    await sweep();
    expect(await payouts(market.ada)).toEqual([]);
    const told = async () => (await market.notices('payout_no_threshold')).filter(({ subject }) => subject === 'CAD');
    expect(await told()).toMatchObject([{ title: '21.00 CAD of 2 creators is never paid out', resolvedAt: null }]);
    const { fleet } = await market.fleet();
    const { threshold } = fleet.market.payouts;
    const payouts_ = { ...fleet.market.payouts, threshold: { ...threshold, CAD: 100 } };
    await market.apply({ ...fleet, market: { ...fleet.market, payouts: payouts_ } });
    await sweep();
    expect((await told())[0]!.resolvedAt).not.toBe(null);
    expect(await payouts(market.ada)).toMatchObject([{ currency: 'CAD', amount: 1_400 }]);
    await market.apply(fleet);
  });

  test('waits after a restore until a person has compared the books with the provider', async () => {
    await account(market.ada);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    await settleRestored(market.scope.databaseUrl, {
      id: '20261122T013000Z',
      madeAt: '2026-11-22T01:30:00.000Z',
      bytes: 1,
      rows: 1,
    });
    expect(await sweep()).toBe(0);
    expect(await payouts(market.ada)).toEqual([]);
    const [held] = (await market.notices('payouts_held')).filter(({ resolvedAt }) => resolvedAt === null);
    await market.db
      .transaction()
      .execute((tx) => endNotice(tx, { id: held!.id, ownerId: testOwner, by: 'tok_somebody' }));
    await sweep();
    await ended(market.ada);
    expect(await payouts(market.ada)).toMatchObject([{ state: 'paid', amount: 4_200 }]);
  });

  test('that has ended is not sent by an attempt that comes late', async () => {
    await account(market.ada);
    await account(market.bea, 'acct_bea');
    await older((await market.buy({ amount: 20_000 })).purchaseId);
    market.double.fail('POST /v1/transfers', '402');
    await sweep();
    await ended(market.ada);
    await ended(market.bea);
    const before = transfers();
    for (const { id, state, reference } of [...(await payouts(market.ada)), ...(await payouts(market.bea))]) {
      const again = market.activities.sendPayout({ payoutId: id });
      if (state === 'paid') expect(await again).toEqual({ reference });
      else await expect(again).rejects.toThrow('has ended as failed');
    }
    expect(transfers()).toBe(before);
  });

  test('is of sales older than the hold time, whatever was refunded of younger ones', async () => {
    await account(market.ada);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    const young = await market.buy({ amount: 3_000 });
    expect(await market.refund({ purchaseId: young.purchaseId, amount: 1_000 })).toEqual({ state: 'done' });
    await market.buy({ amount: 3_000 });
    await sweep();
    await ended(market.ada);
    expect(await payouts(market.ada)).toMatchObject([{ amount: 4_200, state: 'paid' }]);
  });

  test('goes where who runs the marketplace says, and nobody else', async () => {
    const other = newId('user');
    await market.db.insertInto('users').values({ id: other, name: 'other', role: 'operator' }).execute();
    const { secret } = await createPrincipalStore(market.db).issue({
      ownerId: other,
      kind: 'bearer',
      role: 'operator',
      name: 'other',
    });
    const body = { userId: market.ada, provider: 'stripe', account: 'acct_elsewhere' };
    const asked = await market.call('POST', '/v1/payouts/accounts', body, { authorization: `Bearer ${secret}` });
    expect([asked.statusCode, asked.json().code]).toEqual([403, 'FORBIDDEN']);
    const elsewhere = { provider: 'stripe', account: 'acct_elsewhere' } as const;
    await market.payouts.setAccount({ ownerId: other, userId: market.ada, madeBy: 'test' }, elsewhere);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    await sweep();
    expect(await payouts(market.ada)).toMatchObject([{ provider: 'by_hand', account: null }]);
  });

  test('that is gone leaves its creator owing after a refund, and later sales settle that before anything is paid', async () => {
    await account(market.ada);
    const sale = await market.buy({ amount: 9_000 });
    await older(sale.purchaseId);
    await sweep();
    await ended(market.ada);
    expect(await market.refund({ purchaseId: sale.purchaseId })).toEqual({ state: 'done' });
    expect(await creator(market.ada)).toBe(-4_200);
    // A chargeback of the same sale finds nothing left: it is not taken twice.
    const { event } = market.double.dispute(sale.paymentId);
    await market.tell(event);
    expect(await market.settled(event)).toBe('open');
    expect(await creator(market.ada)).toBe(-4_200);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    expect(await creator(market.ada)).toBe(0);
    await sweep();
    expect(await payouts(market.ada)).toHaveLength(1);
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    await sweep();
    await ended(market.ada);
    expect((await payouts(market.ada)).map(({ amount }) => amount)).toEqual([4_200, 4_200]);
    expect(await market.sums()).toEqual([]);
  });

  test('without an account is paid by hand: told, marked once by its own operator, or given back', async () => {
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    await sweep();
    const [payout] = await payouts(market.ada);
    expect(payout).toMatchObject({ provider: 'by_hand', state: 'started', amount: 4_200 });
    const told = async () => (await market.notices('payout_waiting')).find(({ subject }) => subject === payout!.id);
    expect((await told())?.resolvedAt).toBe(null);
    // One is on the way: another sale waits for it.
    await older((await market.buy({ amount: 9_000 })).purchaseId);
    await sweep();
    expect(await payouts(market.ada)).toHaveLength(1);
    const url = `/v1/payouts/${payout!.id}`;
    expect((await market.call('POST', `${url}/paid?dryRun=true`, { reference: 'x' })).json()).toMatchObject({
      dryRun: true,
    });
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => market.call('POST', `${url}/paid`, { reference: 'SEPA 7' })),
    );
    expect(new Set(answers.map(({ statusCode, body }) => `${statusCode} ${body}`))).toEqual(
      new Set([`200 {"id":"${payout!.id}","state":"paid"}`]),
    );
    expect((await market.call('POST', `${url}/failed`, { reason: 'no' })).statusCode).toBe(409);
    expect((await told())?.resolvedAt).not.toBe(null);
    await sweep();
    const second = (await payouts(market.ada))[1]!;
    expect((await market.call('POST', `/v1/payouts/${second.id}/failed`, { reason: 'wrong number' })).statusCode).toBe(
      200,
    );
    expect(await creator(market.ada)).toBe(4_200);
    const stranger = createPayoutStore(market.db).end(
      second.id,
      { failed: 'x' },
      { ownerId: market.buyer, madeBy: 'x' },
    );
    await expect(stranger).rejects.toThrow(`no payout ${second.id}`);
  });

  test('is in units that the provider takes, and never of what is held', () => {
    expect(payable({ balance: 1_000, held: 400 }, { threshold: 600, unit: 1 })).toBe(600);
    expect(payable({ balance: 1_000, held: 401 }, { threshold: 600, unit: 1 })).toBe(0);
    expect(payable({ balance: 8_129, held: -50 }, { threshold: 8_000, unit: payoutUnit('KWD') })).toBe(8_120);
    expect(payable({ balance: -5, held: 0 }, { threshold: 1, unit: 1 })).toBe(0);
  });
});

describe('the blessing pool', () => {
  let agents: Record<string, { id: string; ownerId: string }>;
  beforeAll(async () => {
    agents = {};
    for (const [i, name] of ['ada', 'bea', 'cyd'].entries()) {
      const ownerId = newId('user');
      await market.db
        .insertInto('users')
        .values({ id: ownerId, name, role: 'creator', operatorId: testOwner })
        .execute();
      const id = `light-00${i + 1}`;
      await market.db.updateTable('agents').set({ ownerId }).where('id', '=', id).execute();
      agents[name] = { id, ownerId };
    }
  });
  const bless = (dropId: string, agentId: string, giver: Parameters<typeof giveBlessing>[1]['giver']) =>
    market.db.transaction().execute((tx) => giveBlessing(tx, { dropId, agentId, giver }));
  const share = (period: string) =>
    market.client.workflow.execute('shareBlessings', {
      workflowId: `blessings:${newId('request')}`,
      taskQueue: coordinationQueue,
      args: [{ period }],
    }) as Promise<{ books: number; blessings: number }>;

  test('a blessing counts once a day per giver and drop, and never for one’s own', async () => {
    const { ada, bea } = agents as Record<'ada' | 'bea', { id: string; ownerId: string }>;
    const giver = { userId: market.buyer };
    const all = await Promise.all(Array.from({ length: 20 }, () => bless('drop-1', ada.id, giver)));
    expect(all.filter(Boolean)).toHaveLength(1);
    expect(await bless('drop-2', ada.id, giver)).toBe(true);
    await expect(bless('drop-1', ada.id, { userId: ada.ownerId })).rejects.toThrow("giver's own");
    await expect(bless('drop-1', ada.id, { agentId: ada.id })).rejects.toThrow("giver's own");
    // Of another owner, and of the same lineage.
    await sql`update agents set lineage_id = ${ada.id}, parent_id = ${ada.id}, generation = 1, origin = 'spawn' where id = ${bea.id}`.execute(
      market.db,
    );
    await expect(bless('drop-1', ada.id, { agentId: bea.id })).rejects.toThrow('lineage');
    await sql`update agents set lineage_id = ${bea.id}, parent_id = null, generation = 0, origin = 'fleet' where id = ${bea.id}`.execute(
      market.db,
    );
    expect(await bless('drop-1', ada.id, { agentId: bea.id })).toBe(true);
    await expect(bless('drop-1', 'nobody-001', giver)).rejects.toThrow('no agent');
  });

  test('is shared out by blessings, once a period however often it is done; what does not divide stays', async () => {
    const { ada, bea } = agents as Record<'ada' | 'bea', { id: string; ownerId: string }>;
    await market.buy({ amount: 1_000 });
    // Others sold before, and what they put in is shared out too.
    expect(await bless('drop-3', bea.id, { userId: market.buyer })).toBe(true);
    const pool = await market.balance(accountOf.blessings());
    const each = Math.floor(pool / 4);
    market.dying.add('sharePools');
    await Promise.all([share('week-1'), share('week-1'), share('week-1')]);
    expect(market.dying.size).toBe(0);
    expect(await creator(ada.ownerId)).toBe(Math.floor((pool * 3) / 4));
    expect(await creator(bea.ownerId)).toBe(each);
    const left = pool - Math.floor((pool * 3) / 4) - each;
    expect(await market.balance(accountOf.blessings())).toBe(left);
    // Nobody was blessed since: the pool waits.
    await market.buy({ amount: 1_000 });
    expect(await share('week-2')).toMatchObject({ blessings: 0 });
    expect(await market.balance(accountOf.blessings())).toBe(left + 100);
    await bless('drop-4', bea.id, { userId: market.buyer });
    expect(await share('week-3')).toMatchObject({ blessings: 1 });
    expect(await market.balance(accountOf.blessings())).toBe(0);
    expect(await market.sums()).toEqual([]);

    const shares = (ownerId: string, after?: string) =>
      listBlessingShares(market.db, { ownerId, limit: 10, ...(after === undefined ? {} : { after }) });
    const all = await shares(testOwner);
    expect(all.map(({ period, blessings }) => [period, blessings])).toEqual([
      ['week-3', 1],
      ['week-2', 0],
      ['week-1', 4],
    ]);
    const [first] = all.slice(-1);
    // A sale in another currency before put into a pool of its own, which is shared out beside it.
    const currency = 'EUR';
    expect(first!.shared!.filter((each) => each.currency === currency)).toEqual([
      { currency, pool, shared: pool - left },
    ]);
    expect(first).toMatchObject({ yourBlessings: 0, yours: [] });
    expect(await shares(testOwner, `${all[0]!.madeAt} ${all[0]!.period}`)).toEqual(all.slice(1));
    // Who was blessed sees what it came to for them, and neither the pool nor what others got.
    expect(await shares(ada.ownerId)).toEqual([
      {
        period: 'week-1',
        madeAt: first!.madeAt,
        blessings: null,
        shared: null,
        yourBlessings: 3,
        yours: expect.arrayContaining([{ amount: Math.floor((pool * 3) / 4), currency }]) as unknown,
      },
    ]);
    expect((await shares(bea.ownerId)).map(({ period, yourBlessings }) => [period, yourBlessings])).toEqual([
      ['week-3', 1],
      ['week-1', 1],
    ]);
    expect(await shares(market.buyer)).toEqual([]);
  });

  test('of one marketplace counts the blessings of its own people alone; the others wait for theirs', async () => {
    const { ada, cyd } = agents as Record<'ada' | 'cyd', { id: string; ownerId: string }>;
    const other = newId('user');
    await market.db.insertInto('users').values({ id: other, name: 'elsewhere', role: 'operator' }).execute();
    await market.db.updateTable('users').set({ operatorId: other }).where('id', '=', cyd.ownerId).execute();
    const split = splitSale(1_000, 0, {
      weights: defaultSaleWeights,
      creators: [{ userId: cyd.ownerId, weight: 1 }],
    });
    const from = accountOf.outside('stripe');
    const sale = sold({ purchaseId: 'pur_elsewhere', currency: 'EUR', from, split })!;
    await market.buy({ amount: 1_000 });
    await bless('drop-5', ada.id, { userId: market.buyer });
    await bless('drop-6', cyd.id, { userId: market.buyer });
    const before = await creator(ada.ownerId);
    const pool = await market.balance(accountOf.blessings());
    // Their pool is empty: what their people were given waits.
    expect(await share('week-4')).toMatchObject({ blessings: 1 });
    expect(await creator(ada.ownerId)).toBe(before + pool);
    const uncounted = async () =>
      (await market.db.selectFrom('blessings').select('dropId').where('period', 'is', null).execute()).map(
        ({ dropId }) => dropId,
      );
    expect(await uncounted()).toEqual(['drop-6']);
    await market.db.transaction().execute((tx) => postTransfers(tx, { ownerId: other, madeBy: 'test' }, [sale]));
    expect(await share('week-5')).toMatchObject({ books: 1, blessings: 1 });
    expect(await uncounted()).toEqual([]);
    expect(await balanceOf(market.db, other, accountOf.creator(cyd.ownerId), 'EUR')).toBe(700 + 100);
    expect(await creator(cyd.ownerId)).toBe(0);
    expect(await market.sums()).toEqual([]);
  });
});
