import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Fleet } from '../../domain/fleet.ts';
import { type Source, sourceSchema } from '../../domain/sources.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createLogger } from '../../observability/logger.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { startFeedServer, type FeedServer } from '../support/feed-server.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { openSourceStage } from '../support/source-stage.ts';
import { testOwner } from '../support/store-scope.ts';

let server: FeedServer;
let stage: Awaited<ReturnType<typeof openSourceStage>>;
/** Called in place of the shipped activity, once, where a test sets it. */
let crash: { at: 'readSource' | 'deliverSourceItems'; after: boolean } | undefined;

function fleetWith(...sources: Array<Record<string, unknown>>): Fleet {
  return { ...testFleet(), sources: sources.map((source): Source => sourceSchema.parse(source)) };
}
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'soulfra-folder-')));
const notes = { id: 'notes', kind: 'folder', machine: 'pc2', folder, agents: ['light'] };
const news = () => ({ id: 'news', kind: 'feed', url: server.url, agents: ['light'], allowPrivate: ['127.0.0.1'] });

beforeAll(async () => {
  server = await startFeedServer();
  stage = await openSourceStage(
    fleetWith(news()),
    (shipped) => ({
      readSource: (input) => crashing('readSource', () => shipped.readSource(input)),
      deliverSourceItems: (input) => crashing('deliverSourceItems', () => shipped.deliverSourceItems(input)),
    }),
    { folders: [folder] },
  );
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  crash = undefined;
  server.answerWith(undefined);
  server.publish();
  server.statuses.length = 0;
  await sql`truncate memories, source_states, source_items, notices, intents cascade`.execute(stage.db);
  await stage.apply(fleetWith(news()));
});

/** The work is done, or not begun, and its worker never says so. */
async function crashing<T>(name: NonNullable<typeof crash>['at'], work: () => Promise<T>): Promise<T> {
  if (crash?.at !== name) return work();
  const { after } = crash;
  crash = undefined;
  if (after) await work();
  throw new Error('the worker was killed');
}

const tide = { id: '1', title: 'Tide', text: 'The tide turned.', date: '2026-11-01T10:00:00Z' };
const boat = { id: '2', title: 'Boat', text: 'A boat came home.', date: '2026-11-02T10:00:00Z' };
const openNotices = () =>
  stage.db.selectFrom('notices').select(['key', 'detail']).where('resolvedAt', 'is', null).execute();

