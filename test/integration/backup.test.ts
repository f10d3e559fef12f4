import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSeal } from '../../deploy/backup/seal.ts';
import { openHome } from '../../deploy/embedded/home.ts';
import { isAlive, type ProcessRef } from '../../deploy/embedded/processes.ts';
import { sweepScratch } from '../../deploy/embedded/scratch-folders.ts';
import { openBackupLog } from '../../stores/backup-log.ts';
import { createBackup } from '../../deploy/backup/create.ts';
import { readArchive, writeArchive } from '../../deploy/backup/archive.ts';
import { archiveName, type BackupRecord, backupFormat, manifestName, nameOf } from '../../domain/backups.ts';
import { accountOf } from '../../domain/ledger.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';
import { creditsGranted, sold } from '../../domain/postings.ts';
import { createRandom } from '../../domain/random.ts';
import { createDatabase } from '../../stores/database.ts';
import { openSnapshot } from '../../stores/database-copy.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { migrate } from '../../stores/migrate.ts';
import { type BackupStage, mountSmall, openBackupStage } from '../support/backup-stage.ts';
import { bornAgents } from '../support/born-agents.ts';
import { testFleet } from '../support/fleets.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { lacks } from '../support/not-run.ts';
import { ensureDatabase, startServers, withDatabase } from '../support/servers.ts';

/** Backups of a data folder with its real servers; what is killed is the process that `soulfra` and the workers start. */

let stage: BackupStage;
let databaseUrl: string;
let temporalAddress: string;
let postgresUrl: string;
let first: BackupRecord;

const owner = 'usr_owner';
/** Of the test fleet. */
const agents = 7;
const waiting = 'waits-for-ever';

beforeAll(async () => {
  stage = await openBackupStage();
  const up = await stage.start();
  ({ databaseUrl } = up);
  ({ temporalAddress, postgresUrl } = up.servers);
  await fill(databaseUrl);
  const connection = await Connection.connect({ address: temporalAddress });
  await new Client({ connection }).workflow.start('waiting', { workflowId: waiting, taskQueue: 'nobody', args: [] });
  await connection.close();
  const made = await stage.run(['create']);
  expect(made.failed).toBeUndefined();
  first = (made.result as { record: BackupRecord }).record;
}, 120_000);
afterAll(() => stage?.close());

async function fill(url: string): Promise<void> {
  const db = createDatabase({ url, name: 'test', onIdleError: () => undefined });
  try {
    await db.insertInto('users').values({ id: owner, name: 'owner', role: 'operator' }).execute();
    const fleet = testFleet();
    await createFleetStore(db).apply({ ownerId: owner, source: '', fleet, agents: bornAgents(fleet), changes: [] });
    await createMemoryStore(db).add(owner, plainMemories(await everyAgentId(db), 40));
    await db.transaction().execute((tx) =>
      postTransfers(
        tx,
        { ownerId: owner, madeBy: 'test' },
        Array.from({ length: 25 }, (_, i) =>
          creditsGranted({
            grantId: newId('grant'),
            userId: owner,
            money: { amount: 100 + i, currency: 'EUR' },
            reason: 'a "quote",\ta tab\n',
          }),
        ),
      ),
    );
    const split = splitSale(1_000, 0, { weights: defaultSaleWeights, creators: [{ userId: owner, weight: 1 }] });
    const sale = sold({ purchaseId: 'pur_1', currency: 'EUR', from: accountOf.outside('stripe'), split })!;
    await db.transaction().execute((tx) => postTransfers(tx, { ownerId: owner, madeBy: 'test' }, [sale]));
    await db.insertInto('dropStops').values({ ownerId: owner }).execute();
  } finally {
    await db.destroy();
  }
}

/** A data folder that a restore makes, with servers of its own. */
async function restored(args: readonly string[], into: string) {
  const part = await stage.run(['restore', ...args, '--into', into]);
  expect(part.failed).toBeUndefined();
  return part.result as { aside: string | null; ledger: { hash: string }; rows: number; migrated: string[] };
}

const settings = (backup: object) =>
  stage.query(databaseUrl, `update fleet_versions set fleet = fleet || '${JSON.stringify({ backup })}'::jsonb`);
const listed = async () =>
  ((await stage.run(['list'])).result as { items: Array<{ id: string; fault: string }> }).items;

