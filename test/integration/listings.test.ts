import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { addPackage, addPerson, openShop, type Shop } from '../support/market.ts';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
}, 60_000);
afterAll(() => shop?.close(), 60_000);

const path = (id: string, verb = '') => `/v1/listings/${id}${verb === '' ? '' : `/${verb}`}`;
const call = (method: string, url: string, options: Parameters<Shop['api']['call']>[2] = {}) =>
  shop.api.call(method, url, { token: shop.seller.token, ...options });
async function drafted(body: Record<string, unknown> = {}): Promise<string> {
  const { status, json, text } = await shop.draft(body);
  if (status !== 201) throw new Error(text);
  return json['id'] as string;
}

test('a draft is its seller’s alone, on offer it is everybody’s, and retired it stays', async () => {
  const id = await drafted({ title: 'The evening watch' });
  const everybody = [shop.buyer.token, shop.api.tokens.operator, shop.api.stranger.token];
  const seen = () => Promise.all(everybody.map(async (token) => (await call('GET', path(id), { token })).status));
  expect(await seen()).toEqual([404, 404, 404]);
  const listed = await call('POST', path(id, 'list'));
  expect(listed.json).toMatchObject({
    state: 'listed',
    version: 2,
    agentName: 'Ava Lind',
    contentHash: shop.contentHash,
  });
  expect(await seen()).toEqual([200, 200, 200]);
  const { json } = await call('GET', '/v1/listings', { token: shop.buyer.token });
  expect(json.items).toMatchObject([{ id, title: 'The evening watch' }]);
  // Whoever sees it may not change it.
  for (const verb of ['list', 'pause', 'retire'])
    expect((await call('POST', path(id, verb), { token: shop.api.stranger.token })).status).toBe(404);
  expect((await call('POST', path(id, 'pause'))).json).toMatchObject({ state: 'paused', version: 3 });
  expect(await seen()).toEqual([404, 404, 404]);
  expect((await call('POST', path(id, 'pause'))).json).toMatchObject({ state: 'paused', version: 3 });
  expect((await call('POST', path(id, 'retire'))).json).toMatchObject({ state: 'retired' });
  for (const verb of ['list', 'pause']) expect((await call('POST', path(id, verb))).json['code']).toBe('CONFLICT');
  const headers = { 'if-match': '*' };
  expect((await call('PATCH', path(id), { headers, body: { title: 'x' } })).json['code']).toBe('CONFLICT');
});

test('who runs the marketplace takes any listing down and puts it back; its seller is told why and cannot lift it', async () => {
  const id = await drafted();
  await call('POST', path(id, 'list'));
  const token = shop.api.tokens.operator;
  const down = (options: object = {}) =>
    call('POST', path(id, 'take-down'), { token, body: { reason: 'somebody else’s words' }, ...options });
  for (const other of [shop.api.stranger.token, shop.seller.token])
    expect((await down({ token: other })).json['code']).toBe('FORBIDDEN');
  expect(
    (await call('POST', `${path(id, 'take-down')}?dryRun=true`, { token, body: { reason: 'x' } })).json,
  ).toMatchObject({ dryRun: true });
  expect((await call('GET', path(id))).json).toMatchObject({ state: 'listed', takenDown: null });
  expect((await down()).json).toMatchObject({ takenDown: 'somebody else’s words', changed: true });
  expect((await down()).json).toMatchObject({ changed: false });
  expect((await call('GET', path(id))).json).toMatchObject({ state: 'paused', takenDown: 'somebody else’s words' });
  expect((await shop.buy(id)).json['code']).toBe('NOT_FOUND');
  const refused = (await call('POST', path(id, 'list'))).json;
  expect([refused['code'], refused['detail']]).toEqual(['CONFLICT', expect.stringContaining('somebody else’s words')]);
  const inbox = async () => (await call('GET', '/v1/inbox')).json.items as Array<{ subject: string; detail: string }>;
  expect((await inbox()).find(({ subject }) => subject === id)?.detail).toBe('somebody else’s words');
  expect((await call('POST', path(id, 'put-back'), { token })).json).toMatchObject({ takenDown: null, changed: true });
  expect((await inbox()).some(({ subject }) => subject === id)).toBe(false);
  expect((await call('POST', path(id, 'list'))).json).toMatchObject({ state: 'listed' });
});