describe('a feed', () => {
  test('is remembered by the agents it is bound to, oldest first, once', async () => {
    server.publish(boat, tide);
    expect(await stage.poll('news')).toEqual({ outcome: 'read', added: 2, updated: 0, left: 0 });
    for (const agentId of ['light-001', 'light-002', 'light-003']) {
      expect(await stage.remembered(agentId)).toEqual(['Tide\n\nThe tide turned.', 'Boat\n\nA boat came home.']);
    }
    expect(await stage.remembered('heavy-001')).toEqual([]);
    const rows = await stage.db.selectFrom('memories').selectAll().where('agentId', '=', 'light-001').execute();
    expect(rows[0]).toMatchObject({ kind: 'observation', source: 'feed:news', importance: 5 });
    expect(rows[0]!.occurredAt.toISOString()).toBe('2026-11-01T10:00:00.000Z');

    expect(await stage.poll('news')).toEqual({ outcome: 'read', added: 0, updated: 0, left: 0 });
    expect(server.statuses).toEqual([200, 304]);
    const items = await stage.db.selectFrom('sourceItems').selectAll().execute();
    expect(items.map(({ text, agents, deliveredVersion }) => ({ text, agents, deliveredVersion }))).toEqual([
      { text: null, agents: 3, deliveredVersion: 1 },
      { text: null, agents: 3, deliveredVersion: 1 },
    ]);
  });

  test('is not told again where only its ids have changed', async () => {
    server.publish(boat, tide);
    await stage.poll('news');
    server.publish({ ...boat, id: 'b2' }, { ...tide, id: 't2', date: '2026-11-09T10:00:00Z' });
    expect(await stage.poll('news')).toEqual({ outcome: 'read', added: 0, updated: 0, left: 0 });
    server.publish({ ...tide, id: 'twice' }, { ...tide, id: 'thrice' });
    expect(await stage.poll('news')).toMatchObject({ added: 0 });
    expect(await stage.remembered('light-001')).toHaveLength(2);
  });

  test('whose words change supersedes what was remembered; who lost that memory is not told anew', async () => {
    server.publish(tide);
    await stage.poll('news');
    const of = (agentId: string) =>
      stage.db.selectFrom('memories').selectAll().where('agentId', '=', agentId).orderBy('seq').execute();
    const [lost] = await of('light-002');
    await stage.memories.delete(testOwner, lost!.id, 'wrong');
    server.publish({ ...tide, text: 'The tide did not turn.' });
    expect(await stage.poll('news')).toEqual({ outcome: 'read', added: 0, updated: 1, left: 0 });
    const [old, now] = await of('light-001');
    expect(old).toMatchObject({ supersededBy: now!.id, text: 'Tide\n\nThe tide turned.' });
    expect(await stage.remembered('light-001')).toEqual(['Tide\n\nThe tide did not turn.']);
    expect(await stage.remembered('light-002')).toEqual([]);
    server.publish({ ...tide, text: 'It stood still.' });
    await stage.poll('news');
    expect(await stage.remembered('light-003')).toEqual(['Tide\n\nIt stood still.']);
    await stage.apply(fleetWith({ ...news(), updates: 'ignore' }));
    server.publish({ ...tide, text: 'It ran.' });
    expect(await stage.poll('news')).toMatchObject({ updated: 0 });
  });

  test('that a person had forgotten says nothing any more and never comes again', async () => {
    server.publish(tide);
    await stage.poll('news');
    const { id } = await stage.db
      .selectFrom('memories')
      .select('id')
      .where('agentId', '=', 'light-001')
      .executeTakeFirstOrThrow();
    await stage.memories.forget(testOwner, id, 'asked for');
    server.publish({ ...tide, text: 'The tide turned, as I said.' });
    expect(await stage.poll('news')).toMatchObject({ added: 0, updated: 0 });
    expect(await stage.remembered('light-001')).toEqual([]);
    const item = await stage.db.selectFrom('sourceItems').selectAll().executeTakeFirstOrThrow();
    expect(item).toMatchObject({ title: '', url: null, text: null });
    expect(item.forgottenAt).not.toBeNull();
    // Nor under another id and address; what says something else does.
    server.publish({ ...tide, id: 'another' }, { ...tide, id: 'third', text: 'The tide waits for nobody.' });
    expect(await stage.poll('news')).toMatchObject({ added: 1, left: 0 });
    expect(await stage.remembered('light-001')).toEqual([expect.stringContaining('waits for nobody')]);
  });

  test('with more than one poll takes is read on a minute later, oldest first, and none is lost', async () => {
    await stage.apply(fleetWith({ ...news(), itemsPerPoll: 2 }));
    const entries = Array.from({ length: 5 }, (_, i) => ({
      id: `${i}`,
      title: `Item ${i}`,
      date: `2026-11-0${i + 1}T00:00:00Z`,
    }));
    server.publish(...entries.toReversed());
    expect(await stage.poll('news')).toEqual({ outcome: 'read', added: 2, updated: 0, left: 3 });
    const { nextPollAt, lastOkAt } = await stage.state('news');
    expect(nextPollAt.getTime() - lastOkAt!.getTime()).toBe(60_000);
    expect(await stage.poll('news')).toMatchObject({ added: 2, left: 1 });
    expect(await stage.poll('news')).toMatchObject({ added: 1, left: 0 });
    expect(await stage.remembered('light-001')).toEqual(entries.map(({ title }) => title));
    expect(server.statuses).toEqual([200, 200, 200]);
  });

  test('without dates, and of the future, happened when it was read', async () => {
    server.publish({ id: '1', title: 'no date' }, { id: '2', title: 'tomorrow', date: '2999-01-01T00:00:00Z' });
    const before = Date.now();
    await stage.poll('news');
    const rows = await stage.db.selectFrom('memories').select('occurredAt').execute();
    for (const { occurredAt } of rows) {
      expect(occurredAt.getTime()).toBeGreaterThanOrEqual(before);
      expect(occurredAt.getTime()).toBeLessThanOrEqual(Date.now());
    }
    expect(rows).toHaveLength(6);
  });

  test('at another address is read from the beginning, and known items stay known', async () => {
    server.publish(tide);
    await stage.poll('news');
    await stage.apply(fleetWith({ ...news(), url: `${server.url}?v=2` }));
    expect(await stage.poll('news')).toMatchObject({ added: 0 });
    expect(server.statuses).toEqual([200, 200]);
  });
});

