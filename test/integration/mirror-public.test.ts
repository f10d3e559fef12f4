import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyMirrorFolder } from '../../integrations/mirror/folder.ts';
import { newId } from '../../stores/ids.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, openLab } from '../support/lab.ts';
import { addListing } from '../support/market.ts';

/** A real worker copies what is public into a folder and into a database of its own. */
let scope: TestScope;
let lab: Lab;
let folder: string;
let target: string;
let feed: string;
const agent = 'light-001';
const offered = 103;

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-mirror-'));
  target = join(folder, 'public');
  mkdirSync(target);
  const fleet = { ...testFleet(), mirror: { machine: 'pc2', every: '1h', folder: target, postgres: true } };
  lab = await openLab(scope, { logs: folder });
  await lab.apply(fleet);
  const { packageId } = await lab.db
    .selectFrom('listings')
    .select('packageId')
    .where('id', '=', await addListing(lab.db, { ownerId: labOwner, agentId: agent }))
    .executeTakeFirstOrThrow();
  // As many as need a second page, of one package.
  await sql`insert into listings (id, owner_id, package_id, content_hash, title, summary, amount, currency, terms_version, kinds, creators, state, request_hash)
    select 'lst_' || lpad(n::text, 8, '0'), owner_id, package_id, content_hash, 'Loop ' || n || ' <b>', summary, amount, currency, terms_version, kinds, creators,
      case when n <= ${offered - 1} then 'listed' else 'paused' end, request_hash
    from listings, generate_series(1, ${offered + 1}) n where package_id = ${packageId}`.execute(lab.db);
  feed = newId('channel');
  await lab.db
    .insertInto('channels')
    .values({
      id: feed,
      ownerId: labOwner,
      kind: 'feed',
      name: 'news',
      settings: JSON.stringify({ title: 'News', description: '', author: '', siteUrl: 'https://fleet.example/' }),
      destination: 'fleet.example',
    })
    .execute();
  for (const [state, rehearsal] of [
    ['published', false],
    ['published', true],
    ['failed', false],
  ] as const)
    await addDelivery(state, rehearsal);
  lab.startWorker('pc2', { SOULFRA_HOST_NAME: 'pc2', SOULFRA_MIRROR_URL: scope.databaseUrl });
  await lab.settled(['pc2']);
}, 120_000);
afterAll(async () => {
  await lab?.close();
  await scope?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function addDelivery(state: 'published' | 'failed', rehearsal: boolean): Promise<void> {
  const dropId = newId('drop');
  const words = rehearsal ? 'only rehearsed' : state;
  await lab.db
    .insertInto('drops')
    .values({
      id: dropId,
      ownerId: labOwner,
      agentId: agent,
      title: words,
      body: 'x',
      contentHash: 'h',
      state,
      endedAt: new Date(),
    })
    .execute();
  await lab.db
    .insertInto('deliveries')
    .values({
      id: newId('delivery'),
      ownerId: labOwner,
      dropId,
      channelId: feed,
      state,
      rehearsal,
      text: `said: ${words}`,
      dueAt: new Date(),
      endedAt: new Date(),
    })
    .execute();
}

let runs = 0;
const mirror = () =>
  lab.client.workflow.execute('mirrorPublic', {
    workflowId: `mirror:${(runs += 1)}`,
    taskQueue: 'coordination',
    args: [{}],
  });
const last = async (of: string) => {
  const { rows } = await sql<Record<string, unknown>>`
    select state, reason, entries, written, removed from mirror_runs where target = ${of} order by id desc limit 1`.execute(
    lab.db,
  );
  return rows[0]!;
};
const rowsThere = async () =>
  (
    await sql<{
      kind: string;
      id: string;
      doc: string;
    }>`select kind, id, doc::text as doc from soulfra_public.entries`.execute(lab.db)
  ).rows;

function everything(below = target): string {
  return readdirSync(below, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8'))
    .join('\n');
}
/** A second's name, so that no two runs have one. */
const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1_100));

test('what is public is copied, read back, and copied once', async () => {
  await mirror();
  expect((await verifyMirrorFolder(target)).wrong).toEqual([]);
  const data = JSON.parse(readFileSync(join(target, 'data/listings-2.json'), 'utf8')) as object[];
  expect(data).toHaveLength(offered - 100);
  expect(readFileSync(join(target, 'listings/page-1.html'), 'utf8')).toContain('Loop 1 &lt;b&gt;');
  expect(readFileSync(join(target, `feeds/${feed}.atom`), 'utf8')).toContain('said: published');
  const rows = await rowsThere();
  expect(rows.filter(({ kind }) => kind === 'listings')).toHaveLength(offered);
  expect(rows.filter(({ kind }) => kind === 'drops')).toHaveLength(1);
  for (const all of [everything(), rows.map(({ doc }) => doc).join()]) {
    expect(all).not.toContain('only rehearsed');
    expect(all).not.toContain('said: failed');
  }
  await nextSecond();
  await mirror();
  for (const of of ['folder', 'postgres'])
    expect(await last(of)).toMatchObject({ state: 'done', written: 0, removed: 0 });
});

test('private fields that are planted in every table that is read never appear', async () => {
  const planted = await plant();
  expect(planted.length).toBeGreaterThan(25);
  await nextSecond();
  await mirror();
  const rows = await rowsThere();
  expect(rows.filter(({ kind }) => kind === 'listings')).toHaveLength(offered);
  expect(everything()).not.toContain('PRIVATE');
  expect(rows.map(({ kind, id, doc }) => kind + id + doc).join('\n')).not.toContain('PRIVATE');
  await nextSecond();
});

/** What is public, or decides what is; everything else of these tables is given a mark. */
const notPlanted: Record<string, string[]> = {
  listings: ['id', 'package_id', 'title', 'summary', 'currency', 'terms_version', 'kinds', 'state', 'taken_down'],
  loop_packages: ['id'],
  channels: ['id', 'kind'],
  drops: ['id', 'agent_id', 'title'],
  deliveries: ['id', 'drop_id', 'channel_id', 'state', 'text'],
  agents: ['id', 'name'],
};

async function plant(): Promise<string[]> {
  const done: string[] = [];
  await lab.db.transaction().execute(async (tx) => {
    await sql`set local session_replication_role = replica`.execute(tx);
    for (const [table, kept] of Object.entries(notPlanted)) {
      const { rows } = await sql<{ name: string; type: string }>`
        select column_name as name, data_type as type from information_schema.columns
        where table_schema = 'public' and table_name = ${table} and data_type in ('text', 'jsonb', 'bytea') and is_generated = 'NEVER'`.execute(
        tx,
      );
      for (const { name, type } of rows) {
        if (kept.includes(name)) continue;
        const mark = `PRIVATE ${table}.${name}`;
        const value =
          type === 'bytea'
            ? sql`convert_to(rpad(${mark}, 32, '.'), 'UTF8')`
            : type === 'text'
              ? sql`${mark}`
              : sql`case jsonb_typeof(${sql.ref(name)}) when 'object' then ${sql.ref(name)} || jsonb_build_object('planted', ${mark}::text)
                  else jsonb_build_array(${mark}::text) end`;
        await sql`savepoint planting`.execute(tx);
        try {
          await sql`update ${sql.table(table)} set ${sql.ref(name)} = ${value}`.execute(tx);
          done.push(mark);
        } catch {
          // A check allows only its own words there.
          await sql`rollback to savepoint planting`.execute(tx);
        }
      }
    }
    // Deeper than the fields that are read.
    await sql`update loop_packages set manifest = jsonb_set(manifest, '{models,0,planted}', '"PRIVATE deep"')`.execute(
      tx,
    );
  });
  return done;
}

test('what is taken down, or whose channel is removed, leaves the mirror too', async () => {
  const gone = 'lst_00000007';
  await sql`update listings set taken_down = 'PRIVATE: a complaint' where id = ${gone}`.execute(lab.db);
  await sql`update channels set removed_at = now() where id = ${feed}`.execute(lab.db);
  await mirror();
  expect(everything()).not.toContain(gone);
  expect(readdirSync(target, { recursive: true }).join()).not.toContain(gone);
  expect(everything()).not.toContain('said: published');
  const rows = await rowsThere();
  expect(rows.filter(({ id, kind }) => id === gone || kind === 'drops' || kind === 'feeds')).toEqual([]);
  expect(await last('postgres')).toMatchObject({ state: 'done', removed: 3 });
});

test('a target that is not there is told, and holds up no other', async () => {
  renameSync(target, `${target}.away`);
  await nextSecond();
  await expect(mirror()).rejects.toThrow();
  expect(await last('folder')).toMatchObject({ state: 'failed', reason: expect.stringContaining('is not there') });
  expect(await last('postgres')).toMatchObject({ state: 'done' });
});