test('who is deleted sells nothing more, nor does anybody whose listing they share in', async () => {
  const seller = await addPerson(shop.db, 'leaving', 'creator');
  const partner = await addPerson(shop.db, 'partner', 'creator');
  const operatorId = shop.api.ownerId;
  for (const { ownerId } of [seller, partner])
    await shop.db.updateTable('users').set({ operatorId }).where('id', '=', ownerId).execute();
  const { packageId } = await addPackage(shop.db, { ownerId: seller.ownerId, agentId: 'vesper-001', says: 'leaving' });
  const own = (await shop.draft({ packageId }, {}, seller.token)).json['id'] as string;
  expect((await call('POST', path(own, 'list'), { token: seller.token })).json).toMatchObject({ state: 'listed' });
  const creators = [
    { userId: shop.seller.ownerId, weight: 5_000 },
    { userId: partner.ownerId, weight: 5_000 },
  ];
  const shared = await shop.list({ creators });
  const leave = ({ ownerId }: { ownerId: string }) =>
    call('DELETE', `/v1/users/${ownerId}`, { token: shop.api.tokens.operator });
  expect((await leave(seller)).status).toBe(204);
  expect((await leave(partner)).status).toBe(204);
  const { state } = await shop.db
    .selectFrom('listings')
    .select('state')
    .where('id', '=', own)
    .executeTakeFirstOrThrow();
  expect(state).toBe('retired');
  await shop.grant(shop.buyer.ownerId, 5_000);
  const bought = await Promise.all([own, shared].map((id) => shop.buy(id)));
  expect(bought.map(({ json }) => json['code'])).toEqual(['NOT_FOUND', 'CONFLICT']);
  expect(bought[1]!.json['detail']).toContain('is gone');
  const again = await shop.draft({ creators });
  expect([again.status, again.json['code']]).toEqual([400, 'INVALID_INPUT']);
});

test('a change needs the version that it is made of', async () => {
  const id = await drafted();
  const body = { price: { amount: 2_000, currency: 'EUR' } };
  const etag = (await call('GET', path(id))).headers['etag'] as string;
  expect(etag).toBe('"1"');
  const change = (headers: Record<string, string>) => call('PATCH', path(id), { headers, body });
  expect((await change({})).json).toMatchObject({ status: 428, code: 'PRECONDITION_REQUIRED' });
  expect((await change({ 'if-match': 'W/"1"' })).json).toMatchObject({ status: 400, code: 'INVALID_INPUT' });
  // Ten who read the same: one is the first.
  const answers = await Promise.all(Array.from({ length: 10 }, () => change({ 'if-match': etag })));
  const statuses = answers.map(({ status }) => status).toSorted((a, b) => a - b);
  expect(statuses).toEqual([200, ...Array.from({ length: 9 }, () => 412)]);
  expect(answers.find(({ status }) => status === 412)!.json['code']).toBe('PRECONDITION_FAILED');
  const after = await call('GET', path(id));
  expect({ etag: after.headers['etag'], price: after.json['price'] }).toEqual({ etag: '"2"', price: body.price });
  const stale = await call('POST', path(id, 'list'), { headers: { 'if-match': etag } });
  expect(stale.json['code']).toBe('PRECONDITION_FAILED');
});

test('the same key drafts once, and a dry run nothing', async () => {
  const headers = { 'idempotency-key': 'draft' };
  const ids = await Promise.all(Array.from({ length: 20 }, async () => (await shop.draft({}, headers)).json['id']));
  expect(new Set(ids).size).toBe(1);
  expect((await shop.draft({ title: 'another' }, headers)).json).toMatchObject({ status: 409, code: 'CONFLICT' });
  const before = await shop.api.rowCounts();
  const offer = {
    packageId: shop.packageId,
    price: { amount: 1, currency: 'EUR' },
    termsVersion: '1',
    kinds: ['personal'],
  };
  const dry = await call('POST', '/v1/listings?dryRun=true', { body: offer });
  expect(dry.json['code']).toBe('INVALID_INPUT');
  expect((await call('POST', `${path(ids[0] as string, 'list')}?dryRun=true`)).json).toMatchObject({ dryRun: true });
  expect(await shop.api.rowCounts()).toEqual(before);
});