describe('what goes wrong', () => {
  test('is told after three times, with the reason, and settled by a success', async () => {
    server.answerWith((_, response) => response.writeHead(500).end());
    for (const n of [1, 2]) {
      expect(await stage.poll('news')).toEqual({ outcome: 'failed', reason: 'the server answered 500' });
      expect((await stage.state('news')).failures).toBe(n);
      expect(await openNotices()).toEqual([]);
    }
    await stage.poll('news');
    expect(await openNotices()).toEqual([
      { key: 'source:news', detail: '3 polls in a row failed: the server answered 500' },
    ]);
    const { nextPollAt, lastErrorAt } = await stage.state('news');
    const delay = (nextPollAt.getTime() - lastErrorAt!.getTime()) / 1000;
    expect(delay).toBeGreaterThan(4 * 1_800 * 0.89);
    expect(delay).toBeLessThan(4 * 1_800 * 1.11);
    server.answerWith(undefined);
    server.publish(tide);
    expect(await stage.poll('news')).toMatchObject({ added: 1 });
    expect(await openNotices()).toEqual([]);
    expect((await stage.state('news')).failures).toBe(0);
  });

  test.each<[string, Parameters<FeedServer['answerWith']>[0], RegExp]>([
    ['a web page', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'), /no RSS/],
    ['a picture', (_, response) => response.writeHead(200, { 'content-type': 'image/png' }).end('x'), /image\/png/],
    ['too much', (_, response) => response.writeHead(200).end('x'.repeat(6 * 1024 * 1024)), /over 5242880 bytes/],
    ['an empty answer', (_, response) => response.writeHead(200).end(), /no RSS/],
    ['304 to who has nothing', (_, response) => response.writeHead(304).end(), /answered 304/],
    ['a private address', (_, response) => response.writeHead(302, { location: 'http://10.0.0.1/' }).end(), /private/],
  ])('%s is no feed, and nothing is stored', async (_name, answer, reason) => {
    server.answerWith(answer);
    expect(await stage.poll('news')).toEqual({ outcome: 'failed', reason: expect.stringMatching(reason) });
    expect(await stage.db.selectFrom('sourceItems').select('id').execute()).toEqual([]);
  });

  test('gone for good is told at once and asked for once a day', async () => {
    server.answerWith((_, response) => response.writeHead(410).end());
    await stage.poll('news');
    expect(await openNotices()).toMatchObject([{ key: 'source:news' }]);
    const { nextPollAt, lastErrorAt } = await stage.state('news');
    expect(nextPollAt.getTime() - lastErrorAt!.getTime()).toBe(86_400_000);
  });

  test('Retry-After is kept', async () => {
    server.answerWith((_, response) => response.writeHead(429, { 'retry-after': '7200' }).end());
    await stage.poll('news');
    const { nextPollAt, lastErrorAt } = await stage.state('news');
    expect(nextPollAt.getTime() - lastErrorAt!.getTime()).toBe(7_200_000);
  });

  test('a source that the owner did not allow inside is refused', async () => {
    await stage.apply(fleetWith({ ...news(), allowPrivate: [] }));
    expect(await stage.poll('news')).toEqual({ outcome: 'failed', reason: '127.0.0.1 is a private address' });
    expect(server.statuses).toEqual([]);
  });

  test('an address that has moved for good is followed and told', async () => {
    server.publish(tide);
    const redirect = server.url.replace('/feed', '/old');
    await stage.apply(fleetWith({ ...news(), url: redirect }));
    server.answerWith((request, response) => {
      if (request.url === '/old') response.writeHead(301, { location: '/feed' }).end();
      else response.writeHead(200).end('<rss version="2.0"><channel><item><title>x</title></item></channel></rss>');
    });
    expect(await stage.poll('news')).toMatchObject({ added: 1 });
    expect((await stage.state('news')).note).toBe(`it has moved for good to ${server.url}; change its url`);
  });
});

describe('twice is once:', () => {
  test.each([
    { at: 'readSource', after: true },
    { at: 'readSource', after: false },
    { at: 'deliverSourceItems', after: true },
    { at: 'deliverSourceItems', after: false },
  ] as const)('$at, killed after its work: $after', async (at) => {
    server.publish(boat, tide);
    crash = at;
    await stage.poll('news');
    expect(crash).toBeUndefined();
    for (const agentId of ['light-001', 'light-002', 'light-003']) {
      expect(await stage.remembered(agentId)).toEqual(['Tide\n\nThe tide turned.', 'Boat\n\nA boat came home.']);
    }
  });

  test('a delivery that ends after the first agent goes on with the second', async () => {
    server.publish(tide);
    const { ownerId } = { ownerId: testOwner };
    await stage.poll('news');
    const item = await stage.db.selectFrom('sourceItems').selectAll().executeTakeFirstOrThrow();
    // As after a crash between two transactions of the delivery.
    await sql`delete from unwoven_memories`.execute(stage.db);
    await sql`delete from memories where agent_id in ('light-002', 'light-003')`.execute(stage.db);
    await sql`update source_items set text = 'Tide\n\nThe tide turned.', delivered_at = null, delivered_version = 0, delivered_to = '', agents = 0`.execute(
      stage.db,
    );
    await stage.activities.deliverSourceItems({ sourceId: 'news' });
    for (const agentId of ['light-001', 'light-002', 'light-003']) {
      expect(await stage.remembered(agentId)).toEqual(['Tide\n\nThe tide turned.']);
    }
    expect(await stage.sourceItems.pending({ ownerId, sourceId: 'news' }, 10)).toEqual([]);
    expect(item.id).toBeGreaterThan(0);
  });

  test('an item that changes while half of the agents have it ends the same for all', async () => {
    server.publish(tide);
    await stage.poll('news');
    await sql`delete from unwoven_memories`.execute(stage.db);
    await sql`delete from memories where agent_id = 'light-003'`.execute(stage.db);
    await sql`update source_items set text = 'Tide\n\nThe tide turned.', delivered_at = null, delivered_version = 0, delivered_to = 'light-002', agents = 2`.execute(
      stage.db,
    );
    server.publish({ ...tide, text: 'It stood still.' });
    await stage.poll('news');
    for (const agentId of ['light-001', 'light-002', 'light-003']) {
      expect(await stage.remembered(agentId)).toEqual(['Tide\n\nIt stood still.']);
    }
  });

  test('many polls of one source at once store one of them', async () => {
    server.publish(boat, tide);
    server.slowBy(100);
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => stage.poll('news')));
    server.slowBy(0);
    expect(outcomes.filter(({ outcome }) => outcome === 'read').length).toBeGreaterThan(0);
    expect(outcomes.every(({ outcome }) => outcome === 'read' || outcome === 'overtaken')).toBe(true);
    expect(await stage.remembered('light-001')).toHaveLength(2);
    const { rows } = await sql<{ agents: number }>`select agents from source_items`.execute(stage.db);
    expect(rows).toEqual([{ agents: 3 }, { agents: 3 }]);
  });
});

