import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type Database } from '../../stores/database.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { smallFleet } from '../support/small-fleet.ts';

const main = fileURLToPath(new URL('../../api/main.ts', import.meta.url));
let scope: TestScope;
let db: Database;
let token: string;
let port: number;
const running = new Set<ChildProcess>();

beforeAll(async () => {
  scope = await createTestScope();
  db = createDatabase({ url: scope.databaseUrl, name: 'test', onIdleError: () => undefined });
  const principals = createPrincipalStore(db);
  const { ownerId } = await principals.ensureOperator();
  token = (await principals.issue({ ownerId, kind: 'bearer', role: 'operator', name: 'test' })).secret;
  port = await freePort();
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await db?.destroy();
  await scope?.close();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: free } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return free;
}

/** The shipped API as a process of its own. */
async function startApi(): Promise<{ kill(): Promise<void> }> {
  const child = spawn(process.execPath, [main], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: scope.databaseUrl,
      REDIS_URL: scope.redisUrl,
      TEMPORAL_ADDRESS: scope.temporalAddress,
      TEMPORAL_NAMESPACE: scope.namespace,
      SOULFRA_API_PORT: String(port),
      SOULFRA_LOG_LEVEL: 'fatal',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  running.add(child);
  await until(async () => (await call('GET', '/health/live').catch(() => undefined))?.status === 200);
  return {
    async kill() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      running.delete(child);
    },
  };
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function call(
  method: string,
  path: string,
  body?: string | ReadableStream<Uint8Array>,
  type = 'application/json',
): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': type }) },
    ...(body === undefined ? {} : { body }),
    ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
  } as RequestInit);
}

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
  const first = await startApi();
  expect((await call('POST', '/fleet/apply', JSON.stringify({ source: smallFleet }))).status).toBe(200);
  // It is never told that the file ends: it dies while it waits for more.
  let sent = 0;
  const nextLines = () => lines.slice(sent, (sent += 100));
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (sent < 2_600) controller.enqueue(Buffer.from(nextLines().join('')));
      else await new Promise(() => undefined);
    },
  });
  const broken = call('POST', '/memories', body, 'application/x-ndjson').then(
    () => 'answered',
    () => 'broke off',
  );
  await until(async () => (await counted()) >= 1_500);
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

  const second = await startApi();
  const answer = await call('POST', '/memories', lines.join(''), 'application/x-ndjson');
  expect(await answer.json()).toMatchObject({ added: lines.length - left, known: left, refused: 0, notes: [] });
  expect(await counted()).toBe(lines.length);
  expect(await groundless()).toEqual([]);
  expect(await superseded.where('supersededBy', 'is', null).execute()).toEqual([]);
  const again = await call('POST', '/memories', lines.join(''), 'application/x-ndjson');
  expect(await again.json()).toMatchObject({ added: 0, known: lines.length });
  await second.kill();
});