test('a backup holds every row, the ledger, Temporal and the keys, and is made of files that only their owner reads', async () => {
  expect(first.rows).toBeGreaterThan(300);
  expect(first.ledger).toMatchObject({ transfers: 26, entries: 54, sums: { EUR: '0' } });
  expect(await listed()).toMatchObject([{ id: first.id, fault: '' }]);
  const archive = join(stage.backups, archiveName(nameOf(first)));
  expect(statSync(archive).mode & 0o777).toBe(0o600);
  const bytes = readFileSync(archive);
  expect(bytes.subarray(0, 21).toString()).toBe('age-encryption.org/v1');
  const { postgresPassword } = JSON.parse(readFileSync(join(stage.home, 'secrets.json'), 'utf8')) as Record<
    string,
    string
  >;
  expect(bytes.includes(postgresPassword!)).toBe(false);
  expect(statSync(stage.env.SOULFRA_BACKUP_KEY_FILE).mode & 0o777).toBe(0o600);
  const verified = await stage.run(['verify']);
  expect(verified.result).toMatchObject({ id: first.id, ledger: { hash: first.ledger.hash } });
  const rows = await stage.query(databaseUrl, 'select id, state from backups');
  expect(rows).toEqual([{ id: first.id, state: 'done' }]);
});

test('what is restored is equal, begins a generation, and stops posts and payouts until somebody has looked', async () => {
  const into = join(stage.folder, 'restored');
  const done = await restored(['newest'], into);
  expect(done).toMatchObject({ aside: null, ledger: { hash: first.ledger.hash }, rows: first.rows, migrated: [] });
  expect(JSON.parse(readFileSync(join(into, 'secrets.json'), 'utf8'))).toEqual(
    JSON.parse(readFileSync(join(stage.home, 'secrets.json'), 'utf8')),
  );
  expect(existsSync(`${into}.restore`)).toBe(false);
  const again = await openAgain(into);
  try {
    const [facts] = await stage.query<Record<string, unknown>>(
      again.url,
      `select (select count(*)::int from memories) as memories, (select count(*)::int from events where xid <> '0') as hidden,
        (select count(*)::int from ledger_transfers where xid <> '0') as open, (select generation from restores) as generation,
        (select stopped_at is not null from drop_stops) as stopped, (select state from backups) as backup,
        (select kind || ' ' || key from notices where resolved_at is null) as notice,
        (select max(seq) from ledger_transfers) as before`,
    );
    expect(facts).toMatchObject({
      memories: agents * 40,
      hidden: 0,
      open: 0,
      generation: expect.any(Number),
      stopped: true,
      notice: `payouts_held payouts_held:${owner}`,
      backup: 'done',
    });
    // Numbers go on where they were.
    const db = createDatabase({ url: again.url, name: 'test', onIdleError: () => undefined });
    const posting = creditsGranted({
      grantId: newId('grant'),
      userId: owner,
      money: { amount: 7, currency: 'EUR' },
      reason: '',
    });
    await db.transaction().execute((tx) => postTransfers(tx, { ownerId: owner, madeBy: 'test' }, [posting]));
    await db.destroy();
    const [after] = await stage.query<{ seq: string }>(again.url, 'select max(seq)::text as seq from ledger_transfers');
    expect(Number(after!.seq)).toBeGreaterThan(Number(facts!['before']));
    const connection = await Connection.connect({ address: again.temporalAddress });
    const { status } = await new Client({ connection }).workflow.getHandle(waiting).describe();
    await connection.close();
    expect(status.name).toBe('RUNNING');
  } finally {
    await again.stop();
  }
});

async function openAgain(into: string) {
  const servers = await startServers(into, { namespaces: ['default'], redisDatabases: 1 });
  return {
    url: withDatabase(servers.postgresUrl, 'soulfra'),
    temporalAddress: servers.temporalAddress,
    stop: () => servers.stop(),
  };
}