describe('an event', () => {
  const event = {
    itemHash: 'e'.repeat(64),
    contentHash: Buffer.from('e'),
    title: '',
    text: 'Somebody knocked.',
    url: null,
    occurredAt: '2026-01-01T00:00:00.000Z',
    changedAt: '2026-01-01T00:00:00.000Z',
    importance: 9,
  };
  const door = { id: 'door', kind: 'webhook', agents: ['light'] };
  const receive = () => stage.sources.receive({ ownerId: testOwner, sourceId: 'door', item: event });

  test('is given to the agents through the wish that was stored with it', async () => {
    await stage.apply(fleetWith(door));
    expect(await receive()).toBe(false);
    expect(await receive()).toBe(true);
    const relay = relayIntents({
      client: stage.client,
      intents: createIntentStore(stage.db),
      listen: createListenerFactory(stage.scope.databaseUrl, () => undefined),
      log: createLogger({ part: 'worker', level: 'silent' }),
    });
    try {
      await until('it is remembered', async () => (await stage.remembered('light-003')).length === 1);
    } finally {
      await relay.stop();
    }
    const rows = await stage.db.selectFrom('memories').select(['text', 'importance', 'source']).execute();
    expect(rows).toEqual(
      Array.from({ length: 3 }, () => ({ text: 'Somebody knocked.', importance: 9, source: 'webhook:door' })),
    );
  });

  test('whose wish came to nothing is taken up by the sweep', async () => {
    await stage.apply(fleetWith(door));
    await receive();
    await sql`delete from intents`.execute(stage.db);
    const claim = {
      ownerId: testOwner,
      sourceIds: ['door'],
      polledIds: [],
      claimedBy: 'a',
      limit: 10,
      holdSeconds: 600,
    };
    expect(await stage.sources.claim(claim)).toEqual([]);
    await sql`update source_items set received_at = now() - interval '2 minutes'`.execute(stage.db);
    expect(await stage.sources.claim(claim)).toEqual(['door']);
    expect(await stage.poll('door')).toEqual({ outcome: 'received' });
    expect(await stage.remembered('light-001')).toEqual(['Somebody knocked.']);
    expect(await stage.sources.claim(claim)).toEqual([]);
  });
});

