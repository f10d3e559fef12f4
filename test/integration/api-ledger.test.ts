import { afterAll, beforeAll, expect, test } from 'vitest';
import { accountOf } from '../../domain/ledger.ts';
import { sold } from '../../domain/postings.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';

let api: ApiFixture;
const people = { bob: newId('user'), ada: newId('user') };
const tokens = { bob: '', ada: '' };

beforeAll(async () => {
  api = await createApiFixture();
  for (const name of ['bob', 'ada'] as const) {
    const ownerId = people[name];
    await api.db.insertInto('users').values({ id: ownerId, name, role: 'member' }).execute();
    const token = await createPrincipalStore(api.db).issue({ ownerId, kind: 'bearer', role: 'member', name });
    tokens[name] = token.secret;
  }
});
afterAll(() => api?.close());

const grant = (key: string, body: Record<string, unknown> = {}, query = '') =>
  api.call('POST', `/v1/credits/grants${query}`, {
    body: { userId: people.bob, amount: 1000, currency: 'EUR', reason: 'to try it', ...body },
    headers: { 'idempotency-key': key },
  });

test('100 equal keys are one grant and 100 equal answers', async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => grant('k1')));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]));
  expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  expect(answers.filter(({ headers }) => headers['idempotent-replayed'] === undefined)).toHaveLength(1);
  expect(answers[0]!.json).toMatchObject({ userId: people.bob, amount: 1000, currency: 'EUR', balance: 1000 });
  expect(answers[0]!.headers['location']).toBe(`/v1/ledger/transfers/${String(answers[0]!.json['transferId'])}`);
  // The answer of then, not of now.
  expect((await grant('k2', { amount: 500 })).json['balance']).toBe(1500);
  expect((await grant('k1')).json['balance']).toBe(1000);
});

test('the same key with other content is refused, and a dry run writes nothing', async () => {
  const before = await api.rowCounts();
  for (const other of [{ amount: 999 }, { currency: 'USD' }, { reason: 'another' }, { userId: people.ada }])
    expect((await grant('k1', other)).json).toMatchObject({ status: 409, code: 'CONFLICT' });
  const dry = await grant('k3', { amount: 1234, currency: 'KWD' }, '?dryRun=true');
  expect(dry.json).toEqual({ dryRun: true, would: `give ${people.bob} credits of 1.234 KWD` });
  expect(await api.rowCounts()).toEqual(before);
  const body = { userId: people.bob, amount: 1, currency: 'EUR', reason: 'a' };
  const missing = await api.call('POST', '/v1/credits/grants', { body });
  expect(missing.json['errors']).toMatchObject([{ path: 'headers.idempotency-key', rule: 'is required' }]);
});

test('who runs the marketplace sees all of the books, others their own sides alone, strangers nothing', async () => {
  const split = splitSale(900, 0, { weights: defaultSaleWeights, creators: [{ userId: people.ada, weight: 1 }] });
  const sale = sold({ purchaseId: 'pur_1', currency: 'EUR', from: accountOf.credits(people.bob), split })!;
  await api.db.transaction().execute((tx) => postTransfers(tx, { ownerId: api.ownerId, madeBy: 'tok_test' }, [sale]));
  const see = async (token: string) => {
    const accounts = await api.call('GET', '/v1/ledger/accounts', { token });
    const transfers = await api.call('GET', '/v1/ledger/transfers', { token });
    const detail = await api.call('GET', '/v1/ledger/transfers/sale:pur_1', { token });
    return {
      accounts: accounts.json.items.map(({ kind, balance }) => `${String(kind)} ${String(balance)}`).sort(),
      transfers: transfers.json.items.map(({ kind, credited, debited }) => [kind, credited, debited]),
      status: detail.status,
      madeBy: detail.json['madeBy'],
      sides: (detail.json['entries'] as Array<Record<string, unknown>> | undefined)?.map(({ kind, amount }) => [
        kind,
        amount,
      ]),
    };
  };
  expect(await see(api.tokens.operator)).toEqual({
    accounts: ['blessings 90', 'creator 630', 'credits 600', 'outside -1500', 'platform 180'],
    transfers: [
      ['sale', 900, 900],
      ['grant', 500, 500],
      ['grant', 1000, 1000],
    ],
    status: 200,
    madeBy: 'tok_test',
    sides: [
      ['credits', -900],
      ['creator', 630],
      ['platform', 180],
      ['blessings', 90],
    ],
  });
  expect(await see(tokens.bob)).toEqual({
    accounts: ['credits 600'],
    transfers: [
      ['sale', 0, 900],
      ['grant', 500, 0],
      ['grant', 1000, 0],
    ],
    status: 200,
    madeBy: null,
    sides: [['credits', -900]],
  });
  expect(await see(tokens.ada)).toMatchObject({
    accounts: ['creator 630'],
    transfers: [['sale', 630, 0]],
    sides: [['creator', 630]],
  });
  expect(await see(api.stranger.token)).toMatchObject({ accounts: [], transfers: [], status: 404 });
});