test('an archive that was changed or breaks off is refused by name, and nothing is touched', async () => {
  const elsewhere = join(stage.folder, 'tampered');
  mkdirSync(elsewhere);
  const archive = join(elsewhere, archiveName(nameOf(first)));
  const into = join(stage.folder, 'untouched');
  const { bytes } = first.archive;
  const random = createRandom(63);
  const flips = [3, 80, 300, bytes - 3, ...Array.from({ length: 3 }, () => 400 + random.int(bytes - 401))];
  const cuts = [0, 10, 200, Math.floor(bytes / 2), bytes - 1];
  const intact = readFileSync(join(stage.backups, archiveName(nameOf(first))));
  for (const at of flips) {
    const changed = Buffer.from(intact);
    changed[at]! ^= 1;
    writeFileSync(archive, changed);
    const { failed } = await stage.run(['restore', archive, '--into', into]);
    // In its first lines stands for whom it was closed.
    const codes = at < 300 ? ['BACKUP_DAMAGED', 'BACKUP_KEY_WRONG'] : ['BACKUP_DAMAGED'];
    expect([at, codes.includes(failed?.code ?? '')]).toEqual([at, true]);
  }
  for (const at of cuts) {
    writeFileSync(archive, intact.subarray(0, at));
    const { failed } = await stage.run(['verify', archive]);
    expect([at, failed?.code]).toEqual([at, 'BACKUP_DAMAGED']);
  }
  // One that opens, and is not the one that its record names.
  const seal = await openSeal({ keyFile: stage.env.SOULFRA_BACKUP_KEY_FILE, passphrase: undefined }, { make: false });
  rmSync(archive);
  await writeArchive(archive, seal, { ...first }, async () => ({ tables: {}, sequences: {}, ledger: first.ledger }));
  copyFileSync(join(stage.backups, manifestName(nameOf(first))), join(elsewhere, manifestName(nameOf(first))));
  const swapped = await stage.run(['restore', first.id, '--to', elsewhere, '--into', into]);
  expect(swapped.failed).toMatchObject({ code: 'BACKUP_DAMAGED', message: expect.stringContaining('bytes') });
  expect(readdirSync(stage.folder).filter((name) => name.startsWith('untouched'))).toEqual([]);
});

test('a wrong, missing or readable key is named', async () => {
  const keyFile = join(stage.folder, 'keys', 'other.key');
  const verify = () => stage.run(['verify'], { env: { SOULFRA_BACKUP_KEY_FILE: keyFile } });
  expect((await verify()).failed).toMatchObject({
    code: 'BACKUP_KEY_WRONG',
    message: expect.stringContaining('no key'),
  });
  expect(existsSync(keyFile)).toBe(false);
  await openSeal({ keyFile, passphrase: undefined }, { make: true });
  expect((await verify()).failed).toMatchObject({
    code: 'BACKUP_KEY_WRONG',
    message: expect.stringContaining('does not open'),
  });
  chmodSync(keyFile, 0o644);
  expect((await verify()).failed).toMatchObject({
    code: 'BACKUP_KEY_WRONG',
    message: expect.stringContaining('chmod 600'),
  });
});

test('a passphrase in place of the key', async () => {
  const to = join(stage.folder, 'by-passphrase');
  const env = { SOULFRA_BACKUP_PASSPHRASE: 'seven crows over the harbour' };
  expect((await stage.run(['create', '--to', to], { env })).failed).toBeUndefined();
  expect((await stage.run(['verify', '--to', to], { env })).result).toBeDefined();
  expect((await stage.run(['verify', '--to', to])).failed).toMatchObject({ code: 'BACKUP_KEY_WRONG' });
});

test('a key is not made anew beside backups that another one opens, here or in the second folder', async () => {
  const keyFile = join(stage.folder, 'keys', 'lost.key');
  const env = { SOULFRA_BACKUP_KEY_FILE: keyFile };
  expect((await stage.run(['create'], { env })).failed).toMatchObject({ code: 'BACKUP_KEY_WRONG' });
  const elsewhere = { ...env, SOULFRA_BACKUP_FOLDER: join(stage.folder, 'empty-backups') };
  await settings({ to: stage.backups });
  expect((await stage.run(['create'], { env: elsewhere })).failed).toMatchObject({ code: 'BACKUP_KEY_WRONG' });
  await settings({});
  expect(existsSync(keyFile)).toBe(false);
});

test('one backup is made at a time, and a killed one holds up nobody', async () => {
  const other = await openBackupLog(databaseUrl);
  await other.lock();
  expect((await stage.run(['create'])).failed).toMatchObject({ code: 'UNAVAILABLE' });
  // As the session of a killed one does.
  await other.end();
  expect((await stage.run(['create'])).failed).toBeUndefined();
});

test('a fleet that runs is not restored over, and one that does not run is not backed up', async () => {
  const { failed } = await stage.run(['restore', 'newest']);
  expect(failed).toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(/already runs here as process \d+/),
  });
  const empty = await stage.run(['create'], { env: { SOULFRA_HOME: join(stage.folder, 'nothing') } });
  expect(empty.failed).toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('npm start') });
});

