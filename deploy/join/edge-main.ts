import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { appVersion, workflowSources } from '../../config/app-version.ts';
import { edgeEnvironment } from '../../config/environment.ts';
import { DomainError } from '../../domain/errors.ts';
import { fleetSchema } from '../../domain/fleet.ts';
import { type EdgeRefusal, machineAccessChannel } from '../../domain/joins.ts';
import { serverNames } from '../../domain/server-names.ts';
import { createDatabase } from '../../stores/database.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { createListenerFactory } from '../../stores/listen.ts';
import { createMachineJoinStore } from '../../stores/machine-joins.ts';
import { setMachineLogins } from '../../stores/machine-logins.ts';
import { firstOperator } from '../../stores/principals.ts';
import { writeText } from '../embedded/home.ts';
import { dropAuthority, openAuthority, readAuthorities, trustOf } from '../tls/authority-files.ts';
import { type Authority, issueServerCertificate, readCertificate } from '../tls/authority.ts';
import { createAdmission } from './admission.ts';
import { createEdge, type EdgeCredentials, type Upstream } from './edge.ts';
import { loginsOf, postgresPrefix, redisPrefix, scramVerifier } from './logins.ts';
import { setRedisLogins } from './redis-logins.ts';

/** `node deploy/join/edge-main.ts`: the part `edge` of `npm start`, which lets machines in from other boxes. */

