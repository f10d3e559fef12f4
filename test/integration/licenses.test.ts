import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LicenseKind } from '../../domain/license-kinds.ts';
import {
  activateLicense,
  createLicenseStore,
  issueLicense,
  reinstateLicense,
  revokeLicense,
  suspendLicense,
} from '../../stores/licenses.ts';
import { databaseNow, type Moment } from '../../stores/license-rows.ts';
import { newId } from '../../stores/ids.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { giveLicense, ownPackage, packageHash, refusedCode } from '../support/licenses.ts';
import { addPerson } from '../support/market.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
});
afterAll(() => api?.close());

const reason = 'because';
const post = (id: string, verb: string, body: unknown = { reason }, token = api.tokens.operator) =>
  api.call('POST', `/v1/licenses/${id}/${verb}`, { token, body });
const codeOf = async (id: string) => (await post(id, 'check', { purpose: 'download' })).json['code'];
const changesOf = async (id: string) => {
  const { json } = await api.call('GET', `/v1/licenses/${id}/events`);
  return json.items.map(({ change, from, to }) => `${change as string} ${from as string}→${to as string}`).toReversed();
};
const by = { actor: 'purchase:test', reason };
const bought = (purchaseId: string, change: Record<string, unknown> = {}) =>
  api.db.transaction().execute((tx) =>
    issueLicense(tx, {
      holderId: api.stranger.ownerId,
      issuerId: api.ownerId,
      kind: 'commercial',
      packageHash,
      purchaseId,
      by,
      ...change,
    }),
  );

const unlimited = { uses: null, activations: null, seats: null, termSeconds: null, graceSeconds: 0 };

/** The rows that the database begins with: docs/licenses.md. */
const firstLicenseKinds: readonly LicenseKind[] = [
  {
    ...unlimited,
    id: 'single_use',
    summary: 'One redemption.',
    uses: 1,
    activations: 0,
    transferable: false,
    commercial: false,
  },
  {
    ...unlimited,
    id: 'personal',
    summary: 'One person, on up to three machines.',
    activations: 3,
    seats: 1,
    transferable: false,
    commercial: false,
  },
  {
    ...unlimited,
    id: 'commercial',
    summary: 'Five people at work, for a year, on any of their machines; may be passed on.',
    seats: 5,
    termSeconds: 365 * 86_400,
    graceSeconds: 14 * 86_400,
    transferable: true,
    commercial: true,
  },
  {
    ...unlimited,
    id: 'unlimited',
    summary: 'Any number of people and machines, for ever.',
    transferable: false,
    commercial: true,
  },
];

test('the kinds in the database are those of the code', async () => {
  const { json } = await api.call('GET', '/v1/license-kinds', { token: api.tokens.reader });
  const sorted = firstLicenseKinds.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  expect(json.items).toEqual(sorted);
});

test('a gift is active at once, and one key gives one license', async () => {
  const given = await Promise.all(Array.from({ length: 10 }, () => giveLicense(api, 'personal', { key: 'gift-1' })));
  expect(new Set(given).size).toBe(1);
  const { json } = await api.call('GET', `/v1/licenses/${given[0]}`);
  expect(json).toMatchObject({
    kind: 'personal',
    state: 'active',
    holder: api.ownerId,
    activationsLimit: 3,
    purchaseId: null,
  });
  expect(await changesOf(given[0]!)).toEqual(['issued null→pending', 'activated pending→active']);
  const other = await api.call('POST', '/v1/licenses', {
    body: { kind: 'unlimited', packageHash, reason },
    headers: { 'idempotency-key': 'gift-1' },
  });
  expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
});