test('what cannot be sold so is refused, naming the field, and nothing is written', async () => {
  const stranger = await addPackage(shop.db, { ownerId: shop.buyer.ownerId, agentId: 'vesper-001', says: 'theirs' });
  const second = await addPerson(shop.db, 'second');
  const before = await shop.api.rowCounts();
  const refusal = async (body: Record<string, unknown>) => {
    const { json } = await shop.draft(body);
    const {
      status,
      code,
      errors = [],
    } = json as unknown as { status: number; code: string; errors?: [{ path: string }] };
    return `${status} ${code} ${errors[0]?.path ?? ''}`.trim();
  };
  const share = (userId: string, weight: number) => ({ userId, weight });
  const { ownerId } = shop.seller;
  const price = (amount: number, currency: string) => ({ price: { amount, currency } });
  expect(await refusal({ packageId: stranger.packageId })).toBe('404 NOT_FOUND');
  expect(await refusal({ packageId: newId('loopPackage') })).toBe('404 NOT_FOUND');
  expect(await refusal(price(199, 'EUR'))).toBe('400 INVALID_INPUT price.amount');
  expect(await refusal(price(299, 'JPY'))).toBe('400 INVALID_INPUT price.amount');
  expect(await refusal(price(9, 'TND'))).toBe('400 INVALID_INPUT price.amount');
  expect(await refusal(price(1_000.5, 'EUR'))).toBe('400 INVALID_INPUT price.amount');
  expect(await refusal(price(1_000, 'EUX'))).toBe('400 INVALID_INPUT price.currency');
  expect(await refusal({ kinds: ['personal', 'eternal'] })).toBe('400 INVALID_INPUT kinds.1');
  expect(await refusal({ creators: [share(ownerId, 9_999)] })).toBe('400 INVALID_INPUT creators');
  expect(await refusal({ creators: [share(ownerId, 5_000), share(ownerId, 5_000)] })).toBe(
    '400 INVALID_INPUT creators',
  );
  expect(await refusal({ creators: [share(second.ownerId, 4_000), share(newId('user'), 6_000)] })).toBe(
    '400 INVALID_INPUT creators.1.userId',
  );
  expect(await shop.api.rowCounts()).toEqual(before);
});

test('a model whose license bars commercial use blocks the listing; an unknown one needs the seller’s word', async () => {
  const of = async (says: string, commercialUse: 'barred' | 'unknown') => {
    const models = [
      { id: 'free_q4', license: 'MIT', commercialUse: 'allowed' as const },
      { id: 'tied_q4', license: 'CC-BY-NC-4.0', commercialUse },
    ];
    const { ownerId } = shop.seller;
    return (await addPackage(shop.db, { ownerId, agentId: 'vesper-001', says, models })).packageId;
  };
  const barred = await drafted({ packageId: await of('barred', 'barred'), modelStatement: 'I want to.' });
  const refused = await call('POST', path(barred, 'list'));
  expect(refused.json).toMatchObject({ status: 422, code: 'LISTING_REFUSED' });
  expect(refused.json['detail']).toBe('tied_q4 (CC-BY-NC-4.0) bars commercial use');
  const unknown = await drafted({ packageId: await of('unknown', 'unknown') });
  const unsaid = await call('POST', path(unknown, 'list'));
  expect(unsaid.json).toMatchObject({ status: 422, code: 'LISTING_REFUSED', errors: [{ path: 'modelStatement' }] });
  const headers = { 'if-match': '"1"' };
  await call('PATCH', path(unknown), { headers, body: { modelStatement: 'Its makers allow sales, in writing.' } });
  expect((await call('POST', path(unknown, 'list'))).json['state']).toBe('listed');
  // On offer, it cannot be taken back.
  const silent = await call('PATCH', path(unknown), { headers: { 'if-match': '*' }, body: { modelStatement: '' } });
  expect(silent.json['code']).toBe('LISTING_REFUSED');
});
