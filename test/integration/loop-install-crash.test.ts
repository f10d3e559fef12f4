import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mostLoopMemories } from '../../domain/loop-manifest.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { type ApiProcesses, createApiProcesses } from '../support/api-process.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { until } from '../support/lab.ts';
import { newSigner, packed, signedLoop } from '../support/loops.ts';
import { smallFleet } from '../support/small-fleet.ts';

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

const install = (archive: Buffer) =>
  api.call('POST', '/loops?trustUnknown=true', new Uint8Array(archive), 'application/octet-stream');
const rows = async () => {
  const { rows: counts } = await sql<Record<string, number>>`
    select (select count(*) from agents where origin = 'import') as agents, (select count(*) from memories) as memories,
      (select count(*) from reflection_evidence) as evidence, (select count(*) from loop_installs) as installs,
      (select count(*) from ego_entries) as ego, (select count(*) from unwoven_memories) as unwoven`.execute(db);
  return counts[0]!;
};

/** As many memories as a package takes, with reflections that rest on them: the longest transaction there can be. */
function longLife(): Buffer {
  const memories = Array.from({ length: mostLoopMemories }, (_, i) =>
    i % 20 === 19
      ? packed(`m${i}`, { kind: 'reflection', text: `Insight ${i}.`, evidence: [`m${i - 1}`, `m${i - 7}`] })
      : packed(`m${i}`, {
          text: `On day ${i} the ferry came at ${i % 24} with ${i * 7} crates of rope, and Osk counted them twice before the rain set in.`,
          occurredAt: new Date(Date.UTC(2020, 0, 1) + i * 3_600_000).toISOString(),
        }),
  );
  return signedLoop(memories, newSigner());
}

test('an API that is killed in the middle of an install leaves nothing of it; the next install makes it whole, once', async () => {
  const archive = longLife();
  const first = await api.start();
  expect((await api.call('POST', '/fleet/apply', JSON.stringify({ source: smallFleet }))).status).toBe(200);
  const before = await rows();
  const broken = install(archive).then(
    () => 'answered',
    () => 'broke off',
  );
  // Memories stand in the open transaction by then: the sequence of events has moved, and the agent is there for it alone.
  await until('memories are being written', async () => {
    const { rows: writing } = await sql<{ n: number }>`
      select count(*) as n from pg_stat_activity
      where datname = current_database() and xact_start < now() - interval '150 milliseconds' and backend_xid is not null
        and query ~ 'insert into memories|update agents set memory_seq'`.execute(db);
    return writing[0]!.n > 0;
  });
  await first.kill();
  expect(await broken).toBe('broke off');
  await until('the broken transaction is gone', async () => {
    const { rows: open } = await sql<{ n: number }>`
      select count(*) as n from pg_stat_activity where datname = current_database() and backend_xid is not null
        and pid <> pg_backend_pid()`.execute(db);
    return open[0]!.n === 0;
  });
  expect(await rows()).toEqual(before);

  const second = await api.start();
  const installed = await install(archive);
  expect(await installed.json()).toMatchObject({ installed: true, memories: mostLoopMemories });
  const after = await rows();
  expect(after).toMatchObject({ agents: 1, memories: mostLoopMemories, installs: 1, evidence: mostLoopMemories / 10 });
  const again = await install(archive);
  expect({ status: again.status, answer: await again.json() }).toMatchObject({
    status: 200,
    answer: { installed: false, memories: 0 },
  });
  // What is refused at its first byte is told so, although the client is still sending.
  const junk = await install(Buffer.alloc(12 * 1024 * 1024, 1));
  expect({ status: junk.status, answer: await junk.json() }).toMatchObject({
    status: 400,
    answer: { code: 'MALFORMED_BODY' },
  });
  expect(await rows()).toEqual(after);
  await second.kill();
});