test('a backup that is killed at any moment leaves no half one, and the next is whole', async () => {
  const before = (await listed()).map(({ id }) => id);
  // As one that was killed between the two names has left it.
  const orphan = { tag: nameOf(first).tag, id: '20260101T000000Z' };
  copyFileSync(join(stage.backups, archiveName(nameOf(first))), join(stage.backups, archiveName(orphan)));
  expect((await listed()).find(({ id }) => id === orphan.id)?.fault).toContain('is missing');
  rmSync(join(stage.backups, archiveName(orphan)));
  for (const killAfterMs of [300, 600, 900, 1_300]) {
    await stage.run(['create'], { killAfterMs });
    expect((await listed()).filter(({ fault }) => fault !== '')).toEqual([]);
  }
  expect((await stage.run(['create'])).failed).toBeUndefined();
  expect((await listed()).length).toBeGreaterThan(before.length);
  expect(readdirSync(stage.backups).filter((name) => name.endsWith('.part'))).toEqual([]);
  expect((await stage.run(['verify'])).failed).toBeUndefined();
  const states = await stage.query<{ state: string }>(
    databaseUrl,
    `select distinct state from backups where state = 'running'`,
  );
  expect(states).toEqual([]);
}, 120_000);

test('what is ended by a signal leaves nothing, and what is killed is swept away by the next start', async () => {
  const drill = join(stage.home, 'run', 'restore-drill');
  const spool = join(stage.home, 'run', 'backup');
  const pidFile = join(drill, 'run', 'parts.json');
  const underWay = () => existsSync(pidFile) && readFileSync(pidFile, 'utf8').includes('"postgres"');
  const postgres = () =>
    (JSON.parse(readFileSync(pidFile, 'utf8')) as { parts: ProcessRef[] }).parts.find((part) => isAlive(part));
  let server: ProcessRef | undefined;
  const ended = await stage.run(['drill'], {
    signal: 'SIGTERM',
    when: () => underWay() && (server = postgres()) !== undefined,
  });
  expect(ended.signal).toBe('SIGTERM');
  expect([existsSync(drill), isAlive(server!)]).toEqual([false, false]);
  const [row] = await stage.query(
    databaseUrl,
    'select state, reason from restore_drills order by started_at desc limit 1',
  );
  expect(row).toEqual({ state: 'failed', reason: 'it was ended' });
  const backup = await stage.run(['create'], { signal: 'SIGTERM', when: () => existsSync(spool) });
  expect(backup.signal).toBe('SIGTERM');
  expect(existsSync(spool)).toBe(false);
  expect(readdirSync(stage.backups).filter((name) => name.endsWith('.part'))).toEqual([]);
  // Killed, it could undo nothing.
  await stage.run(['drill'], { signal: 'SIGKILL', when: () => underWay() && (server = postgres()) !== undefined });
  await stage.run(['create'], { signal: 'SIGKILL', when: () => existsSync(spool) });
  mkdirSync(`${stage.home}.restore`);
  expect([existsSync(drill), existsSync(spool)]).toEqual([true, true]);
  await sweepScratch(openHome(stage.env, '/'), stage.env);
  expect([existsSync(drill), isAlive(server!), existsSync(spool)]).toEqual([false, false, false]);
  expect(existsSync(`${stage.home}.restore`)).toBe(false);
}, 120_000);

test('a restore that is killed at any moment leaves the fleet as it was or restored', async () => {
  const into = join(stage.folder, 'killed');
  await restored([first.id], into);
  const random = createRandom(7);
  for (let round = 0; round < 3; round += 1) {
    writeFileSync(join(into, 'old'), 'before');
    await stage.run(['restore', first.id, '--into', into], { killAfterMs: 300 + random.int(8_700) });
    // What a start does first.
    const swapped = (await stage.run(['restore', 'none', '--into', into])).failed?.code;
    expect(swapped).toBe('NOT_FOUND');
    const isOld = existsSync(join(into, 'old'));
    const cluster = existsSync(join(into, 'postgres', 'data', 'PG_VERSION'));
    expect([isOld, cluster, existsSync(join(into, 'secrets.json'))]).toEqual([isOld, true, true]);
  }
  const done = await restored([first.id], into);
  expect(done.aside).toMatch(/killed\.before-/);
  expect(existsSync(join(into, 'old'))).toBe(false);
  const again = await openAgain(into);
  const [row] = await stage.query<{ memories: number }>(again.url, 'select count(*)::int as memories from memories');
  await again.stop();
  expect(row).toEqual({ memories: agents * 40 });
}, 240_000);

