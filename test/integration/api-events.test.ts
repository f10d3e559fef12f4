import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { appendEvents } from '../../stores/events.ts';
import { settleRestored } from '../../stores/database-copy.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { eventsAfter } from '../../stores/queries/events.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';

let api: ApiFixture;
let url: string;
beforeAll(async () => {
  api = await createApiFixture({ eventPollSeconds: 10 });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}/v1/events`;
});
afterAll(() => api?.close());

interface Told {
  id: string;
  type: string;
  subject: string;
}

/** Reads a stream until `enough` is true of what came, or the time is up. */
async function read(
  options: { query?: string; lastEventId?: string; token?: string },
  enough: (events: Told[]) => boolean,
  whileOpen: () => Promise<void> = async () => undefined,
): Promise<Told[]> {
  const stop = new AbortController();
  const response = await fetch(`${url}${options.query ?? ''}`, {
    signal: stop.signal,
    headers: {
      authorization: `Bearer ${options.token ?? api.tokens.reader}`,
      ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
    },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const told: Told[] = [];
  let text = '';
  const timer = setTimeout(() => stop.abort(), 12_000);
  const work = whileOpen();
  try {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      text += chunk;
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) {
        const id = /^id: (.*)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (id !== undefined && data !== undefined) told.push({ id, ...(JSON.parse(data) as Omit<Told, 'id'>) });
      }
      if (enough(told)) break;
    }
  } catch (err) {
    if (!stop.signal.aborted) throw err;
  } finally {
    clearTimeout(timer);
    stop.abort();
    await work;
  }
  return told;
}

const append = (subject: string, ownerId = api.ownerId) =>
  appendEvents(api.db, [{ ownerId, type: 'test.happened', subject }]);

/** Another test's open transaction on the same server holds rows back; what was held back counts as still to come. */
const nothingHeldBack = () =>
  until('no event is held back', async () => {
    const { more } = await eventsAfter(api.db, api.ownerId, { xid: '0', id: 0 }, 10_000);
    return !more;
  });

test('tells what comes after the stream was opened, and only to its owner', async () => {
  await append('before');
  await nothingHeldBack();
  const told = await read(
    {},
    (events) => events.length >= 2,
    async () => {
      await sleep(300);
      await append('theirs', api.stranger.ownerId);
      await append('one');
      await append('two');
    },
  );
  expect(told.map((event) => event.subject)).toEqual(['one', 'two']);
});

test('misses nothing that commits out of order behind an older open transaction', async () => {
  const older = new pg.Client({ connectionString: api.scope.databaseUrl });
  await older.connect();
  try {
    const told = await read(
      {},
      (events) => events.length >= 3,
      async () => {
        await sleep(300);
        await older.query('begin');
        await older.query("insert into events (owner_id, type, subject) values ($1, 'test.happened', 'older')", [
          api.ownerId,
        ]);
        await append('newer-1');
        await append('newer-2');
        // Both have committed with a higher xid, and none may be told before the older one.
        await sleep(700);
        await older.query('commit');
      },
    );
    expect(told.map((event) => event.subject)).toEqual(['older', 'newer-1', 'newer-2']);
  } finally {
    await older.end();
  }
});

test('orders transactions as numbers, not as text', async () => {
  await sql`insert into events (xid, owner_id, type, subject) values
    ('10', ${api.ownerId}, 'test.happened', 'tenth'), ('9', ${api.ownerId}, 'test.happened', 'ninth')`.execute(api.db);
  const told = await read({ query: '?after=0-0' }, (events) => events.length >= 2);
  expect(told.slice(0, 2).map((event) => event.subject)).toEqual(['ninth', 'tenth']);
});

test('goes on from Last-Event-ID without a gap or a repeat', async () => {
  await nothingHeldBack();
  const all = await read(
    { query: '?last=0' },
    (events) => events.length >= 6,
    async () => {
      await sleep(200);
      for (let i = 0; i < 6; i += 1) await append(`step-${i}`);
    },
  );
  expect(all.map((event) => event.subject)).toEqual([0, 1, 2, 3, 4, 5].map((i) => `step-${i}`));
  const rest = await read({ lastEventId: all[2]!.id }, (events) => events.length >= 3);
  expect(rest.map((event) => event.subject)).toEqual(['step-3', 'step-4', 'step-5']);
  await nothingHeldBack();
  const last = await read({ query: '?last=2' }, (events) => events.length >= 2);
  expect(last.map((event) => event.subject)).toEqual(['step-4', 'step-5']);
});

test('a filter by noun leaves the rest out', async () => {
  const told = await read(
    { query: '?type=machine' },
    (events) => events.length >= 1,
    async () => {
      await sleep(200);
      await append('not this');
      await appendEvents(api.db, [{ ownerId: api.ownerId, type: 'machine.lost', subject: 'big' }]);
    },
  );
  expect(told).toMatchObject([{ type: 'machine.lost', subject: 'big' }]);
});

test('many events reach a reader in order', async () => {
  const count = 1_500;
  const told = await read(
    {},
    (events) => events.length >= count,
    async () => {
      await sleep(200);
      for (let i = 0; i < count; i += 300) {
        const events = Array.from({ length: 300 }, (_, j) => ({
          ownerId: api.ownerId,
          type: 'test.many',
          subject: String(i + j),
        }));
        await appendEvents(api.db, events);
      }
    },
  );
  expect(told.map((event) => Number(event.subject))).toEqual(Array.from({ length: count }, (_, i) => i));
});

test('a stream of a revoked token is not opened again', async () => {
  const principals = createPrincipalStore(api.db);
  const { id, secret } = await principals.issue({ ownerId: api.ownerId, kind: 'bearer', role: 'reader', name: 'gone' });
  await read({ token: secret, query: '?last=1' }, (events) => events.length >= 1);
  await principals.revoke(id, api.ownerId);
  expect((await fetch(url, { headers: { authorization: `Bearer ${secret}` } })).status).toBe(401);
});

test('a token holds only so many streams, and a closed one makes room', async () => {
  const principals = createPrincipalStore(api.db);
  const { secret } = await principals.issue({ ownerId: api.ownerId, kind: 'bearer', role: 'reader', name: 'many' });
  const open = async () => {
    const [stream] = (await once(
      get(url, { agent: false, headers: { authorization: `Bearer ${secret}` } }),
      'response',
    )) as [IncomingMessage];
    return stream;
  };
  const streams: IncomingMessage[] = [];
  for (let i = 0; i < 16; i += 1) streams.push(await open());
  expect(streams.map((stream) => stream.statusCode)).toEqual(Array(16).fill(200));
  const refused = await open();
  expect(refused.statusCode).toBe(429);
  expect(await json(refused)).toMatchObject({ code: 'RATE_LIMITED' });
  streams.pop()!.destroy();
  await until('there is room', async () => {
    const again = await open();
    streams.push(again);
    return again.statusCode === 200;
  });
  for (const stream of streams) stream.destroy();
});

test('a reader from before a restore misses nothing of what was restored and of what came since', async () => {
  await nothingHeldBack();
  const [first] = await read(
    {},
    (events) => events.length >= 1,
    async () => {
      await sleep(300);
      await append('restored-1');
    },
  );
  expect(first!.id).toMatch(/^\d+-\d+$/);
  await append('restored-2');
  const backup = { id: '20261122T013000Z', madeAt: '2026-11-22T01:30:00.000Z', bytes: 1, rows: 1 };
  await settleRestored(api.scope.databaseUrl, backup);
  await append('since');
  const subjects = async (lastEventId: string) =>
    (await read({ lastEventId }, (events) => events.some(({ subject }) => subject === 'since'))).map(
      ({ subject }) => subject,
    );
  expect(await subjects(first!.id)).toEqual(['restored-2', 'since']);
  // What it had seen last was lost with the restore.
  expect(await subjects('1800000000000000000-9000000000000000')).toEqual(['since']);
  const [last] = await read({ query: '?last=1' }, (events) => events.length >= 1);
  expect(last).toMatchObject({ id: expect.stringMatching(/^\d+\.\d+-\d+$/), subject: 'since' });
  expect(
    await read(
      { lastEventId: last!.id },
      (events) => events.length >= 1,
      () => append('later'),
    ),
  ).toMatchObject([{ subject: 'later' }]);
  // Restored once more, from a backup that knows nothing of the restore before.
  await sql`delete from restores`.execute(api.db);
  await sleep(1_100);
  await settleRestored(api.scope.databaseUrl, backup);
  const missed = await read({ lastEventId: last!.id }, (events) => events.length >= 1);
  expect(missed).toMatchObject([{ subject: 'later' }]);
});

test('open streams end when the server does', async () => {
  const response = await fetch(url, { headers: { authorization: `Bearer ${api.tokens.reader}` } });
  const ended = response.text();
  await sleep(200);
  const since = performance.now();
  await api.app.close();
  await ended;
  expect(performance.now() - since).toBeLessThan(3_000);
});