test('a key gives what it gave before anything else is asked; another body under it is refused', async () => {
  const holder = await addPerson(api.db, 'Ida');
  await ownPackage(api.db, api.ownerId);
  const body = { kind: 'personal', packageHash, holder: holder.ownerId, reason };
  const ask = (change: object = {}, query = '') =>
    api.call('POST', `/v1/licenses${query}`, {
      body: { ...body, ...change },
      headers: { 'idempotency-key': 'gift-2' },
    });
  const first = await ask();
  expect([first.status, first.headers['idempotent-replayed']]).toEqual([201, undefined]);
  const refused = { status: 409, json: { code: 'CONFLICT' } };
  // Also what the license does not keep, and on a dry run.
  for (const change of [{ reason: 'another' }, { kind: 'unlimited' }, { holder: api.ownerId }, { holder: undefined }])
    expect([change, await ask(change)]).toMatchObject([change, refused]);
  expect(await ask({ reason: 'another' }, '?dryRun=true')).toMatchObject(refused);

  // What would refuse it by now: the license is revoked, its holder is gone, and so is the package.
  const id = first.json['id'] as string;
  expect((await post(id, 'revoke', { reason })).status).toBe(200);
  expect((await api.call('DELETE', `/v1/users/${holder.ownerId}`)).status).toBe(204);
  await sql`update loop_packages set owner_id = ${api.stranger.ownerId} where owner_id = ${api.ownerId}`.execute(
    api.db,
  );
  try {
    const before = await api.rowCounts();
    const again = await ask();
    expect(again).toMatchObject({ status: 201, json: { id, state: 'revoked', holder: holder.ownerId } });
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(await ask({ reason: 'another' })).toMatchObject(refused);
    expect(await api.rowCounts()).toEqual(before);
  } finally {
    await sql`update loop_packages set owner_id = ${api.ownerId}`.execute(api.db);
  }
});

test('a purchase has one license, however often its steps are tried', async () => {
  const made = await Promise.all(Array.from({ length: 8 }, () => bought('pur_1')));
  const id = made[0]!.id;
  expect(new Set(made.map((license) => license.id))).toEqual(new Set([id]));
  expect(await codeOf(id)).toBe('PENDING');
  expect(refusedCode((await post(id, 'redeem', { redemptionId: 'r' }, api.stranger.token)).json)).toBe('PENDING');
  const activate = () => api.db.transaction().execute((tx) => activateLicense(tx, { id, by }));
  const changed = await Promise.all(Array.from({ length: 5 }, activate));
  expect(changed.filter((each) => each.changed)).toHaveLength(1);
  expect(await codeOf(id)).toBe('VALID');
  await expect(bought('pur_1', { kind: 'personal' })).rejects.toMatchObject({ code: 'CONFLICT' });
  // Undone before the pivot: revoked while pending, and it never becomes active.
  const undone = await bought('pur_2');
  const drop = () => api.db.transaction().execute((tx) => revokeLicense(tx, { id: undone.id, by }));
  expect([(await drop()).changed, (await drop()).changed]).toEqual([true, false]);
  const late = await api.db.transaction().execute((tx) => activateLicense(tx, { id: undone.id, by }));
  expect({ changed: late.changed, state: late.license.state }).toEqual({ changed: false, state: 'revoked' });
});

test('suspended, reinstated, revoked: each with its actor and reason, and revoked stays so', async () => {
  const id = await giveLicense(api, 'personal');
  expect((await post(id, 'suspend')).json).toMatchObject({ state: 'suspended', suspendedBy: ['operator'] });
  expect((await post(id, 'suspend')).status).toBe(200);
  expect(await codeOf(id)).toBe('SUSPENDED');
  expect(refusedCode((await post(id, 'activate', { activationId: 'a', place: 'desk' })).json)).toBe('SUSPENDED');
  expect((await post(id, 'reinstate')).json).toMatchObject({ state: 'active', suspendedBy: [] });
  expect(await codeOf(id)).toBe('VALID');
  expect((await post(id, 'revoke')).json).toMatchObject({ state: 'revoked' });
  expect((await post(id, 'revoke')).status).toBe(200);
  for (const verb of ['suspend', 'reinstate']) expect((await post(id, verb)).status).toBe(409);
  expect((await post(id, 'extend', { reason, uses: 3 })).status).toBe(409);
  expect(await codeOf(id)).toBe('REVOKED');
  expect(await changesOf(id)).toEqual([
    'issued null→pending',
    'activated pending→active',
    'suspended active→suspended',
    'reinstated suspended→active',
    'revoked active→revoked',
  ]);
  const { json } = await api.call('GET', `/v1/licenses/${id}/events`);
  expect(json.items[0]).toMatchObject({ actor: expect.stringMatching(/^tok_/), reason });
  const told = await api.db.selectFrom('events').select('type').where('subject', '=', id).orderBy('id').execute();
  expect(told.map(({ type }) => type)).toEqual([
    'license.issued',
    'license.activated',
    'license.suspended',
    'license.reinstated',
    'license.revoked',
  ]);
  await expect(
    sql`update license_events set reason = 'another' where license_id = ${id}`.execute(api.db),
  ).rejects.toThrow('append-only');
  await expect(sql`delete from license_events where license_id = ${id}`.execute(api.db)).rejects.toThrow('append-only');
});