test('an older schema is brought up to date, a newer one is refused', async () => {
  await ensureDatabase(postgresUrl, 'older');
  const url = withDatabase(postgresUrl, 'older');
  await migrate(url, undefined, { upTo: first.migrations.at(-2)! });
  await stage.query(url, `insert into users (id, name, role) values ('${owner}', 'owner', 'operator')`);
  const older = await archiveOf(url, 'older', (names) => names);
  const into = join(stage.folder, 'from-older');
  const done = await restored([older], into);
  expect(done.migrated).toEqual([first.migrations.at(-1)]);
  const newer = await archiveOf(url, 'newer', (names) => [...names, '999999_from_a_later_day']);
  const refused = await stage.run(['restore', newer, '--into', join(stage.folder, 'from-newer')]);
  expect(refused.failed).toMatchObject({
    code: 'DATA_NEWER',
    message: expect.stringContaining('999999_from_a_later_day'),
  });
  expect(existsSync(join(stage.folder, 'from-newer'))).toBe(false);
});

/** An archive of another database, as an older or newer Soulfra would have made it. */
async function archiveOf(url: string, name: string, named: (migrations: string[]) => string[]): Promise<string> {
  const file = join(stage.folder, `${name}.age`);
  const seal = await openSeal({ keyFile: stage.env.SOULFRA_BACKUP_KEY_FILE, passphrase: undefined }, { make: false });
  const snapshot = await openSnapshot(url);
  try {
    await snapshot.take();
    const { migrations } = await snapshot.head();
    await writeArchive(file, seal, { ...first, format: backupFormat, migrations: named(migrations) }, async (add) => {
      await add('files/secrets.json', readFileSync(join(stage.home, 'secrets.json')));
      const temporal = readFileSync(join(stage.folder, 'restored', 'temporal.db'));
      await add('temporal.db', temporal);
      const tables: Record<string, { rows: number; hash: string; columns: string[] }> = {};
      for (const table of await snapshot.tables()) {
        tables[table.name] = { ...(await snapshot.figures(table)), columns: table.columns };
        const pieces: Buffer[] = [];
        for await (const piece of snapshot.read(table)) pieces.push(piece as Buffer);
        if (pieces.length > 0) await add(`postgres/${table.name}/000000`, Buffer.concat(pieces));
      }
      return { tables, ledger: await snapshot.ledger(), sequences: await snapshot.sequences() };
    });
    return file;
  } finally {
    await snapshot.end();
  }
}

test('retention keeps the newest whole ones, and counts none that is damaged', async () => {
  const to = join(stage.folder, 'second');
  mkdirSync(to);
  const { tag } = nameOf(first);
  // Another fleet's, of the same second, and what it is copying at the moment.
  const foreign = { id: '20270103T000000Z', tag: 'other' };
  const theirs = { ...first, id: foreign.id, origin: 'usr_other' };
  writeFileSync(join(to, manifestName(foreign)), JSON.stringify(theirs));
  copyFileSync(join(stage.backups, archiveName(nameOf(first))), join(to, archiveName(foreign)));
  writeFileSync(join(to, `${archiveName(foreign)}.part`), 'half');
  await settings({ keep: 2, to });
  const create = (id: string) => stage.run(['create', '--id', id]);
  for (const id of ['20270101T000000Z', '20270102T000000Z', '20270102T120000Z'])
    expect((await create(id)).failed).toBeUndefined();
  // Of the newest day all, of the one before it the last.
  expect((await listed()).map(({ id }) => id)).toEqual(['20270102T120000Z', '20270102T000000Z', '20270101T000000Z']);
  // The newest is lost where it lies: it counts for nothing, and what came before it stays.
  rmSync(join(stage.backups, archiveName({ tag, id: '20270102T120000Z' })));
  const made = await create(foreign.id);
  expect(made.result).toMatchObject({ copy: { folder: to, reason: '' } });
  expect((await listed()).map(({ id, fault }) => [id, fault === ''])).toEqual([
    ['20270103T000000Z', true],
    ['20270102T120000Z', false],
    ['20270102T000000Z', true],
  ]);
  const copies = (await stage.run(['list', '--to', to])).result as { items: Array<{ id: string; tag: string }> };
  expect(copies.items.map(({ id, tag }) => [id, tag])).toEqual([
    ['20270103T000000Z', 'other'],
    ['20270103T000000Z', tag],
    ['20270102T120000Z', tag],
  ]);
  expect(readdirSync(to).filter((name) => name.endsWith('.part'))).toEqual([`${archiveName(foreign)}.part`]);
  // Neither is taken for the other's.
  for (const wanted of ['newest', foreign.id]) {
    const { failed } = await stage.run(['restore', wanted, '--to', to, '--into', join(stage.folder, 'whose')]);
    expect(failed).toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('2 fleets') });
  }
  await settings({ keep: 7, to: join(stage.folder, 'not-mounted') });
  const alone = await stage.run(['create']);
  expect(alone.result).toMatchObject({ copy: { reason: expect.stringContaining('is not there') } });
  const [row] = await stage.query<{ state: string; reason: string }>(
    databaseUrl,
    'select state, copy_reason as reason from backups order by started_at desc limit 1',
  );
  expect(row).toMatchObject({ state: 'done', reason: expect.stringContaining('not-mounted') });
}, 120_000);

