import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { permissionOf } from '../../domain/licenses.ts';
import { licenseStates } from '../../domain/states.ts';
import { isDomainError } from '../../domain/errors.ts';
import { databaseNow, type Moment, readLicense } from '../../stores/license-rows.ts';
import { redeemLicense, startActivation } from '../../stores/license-uses.ts';
import { activateLicense, issueLicense } from '../../stores/licenses.ts';
import { newId } from '../../stores/ids.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { giveLicense, packageHash, refusedCode } from '../support/licenses.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  await api.db
    .insertInto('licenseKinds')
    .values([
      { id: 'tickets', summary: 'Five uses.', uses: 5, graceSeconds: 0, transferable: true, commercial: false },
      { id: 'many', summary: 'Many.', uses: 1000, graceSeconds: 0, transferable: true, commercial: false },
    ])
    .execute();
});
afterAll(() => api?.close());

const times = <T>(count: number, work: (i: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, i) => work(i)));
const post = (id: string, verb: string, body: unknown, token = api.tokens.member) =>
  api.call('POST', `/v1/licenses/${id}/${verb}`, { token, body });
const redeem = (id: string, redemptionId: string, token?: string) => post(id, 'redeem', { redemptionId }, token);
const activate = (id: string, activationId: string, seat?: string) =>
  post(id, 'activate', { activationId, place: `machine of ${activationId}`, seat });
async function codeOf(id: string, body: Record<string, unknown> = {}): Promise<unknown> {
  const { status, json } = await post(id, 'check', body);
  expect(status).toBe(200);
  return json['code'];
}
const row = (id: string) => api.db.selectFrom('licenses').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

describe('redeeming', () => {
  test('a hundred at once use a single use once', async () => {
    const id = await giveLicense(api, 'single_use');
    expect(await codeOf(id, { purpose: 'redeem' })).toBe('VALID');
    const answers = await times(100, (i) => redeem(id, `ticket-${i}`));
    const won = answers.filter(({ status }) => status === 200);
    expect(won).toHaveLength(1);
    expect(new Set(answers.filter(({ status }) => status !== 200).map(({ json }) => refusedCode(json)))).toEqual(
      new Set(['USED_UP']),
    );
    const stored = await api.db.selectFrom('redemptions').select('id').where('licenseId', '=', id).execute();
    expect(stored.map((redemption) => redemption.id)).toEqual([won[0]!.json['redemptionId']]);
    expect(await row(id)).toMatchObject({ uses: 1, state: 'used_up' });
    expect(await codeOf(id)).toBe('USED_UP');
    // The one who won asks again, after the license is used up.
    const again = await redeem(id, won[0]!.json['redemptionId'] as string);
    expect({ status: again.status, json: again.json }).toEqual({ status: 200, json: won[0]!.json });
    const events = await api.call('GET', `/v1/licenses/${id}/events`);
    expect(events.json.items.map(({ change }) => change)).toEqual(['used_up', 'activated', 'issued']);
  });

  test('a hundred times one redemption is one use and one answer', async () => {
    const id = await giveLicense(api, 'tickets');
    const answers = await times(100, () => redeem(id, 'the-same'));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(await row(id)).toMatchObject({ uses: 1, state: 'active' });
    const usage = await api.call('GET', `/v1/licenses/${id}/usage`);
    expect(usage.json.items).toMatchObject([{ redemptions: 1, activations: 0, files: 0 }]);
    const told = await api.db
      .selectFrom('events')
      .select('data')
      .where('subject', '=', id)
      .where('type', '=', 'license.redeemed')
      .execute();
    expect(told).toHaveLength(1);
  });

  test('uses that many want at once are given out to the last, each to one', async () => {
    const id = await giveLicense(api, 'tickets');
    const answers = await times(40, (i) => redeem(id, `guest-${i % 20}`));
    const uses = new Map(
      answers.filter(({ status }) => status === 200).map(({ json }) => [json['redemptionId'], json['use']]),
    );
    expect([...uses.values()].toSorted((a, b) => Number(a) - Number(b))).toEqual([1, 2, 3, 4, 5]);
    expect(await row(id)).toMatchObject({ uses: 5, state: 'used_up' });
  });

  test('a transfer and redemptions at once: each use is its holder’s of that moment, and none is lost or doubled', async () => {
    const third = newId('user');
    await api.db.insertInto('users').values({ id: third, name: 'third', role: 'member' }).execute();
    const { secret } = await createPrincipalStore(api.db).issue({
      ownerId: third,
      kind: 'bearer',
      role: 'member',
      name: 't',
    });
    const id = await giveLicense(api, 'many', { holder: api.stranger.ownerId });
    const all = await Promise.all([
      ...Array.from({ length: 30 }, (_, i) => redeem(id, `old-${i}`, api.stranger.token)),
      post(id, 'transfer', { to: third, reason: 'sold' }, api.stranger.token),
      ...Array.from({ length: 30 }, (_, i) => redeem(id, `new-${i}`, secret)),
    ]);
    const [old, moved, fresh] = [all.slice(0, 30), all[30]!, all.slice(31)];
    expect({ status: moved.status, holder: moved.json['holder'] }).toEqual({ status: 200, holder: third });
    for (const { status } of [...old, ...fresh]) expect([200, 404]).toContain(status);
    const stored = await api.db
      .selectFrom('redemptions')
      .select(['id', 'ownerId'])
      .where('licenseId', '=', id)
      .execute();
    const answered = (answers: typeof all) =>
      answers.flatMap(({ status, json }) => (status === 200 ? [json['redemptionId'] as string] : [])).toSorted();
    const storedOf = (ownerId: string) =>
      stored.flatMap((each) => (each.ownerId === ownerId ? [each.id] : [])).toSorted();
    expect(storedOf(api.stranger.ownerId)).toEqual(answered(old));
    expect(storedOf(third)).toEqual(answered(fresh));
    expect((await row(id)).uses).toBe(stored.length);
    expect(stored.length).toBeGreaterThan(0);
    expect((await redeem(id, 'old-0', api.stranger.token)).status).toBe(404);
  });
});