test('a dispute that is won does not lift what an operator has suspended, nor the other way round', async () => {
  const id = await giveLicense(api, 'single_use');
  await post(id, 'redeem', { redemptionId: 'r' });
  const cause = 'dispute:dp_1';
  const suspend = () => api.db.transaction().execute((tx) => suspendLicense(tx, { id, cause, by }));
  expect([(await suspend()).changed, (await suspend()).changed]).toEqual([true, false]);
  await post(id, 'suspend');
  const byHand = await post(id, 'reinstate');
  expect({ status: byHand.status, code: byHand.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
  await post(id, 'reinstate');
  const won = await api.db.transaction().execute((tx) => reinstateLicense(tx, { id, cause, by }));
  // The refused reinstatement was undone with its transaction, so the operator's suspension stands.
  expect(won.license).toMatchObject({ state: 'suspended', suspendedBy: ['operator'] });
  expect((await post(id, 'reinstate')).json).toMatchObject({ state: 'used_up', uses: 1 });
});

test('a cause that was lifted may come back; a person’s may, too', async () => {
  const id = await giveLicense(api, 'personal');
  const dispute = { id, cause: 'dispute:dp_2', by };
  const inTurn = (change: typeof suspendLicense, of: typeof dispute) =>
    api.db.transaction().execute(async (tx) => (await change(tx, of)).changed);
  for (let i = 0; i < 2; i += 1) {
    expect([await inTurn(suspendLicense, dispute), await inTurn(suspendLicense, dispute)]).toEqual([true, false]);
    expect([await inTurn(reinstateLicense, dispute), await inTurn(reinstateLicense, dispute)]).toEqual([true, false]);
    expect(await codeOf(id)).toBe('VALID');
  }
  for (let i = 0; i < 2; i += 1) {
    expect((await post(id, 'suspend')).json['state']).toBe('suspended');
    expect((await post(id, 'reinstate')).json['state']).toBe('active');
  }
});

test('extended by time and by uses, said as what shall be; nothing is taken away', async () => {
  const id = await giveLicense(api, 'commercial');
  const { json } = await api.call('GET', `/v1/licenses/${id}`);
  const end = Date.parse(json['expiresAt'] as string);
  const at = (ms: number) => new Date(end + ms).toISOString();
  for (let i = 0; i < 2; i += 1)
    expect((await post(id, 'extend', { reason, expiresAt: at(1000) })).json['expiresAt']).toBe(at(1000));
  expect((await post(id, 'extend', { reason, expiresAt: at(0) })).status).toBe(409);
  expect((await post(id, 'extend', { reason, uses: 7 })).status).toBe(409);
  expect((await changesOf(id)).filter((change) => change.startsWith('extended'))).toHaveLength(1);

  const once = await giveLicense(api, 'single_use');
  await post(once, 'redeem', { redemptionId: 'r' });
  expect((await post(once, 'extend', { reason, uses: 2 })).json).toMatchObject({
    state: 'active',
    usesLimit: 2,
    uses: 1,
  });
  expect((await post(once, 'extend', { reason, uses: 1 })).status).toBe(409);
  expect((await post(once, 'extend', { reason, expiresAt: at(0) })).status).toBe(409);
  expect((await post(once, 'redeem', { redemptionId: 's' })).json).toMatchObject({ use: 2 });
});

test('what time has ended is written down once, by whoever comes first, and can be extended', async () => {
  const id = await giveLicense(api, 'commercial');
  const inTwoYears: Moment = sql<Date>`(${databaseNow} + interval '2 years')`;
  const licenses = createLicenseStore(api.db);
  expect(await licenses.expireDue(100)).toBe(0);
  const found = await Promise.all([1, 2, 3].map(() => licenses.expireDue(100, inTwoYears)));
  expect(found.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0);
  expect((await changesOf(id)).filter((change) => change.startsWith('expired'))).toEqual(['expired active→expired']);
  expect(await codeOf(id)).toBe('EXPIRED');
  const expiresAt = new Date(Date.now() + 3 * 365 * 86_400_000).toISOString();
  expect((await post(id, 'extend', { reason, expiresAt })).json['state']).toBe('active');
});

describe('transfers', () => {
  test('pass on what may be passed on: activations end, uses stay used, the old holder sees nothing any more', async () => {
    const id = await giveLicense(api, 'commercial', { holder: api.stranger.ownerId });
    const theirs = api.stranger.token;
    await post(id, 'activate', { activationId: 'a', place: 'desk' }, theirs);
    await post(id, 'redeem', { redemptionId: 'r' }, theirs);
    const third = newId('user');
    await api.db.insertInto('users').values({ id: third, name: 'third', role: 'member' }).execute();
    const dry = await api.call('POST', `/v1/licenses/${id}/transfer?dryRun=true`, {
      token: theirs,
      body: { to: third, reason },
    });
    expect(dry.json).toEqual({ dryRun: true, would: `pass ${id} on to ${third}` });
    expect((await api.call('GET', `/v1/licenses/${id}`, { token: theirs })).status).toBe(200);
    const moved = await post(id, 'transfer', { to: third, reason }, theirs);
    expect(moved.json).toMatchObject({ holder: third, activations: 0, uses: 1, transfers: 1 });
    expect((await api.call('GET', `/v1/licenses/${id}`, { token: theirs })).status).toBe(404);
    expect((await post(id, 'transfer', { to: api.ownerId, reason }, theirs)).status).toBe(404);
    expect((await post(id, 'redeem', { redemptionId: 'r' }, theirs)).status).toBe(404);
    // An issuer is not its holder.
    expect((await post(id, 'transfer', { to: api.ownerId, reason })).status).toBe(403);
    // The new holder's redemption under an id that the old one used is a use of its own.
    const { secret } = await createPrincipalStore(api.db).issue({
      ownerId: third,
      kind: 'bearer',
      role: 'member',
      name: 'third',
    });
    const theirOwn = await post(id, 'redeem', { redemptionId: 'r' }, secret);
    expect(theirOwn.json).toMatchObject({ use: 2 });
  });

  test.each([
    ['a kind that is not passed on', 'personal', 'NOT_TRANSFERABLE'],
    ['a kind of uses', 'single_use', 'NOT_TRANSFERABLE'],
  ])('%s stays', async (_name, kind, code) => {
    const id = await giveLicense(api, kind);
    const answer = await post(id, 'transfer', { to: api.stranger.ownerId, reason });
    expect({ status: answer.status, code: refusedCode(answer.json) }).toEqual({ status: 409, code });
  });

  test('suspended, to oneself and to nobody: refused', async () => {
    const id = await giveLicense(api, 'commercial');
    expect((await post(id, 'transfer', { to: api.ownerId, reason })).status).toBe(409);
    expect((await post(id, 'transfer', { to: newId('user'), reason })).status).toBe(404);
    await post(id, 'suspend');
    expect(refusedCode((await post(id, 'transfer', { to: api.stranger.ownerId, reason })).json)).toBe('SUSPENDED');
  });
});

test('a holder uses, an issuer decides, and nobody else finds out that it exists', async () => {
  const id = await giveLicense(api, 'personal', { holder: api.stranger.ownerId });
  for (const verb of ['suspend', 'revoke', 'reinstate']) {
    const answer = await post(id, verb, { reason }, api.stranger.token);
    expect({ verb, status: answer.status }).toEqual({ verb, status: 403 });
  }
  expect((await post(id, 'check', { purpose: 'download' }, api.stranger.token)).json['code']).toBe('VALID');
  const mine = await giveLicense(api, 'personal');
  const before = await api.rowCounts();
  for (const [verb, body] of [
    ['check', {}],
    ['redeem', { redemptionId: 'r' }],
    ['activate', { activationId: 'a', place: 'desk' }],
    ['deactivate', { activationId: 'a' }],
    ['suspend', { reason }],
    ['revoke', { reason }],
    ['reinstate', { reason }],
    ['extend', { reason, uses: 2 }],
    ['transfer', { to: api.stranger.ownerId, reason }],
  ] as const) {
    const answer = await post(mine, verb, body, api.stranger.token);
    expect({ verb, status: answer.status, code: answer.json['code'] }).toEqual({
      verb,
      status: 404,
      code: 'NOT_FOUND',
    });
  }
  for (const below of ['', '/events', '/activations', '/usage', '/file']) {
    const answer = await api.call('GET', `/v1/licenses/${mine}${below}`, { token: api.stranger.token });
    expect({ below, status: answer.status }).toEqual({ below, status: 404 });
  }
  const listed = await api.call('GET', '/v1/licenses?limit=200', { token: api.stranger.token });
  expect(listed.json.items.map((license) => license['id'])).not.toContain(mine);
  expect(await api.rowCounts()).toEqual(before);
});

test('lists filter by state as it is by now, kind, package and role', async () => {
  const id = await giveLicense(api, 'commercial');
  await sql`update licenses set starts_at = now() - interval '3 years', expires_at = now() - interval '2 years' where id = ${id}`.execute(
    api.db,
  );
  const ids = async (query: string) =>
    (await api.call('GET', `/v1/licenses?limit=200&${query}`)).json.items.map((license) => license['id']);
  expect(await ids('state=expired&kind=commercial')).toContain(id);
  expect(await ids('state=active')).not.toContain(id);
  expect(await ids(`packageHash=${packageHash}&as=holder`)).toContain(id);
  expect(await ids(`packageHash=${'0'.repeat(64)}`)).toEqual([]);
  const theirs = await giveLicense(api, 'personal', { holder: api.stranger.ownerId });
  expect(await ids('as=issuer')).toContain(theirs);
  expect(await ids('as=holder')).not.toContain(theirs);
});

test('usage comes as CSV, a row a day', async () => {
  const id = await giveLicense(api, 'commercial');
  await post(id, 'redeem', { redemptionId: 'r' });
  await post(id, 'activate', { activationId: 'a', place: 'desk' });
  await sql`insert into license_usage (license_id, owner_id, day, redemptions) values (${id}, ${api.ownerId}, '2026-01-02', 4)`.execute(
    api.db,
  );
  const { text, headers } = await api.call('GET', `/v1/licenses/${id}/usage?format=csv`);
  expect(headers['content-type']).toBe('text/csv; charset=utf-8');
  const today = new Date().toISOString().slice(0, 10);
  expect(text).toBe(
    `day,holder,redemptions,activations,files\r\n${today},${api.ownerId},1,1,0\r\n2026-01-02,${api.ownerId},4,0,0\r\n`,
  );
  const first = await api.call('GET', `/v1/licenses/${id}/usage?limit=1`);
  const next = await api.call('GET', `/v1/licenses/${id}/usage?limit=1&cursor=${first.json['nextCursor'] as string}`);
  expect(next.json.items).toMatchObject([{ day: '2026-01-02' }]);
});

test('a dry run answers truly and writes nothing', async () => {
  const id = await giveLicense(api, 'single_use');
  const before = await api.rowCounts();
  for (const [verb, body] of [
    ['redeem', { redemptionId: 'r' }],
    ['suspend', { reason }],
    ['revoke', { reason }],
    ['extend', { reason, uses: 2 }],
  ] as const) {
    const { status, json } = await api.call('POST', `/v1/licenses/${id}/${verb}?dryRun=true`, { body });
    expect({ verb, status, dryRun: json['dryRun'] }).toEqual({ verb, status: 200, dryRun: true });
  }
  const { json } = await api.call('POST', '/v1/licenses?dryRun=true', {
    body: { kind: 'personal', packageHash, reason },
  });
  expect(json).toEqual({ dryRun: true, would: `give ${api.ownerId} a license of kind personal` });
  const refused = await api.call('POST', `/v1/licenses/${id}/activate?dryRun=true`, {
    body: { activationId: 'a', place: 'desk' },
  });
  expect(refusedCode(refused.json)).toBe('TOO_MANY_ACTIVATIONS');
  expect(await api.rowCounts()).toEqual(before);
  expect(await codeOf(id)).toBe('VALID');
});
