import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { appVersion, workflowSources } from '../../config/app-version.ts';
import { serverTls } from '../../config/tls.ts';
import { serveControl } from '../../deploy/embedded/control.ts';
import { boxFiles } from '../../deploy/join/box-files.ts';
import { joinFleet, renewIfDue, workerVariables } from '../../deploy/join/box.ts';
import { askFleet, findAuthority } from '../../deploy/join/fleet-client.ts';
import { addAuthority, openAuthority, readAuthorities } from '../../deploy/tls/authority-files.ts';
import {
  createAuthority,
  createRequest,
  fingerprintOf,
  issueClientCertificate,
  readCertificate,
} from '../../deploy/tls/authority.ts';
import { joinAnswerSchema, parseJoinLink } from '../../domain/joins.ts';
import { serverNames } from '../../domain/server-names.ts';
import { createMachineJoinStore } from '../../stores/machine-joins.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until as untilTrue } from '../support/lab.ts';
import { openNetwork, socketsOf } from '../support/network.ts';
import { lacks } from '../support/not-run.ts';
import { smallFleet } from '../support/small-fleet.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'soulfra-join-'));
const fleetHome = join(folder, 'fleet');
const boxHome = join(folder, 'box');
/** The boxes that join are on a network of their own, where this host can make one. */
const network = openNetwork();
/** Where the edge listens: at the end of the cable, or at another address of this host, which nothing else listens on. */
const edgeHost = network?.here ?? '127.0.0.2';
let api: ApiFixture;
let control: Server;
let edge: ChildProcess;
let port: number;
const children = new Set<ChildProcess>();

function started(file: string, env: Record<string, string>, args: string[] = []): ChildProcess {
  return run([process.execPath, join(root, file), ...args], env);
}

/** As another box does it. */
function onBox(env: Record<string, string>, args: string[] = []): ChildProcess {
  const words = [process.execPath, join(root, 'deploy/join/main.ts'), ...args];
  return run(network === undefined ? words : network.inIt(...words), env);
}

