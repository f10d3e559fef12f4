import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeOrTry } from '../../api/dry-run.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let scope: StoreScope;
beforeAll(async () => {
  scope = await openStoreScope();
  const others = ['usr_a', 'usr_b'].map((id) => ({ id, name: id, role: 'member' as const }));
  await scope.db.insertInto('users').values(others).execute();
});
afterAll(() => scope?.close());

const nameOf = async (id: string) =>
  (await scope.db.selectFrom('users').select('name').where('id', '=', id).executeTakeFirstOrThrow()).name;

test.each([false, true])(
  'of two that wait for each other both are done, once (one of them a dry run: %s)',
  async (isDry) => {
    let bothHold: () => void;
    const holding = new Promise<void>((resolve) => (bothHold = resolve));
    let held = 0;
    /** Adds a letter to both, in this order; the first try of each waits until the other holds its first row. */
    const add = (order: readonly [string, string], letter: string) => {
      let tries = 0;
      return async (tx: DatabaseTransaction) => {
        tries++;
        await sql`update users set name = name || ${letter} where id = ${order[0]}`.execute(tx);
        if (tries === 1) {
          if (++held === 2) bothHold();
          await holding;
        }
        await sql`update users set name = name || ${letter} where id = ${order[1]}`.execute(tx);
        return tries;
      };
    };
    const before = await nameOf('usr_a');
    const tries = await Promise.all([
      writeOrTry(scope.db, false, add(['usr_a', 'usr_b'], 'x')),
      writeOrTry(scope.db, isDry, add(['usr_b', 'usr_a'], 'y')),
    ]);
    // Postgres rolled one of them back at least.
    expect(Math.max(...tries)).toBeGreaterThan(1);
    for (const id of ['usr_a', 'usr_b']) {
      const added = (await nameOf(id)).slice(before.length).split('').toSorted().join('');
      expect(added).toBe(isDry ? 'x' : 'xy');
    }
  },
);

test('what is refused is refused at its first try', async () => {
  let tries = 0;
  const again = writeOrTry(scope.db, false, async (tx) => {
    tries++;
    await tx.insertInto('users').values({ id: testOwner, name: 'again', role: 'member' }).execute();
  });
  await expect(again).rejects.toMatchObject({ code: '23505' });
  expect(tries).toBe(1);
});
