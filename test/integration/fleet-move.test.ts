import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, type ClientOptions, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPayloads, dataConverterOf } from '../../config/payload-codec.ts';
import { movedArchive, movedKey } from '../../deploy/compose/coordination.ts';
import { openHome } from '../../deploy/embedded/home.ts';
import { recordMoved, refuseMoved } from '../../deploy/embedded/moved.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { openOperatorToken, openPayloadKeys, openSecrets } from '../../deploy/embedded/secrets.ts';
import { creditsGranted } from '../../domain/postings.ts';
import type { BackupManifest } from '../../domain/backups.ts';
import { createLogger } from '../../observability/logger.ts';
import { createDatabase } from '../../stores/database.ts';
import { openSnapshot } from '../../stores/database-copy.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createIntentStore } from '../../stores/intents.ts';
import { postTransfers } from '../../stores/ledger.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createMemoryStore } from '../../stores/memories.ts';
import { relayIntents } from '../../workers/intents-relay.ts';
import { type BackupStage, openBackupStage } from '../support/backup-stage.ts';
import { bornAgents } from '../support/born-agents.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { ensureDatabase, startServers, type TestServers, withDatabase } from '../support/servers.ts';

/** A stopped fleet with its real servers, taken along and brought into the database of a deployment, as its role there may. */

const owner = 'usr_owner';
const purchase = {
  purchaseId: 'pur_open',
  ownerId: owner,
  listingId: 'lst_1',
  licenseKind: 'personal',
  payment: 'stripe',
};
/** Written by what moves a fleet, or new in another cluster. */
const settled = ['events', 'ledger_transfers', 'restores', 'intents'];

type Figures = BackupManifest['tables'];
interface Last {
  result?: { moved: { rows: number; tables: number; underWay: Record<string, number>; ledger: { hash: string } } };
  failed?: { code: string; message: string };
}

let stage: BackupStage;
let kit: string;
let fleetFile: string;
let before: { tables: Figures; ledger: BackupManifest['ledger'] };
let other: TestServers | undefined;
let otherUrl: string;

beforeAll(async () => {
  stage = await openBackupStage();
  kit = join(stage.folder, 'kit');
  fleetFile = join(stage.folder, 'fleet.yaml');
  const source = readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8');
  writeFileSync(fleetFile, `${source}\ndeploy: { addresses: { pc2: 127.0.0.1, mainpc: 127.0.0.2 } }\n`);
  const { databaseUrl, servers } = await stage.start();
  await fill(databaseUrl);
  before = await figuresOf(databaseUrl);
  const home = openHome(stage.env, '/');
  openSecrets(home);
  openOperatorToken(home);
  await withClient(servers.temporalAddress, async (client) => {
    const begin = (type: string, workflowId: string, args: unknown[]) =>
      client.workflow.start(type, { workflowId, taskQueue: 'coordination', args });
    await begin('sendNotification', 'notification:ntf_open', [{ notificationId: 'ntf_open' }]);
    await begin('checkFleetHealth', 'fleet-health', []);
    await begin('completeChat', 'completion:req_1', [{ requestId: 'req_1' }]);
    await begin('ofTomorrow', 'of-tomorrow', []);
    await client.schedule.create({
      scheduleId: 'payouts',
      spec: { calendars: [{ hour: 6 }] },
      action: { type: 'startWorkflow', workflowType: 'payOutCreators', taskQueue: 'coordination', args: [{}] },
      state: { paused: true },
    });
  });
  // Begun while the codec was on: what it was given is read by the ring of the folder.
  const payloads = createPayloads({ keys: openPayloadKeys(home), encodes: true });
  await withClient(
    servers.temporalAddress,
    (client) =>
      client.workflow.start('purchaseLicense', {
        workflowId: 'purchase:pur_open',
        taskQueue: 'coordination',
        args: [purchase],
      }),
    { dataConverter: dataConverterOf(payloads) },
  );
}, 180_000);
afterAll(async () => {
  await other?.stop();
  await stage?.close();
});

async function fill(url: string): Promise<void> {
  const db = createDatabase({ url, name: 'test', onIdleError: () => undefined });
  try {
    await db.insertInto('users').values({ id: owner, name: 'owner', role: 'operator' }).execute();
    const fleet = testFleet();
    await createFleetStore(db).apply({ ownerId: owner, source: '', fleet, agents: bornAgents(fleet), changes: [] });
    await createMemoryStore(db).add(owner, plainMemories(await everyAgentId(db), 40));
    const granted = (i: number) =>
      creditsGranted({
        grantId: newId('grant'),
        userId: owner,
        money: { amount: 100 + i, currency: 'EUR' },
        reason: 'x',
      });
    await db
      .transaction()
      .execute((tx) => postTransfers(tx, { ownerId: owner, madeBy: 'test' }, [granted(1), granted(2), granted(3)]));
  } finally {
    await db.destroy();
  }
  await stage.query(
    url,
    `insert into notifications (id, owner_id, destination, kind, key, content, created_at)
     values ('ntf_open', '${owner}', 'nobody', 'notices', 'ntf_open', '{"title":"x","text":"x","severity":"info"}', now())`,
  );
  // What the relay has not come to yet goes along.
  await stage.query(url, `delete from intents`);
  await stage.query(
    url,
    `insert into intents (workflow_id, type, args) values ('mail:mai_waits', 'sendMail', '[{"mailId":"mai_waits"}]')`,
  );
}