describe('an issuer and the holder come with one id', () => {
  test('each redemption is a use, and each again is the same', async () => {
    const id = await giveLicense(api, 'tickets', { holder: api.stranger.ownerId });
    const holder = await redeem(id, 'order-1', api.stranger.token);
    const gate = await redeem(id, 'order-1');
    expect([holder, gate].map(({ status, json }) => [status, json['use']])).toEqual([
      [200, 1],
      [200, 2],
    ]);
    expect((await redeem(id, 'order-1')).text).toBe(gate.text);
    expect((await redeem(id, 'order-1', api.stranger.token)).text).toBe(holder.text);
    expect((await row(id)).uses).toBe(2);
    // It is the gate's own also after the license was passed on.
    expect((await post(id, 'transfer', { to: api.ownerId, reason: 'sold' }, api.stranger.token)).status).toBe(200);
    expect((await redeem(id, 'order-1')).text).toBe(gate.text);
  });

  test('only the holder puts it to use on a machine', async () => {
    const id = await giveLicense(api, 'personal', { holder: api.stranger.ownerId });
    const { status, json } = await activate(id, 'desk');
    expect({ status, code: json['code'] }).toEqual({ status: 403, code: 'FORBIDDEN' });
    const place = { activationId: 'desk', place: 'machine of desk' };
    expect((await post(id, 'activate', place, api.stranger.token)).status).toBe(200);
  });
});