describe('a folder', () => {
  test('is read on its machine; a file that changes supersedes, lines are added one by one', async () => {
    await stage.apply(fleetWith(notes));
    writeFileSync(join(folder, 'tide.md'), 'It turned.');
    writeFileSync(join(folder, 'lamp.ndjson'), '{"text":"The lamp went out.","importance":9}\n');
    expect(await stage.poll('notes', 'pc2')).toEqual({ outcome: 'read', added: 2, updated: 0, left: 0 });
    expect(await stage.remembered('light-001')).toEqual(['The lamp went out.', 'tide\n\nIt turned.']);
    writeFileSync(join(folder, 'tide.md'), 'It turned again.');
    writeFileSync(
      join(folder, 'lamp.ndjson'),
      '{"text":"The lamp went out.","importance":9}\n{"text":"It was lit."}\n',
    );
    expect(await stage.poll('notes', 'pc2')).toEqual({ outcome: 'read', added: 1, updated: 1, left: 0 });
    expect((await stage.remembered('light-001')).toSorted()).toEqual([
      'It was lit.',
      'The lamp went out.',
      'tide\n\nIt turned again.',
    ]);
    expect(await stage.poll('notes', 'pc2')).toMatchObject({ added: 0, updated: 0 });
  });

  test('whose line has another importance supersedes as one with other words; both come together', async () => {
    await stage.apply(fleetWith({ ...notes, agents: ['light-001'] }));
    const lines = (importance: string, text = 'The boat sank.') =>
      writeFileSync(join(folder, 'boat.ndjson'), `{"id":"1","text":"${text}"${importance}}\n`);
    const living = async () =>
      stage.db
        .selectFrom('memories')
        .select(['text', 'importance'])
        .where('text', 'like', '%boat%')
        .where('supersededAt', 'is', null)
        .execute();
    const unchanged = { outcome: 'read', added: 0, updated: 0 };
    const changed = { outcome: 'read', added: 0, updated: 1 };
    lines('');
    expect(await stage.poll('notes', 'pc2')).toMatchObject({ outcome: 'read', updated: 0 });
    expect(await living()).toEqual([{ text: 'The boat sank.', importance: 5 }]);
    lines(',"importance":9');
    expect(await stage.poll('notes', 'pc2')).toMatchObject(changed);
    expect(await living()).toEqual([{ text: 'The boat sank.', importance: 9 }]);
    // The same again, written anew.
    lines(',"importance":9 ');
    expect(await stage.poll('notes', 'pc2')).toMatchObject(unchanged);
    lines(',"importance":2', 'The boat was found.');
    expect(await stage.poll('notes', 'pc2')).toMatchObject(changed);
    expect(await living()).toEqual([{ text: 'The boat was found.', importance: 2 }]);
    lines('', 'The boat was found.');
    expect(await stage.poll('notes', 'pc2')).toMatchObject(changed);
    expect(await living()).toEqual([{ text: 'The boat was found.', importance: 5 }]);
  });

  test('with a file of more lines than one poll takes loses none of them', async () => {
    const lines = Array.from({ length: 7 }, (_, i) => JSON.stringify({ text: `line ${i}` }));
    writeFileSync(join(folder, 'many.ndjson'), lines.join('\n'));
    await stage.apply(fleetWith({ ...notes, itemsPerPoll: 3, agents: ['light-001'] }));
    let left = 1;
    for (let polls = 0; left > 0 && polls < 10; polls += 1) {
      const polled = await stage.poll('notes', 'pc2');
      left = polled.outcome === 'read' ? polled.left : -1;
    }
    expect(left).toBe(0);
    const texts = (await stage.remembered('light-001')).filter((text) => text.startsWith('line'));
    expect(texts.toSorted()).toEqual(Array.from({ length: 7 }, (_, i) => `line ${i}`));
  });

  test('whose lines say the same under other ids has said it twice', async () => {
    writeFileSync(join(folder, 'same.ndjson'), '{"id":"1","text":"Saved."}\n{"id":"2","text":"Saved."}\n');
    await stage.apply(fleetWith(notes));
    await stage.poll('notes', 'pc2');
    expect((await stage.remembered('light-001')).filter((text) => text === 'Saved.')).toHaveLength(2);
  });

  test('of a machine that takes no work is told as such', async () => {
    await stage.apply(fleetWith({ ...notes, machine: 'mainpc' }));
    expect(await stage.poll('notes', 'mainpc')).toEqual({ outcome: 'failed', reason: 'mainpc does not take work' });
    expect((await stage.state('notes')).lastError).toBe('mainpc does not take work');
    // Asked for where it does not lie any more, nothing is read.
    expect(await stage.poll('notes', 'pc2')).toEqual({ outcome: 'overtaken' });
  });

  test('is started on its machine by the sweep', async () => {
    await stage.apply(fleetWith(notes, news()));
    expect(await stage.activities.claimSources({ sweepId: 'folders' })).toEqual({
      sourceIds: ['news', 'notes'],
      machines: { notes: 'pc2' },
    });
  });
});