const lookEveryMs = 5_000;
const say = (event: string, fields: object = {}) =>
  void process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), event, ...fields })}\n`);
const onError = (err: unknown, doing: string) =>
  say('failed', { doing, why: err instanceof Error ? err.message : String(err) });

const environment = edgeEnvironment();
const folder = join(environment.home, 'tls');
const serverFile = join(folder, 'server.pem');
const db = createDatabase({
  url: environment.databaseUrl,
  name: 'soulfra edge',
  connections: 5,
  onIdleError: (err) => onError(err, 'an idle connection'),
});
const joins = createMachineJoinStore(db);
const databaseAt = new URL(environment.databaseUrl);
const redisAt = new URL(environment.redisUrl);

let setting: Promise<void> = Promise.resolve();
const redis = new Redis(environment.redisUrl, { maxRetriesPerRequest: 1, retryStrategy: () => 1_000 });
redis.on('error', (err) => onError(err, 'Redis'));
redis.on('ready', () => inBackground(setLogins(), 'setting logins'));

let authorities: Authority[] = [];
let server: EdgeCredentials & { generation: number };

/** One after the other: each goes by what is true when its turn comes. */
function setLogins(): Promise<void> {
  const next = setting.then(setLoginsNow);
  setting = next.catch(() => undefined);
  return next;
}

async function setLoginsNow(): Promise<void> {
  const logins = (await joins.admitted()).map((admitted) => loginsOf(environment.machineKey, admitted));
  await setMachineLogins(
    db,
    postgresPrefix,
    logins.map(({ postgres }) => ({ user: postgres.user, verifier: scramVerifier(postgres) })),
  );
  await setRedisLogins(
    redis,
    redisPrefix,
    logins.map((login) => login.redis),
  );
}

/**
 * Reads the authority's generations, drops those that nothing goes by any more, and shows a certificate of the newest that every
 * machine knows: what a machine trusts travels with its own certificate.
 */
async function readCertificates(): Promise<boolean> {
  const newest = await openAuthority(folder);
  const [admitted, signed] = [await joins.admitted(), await joins.livingGenerations()];
  const known = Math.min(newest.generation, ...admitted.map(({ generation }) => generation));
  for (const { generation } of readAuthorities(folder))
    if (generation < known && !signed.has(generation)) {
      dropAuthority(folder, generation);
      say('authority is trusted no more', { generation });
    }
  const before = trustOf(authorities);
  authorities = readAuthorities(folder);
  // A generation that a machine went by was dropped only where none goes by it: the oldest there is will do.
  const signer = authorities.find(({ generation }) => generation === known) ?? authorities[0]!;
  const kept = existsSync(serverFile) ? readFileSync(serverFile, 'utf8') : undefined;
  const isKept = kept !== undefined && kept.includes(signer.certificate) && !readCertificate(kept).isDue;
  if (!isKept) {
    const made = await issueServerCertificate(signer, Object.values(serverNames));
    writeText(serverFile, `${made.certificate}${made.privateKey}`, 0o600);
    say('server certificate made', { generation: signer.generation, notAfter: made.notAfter });
  }
  const shown = readFileSync(serverFile, 'utf8');
  const changed = !isKept || before !== trustOf(authorities);
  server = { certificate: shown, privateKey: shown, trust: trustOf(authorities), generation: signer.generation };
  if (changed) await keepBooks();
  return changed;
}

async function keepBooks(): Promise<void> {
  const ownerId = (await currentFleet(db))?.ownerId ?? (await firstOperator(db));
  if (ownerId === undefined) return;
  const own = readCertificate(server.certificate);
  await joins.keepOwn('server', ownerId, { ...own, generation: server.generation, certificate: server.certificate });
  await joins.dropOwn('server', [own.serial]);
  const all = authorities.map((authority) => ({ ...readCertificate(authority.certificate), ...authority }));
  for (const { serial, notAfter, generation, certificate } of all)
    await joins.keepOwn('authority', ownerId, { serial, notAfter, generation, certificate });
  await joins.dropOwn(
    'authority',
    all.map(({ serial }) => serial),
  );
}

function inBackground(work: Promise<unknown>, doing: string): void {
  work.catch((err: unknown) => onError(err, doing));
}

function upstreamOf(host: string, port: string | number): Upstream {
  return { host, port: Number(port) };
}

const refused = new Map<EdgeRefusal, number>();

await readCertificates();
await setLogins();
const admission = createAdmission({
  joins,
  authorities: () => authorities,
  loginsOf: (joined) => loginsOf(environment.machineKey, joined),
  setLogins,
  async machine(machineId) {
    const current = await currentFleet(db);
    const machine = current?.fleet.machines.find(({ id }) => id === machineId);
    if (!current || !machine) throw new DomainError('MACHINE_UNKNOWN', `fleet.yaml names no machine ${machineId}`);
    return { fleet: fleetSchema.parse(current.fleet).name, machine };
  },
  servers: {
    namespace: environment.temporalNamespace,
    database: databaseAt.pathname.slice(1),
    redisDatabase: Number(redisAt.pathname.slice(1) || 0),
  },
  version: { app: appVersion(), workflows: workflowSources() },
  onError,
});
const [temporalHost = '', temporalPort = ''] = environment.temporalAddress.split(':');
const edge = createEdge({
  upstreams: {
    postgres: upstreamOf(databaseAt.hostname, databaseAt.port || 5432),
    redis: upstreamOf(redisAt.hostname, redisAt.port || 6379),
    temporal: upstreamOf(temporalHost, temporalPort),
  },
  credentials: server!,
  standing: (serial) => joins.standing(serial),
  livingOf: (serials) => joins.livingOf(serials),
  answer: (request, response, caller) => admission.answer(request, response, caller),
  onRefused: (reason) => refused.set(reason, (refused.get(reason) ?? 0) + 1),
  onError,
});
const [host = '', port = ''] = environment.listen.split(':');
const at = await edge.listen(host, Number(port));
say('listening', at);

async function look(): Promise<void> {
  if (await readCertificates()) edge.show(server);
  const cut = await edge.cut();
  if (cut > 0) say('cut', { connections: cut });
  if (refused.size === 0) return;
  const counts = new Map(refused);
  refused.clear();
  say('refused', Object.fromEntries(counts));
  await joins.countRefusals(counts);
}

const timer = setInterval(() => inBackground(look(), 'looking'), lookEveryMs);
// Who is revoked is cut at once.
const listener = createListenerFactory(environment.databaseUrl, (err) => onError(err, 'listening to Postgres'))(
  machineAccessChannel,
  () => inBackground(Promise.all([edge.cut(), setLogins()]), 'cutting who is out'),
);

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    clearInterval(timer);
    redis.disconnect();
    void Promise.all([edge.close(), listener.close()])
      .then(() => db.destroy())
      .then(() => process.exit(0));
  });
