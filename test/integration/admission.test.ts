import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Spawning, spawningSchema } from '../../domain/spawn-policy.ts';
import { type NewWhisper, type ReceivedWhisper, receiveWhisper } from '../../stores/admission.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { createSpawnStore } from '../../stores/spawns.ts';
import { testFleet } from '../support/fleets.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
/** As many connections as many processes would have, all of them asking all the time. */
const lanes = 24;
let crowd: Database;
beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet({ heavy: 0, light: 12 }));
  crowd = createDatabase({
    url: store.scope.databaseUrl,
    name: 'crowd',
    connections: lanes,
    onIdleError: () => undefined,
  });
});
afterAll(async () => {
  await crowd?.destroy();
  await store?.close();
});
beforeEach(async () => {
  await sql`delete from whispers`.execute(store.db);
  await sql`delete from spawn_buckets`.execute(store.db);
  await sql`delete from intents`.execute(store.db);
  await sql`delete from events`.execute(store.db);
});

const open: Partial<Spawning> = {
  fleet: { burst: 10_000, perHour: 0 },
  lineage: { burst: 10_000, perHour: 0 },
  mostChildren: 10_000,
  growth: 0.99,
};
const policyOf = (policy: Partial<Spawning>) => ({ ...spawningSchema.parse({}), ...open, ...policy });
let asked = 0;
function whisper(policy: Partial<Spawning>, change: Partial<NewWhisper> = {}): Promise<ReceivedWhisper> {
  asked += 1;
  const asking: NewWhisper = {
    ownerId: testOwner,
    source: 'api',
    parentId: 'light-001',
    text: 'Somebody new.',
    requestedBy: 'test',
    requestId: `r-${asked}`,
    ...change,
  };
  return crowd.transaction().execute((tx) => receiveWhisper(tx, asking, policyOf(policy)));
}
/** Codes of refusals, `admitted` for the others, with how many there were of each. */
async function crowded(
  count: number,
  policy: Partial<Spawning>,
  change: (i: number) => Partial<NewWhisper> = () => ({}),
) {
  const codes: Record<string, number> = {};
  const left = Array.from({ length: count }, (_, i) => i);
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      for (let i = left.pop(); i !== undefined; i = left.pop()) {
        const { state, reasonCode } = await whisper(policy, change(i));
        const code = state === 'received' ? 'admitted' : reasonCode;
        codes[code] = (codes[code] ?? 0) + 1;
      }
    }),
  );
  return codes;
}
const agent = (i: number) => `light-${String((i % 12) + 1).padStart(3, '0')}`;

describe('many at once are admitted up to the limit and not one beyond:', () => {
  test('the fleet’s bucket', async () => {
    expect(await crowded(200, { fleet: { burst: 17, perHour: 0 } }, (i) => ({ parentId: agent(i) }))).toEqual({
      admitted: 17,
      FLEET_RATE: 183,
    });
    const intents = await store.db.selectFrom('intents').select('workflowId').execute();
    expect(intents).toHaveLength(17);
  });

  test('each lineage’s bucket', async () => {
    const codes = await crowded(120, { lineage: { burst: 2, perHour: 0 } }, (i) => ({ parentId: agent(i) }));
    expect(codes).toEqual({ admitted: 24, LINEAGE_RATE: 96 });
  });

  test('the children of one parent', async () => {
    expect(await crowded(100, { mostChildren: 5 })).toEqual({ admitted: 5, TOO_MANY_CHILDREN: 95 });
  });

  test('the growth of a lineage', async () => {
    // Of one agent: 3 born ÷ 4 living is 0.75.
    expect(await crowded(100, { growth: 0.75 })).toEqual({ admitted: 3, GROWING_TOO_FAST: 97 });
  });

  test('the same request is one whisper, and a refused one is stored with its reason', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => whisper({}, { requestId: 'same' })));
    expect(new Set(all.map(({ id }) => id)).size).toBe(1);
    expect(all.filter(({ received }) => received)).toHaveLength(1);
    const refused = await whisper({ fleet: { burst: 0, perHour: 3 } }, { requestId: 'again' });
    expect(refused).toMatchObject({ state: 'refused', reasonCode: 'FLEET_RATE' });
    expect(await whisper({}, { requestId: 'again' })).toEqual({ ...refused, received: false });
    const { rows } = await sql<{ tokens: number }>`select tokens from spawn_buckets where key = '*'`.execute(store.db);
    expect(rows).toEqual([{ tokens: 9_999 }]);
  });
});

test('an admission is a row, an intent, an event and two tokens, or none of them', async () => {
  await expect(
    crowd.transaction().execute(async (tx) => {
      await receiveWhisper(
        tx,
        { ownerId: testOwner, source: 'api', parentId: 'light-001', text: 'a', requestedBy: 'test', requestId: 'x' },
        policyOf({}),
      );
      throw new Error('the process dies here');
    }),
  ).rejects.toThrow('the process dies here');
  for (const table of ['whispers', 'intents', 'events', 'spawnBuckets'] as const) {
    expect(await store.db.selectFrom(table).selectAll().execute()).toEqual([]);
  }
});

test('buckets fill again by the hour and no further than their burst', async () => {
  const policy = { fleet: { burst: 2, perHour: 4 } };
  expect(await crowded(5, policy)).toMatchObject({ admitted: 2 });
  await sql`update spawn_buckets set refilled_at = refilled_at - interval '15 minutes'`.execute(store.db);
  expect(await crowded(5, policy)).toMatchObject({ admitted: 1 });
  await sql`update spawn_buckets set refilled_at = refilled_at - interval '9 days'`.execute(store.db);
  expect(await crowded(5, policy)).toMatchObject({ admitted: 2 });
});

test('a whisper that came to nothing gives its place back, its token not', async () => {
  const spawns = createSpawnStore(store.db);
  const policy = { mostChildren: 1, fleet: { burst: 2, perHour: 0 } };
  const first = await whisper(policy);
  expect(await whisper(policy)).toMatchObject({ reasonCode: 'TOO_MANY_CHILDREN' });
  await spawns.refuse(first.id, { code: 'NO_ROOM', reason: 'full' });
  expect(await whisper(policy)).toMatchObject({ state: 'received' });
  await sql`update whispers set state = 'refused', reason_code = 'FAILED', ended_at = now() where ended_at is null`.execute(
    store.db,
  );
  expect(await whisper(policy)).toMatchObject({ reasonCode: 'FLEET_RATE' });
});

test('generations, retired parents, strangers and changed requests', async () => {
  expect(await whisper({ mostGenerations: 0 })).toMatchObject({ reasonCode: 'TOO_DEEP' });
  await sql`update agents set state = 'retired', retired_by = 'operator' where id = 'light-012'`.execute(store.db);
  expect(await whisper({}, { parentId: 'light-012' })).toMatchObject({ reasonCode: 'PARENT_RETIRED' });
  await expect(whisper({}, { parentId: 'nobody' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(whisper({}, { ownerId: 'usr_other' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await whisper({}, { requestId: 'one' });
  await expect(whisper({}, { requestId: 'one', text: 'Other words.' })).rejects.toMatchObject({ code: 'CONFLICT' });
});