async function figuresOf(url: string) {
  const snapshot = await openSnapshot(url);
  try {
    await snapshot.take();
    const tables: Figures = {};
    for (const table of await snapshot.tables())
      tables[table.name] = { ...(await snapshot.figures(table)), columns: table.columns };
    return { tables, ledger: await snapshot.ledger() };
  } finally {
    await snapshot.end();
  }
}

async function withClient<T>(
  address: string,
  work: (client: Client) => Promise<T>,
  options: Pick<ClientOptions, 'dataConverter'> = {},
): Promise<T> {
  const connection = await Connection.connect({ address });
  try {
    return await work(new Client({ connection, ...options }));
  } finally {
    await connection.close();
  }
}

function run(main: string, args: readonly string[], env: Record<string, string> = {}) {
  const child: ChildProcess = spawn(process.execPath, [join(repositoryRoot, main), ...args], {
    env: { ...stage.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (err += text));
  const done = new Promise<{ code: number | null; last: string; err: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, last: out.trim().split('\n').at(-1) ?? '', err }));
  });
  return { child, done };
}
const kitMain = (act: string, ...more: string[]) =>
  run('deploy/compose/main.ts', [act, '--file', fleetFile, '--out', kit, ...more]);
const init = (...more: string[]) => ended(kitMain('init', '--from', stage.home, ...more));
const ended = async ({ done }: ReturnType<typeof run>): Promise<Last> => {
  const { last, err } = await done;
  expect(last, err).toMatch(/^\{/);
  return JSON.parse(last) as Last;
};
const bringIn = (env: Record<string, string> = {}) =>
  run('deploy/move/main.ts', [join(kit, movedArchive)], {
    ...env,
    DATABASE_URL: otherUrl,
    SOULFRA_BACKUP_KEY_FILE: join(kit, 'secrets', movedKey),
  });

test('a fleet that runs, has Schedules paused, or what this version does not know under way, is not taken along', async () => {
  expect((await init()).failed).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/already runs/) });
  await stage.stop();
  expect((await init()).failed).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/ofTomorrow/) });
  expect(existsSync(join(kit, movedArchive))).toBe(false);
  const { servers } = await stage.start();
  await withClient(servers.temporalAddress, (client) => client.workflow.getHandle('of-tomorrow').terminate());
  await stage.stop();
  expect((await init()).failed).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/payouts/) });
  expect(existsSync(join(stage.home, 'moved.json'))).toBe(false);
}, 180_000);

test('a stopped one is taken along whole, with the keys that its rows were sealed by, and is refused a start of its own', async () => {
  const { child, done: killed } = kitMain('init', '--from', stage.home, '--resume-schedules');
  child.stdout!.on('data', (text: string) => text.includes('reading it back') && child.kill('SIGKILL'));
  expect((await killed).code).toBeNull();
  expect([existsSync(join(kit, movedArchive)), existsSync(join(stage.home, 'moved.json'))]).toEqual([false, false]);
  // A deployment that begins empty is not what was asked for.
  expect((await ended(kitMain('apply', '--machine', 'pc2'))).failed).toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(/no fleet was taken along/),
  });
  const cutOff = { id: 'x', at: new Date().toISOString(), whole: false };
  recordMoved(stage.home, { ...cutOff, to: '/srv/elsewhere' });
  expect((await init('--resume-schedules')).failed).toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(/to \/srv\/elsewhere was cut off/),
  });
  recordMoved(stage.home, { ...cutOff, to: kit });
  const { result, failed } = await init('--resume-schedules');
  expect(failed).toBeUndefined();
  const rows = Object.values(before.tables).reduce((sum, table) => sum + table.rows, 0);
  expect(result!.moved).toMatchObject({
    rows,
    tables: Object.keys(before.tables).length,
    ledger: { hash: before.ledger.hash },
    underWay: { asked: 2, by_worker: 1, over: 1, by_schedule: 0, by_parent: 0 },
  });
  const kept = JSON.parse(readFileSync(join(stage.home, 'secrets.json'), 'utf8')) as Record<string, string>;
  const secret = (name: string) => readFileSync(join(kit, 'secrets', name), 'utf8').trim();
  expect([secret('secret_key'), secret('webhook_key')]).toEqual([kept['secretKey'], kept['webhookKey']]);
  expect(secret('operator_token')).toBe(readFileSync(join(stage.home, 'operator.token'), 'utf8').trim());
  expect(readFileSync(join(kit, 'coordination.yaml'), 'utf8')).toMatch(/move-in:/);
  expect(readFileSync(join(kit, movedArchive)).subarray(0, 21).toString()).toBe('age-encryption.org/v1');
  expect(() => refuseMoved(stage.home)).toThrow(/was moved to/);
  // Nor does a backup bring it back beside the one that was moved.
  const env = { SOULFRA_BACKUP_KEY_FILE: join(kit, 'secrets', movedKey) };
  expect((await stage.run(['restore', 'newest'], { env })).failed).toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(/was moved to/),
  });
  expect((await init()).failed).toMatchObject({ code: 'CONFLICT', message: expect.stringMatching(/was moved to/) });
}, 120_000);

