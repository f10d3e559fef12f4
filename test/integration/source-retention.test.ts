import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Fleet } from '../../domain/fleet.ts';
import { type Source, sourceSchema } from '../../domain/sources.ts';
import { newSourceItem } from '../../stores/source-items.ts';
import { startFeedServer, type FeedServer } from '../support/feed-server.ts';
import { testFleet } from '../support/fleets.ts';
import { applyRetention } from '../support/retention.ts';
import { openSourceStage } from '../support/source-stage.ts';
import { testOwner } from '../support/store-scope.ts';

let server: FeedServer;
let stage: Awaited<ReturnType<typeof openSourceStage>>;
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'soulfra-folder-')));

function fleetWith(...sources: Array<Record<string, unknown>>): Fleet {
  return { ...testFleet(), sources: sources.map((source): Source => sourceSchema.parse(source)) };
}
const notes = { id: 'notes', kind: 'folder', machine: 'pc2', folder, agents: ['light-001'] };
const news = () => ({ id: 'news', kind: 'feed', url: server.url, agents: ['light-001'], allowPrivate: ['127.0.0.1'] });
const tide = { id: '1', title: 'Tide', text: 'The tide turned.', date: '2026-11-01T10:00:00Z' };
const boat = { id: '2', title: 'Boat', text: 'A boat came home.', date: '2026-11-02T10:00:00Z' };

beforeAll(async () => {
  server = await startFeedServer();
  stage = await openSourceStage(fleetWith(), undefined, { folders: [folder] });
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  await sql`truncate memories, source_states, source_items, notices, intents cascade`.execute(stage.db);
  await stage.apply(fleetWith(notes, news()));
  server.statuses.length = 0;
});

/** So many days go by in which nothing is read; retention is 90 days. */
async function pass(days: number): Promise<void> {
  await sql`update source_items set seen_at = seen_at - make_interval(days => ${days})`.execute(stage.db);
  await sql`update source_states set shown_at = shown_at - make_interval(days => ${days})`.execute(stage.db);
}
const hear = () => stage.remembered('light-001');
const known = async () =>
  (await stage.db.selectFrom('sourceItems').select('title').orderBy('id').execute()).map(({ title }) => title);

describe('a folder', () => {
  test.each(['polled all the time', 'not read meanwhile'])(
    '%s: a file that lay untouched is changed, not new',
    async (how) => {
      writeFileSync(join(folder, 'tide.md'), 'It turned.');
      writeFileSync(join(folder, 'lamp.ndjson'), '{"id":"1","text":"It is lit."}\n');
      await stage.poll('notes', 'pc2');
      await pass(91);
      if (how === 'polled all the time')
        expect(await stage.poll('notes', 'pc2')).toMatchObject({ added: 0, updated: 0 });
      await applyRetention(stage.db);
      writeFileSync(join(folder, 'tide.md'), 'It turned again.');
      writeFileSync(join(folder, 'lamp.ndjson'), '{"id":"1","text":"It went out."}\n');
      expect(await stage.poll('notes', 'pc2')).toMatchObject({ added: 0, updated: 2 });
      expect((await hear()).toSorted()).toEqual(['It went out.', 'tide\n\nIt turned again.']);
    },
  );

  test('what is no more in it is let go', async () => {
    writeFileSync(join(folder, 'tide.md'), 'It turned.');
    writeFileSync(join(folder, 'gone.md'), 'Soon gone.');
    await stage.poll('notes', 'pc2');
    rmSync(join(folder, 'gone.md'));
    await pass(2);
    await stage.poll('notes', 'pc2');
    await pass(89);
    await stage.poll('notes', 'pc2');
    await applyRetention(stage.db);
    expect(await known()).not.toContain('gone');
    expect(await known()).toContain('tide');
  });
});

describe('a feed', () => {
  test('that makes new ids each time does not tell again what it goes on showing', async () => {
    for (const [round, days] of [0, 60, 60, 60].entries()) {
      await pass(days);
      server.publish({ ...tide, id: `round-${round}` });
      expect(await stage.poll('news')).toMatchObject({ added: round === 0 ? 1 : 0 });
      await applyRetention(stage.db);
    }
    expect(await hear()).toEqual(['Tide\n\nThe tide turned.']);
  });

  test('that has nothing new for long keeps what it shows, and lets go of what it shows no more', async () => {
    server.publish(tide);
    await stage.poll('news');
    await pass(91);
    await stage.poll('news');
    expect(server.statuses).toEqual([200, 304]);
    await applyRetention(stage.db);
    expect(await known()).toEqual(['Tide']);
    server.publish(boat, { ...tide, text: 'The tide did not turn.' });
    expect(await stage.poll('news')).toMatchObject({ added: 1, updated: 1 });
    await pass(2);
    server.publish(boat);
    await stage.poll('news');
    await pass(89);
    server.publish(boat, { ...boat, id: '3', title: 'Gull' });
    await stage.poll('news');
    await applyRetention(stage.db);
    expect(await known()).toEqual(['Boat', 'Gull']);
  });

  test('that is stopped goes on where it ended, however long that was', async () => {
    server.publish(tide);
    await stage.poll('news');
    await stage.apply(fleetWith(notes));
    await pass(400);
    await applyRetention(stage.db);
    await stage.apply(fleetWith(notes, news()));
    server.publish({ ...tide, text: 'It stood still.' });
    expect(await stage.poll('news')).toMatchObject({ added: 0, updated: 1 });
    expect(await hear()).toEqual(['Tide\n\nIt stood still.']);
  });
});

test('events that came long ago are let go as others come', async () => {
  await stage.apply(fleetWith({ id: 'door', kind: 'webhook', agents: ['light-001'] }));
  const ring = async (key: string) => {
    const event = { key, title: key, text: 'It rang.', url: null, publishedAt: null, changedAt: null };
    const item = newSourceItem(event, { charactersPerItem: 100 }, new Date())!;
    await stage.sources.receive({ ownerId: testOwner, sourceId: 'door', item });
    await stage.activities.deliverSourceItems({ sourceId: 'door' });
  };
  await ring('first');
  await pass(91);
  await ring('second');
  await applyRetention(stage.db);
  expect(await known()).toEqual(['second']);
});