test('lists are filtered, paged and given as CSV', async () => {
  const of = async (query: string, token = api.tokens.operator) =>
    (await api.call('GET', `/v1/ledger/transfers?${query}`, { token })).json.items.map(({ kind }) => kind);
  expect(await of('kind=grant')).toEqual(['grant', 'grant']);
  expect(await of('purchaseId=pur_1')).toEqual(['sale']);
  const accounts = await api.call('GET', '/v1/ledger/accounts?kind=platform&currency=EUR');
  const [platform] = accounts.json.items;
  expect(await of(`accountId=${String(platform!['id'])}`)).toEqual(['sale']);
  // An account that is not theirs tells them nothing, not even of transfers that they see.
  expect(await of(`accountId=${String(platform!['id'])}`, tokens.bob)).toEqual([]);
  const first = await api.call('GET', '/v1/ledger/transfers?limit=2', { token: tokens.bob });
  const second = await api.call('GET', `/v1/ledger/transfers?limit=2&cursor=${String(first.json['nextCursor'])}`, {
    token: tokens.bob,
  });
  expect([...first.json.items, ...second.json.items].map(({ kind }) => kind)).toEqual(['sale', 'grant', 'grant']);
  expect(second.json['nextCursor']).toBeNull();
  const csv = await api.call('GET', '/v1/ledger/accounts?format=csv', { token: tokens.bob });
  expect(csv.text).toMatch(/^id,kind,holder,currency,balance,version,createdAt\r\nlac_\S+,credits,usr_\S+,EUR,600,3,/);
});

test('passes over the books are paged by time, and their figures stand in the metrics', async () => {
  const [earlier, later] = [new Date(Date.now() - 180_000), new Date(Date.now() - 120_000)];
  const pass = { ownerId: api.ownerId, accounts: 5, transfers: 3, entries: 8 };
  await api.db
    .insertInto('ledgerReconciliations')
    .values([
      { ...pass, period: 'a', madeAt: earlier, discrepancies: 1 },
      { ...pass, period: 'b', madeAt: later, discrepancies: 2 },
      { ...pass, period: 'c', madeAt: later, discrepancies: 2 },
    ])
    .execute();
  const seen: unknown[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { json } = await api.call('GET', `/v1/ledger/reconciliations?limit=1${query}`);
    seen.push(...json.items.map(({ period }) => period));
    cursor = json['nextCursor'] as string | null;
  }
  expect(seen).toEqual(['c', 'b', 'a']);
  expect((await api.call('GET', '/v1/ledger/reconciliations?period=b')).json.items).toMatchObject([{ period: 'b' }]);
  expect((await api.call('GET', '/v1/ledger/reconciliations', { token: api.stranger.token })).json.items).toEqual([]);
  const metrics = await api.call('GET', '/metrics');
  expect(metrics.text).toMatch(/soulfra_ledger_discrepancies\{part="api"\} 2\n/);
  expect(metrics.text).toMatch(/soulfra_ledger_reconciled_seconds\{part="api"\} 1[12]\d\./);
});

test('a pass over the books is asked for once a key', async () => {
  const ask = () => api.call('POST', '/v1/ledger/reconcile', { body: {}, headers: { 'idempotency-key': 'now' } });
  const first = await ask();
  expect(first.status).toBe(202);
  expect(first.json).toMatchObject({ started: true, workflowId: `reconcile:${String(first.json['period'])}` });
  expect((await ask()).json).toMatchObject({ started: false, period: first.json['period'] });
});