test('it is brought in equal row by row by a role that is no superuser, through a kill, and once', async () => {
  other = await startServers(join(stage.folder, 'other'), { namespaces: ['default'], redisDatabases: 1 });
  await ensureDatabase(other.postgresUrl, 'soulfra_moved');
  const root = withDatabase(other.postgresUrl, 'postgres');
  await stage.query(root, `create role kit login password 'kit'`);
  await stage.query(root, `alter database soulfra_moved owner to kit`);
  await stage.query(withDatabase(other.postgresUrl, 'soulfra_moved'), `alter schema public owner to kit`);
  const as = new URL(withDatabase(other.postgresUrl, 'soulfra_moved'));
  [as.username, as.password] = ['kit', 'kit'];
  otherUrl = as.href;
  // What the kit's roles.sql grants where a fleet is moved in.
  const { err: refused, code } = await bringIn().done;
  expect([code, refused]).toEqual([1, expect.stringMatching(/session_replication_role/)]);
  await stage.query(root, `grant set on parameter session_replication_role to kit`);

  // A week later the fleet may have lived here, in a database that was lost.
  const later = 'data:text/javascript,const now = Date.now; Date.now = () => now() %2B 8 * 86400000;';
  const stale = await bringIn({ NODE_OPTIONS: `--import="${later}"` }).done;
  expect([stale.code, stale.err]).toEqual([1, expect.stringMatching(/would be done again: restore a backup/)]);

  const { child, done: killed } = bringIn();
  child.stdout!.on('data', (text: string) => text.includes('comparing') && child.kill('SIGKILL'));
  expect((await killed).code).toBeNull();
  expect((await stage.query(otherUrl, 'select id from users')).length).toBe(0);

  // Two at once: one fills it, and the other finds that out and writes nothing.
  const both = await Promise.all([bringIn().done, bringIn().done]);
  const [filled, ...others] = both.filter(({ code: each, last }) => each === 0 && JSON.parse(last).rows !== null);
  expect(others).toEqual([]);
  expect(JSON.parse(filled!.last)).toMatchObject({ begins: { waiting: 1, notifications: 1, others: 1 } });
  const after = await figuresOf(otherUrl);
  expect(after.ledger).toEqual(before.ledger);
  for (const [name, { rows, hash }] of Object.entries(before.tables)) {
    if (name === 'restores' || name === 'intents') continue;
    expect([name, after.tables[name]!.rows]).toEqual([name, rows]);
    if (!settled.includes(name)) expect([name, after.tables[name]!.hash]).toEqual([name, hash]);
  }
  const { last: again } = await bringIn().done;
  expect(JSON.parse(again)).toMatchObject({ rows: null, begins: {} });
  expect((await figuresOf(otherUrl)).tables).toEqual(after.tables);
}, 180_000);

test('what was under way begins in the new Temporal under the same ids, with what it was given', async () => {
  const db = createDatabase({ url: otherUrl, name: 'test', onIdleError: () => undefined });
  const { temporalAddress } = other!;
  await withClient(temporalAddress, async (client) => {
    const relay = relayIntents({
      client,
      intents: createIntentStore(db),
      listen: createListenerFactory(otherUrl, () => undefined),
      log: createLogger({ part: 'worker', level: 'silent' }),
    });
    try {
      await until('all is asked for', async () => (await stage.query(otherUrl, 'select from intents')).length === 0);
    } finally {
      await relay.stop();
    }
    const begun: [string, string][] = [];
    for await (const { workflowId, type } of client.workflow.list()) begun.push([workflowId, type]);
    expect(begun.toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
      ['mail:mai_waits', 'sendMail'],
      ['notification:ntf_open', 'sendNotification'],
      ['purchase:pur_open', 'purchaseLicense'],
    ]);
    const { events } = await client.workflow.getHandle('purchase:pur_open').fetchHistory();
    const [given] = events![0]!.workflowExecutionStartedEventAttributes!.input!.payloads!;
    expect(JSON.parse(Buffer.from(given!.data!).toString())).toEqual(purchase);
  });
  await db.destroy();
}, 60_000);

test('a fleet that lives there already is not written over', async () => {
  await stage.query(otherUrl, `delete from restores`);
  const { code, err } = await bringIn().done;
  expect([code, err]).toEqual([1, expect.stringMatching(/lives in this database already/)]);
  expect((await figuresOf(otherUrl)).ledger).toEqual(before.ledger);
});