describe('drops of another agent', () => {
  const drop = (agentId: string, text: string, externalKey = text) =>
    stage.memories.add(testOwner, [
      {
        agentId,
        externalKey,
        kind: 'drop',
        text,
        importance: 5,
        source: 'test',
        occurredAt: '2026-01-01T00:00:00.000Z',
      },
    ]);
  const living = async (agentId: string) => (await stage.remembered(agentId)).toSorted();
  const ring = [
    { id: 'from-one', kind: 'drops', agent: 'light-001', agents: ['light'] },
    { id: 'from-two', kind: 'drops', agent: 'light-002', agents: ['light'] },
  ];

  test('are remembered by the others, once, and never by the one who dropped them', async () => {
    await stage.apply(fleetWith(...ring));
    await drop('light-001', 'A myth.');
    await drop('heavy-001', 'Of nobody here.');
    expect(await stage.poll('from-one')).toEqual({ outcome: 'read', added: 1, updated: 0, left: 0 });
    expect(await living('light-001')).toEqual(['A myth.']);
    expect(await living('light-002')).toEqual(['A myth.']);
    expect(await stage.poll('from-one')).toMatchObject({ added: 0 });
    await drop('light-001', 'Another myth.');
    expect(await stage.poll('from-one')).toMatchObject({ added: 1 });
    expect(await living('light-003')).toEqual(['A myth.', 'Another myth.']);
  });

  test('do not echo between two who hear each other', async () => {
    await stage.apply(fleetWith(...ring));
    await drop('light-001', 'A myth.');
    for (let round = 0; round < 3; round += 1) for (const { id } of ring) await stage.poll(id);
    expect(await living('light-001')).toEqual(['A myth.']);
    expect(await living('light-002')).toEqual(['A myth.']);
    // Also not where the second one drops the same words again.
    await drop('light-002', 'A myth.', 'said again');
    for (const { id } of ring) await stage.poll(id);
    expect(await living('light-001')).toEqual(['A myth.']);
    expect(await living('light-003')).toEqual(['A myth.', 'A myth.']);
  });

  test('with more than one poll takes come in their order, none left out', async () => {
    await stage.apply(fleetWith({ ...ring[0], itemsPerPoll: 2 }));
    for (const n of [1, 2, 3, 4, 5]) await drop('light-001', `Myth ${n}.`);
    expect(await stage.poll('from-one')).toMatchObject({ added: 2, left: 1 });
    expect(await stage.poll('from-one')).toMatchObject({ added: 2, left: 1 });
    expect(await stage.poll('from-one')).toMatchObject({ added: 1, left: 0 });
    expect(await stage.remembered('light-002')).toEqual([1, 2, 3, 4, 5].map((n) => `Myth ${n}.`));
  });
});

