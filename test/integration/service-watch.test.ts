import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Reply } from 'zeromq';
import type { ServiceSpec } from '../../domain/services.ts';
import { lookAtService } from '../../integrations/services/probes.ts';
import { createLogger } from '../../observability/logger.ts';
import { createHealthStore } from '../../stores/health.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { createServiceStore } from '../../stores/services.ts';
import { watchServices } from '../../workers/service-watch.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture | undefined;
const closing: Array<() => unknown> = [];
beforeEach(() => {
  api = undefined;
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await api?.close();
});

async function listening(server: Server | TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}
async function freePort(): Promise<number> {
  const server = createTcpServer();
  const port = await listening(server);
  closing.pop();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
const look = (healthCheck: ServiceSpec['healthCheck'], ports: ServiceSpec['ports'] = []) =>
  lookAtService({
    spec: { id: 'a', kind: 'process', ports, ...(healthCheck === undefined ? {} : { healthCheck }) },
    isRun: false,
    hosts: ['127.0.0.1'],
  });

test('HTTP is asked for its path, and a redirect is not followed', async () => {
  const asked: string[] = [];
  let status = 200;
  const port = await listening(
    createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(status, { location: 'http://192.0.2.1/' }).end('x'.repeat(1_000_000));
    }),
  );
  const health = { kind: 'http', port, path: '/health?deep=1' } as const;
  expect(await look(health)).toEqual({ sign: 'up' });
  status = 302;
  expect(await look(health)).toEqual({ sign: 'up' });
  status = 503;
  expect(await look(health)).toEqual({ sign: 'down', reason: `GET /health?deep=1 on port ${port} answers 503` });
  expect(new Set(asked)).toEqual(new Set(['GET /health?deep=1']));
});

test('what refuses, and what takes a call and says nothing, is down', async () => {
  const none = await freePort();
  expect(await look({ kind: 'tcp', port: none })).toEqual({ sign: 'down', reason: `port ${none} refuses` });
  const open = new Set<Socket>();
  const port = await listening(createTcpServer((socket) => void open.add(socket.on('error', () => undefined))));
  closing.push(() => open.forEach((socket) => socket.destroy()));
  expect(await look({ kind: 'tcp', port })).toEqual({ sign: 'up' });
  expect(await look({ kind: 'http', port, path: '/' })).toEqual({
    sign: 'down',
    reason: `port ${port} does not answer within 3 s`,
  });
  // Without a health check its main port is tried; a command is not run by this.
  const main = [{ name: 'main', port }];
  expect(await look(undefined, main)).toEqual({ sign: 'up' });
  expect(await look({ kind: 'command', command: ['false'] }, main)).toEqual({ sign: 'up' });
  expect(await look({ kind: 'command', command: ['touch', '/nowhere'] })).toMatchObject({ sign: 'unknown' });
});

test('ZeroMQ is up where a request is replied to, and down where none is', async () => {
  const server = new Reply();
  await server.bind('tcp://127.0.0.1:*');
  const asked: string[] = [];
  const serving = (async () => {
    for await (const [message] of server) {
      asked.push(String(message));
      await server.send('pong');
    }
  })();
  const port = Number(server.lastEndpoint!.split(':').at(-1));
  expect(await look({ kind: 'zeromq', port, request: 'status' })).toEqual({ sign: 'up' });
  expect(asked).toEqual(['status']);
  server.close();
  await serving;
  expect(await look({ kind: 'zeromq', port, request: 'status' })).toEqual({
    sign: 'down',
    reason: `no ZeroMQ reply from port ${port} within 3 s`,
  });
});

test('the worker of a machine sees its services come and go, health tells it, and a worker that was replaced writes nothing', async () => {
  api = await createApiFixture();
  const { db } = api;
  let status = 200;
  const server = createServer((_request, response) => response.writeHead(status).end('well'));
  const port = await listening(server);
  const source = `version: 1
services:
  - { id: router, machine: small, kind: process, ports: [{ name: main, port: ${port} }], healthCheck: { kind: http, port: ${port}, path: /health }, source: 'a.py:1' }
  - { id: other, machine: big, kind: process, ports: [{ name: main, port: ${port} }], source: 'b.py:1' }
`;
  const body = { source: smallFleet, serviceFiles: [{ name: 'a.yaml', source }] };
  expect((await api.call('POST', '/v1/fleet/apply', { body })).status).toBe(200);
  const machines = createMachineStore(db);
  const lease = await machines.register('small', { identity: 'small/worker/1', runsAs: 'simulated' });
  await machines.register('big', { identity: 'big/worker/1', runsAs: 'simulated' });
  await db.updateTable('services').set({ machineId: 'small' }).where('id', '=', 'router').execute();
  await db.updateTable('services').set({ machineId: 'big' }).where('id', '=', 'other').execute();
  const log = createLogger({ part: 'worker', level: 'silent' });
  const services = createServiceStore(db);
  const start = (held: typeof lease) => {
    const watch = watchServices({ services, hosts: () => ['127.0.0.1'], lease: () => held, log, everyMs: 50 });
    closing.push(() => watch.stop());
    return watch;
  };
  const first = start(lease);
  const router = async () => (await api!.call('GET', '/v1/services/router')).json;
  // Asked often: not through the API, which counts.
  const state = async () =>
    (await db.selectFrom('services').select('state').where('id', '=', 'router').executeTakeFirstOrThrow()).state;
  await until('it is seen', async () => (await state()) === 'up');
  expect(await router()).toMatchObject({ reason: '', address: `small:${port}` });
  const { json: other } = await api.call('GET', '/v1/services/other');
  expect(other['state']).toBe('unknown');

  const health = createHealthStore(db);
  const judged = async () => {
    await db.deleteFrom('healthLooks').execute();
    await health.look('services');
    const { json } = await api!.call('GET', '/v1/health?kind=service');
    return json.items.map(({ id, state: of, reason }) => [id, of, reason].join(' '));
  };
  expect(await judged()).toEqual(['other not_set_up nothing has looked at it yet', 'router ok ']);

  status = 503;
  await until('it is down', async () => (await state()) === 'down');
  expect(await router()).toMatchObject({ reason: `GET /health on port ${port} answers 503`, address: null });
  expect(await judged()).toContain(`router failing GET /health on port ${port} answers 503`);
  const { json: inbox } = await api.call('GET', '/v1/inbox');
  expect(inbox.items.map(({ kind, subject }) => ({ kind, subject }))).toContainEqual({
    kind: 'service_down',
    subject: 'router',
  });

  // Another worker takes the machine: the first sees nothing there any more, and what it still had in hand is not written.
  await first.stop();
  const next = await machines.register('small', { identity: 'small/worker/2', runsAs: 'simulated' });
  expect(await services.toLookAt(lease)).toEqual([]);
  expect(await services.seen(lease, { id: 'router', was: 'down', state: 'up', reason: '' })).toBe(false);
  status = 200;
  start(next);
  await until('it is up again', async () => (await state()) === 'up');
  await judged();
  expect(await judged()).toContain('router ok ');
  expect((await api.call('GET', '/v1/inbox')).json.items).toEqual([]);
  // Whoever stops it says so, and what was seen before that does not undo it.
  await db.updateTable('services').set({ state: 'stopped' }).where('id', '=', 'router').execute();
  expect(await services.seen(next, { id: 'router', was: 'up', state: 'down', reason: 'x' })).toBe(false);
});
