import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isDomainError } from '../../domain/errors.ts';
import { permissionOf } from '../../domain/licenses.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { databaseNow, lockLicense, readUse } from '../../stores/license-rows.ts';
import { endActivation, openFile, redeemLicense, startActivation } from '../../stores/license-uses.ts';
import { activateLicense, issueLicense, suspendLicense, transferLicense } from '../../stores/licenses.ts';
import { interleaved } from '../support/interleaved.ts';
import { until } from '../support/lab.ts';
import { packageHash } from '../support/licenses.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

/**
 * A use by whoever becomes the holder, or ceases to be, between two statements of it. Each interleaving is made, not waited for:
 * the transfer commits after the statement that is named.
 */
let store: StoreScope;
let id: string;
const [before, after] = ['usr_before', 'usr_after'];
const by = { actor: 'test', reason: 'test' };

beforeAll(async () => {
  store = await openStoreScope();
  const users = [before, after].map((user) => ({ id: user, name: user, role: 'member' }));
  await store.db.insertInto('users').values(users).execute();
  const kind = { graceSeconds: 0, transferable: true, commercial: false };
  await store.db
    .insertInto('licenseKinds')
    .values([
      { id: 'tickets', summary: 'Five uses.', uses: 5, ...kind },
      { id: 'desks', summary: 'One machine.', activations: 1, ...kind },
    ])
    .execute();
});
afterAll(() => store?.close());

async function give(kind: string): Promise<string> {
  const licenseId = newId('license');
  await run(async (tx) => {
    await issueLicense(tx, { id: licenseId, holderId: before, issuerId: testOwner, kind, packageHash, by });
    await activateLicense(tx, { id: licenseId, by });
  });
  return licenseId;
}
const run = <T>(work: (tx: DatabaseTransaction) => Promise<T>) => store.db.transaction().execute(work);
const passOn = () => run((tx) => transferLicense(tx, { id, holderId: before, to: after, by }));
const refusedWith = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'nothing';
  } catch (err) {
    // Anything else is the 500 that this is about.
    if (isDomainError(err, 'NOT_FOUND')) return 'NOT_FOUND';
    throw err;
  }
};
const count = async (table: 'redemptions' | 'activations' | 'licenseUsage') => {
  const rows = await store.db.selectFrom(table).select('licenseId').where('licenseId', '=', id).execute();
  return rows.length;
};
const redemption = (ownerId: string) => ({ licenseId: id, ownerId, redemptionId: 'r', actor: 'test' });
const activation = (ownerId: string, activationId = 'a') => ({
  licenseId: id,
  ownerId,
  activationId,
  place: 'desk',
  seat: 'ada',
  actor: 'test',
});

describe('who comes to hold it between the first statement and the next had no license when asking', () => {
  const uses: Array<[string, (tx: DatabaseTransaction) => Promise<unknown>]> = [
    ['redeem', (tx) => redeemLicense(tx, redemption(after))],
    ['activate', (tx) => startActivation(tx, activation(after))],
    ['deactivate', (tx) => endActivation(tx, activation(after))],
    ['file', (tx) => openFile(tx, { licenseId: id, ownerId: after })],
    ['transfer', (tx) => transferLicense(tx, { id, holderId: after, to: testOwner, by })],
    ['suspend', (tx) => suspendLicense(tx, { id, viewer: { ownerId: after }, cause: 'x', by })],
    ['lock', (tx) => lockLicense(tx, id, { ownerId: after }, databaseNow)],
  ];
  test.each(uses)('%s', async (_name, use) => {
    id = await give('tickets');
    const answer = refusedWith(run((tx) => use(interleaved(tx, { after: 1, between: passOn }))));
    expect(await answer).toBe('NOT_FOUND');
    expect([await count('redemptions'), await count('activations'), await count('licenseUsage')]).toEqual([0, 0, 0]);
    const row = await store.db.selectFrom('licenses').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    expect(row).toMatchObject({ ownerId: after, state: 'active', uses: 0, holding: 1, filesUntil: null });
    // A moment later it is theirs.
    expect(await run((tx) => redeemLicense(tx, redemption(after)))).toMatchObject({ use: 1 });
  });

  test('two of them cannot both take the last place, one without the lock', async () => {
    id = await give('desks');
    const second = refusedWith(
      run((tx) => {
        const between = async () => {
          await passOn();
          await run((beside) => startActivation(beside, activation(after, 'first')));
        };
        return startActivation(interleaved(tx, { after: 1, between }), activation(after, 'second'));
      }),
    );
    expect(await second).toBe('NOT_FOUND');
    expect(await count('activations')).toBe(1);
  });
});

describe('who ceases to hold it while the use waits for the row', () => {
  const waiting = async () => {
    const { rows } = await sql<{ waiting: number }>`select count(*)::int as waiting from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(store.db);
    return rows[0]!.waiting === 1;
  };

  async function whilePassing(work: () => Promise<unknown>): Promise<string> {
    let answer: Promise<string> | undefined;
    await run(async (tx) => {
      await transferLicense(tx, { id, holderId: before, to: after, by });
      answer = refusedWith(work());
      await until('it waits for the row', waiting);
    });
    return answer!;
  }

  test.each([
    ['redeem', 'tickets', (tx: DatabaseTransaction) => redeemLicense(tx, redemption(before))],
    ['activate', 'desks', (tx: DatabaseTransaction) => startActivation(tx, activation(before))],
    ['file', 'desks', (tx: DatabaseTransaction) => openFile(tx, { licenseId: id, ownerId: before })],
  ] as const)('%s: it is theirs no more, and nothing is counted', async (_name, kind, use) => {
    id = await give(kind);
    expect(await whilePassing(() => run<unknown>(use))).toBe('NOT_FOUND');
    expect([await count('redemptions'), await count('activations'), await count('licenseUsage')]).toEqual([0, 0, 0]);
  });

  test('a use that came first keeps the transfer waiting, and is the old holder’s', async () => {
    id = await give('tickets');
    let passing: Promise<unknown> | undefined;
    await run(async (tx) => {
      expect(await redeemLicense(tx, redemption(before))).toMatchObject({ use: 1 });
      passing = passOn();
      await until('the transfer waits', waiting);
    });
    await passing;
    expect(await refusedWith(run((tx) => redeemLicense(tx, redemption(before))))).toBe('NOT_FOUND');
    expect(await count('redemptions')).toBe(1);
  });
});

test('a check answers of one moment: the license and what of it is in use', async () => {
  id = await give('desks');
  await run((tx) => startActivation(tx, activation(before)));
  const named = { activationId: 'a', seat: 'ada' };
  const { license, use } = await run((tx) =>
    readUse(interleaved(tx, { after: 1, between: passOn }), id, { ownerId: before }, named, databaseNow),
  );
  expect(license.ownerId).toBe(before);
  expect(use).toEqual({ inUse: true, seatTaken: true });
  expect(permissionOf(license, license.now, { purpose: 'use', ...use })).toBe('VALID');
  expect(await refusedWith(readUse(store.db, id, { ownerId: before }, named, databaseNow))).toBe('NOT_FOUND');
  const theirs = await readUse(store.db, id, { ownerId: after }, named, databaseNow);
  expect(permissionOf(theirs.license, theirs.license.now, { purpose: 'use', ...theirs.use })).toBe('NOT_ACTIVATED');
});
