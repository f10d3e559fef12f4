import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type Database } from '../../stores/database.ts';
import { type ApiProcesses, createApiProcesses } from '../support/api-process.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { smallFleet } from '../support/small-fleet.ts';
import { until } from '../support/lab.ts';

let scope: TestScope;
let db: Database;
let api: ApiProcesses;

beforeAll(async () => {
  scope = await createTestScope();
  db = createDatabase({ url: scope.databaseUrl, name: 'test', onIdleError: () => undefined });
  api = await createApiProcesses(scope, db);
});
afterAll(async () => {
  api?.killAll();
  await db?.destroy();
  await scope?.close();
});

const counted = async () =>
  (
    await db
      .selectFrom('memories')
      .select((eb) => eb.fn.countAll<number>().as('n'))
      .executeTakeFirstOrThrow()
  ).n;

/** Memories that gave way to later ones, reflections on what comes later, reflections on reflections. */
function story(count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    const told = { agentId: 'vesper-001', externalKey: `k${i}`, occurredAt: '2026-01-01T00:00:00Z', text: `Day ${i}.` };
    if (i % 10 === 3 && i + 7 < count) return { ...told, type: 'reflection', evidence: [`k${i + 5}`, `k${i - 1}`] };
    if (i % 10 === 4) return { ...told, type: 'reflection', evidence: [`k${i - 1}`] };
    if (i % 10 === 6 && i + 1_000 < count) return { ...told, supersededBy: `k${i + 1_000}` };
    return told;
  }).map((line) => `${JSON.stringify(line)}\n`);
}

test('an API that is killed in the middle of an import leaves nothing half; a second import makes it whole, once', async () => {
  const lines = story(4_000);
  const first = await api.start();
  expect((await api.call('POST', '/fleet/apply', JSON.stringify({ source: smallFleet }))).status).toBe(200);
  // It is never told that the file ends: it dies while it waits for more.
  let sent = 0;
  const nextLines = () => lines.slice(sent, (sent += 100));
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (sent < 2_600) controller.enqueue(Buffer.from(nextLines().join('')));
      else await new Promise(() => undefined);
    },
  });
  const broken = api.call('POST', '/memories', body, 'application/x-ndjson').then(
    () => 'answered',
    () => 'broke off',
  );
  await until('memories came in', async () => (await counted()) >= 1_500);
  await first.kill();
  expect(await broken).toBe('broke off');
  const left = await counted();
  expect(left).toBeLessThan(lines.length);
  const groundless = () =>
    db
      .selectFrom('memories')
      .select('externalKey')
      .where('depth', '>', 0)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('reflections')
              .innerJoin('reflectionEvidence', 'reflectionId', 'reflections.id')
              .select('reflections.id')
              .whereRef('reflections.memoryId', '=', 'memories.id'),
          ),
        ),
      )
      .execute();
  expect(await groundless()).toEqual([]);
  const superseded = db.selectFrom('memories').select('id').where('supersededAt', 'is not', null);
  expect((await superseded.execute()).length).toBeGreaterThan(0);

  const second = await api.start();
  const answer = await api.call('POST', '/memories', lines.join(''), 'application/x-ndjson');
  expect(await answer.json()).toMatchObject({ added: lines.length - left, known: left, refused: 0, notes: [] });
  expect(await counted()).toBe(lines.length);
  expect(await groundless()).toEqual([]);
  expect(await superseded.where('supersededBy', 'is', null).execute()).toEqual([]);
  const again = await api.call('POST', '/memories', lines.join(''), 'application/x-ndjson');
  expect(await again.json()).toMatchObject({ added: 0, known: lines.length });
  await second.kill();
});