test('a drill restores beside the running fleet, says what it found, and leaves nothing', async () => {
  const { result, failed } = await stage.run(['drill']);
  expect(failed).toBeUndefined();
  expect(result).toMatchObject({ rpoSeconds: expect.any(Number), rtoSeconds: expect.any(Number) });
  expect(existsSync(join(stage.home, 'run', 'restore-drill'))).toBe(false);
  const rows = await stage.query(
    databaseUrl,
    'select state, rto_seconds > 0 as timed from restore_drills order by started_at desc limit 1',
  );
  expect(rows).toEqual([{ state: 'done', timed: true }]);
});

test('of a rotation that ends while the rows are copied, the archive has the keys before: those that its rows are under', async () => {
  const home = openHome(stage.env, '/');
  const file = home.path('secrets.json');
  const before = readFileSync(file);
  const seal = () => openSeal({ keyFile: stage.env.SOULFRA_BACKUP_KEY_FILE, passphrase: undefined }, { make: false });
  try {
    const { archive } = await createBackup({
      home,
      folder: join(stage.folder, 'by-hand'),
      folders: [],
      seal,
      id: undefined,
      alone: true,
      app: 'test',
      progress: (text) => {
        // The moment of both databases is taken by then.
        if (text === 'copying Temporal’s database') writeFileSync(file, '{}');
      },
    });
    expect(readFileSync(file, 'utf8')).toBe('{}');
    const kept: Buffer[] = [];
    await readArchive(archive, await seal(), async ({ name, content }) => {
      if (name === 'files/secrets.json') for await (const piece of content) kept.push(piece);
    });
    expect(Buffer.concat(kept).equals(before)).toBe(true);
  } finally {
    writeFileSync(file, before);
  }
});

test('a data folder on a disk of its own is refused before anything is made, with what to do', async ({ skip }) => {
  const into = join(stage.folder, 'mounted');
  const unmount = await mountSmall(into, 2);
  const row = {
    test: 'a data folder that is a mount point',
    needs: 'a user who may mount',
    command: 'run it as root',
    excused: true,
  };
  if (lacks(row, unmount !== undefined)) skip();
  try {
    mkdirSync(join(into, 'run'));
    const { failed } = await stage.run(['restore', 'newest', '--into', into]);
    expect(failed).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/mount point.*--into/) });
    expect(existsSync(`${into}.restore`)).toBe(false);
  } finally {
    await unmount?.();
  }
});

test('a disk that is full is named before, and at the worst moment leaves nothing half', async ({ skip }) => {
  const small = join(stage.folder, 'small');
  const unmount = await mountSmall(small, 2);
  const row = { test: 'a disk that is full', needs: 'a user who may mount', command: 'run it as root', excused: true };
  if (lacks(row, unmount !== undefined)) skip();
  try {
    const { failed } = await stage.run(['create', '--to', small]);
    expect(failed).toMatchObject({ code: 'DISK_FULL', message: expect.stringContaining(small) });
    expect(readdirSync(small)).toEqual([]);
    const seal = await openSeal({ keyFile: stage.env.SOULFRA_BACKUP_KEY_FILE, passphrase: undefined }, { make: false });
    const content = randomBytes(6 << 20);
    const writing = writeArchive(join(small, 'full.age'), seal, first, async (add) => {
      for (let i = 0; i < 10; i += 1) await add(`postgres/memories/00000${i}`, content);
      return { tables: {}, sequences: {}, ledger: first.ledger };
    });
    await expect(writing).rejects.toMatchObject({ code: 'ENOSPC' });
  } finally {
    await unmount?.();
  }
});