describe('the sweep', () => {
  const sweep = async (id: string) =>
    (await stage.client.workflow.execute('pollSources', {
      workflowId: `poll-sources-${id}`,
      taskQueue: coordinationQueue,
      args: [{}],
    })) as { started: number };

  test('starts what is due and nothing else; a source that hangs holds up no other', async () => {
    const other = await startFeedServer();
    try {
      other.publish(boat);
      server.answerWith(() => undefined);
      await stage.apply(fleetWith(news(), { ...news(), id: 'other', url: other.url }));
      expect(await sweep('a')).toEqual({ started: 2 });
      await until('the other source was read', async () => (await stage.remembered('light-001')).length === 1);
      expect(await sweep('b')).toEqual({ started: 0 });
      server.answerWith(undefined);
    } finally {
      await other.close();
    }
  });

  test('whose step runs twice takes up the same', async () => {
    const claim = { ownerId: testOwner, sourceIds: ['news'], polledIds: ['news'], limit: 10, holdSeconds: 600 };
    expect(await stage.sources.claim({ ...claim, claimedBy: 'one' })).toEqual(['news']);
    expect(await stage.sources.claim({ ...claim, claimedBy: 'one' })).toEqual(['news']);
    expect(await stage.sources.claim({ ...claim, claimedBy: 'two' })).toEqual([]);
  });

  test('a source that fleet.yaml no longer names stops, needs no person, and its memories stay', async () => {
    server.publish(tide);
    await stage.poll('news');
    server.answerWith((_, response) => response.writeHead(410).end());
    await stage.poll('news');
    expect(await openNotices()).toHaveLength(1);
    await stage.apply(fleetWith());
    await sweep('c');
    expect(await openNotices()).toEqual([]);
    expect(await stage.poll('news')).toEqual({ outcome: 'unknown' });
    expect(await stage.remembered('light-001')).toHaveLength(1);
    expect((await stage.state('news')).stoppedAt).not.toBeNull();
  });
});