describe('activating', () => {
  test('many at once stop at the limit', async () => {
    const id = await giveLicense(api, 'personal');
    const answers = await times(20, (i) => activate(id, `act-${i}`));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
    expect(new Set(answers.filter(({ status }) => status !== 200).map(({ json }) => refusedCode(json)))).toEqual(
      new Set(['TOO_MANY_ACTIVATIONS']),
    );
    expect(await codeOf(id, { purpose: 'activate' })).toBe('TOO_MANY_ACTIVATIONS');
    // Places are counted, so who does not say which one is in none.
    expect(await codeOf(id)).toBe('NOT_ACTIVATED');
    expect(await codeOf(id, { purpose: 'download' })).toBe('VALID');
    const live = await api.call('GET', `/v1/licenses/${id}/activations`);
    expect(live.json.items).toHaveLength(3);
    const [first] = live.json.items.map(({ activationId }) => activationId as string);
    expect(await codeOf(id, { activationId: first })).toBe('VALID');
    expect(await codeOf(id, { activationId: 'elsewhere' })).toBe('NOT_ACTIVATED');
    // A place that is free again is taken once.
    expect((await post(id, 'deactivate', { activationId: first })).status).toBe(200);
    const more = await times(10, (i) => activate(id, `more-${i}`));
    expect(more.filter(({ status }) => status === 200)).toHaveLength(1);
  });

  test('one activation many times is one place; ended, a late repetition does not take it again', async () => {
    const id = await giveLicense(api, 'personal');
    const answers = await times(50, () => activate(id, 'desk'));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers[0]!.status).toBe(200);
    expect((await api.call('GET', `/v1/licenses/${id}`)).json).toMatchObject({ activations: 1, seats: 1 });
    const other = await post(id, 'activate', { activationId: 'desk', place: 'another machine' });
    expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
    const [ended, again] = await times(2, () => post(id, 'deactivate', { activationId: 'desk' }));
    expect(ended!.json).toEqual(again!.json);
    const late = await activate(id, 'desk');
    expect({ status: late.status, code: late.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
    expect((await api.call('GET', `/v1/licenses/${id}`)).json).toMatchObject({ activations: 0, seats: 0 });
  });

  test('a known activation is answered by what the license permits now, and counts nothing anew', async () => {
    const id = await giveLicense(api, 'commercial');
    const first = await activate(id, 'desk');
    expect(first.json['code']).toBe('VALID');
    const ended = async (secondsAgo: number) => {
      await sql`update licenses set starts_at = now() - interval '3 years', expires_at = now() - ${secondsAgo} * interval '1 second'
        where id = ${id}`.execute(api.db);
      return activate(id, 'desk');
    };
    expect((await ended(60)).json).toEqual({ ...first.json, code: 'IN_GRACE' });
    expect(refusedCode((await ended(15 * 86_400)).json)).toBe('EXPIRED');
    const issuer = (verb: string) => post(id, verb, { reason: 'a look' }, api.tokens.operator);
    await ended(-3600);
    expect((await issuer('suspend')).status).toBe(200);
    expect(refusedCode((await activate(id, 'desk')).json)).toBe('SUSPENDED');
    expect((await issuer('reinstate')).status).toBe(200);
    expect((await activate(id, 'desk')).json).toEqual(first.json);
    expect((await issuer('revoke')).status).toBe(200);
    expect(refusedCode((await activate(id, 'desk')).json)).toBe('REVOKED');
    expect((await api.call('GET', `/v1/licenses/${id}/usage`)).json.items).toMatchObject([{ activations: 1 }]);
  });

  test('seats are people: the machines of five fit, a sixth does not', async () => {
    const id = await giveLicense(api, 'commercial');
    const answers = await times(30, (i) => activate(id, `act-${i}`, `person-${i % 10}`));
    const people = new Set(answers.filter(({ status }) => status === 200).map(({ json }) => json['seat'] as string));
    expect(people.size).toBe(5);
    // Who has a seat uses it on all their machines.
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(15);
    expect(new Set(answers.filter(({ status }) => status !== 200).map(({ json }) => refusedCode(json)))).toEqual(
      new Set(['NO_SEAT']),
    );
    const [seated] = people;
    expect(await codeOf(id, { purpose: 'activate' })).toBe('NO_SEAT');
    expect(await codeOf(id, { purpose: 'activate', seat: seated })).toBe('VALID');
  });

  test('a kind of uses alone is not activated', async () => {
    const id = await giveLicense(api, 'single_use');
    expect(refusedCode((await activate(id, 'desk')).json)).toBe('TOO_MANY_ACTIVATIONS');
  });
});

/** Does the work at a moved clock and undoes it. */
async function at(moment: Moment, work: (tx: DatabaseTransaction, now: Moment) => Promise<unknown>): Promise<string> {
  const undone = new Error('undone');
  try {
    await api.db.transaction().execute(async (tx) => {
      await work(tx, moment);
      throw undone;
    });
  } catch (err) {
    if (err === undone) return 'VALID';
    if (isDomainError(err, 'LICENSE_REFUSED')) return (err.fields[0] as unknown as { code: string }).code;
    throw err;
  }
  return 'none';
}
const moved = (seconds: number): Moment => sql<Date>`(${databaseNow} + ${seconds} * interval '1 second')`;

describe('time', () => {
  test('a term ends, its grace lets what runs go on, and then it is over', async () => {
    const id = await giveLicense(api, 'commercial');
    const year = 365 * 86_400;
    const grace = 14 * 86_400;
    const codeAt = async (seconds: number, purpose: 'use' | 'redeem' = 'use') => {
      const license = await readLicense(api.db, id, null, moved(seconds));
      return permissionOf(license, license.now, { purpose, inUse: true });
    };
    expect(await codeAt(-3600)).toBe('CLOCK_SET_BACK');
    expect(await codeAt(0)).toBe('VALID');
    expect(await codeAt(year - 60)).toBe('VALID');
    expect(await codeAt(year)).toBe('IN_GRACE');
    expect(await codeAt(year, 'redeem')).toBe('EXPIRED');
    expect(await codeAt(year + grace - 60)).toBe('IN_GRACE');
    expect(await codeAt(year + grace)).toBe('EXPIRED');
    const use = { licenseId: id, ownerId: api.ownerId, actor: 'test' };
    const redeemed = (seconds: number) =>
      at(moved(seconds), (tx, now) => redeemLicense(tx, { ...use, redemptionId: 'r' }, now));
    expect(await redeemed(year - 60)).toBe('VALID');
    expect(await redeemed(year)).toBe('EXPIRED');
    expect(await redeemed(-3600)).toBe('CLOCK_SET_BACK');
    const activated = (seconds: number) =>
      at(moved(seconds), (tx, now) =>
        startActivation(tx, { ...use, activationId: 'a', place: 'desk', seat: 'ada' }, now),
      );
    expect(await activated(year - 60)).toBe('VALID');
    expect(await activated(year + 1)).toBe('EXPIRED');
  });

  test('a repeated redemption is answered also after the term', async () => {
    const id = await giveLicense(api, 'commercial');
    const first = await redeem(id, 'r');
    await api.db
      .updateTable('licenses')
      .set({ startsAt: sql<Date>`now() - interval '3 years'`, expiresAt: sql<Date>`now() - interval '2 years'` })
      .where('id', '=', id)
      .execute();
    expect((await api.call('GET', `/v1/licenses/${id}`)).json['state']).toBe('expired');
    expect((await redeem(id, 'r')).text).toBe(first.text);
    expect(refusedCode((await redeem(id, 'another')).json)).toBe('EXPIRED');
  });
});

test('the statements and the rule permit the same, whatever the license is', async () => {
  const id = `lic_01890000-0000-7000-8000-000000000001`;
  const by = { actor: 'test', reason: 'test' };
  await api.db.transaction().execute(async (tx) => {
    await issueLicense(tx, { id, holderId: api.ownerId, issuerId: api.ownerId, kind: 'tickets', packageHash, by });
    await activateLicense(tx, { id, by });
  });
  const hour = sql<Date>`${databaseNow}`;
  const moments: Array<[Moment, Moment | null]> = [
    [hour, null],
    [moved(-100), moved(100)],
    [moved(-100), hour],
    [moved(-100), moved(-50)],
    [moved(-200), moved(-150)],
    [moved(59), null],
    [moved(61), null],
    [moved(61), moved(100)],
  ];
  const use = { licenseId: id, ownerId: api.ownerId, actor: 'test' };
  let permitted = 0;
  for (const state of licenseStates)
    for (const [startsAt, expiresAt] of moments)
      for (const { uses, limit } of [
        { uses: 0, limit: 1 },
        { uses: 5, limit: 5 },
        { uses: 3, limit: null },
      ])
        for (const activationsLimit of [0, 1, null]) {
          if (uses === limit && state === 'active') continue;
          await sql`update licenses set state = ${state}, suspended_by = ${state === 'suspended' ? ['x'] : []}, starts_at = ${startsAt},
            expires_at = ${expiresAt}, grace_seconds = 100, uses = ${uses}, uses_limit = ${limit}, activations_limit = ${activationsLimit}
            where id = ${id}`.execute(api.db);
          // The clock stands still at what the row was made by, so that both are asked of one moment.
          const { startsAt: begun } = await row(id);
          const offset = moments.findIndex(([moment]) => moment === startsAt);
          const seconds = [0, 100, 100, 100, 200, -59, -61, -61][offset]!;
          const now = sql<Date>`(${begun}::timestamptz + ${seconds} * interval '1 second')`;
          const license = await readLicense(api.db, id, null, now);
          const rule = (purpose: 'redeem' | 'activate') => permissionOf(license, license.now, { purpose });
          const what = { state, offset, uses, limit, activationsLimit };
          const redeemed = await at(now, (tx, moment) => redeemLicense(tx, { ...use, redemptionId: 'r' }, moment));
          expect({ ...what, redeemed }).toEqual({ ...what, redeemed: rule('redeem') });
          const activated = await at(now, (tx, moment) =>
            startActivation(tx, { ...use, activationId: 'a', place: 'desk', seat: 'ada' }, moment),
          );
          expect({ ...what, activated }).toEqual({ ...what, activated: rule('activate') });
          permitted += Number(redeemed === 'VALID') + Number(activated === 'VALID');
        }
  expect(permitted).toBeGreaterThan(10);
});