function run([program, ...args]: string[], env: Record<string, string>): ChildProcess {
  const child = spawn(program!, args, {
    cwd: root,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  child.stderr!.on('data', (text: Buffer) => process.stderr.write(text));
  return child;
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}

beforeAll(async () => {
  const socket = join(folder, 'control.sock');
  api = await createApiFixture({ controlSocket: socket });
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
  mkdirSync(fleetHome);
  edge = started('deploy/join/edge-main.ts', {
    DATABASE_URL: api.scope.databaseUrl,
    REDIS_URL: api.scope.redisUrl,
    TEMPORAL_ADDRESS: api.scope.temporalAddress,
    TEMPORAL_NAMESPACE: api.scope.namespace,
    SOULFRA_HOME: fleetHome,
    SOULFRA_EDGE_LISTEN: `${edgeHost}:0`,
    SOULFRA_MACHINE_KEY: Buffer.alloc(32, 7).toString('base64url'),
  });
  port = await new Promise<number>((resolve, reject) => {
    edge.once('exit', () => reject(new Error('the edge ended')));
    createInterface({ input: edge.stdout! }).on('line', (line) => {
      const said = JSON.parse(line) as { event: string; port?: number };
      if (said.event === 'listening') resolve(said.port!);
      if (said.event === 'failed') process.stderr.write(`edge: ${line}\n`);
    });
  });
  const fingerprint = async () => fingerprintOf((await openAuthority(join(fleetHome, 'tls'))).certificate);
  control = await serveControl(socket, {
    parts: () => [],
    killMachine: () => Promise.reject(new Error('no worker')),
    startMachine: () => Promise.resolve(),
    openEdge: async () => ({ host: edgeHost, port, fingerprint: await fingerprint() }),
    stop: () => undefined,
  });
});

afterAll(async () => {
  await Promise.all([...children].map((child) => ended(child, 'SIGTERM')));
  control?.close();
  await api?.close();
  network?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A worker of another process starts, registers and is drained: on a busy host that takes its time. */
const until = (condition: () => Promise<boolean>, what: string) => untilTrue(what, condition, 90_000);

async function invited(machineId: string) {
  const { status, json } = await api.call('POST', '/v1/machine-invites', { body: { machineId } });
  expect(status).toBe(201);
  return parseJoinLink(json['line'] as string)!;
}

function newBox(name: string) {
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  const files = boxFiles(home);
  files.open();
  return { home, files };
}

const refusals = async () =>
  Object.fromEntries(
    (
      await sql<{ reason: string; refused: number }>`select reason, refused from edge_refusals`.execute(api.db)
    ).rows.map(({ reason, refused }) => [reason, refused]),
  );

async function machine(id: string) {
  return (await api.call('GET', `/v1/machines/${id}`)).json as unknown as {
    state: string;
    reason: string;
    identity: string;
  };
}

test('a box joins once, by its line alone, and reflects over mutual TLS; it goes on after a kill, and is cut off when revoked', async () => {
  const link = await invited('small');
  const { files } = newBox('box');
  const line = `https://${link.host}:${link.port}#${link.secret}.${link.fingerprint}`;
  const variables = { SOULFRA_HOME: boxHome, SOULFRA_CACHE: join(folder, 'cache') };
  const joining = onBox(variables, [line]);
  await until(async () => (await machine('small')).state === 'ready', 'the box works as small');
  const box = files.read()!;
  expect(statSync(files.own).mode & 0o777).toBe(0o600);
  expect(statSync(join(files.folder, 'box.json')).mode & 0o777).toBe(0o600);
  const first = (await machine('small')).identity;

  // Whatever the supervisor of a box dies of, it goes on without its line.
  await ended(joining, 'SIGKILL');
  const again = onBox(variables);
  await until(async () => {
    const now = await machine('small');
    return now.state === 'ready' && now.identity !== first;
  }, 'the box goes on');
  for (let i = 0; i < 3; i += 1)
    await api.call('POST', '/v1/agents/rook-001/memories', { body: { text: `the harbour bell rang ${i} times` } });
  await api.call('POST', '/v1/agents/rook-001/trigger', { body: {}, headers: { 'idempotency-key': 'joined' } });
  await until(async () => {
    const { json } = await api.call('GET', '/v1/reflections?limit=5');
    return json.items.some((item) => item['agentId'] === 'rook-001');
  }, 'a reflection is stored');

  const tlsOptions = serverTls({ caFile: files.trust, certFile: files.own, keyFile: files.own })!;
  const { DATABASE_URL: url, REDIS_URL: redisUrl } = workerVariables(files, box, boxHome) as Record<string, string>;
  const client = new pg.Client({ connectionString: url, ssl: tlsOptions.postgres });
  const cut = new Promise((resolve) => client.once('end', resolve));
  client.on('error', () => undefined);
  await client.connect();
  // It reads and writes rows, and can neither change the schema, let others in, nor reach this host's files.
  expect((await client.query('select id from machines order by id')).rows).toHaveLength(2);
  for (const statement of [
    'create table planted (id int)',
    "insert into machine_invites (id, owner_id, machine_id, hash, expires_at) select 'x', owner_id, id, sha256('x'), now() from machines limit 1",
    'update certificates set revoked_at = null',
    "copy machines to program 'cat'",
    "create role planted superuser login password 'x'",
  ])
    await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
  const redis = new Redis(redisUrl!, { tls: tlsOptions.redis, retryStrategy: () => null });
  redis.on('error', () => undefined);
  await redis.set('soulfra:test', 'x');
  for (const command of [['config', 'get', 'dir'], ['flushall'], ['acl', 'list']] as const)
    await expect(redis.call(command[0], ...command.slice(1))).rejects.toThrow(/NOPERM/);
  redis.disconnect();

  const { status, json } = await api.call('POST', '/v1/machines/small/revoke', { body: {} });
  expect([status, json]).toEqual([200, { invites: 1, certificates: 1 }]);
  await cut;
  await expect(renewIfDue(files, box, { force: true })).rejects.toMatchObject({ code: 'CERTIFICATE_REFUSED' });
  expect(await machine('small')).toMatchObject({ state: 'lost', reason: 'its certificate was revoked' });
  const late = new pg.Client({ connectionString: url, ssl: tlsOptions.postgres });
  late.on('error', () => undefined);
  await expect(late.connect()).rejects.toThrow();
  await until(async () => ((await refusals())['revoked'] ?? 0) > 0, 'the refusal is counted');
  await ended(again, 'SIGTERM');
}, 180_000);

const lacksNetwork = lacks(
  {
    test: 'a box that joins from a network of its own',
    needs: 'root, Linux, ip and network namespaces',
    command: 'apt-get install iproute2, and run it as root',
    excused: true,
  },
  network !== undefined,
);

test.skipIf(lacksNetwork)(
  'from another network a box reaches the edge alone, opens nothing, and says which cards it has; nobody else is let in',
  async () => {
    const inside = (script: string, ...args: string[]) => {
      const [program, ...words] = network!.inIt(process.execPath, '-e', script, ...args);
      return String(spawnSync(program!, words, { encoding: 'utf8' }).stdout).trim();
    };
    // The servers themselves are not to be reached from there.
    const { databaseUrl, redisUrl, temporalAddress } = api.scope;
    const ports = [new URL(databaseUrl).port, new URL(redisUrl).port, temporalAddress.split(':')[1]!];
    const dialled = `for (const port of process.argv.slice(2)) require('node:net').connect(Number(port), process.argv[1])
      .on('connect', function () { console.log('reached', port); this.destroy(); }).on('error', (err) => console.log(err.code));`;
    expect(inside(dialled, edgeHost, ...ports).split('\n')).toEqual(ports.map(() => 'ECONNREFUSED'));
    expect(inside(dialled, edgeHost, String(port))).toBe(`reached ${port}`);

    const home = join(folder, 'far');
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    const row = '0, GPU-1, NVIDIA GeForce RTX 3060, 550.1, 12288, 100, 12188, 0, 40, 20.0';
    writeFileSync(join(bin, 'nvidia-smi'), `#!/bin/sh\necho '${row}'\n`, { mode: 0o755 });
    const variables = {
      SOULFRA_HOME: home,
      SOULFRA_CACHE: join(folder, 'cache'),
      PATH: `${bin}:${process.env['PATH']}`,
    };

    // A line that leaked, and was revoked by the machine's name.
    const lineOf = (link: Awaited<ReturnType<typeof invited>>) =>
      `https://${link.host}:${link.port}#${link.secret}.${link.fingerprint}`;
    const leaked = await invited('small');
    expect((await api.call('POST', '/v1/machines/small/revoke', { body: {} })).status).toBe(200);
    const thief = onBox({ ...variables, SOULFRA_HOME: join(folder, 'thief') }, [lineOf(leaked)]);
    const [code] = (await once(thief, 'exit')) as [number];
    expect(code).toBe(1);

    const first = (await machine('small')).identity;
    const joining = onBox(variables, [lineOf(await invited('small'))]);
    let told = '';
    joining.stdout!.setEncoding('utf8').on('data', (text: string) => (told += text));
    await until(async () => {
      const now = await machine('small');
      return now.state === 'ready' && now.identity !== first;
    }, 'the box works as small');
    expect(told).toContain('here: NVIDIA GeForce RTX 3060 12.0 GiB');
    expect(told).toContain('the certificate lives until');
    const tables = ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/${joining.pid}/net/${name}`, 'utf8')).join('\n');
    // Its worker too: the tables are those of the whole network.
    expect(socketsOf(tables)).toEqual({ listening: [], peers: [`${edgeHost}:${port}`] });

    // From there, as from here: nothing in the clear, by a certificate of somebody else's, or by a name that is none.
    const stranger = await issueClientCertificate(await createAuthority(), 'small');
    writeFileSync(join(home, 'stranger.pem'), `${stranger.certificate}${stranger.privateKey}`);
    const own = boxFiles(home).own;
    const tried = `const [host, port, name, file] = process.argv.slice(1); const pem = file && require('node:fs').readFileSync(file);
      const socket = require('node:tls').connect({ host, port: Number(port), servername: name, rejectUnauthorized: false, cert: pem, key: pem });
      let got = 0; socket.on('secureConnect', () => socket.write('PING\\r\\n'))
        .on('data', (piece) => { got += piece.length; socket.end(); }).on('error', () => undefined).on('close', () => console.log(got > 0 ? 'answered' : 'closed'));`;
    const plain = `const socket = require('node:net').connect(Number(process.argv[2]), process.argv[1]); let got = 0; socket.write('PING\\r\\n');
      socket.on('data', (piece) => { got += piece.length; }).on('error', () => undefined).on('close', () => console.log(got > 0 ? 'answered' : 'closed'));`;
    const at = [edgeHost, String(port)] as const;
    expect({
      plain: inside(plain, ...at),
      none: inside(tried, ...at, serverNames.redis),
      stranger: inside(tried, ...at, serverNames.redis, join(home, 'stranger.pem')),
      unknown: inside(tried, ...at, 'else.soulfra', own),
      own: inside(tried, ...at, serverNames.redis, own),
    }).toEqual({ plain: 'closed', none: 'closed', stranger: 'closed', unknown: 'closed', own: 'answered' });
    await ended(joining, 'SIGTERM');
    expect((await api.call('POST', '/v1/machines/small/revoke', { body: {} })).status).toBe(200);
    expect(inside(tried, ...at, serverNames.redis, own)).toBe('closed');
    // The edge tells them every few seconds; what others count begins after that.
    await until(async () => (await refusals())['unknown_name'] === 1, 'what was refused is in the books');
  },
  180_000,
);

test('an invitation works for one key, which may ask again, and for no other', async () => {
  const link = await invited('big');
  const { files } = newBox('first');
  const ca = await findAuthority(link, link.fingerprint);
  const { request } = await createRequest('joining');
  const body = { secret: link.secret, request, app: appVersion(), workflows: workflowSources(), clock: Date.now() };
  const ask = (change: object = {}) =>
    askFleet(link, { method: 'POST', path: '/join', body: { ...body, ...change } }, { ca }, joinAnswerSchema);
  // None of these uses it.
  await expect(ask({ app: '0.0.1' })).rejects.toMatchObject({ code: 'VERSION_DIFFERS' });
  await expect(ask({ workflows: 'other' })).rejects.toMatchObject({ code: 'VERSION_DIFFERS' });
  await expect(ask({ clock: Date.now() + 600_000 })).rejects.toThrow(/600 s ahead of/);
  await expect(ask({ request: 'none' })).rejects.toMatchObject({ code: 'INVALID_INPUT' });
  await expect(joinFleet(files, { ...link, fingerprint: 'A'.repeat(43) })).rejects.toMatchObject({
    code: 'CERTIFICATE_REFUSED',
  });
  const answers = await Promise.all([ask(), ask()]);
  expect(new Set([...answers, await ask()].map(({ certificate }) => certificate)).size).toBe(1);
  await expect(joinFleet(files, link)).rejects.toThrow(/used by another box/);

  const late = await invited('big');
  await sql`update machine_invites set expires_at = now() - interval '1 s' where used_at is null`.execute(api.db);
  await expect(joinFleet(files, late)).rejects.toThrow(/ran out at/);
  const taken = await invited('big');
  await api.call('POST', '/v1/machines/big/revoke', { body: {} });
  await expect(joinFleet(files, taken)).rejects.toThrow(/was revoked/);
  await expect(joinFleet(files, { ...taken, secret: 'B'.repeat(43) })).rejects.toThrow(/no such invitation/);
  expect((await api.call('POST', '/v1/machine-invites', { body: { machineId: 'nobody' } })).status).toBe(404);
  const states = (await api.call('GET', '/v1/machine-invites?machineId=big')).json.items.map((item) => item['state']);
  expect(states).toEqual(['revoked', 'expired', 'revoked']);
});

test('nothing is forwarded in the clear, for a stranger’s certificate or for none', async () => {
  const before = await refusals();
  const closed = (socket: net.Socket) =>
    new Promise<string>((resolve) => {
      let got = '';
      socket.on('data', (piece: Buffer) => (got += piece.toString('latin1')));
      socket.on('error', () => undefined);
      socket.once('close', () => resolve(got));
    });
  const plain = net.connect({ host: edgeHost, port });
  plain.write('GET / HTTP/1.1\r\n\r\n');
  expect(await closed(plain)).toBe('');
  // Bytes behind the request, before it was answered, are nobody's who will speak TLS.
  const stuffed = net.connect({ host: edgeHost, port });
  stuffed.write(Buffer.concat([Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]), Buffer.from('x')]));
  expect(await closed(stuffed)).toBe('');
  const stranger = await issueClientCertificate(await createAuthority(), 'small');
  const ours = await issueClientCertificate(await openAuthority(join(fleetHome, 'tls')), 'small');
  for (const [servername, shown] of [
    [serverNames.temporal, undefined],
    [serverNames.redis, stranger],
    // Of our authority, and not in the books.
    [serverNames.postgres, ours],
    ['else.soulfra', ours],
  ] as const) {
    const socket = tls.connect({
      host: edgeHost,
      port,
      servername,
      rejectUnauthorized: false,
      ...(shown && { cert: shown.certificate, key: shown.privateKey }),
    });
    socket.write('PING\r\n');
    expect(await closed(socket)).toBe('');
  }
  const grown = async () => {
    const now = await refusals();
    return ['plain', 'untrusted', 'unknown_name'].map((reason) => (now[reason] ?? 0) - (before[reason] ?? 0));
  };
  await until(async () => (await grown()).join() === '2,3,1', 'each is counted');
});

test('a machine renews its certificate, and comes over to the next authority while both live', async () => {
  const link = await invited('small');
  const { files, home } = newBox('renewing');
  const box = await joinFleet(files, link);
  // The same line again is the same box.
  expect(await joinFleet(files, link)).toEqual(box);
  const first = readCertificate(files.certificate());
  expect(await renewIfDue(files, box)).toBe('kept');
  expect(await renewIfDue(files, box, { now: new Date(Date.parse(first.notAfter) - 29 * 86_400_000) })).toBe('renewed');
  const second = readCertificate(files.certificate());
  expect(second.serial).not.toBe(first.serial);

  const next = await addAuthority(join(fleetHome, 'tls'));
  await until(async () => (await renewIfDue(files, box)) === 'renewed', 'the machine comes over');
  expect(files.trusted()).toContain(next.certificate);
  expect(readAuthorities(join(fleetHome, 'tls'))).toHaveLength(2);
  const { postgres } = serverTls({ caFile: files.trust, certFile: files.own, keyFile: files.own })!;
  // The edge follows once nobody is left who knows the first one alone; nobody is cut off meanwhile.
  await until(async () => {
    const client = new pg.Client({
      connectionString: workerVariables(files, box, home)['DATABASE_URL'],
      ssl: postgres,
    });
    await client.connect();
    const { stream } = (client as unknown as { connection: { stream: tls.TLSSocket } }).connection;
    const shown = stream.getPeerX509Certificate()!;
    await client.end();
    return shown.verify(createPublicKey(next.privateKey));
  }, 'the edge shows a certificate of the next authority');
  const books = (await api.call('GET', '/v1/certificates?state=living')).json.items;
  expect(books.map((row) => `${String(row['kind'])} ${String(row['generation'])}`).sort()).toEqual([
    'authority 1',
    'authority 2',
    'machine 1',
    'machine 1',
    'machine 2',
    'server 2',
  ]);
});

test('a machine that is revoked while it renews does not come in by what was just signed', async () => {
  const store = createMachineJoinStore(api.db);
  const { files } = newBox('revoked');
  await joinFleet(files, await invited('big'));
  const { serial } = readCertificate(files.certificate());
  const begun = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const renewing = store.renew({ serial, keyHash: 'c'.repeat(64) }, async () => {
    begun.resolve();
    await held.promise;
    const notAfter = new Date(Date.now() + 86_400_000).toISOString();
    return { serial: 'cafe', generation: 1, certificate: 'signed late', notAfter };
  });
  await begun.promise;
  const revoking = api.call('POST', '/v1/machines/big/revoke', { body: {} });
  await until(async () => {
    const { rows } = await sql`select from pg_locks where not granted and database =
      (select oid from pg_database where datname = current_database())
      union all select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
      api.db,
    );
    return rows.length > 0;
  }, 'the revocation waits');
  held.resolve();
  expect((await renewing).serial).toBe('cafe');
  expect((await revoking).status).toBe(200);
  expect(await store.livingOf([serial, 'cafe'])).toEqual(new Set());
});
