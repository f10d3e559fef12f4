import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fastifyCookie from '@fastify/cookie';
import Fastify from 'fastify';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asDomainError } from '../../api/errors.ts';
import { registerRoles } from '../../api/plugins/roles.ts';
import type { Api } from '../../api/types.ts';
import { errorTable } from '../../domain/errors.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { runSoulfra } from '../support/command.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { testFleet } from '../support/fleets.ts';

let api: ApiFixture;
let folder: string;
let url: string;

beforeAll(async () => {
  api = await createApiFixture();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-services-'));
  // More requests than a token may send in a minute go over all routes.
  const fleet = testFleet({ heavy: 0, light: 1, limits: { requestsPerMinute: 1_000_000 } });
  await createFleetStore(api.db).apply({ ownerId: api.ownerId, source: '', fleet, agents: [], changes: [] });
  await addService('memory-api@pc2');
  await addService('gone', new Date());
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function addService(id: string, retiredAt: Date | null = null): Promise<void> {
  const spec = JSON.stringify({ id, kind: 'process', source: 'startup.yaml:1' });
  await api.db.insertInto('services').values({ id, ownerId: api.ownerId, spec, retiredAt }).execute();
}

async function tokenFor(service: string): Promise<string> {
  const { status, json } = await api.call('POST', '/v1/tokens', { body: { service } });
  expect(status).toBe(201);
  return json['token'] as string;
}

/** Every route of the API that asks who calls, with whether it is for services. */
function guardedRoutes(): Array<{ method: string; url: string; forServices: boolean }> {
  return Object.entries(api.app.swagger().paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, { description?: string }>).flatMap(([method, { description = '' }]) => {
      const forServices = description.includes('The token of a service opens it');
      const filled = path.replaceAll(/\{\w+\}/g, 'x');
      return description.startsWith('Needs at least the role')
        ? [{ method: method.toUpperCase(), url: filled, forServices }]
        : [];
    }),
  );
}

test('the token of a service is refused at every route that is not for services', async () => {
  const token = await tokenFor('memory-api@pc2');
  const routes = guardedRoutes();
  expect(routes.length).toBeGreaterThan(100);
  for (const { method, url, forServices } of routes) {
    const { status, json } = await api.call(method, url, { token });
    const refused = status === 403 && String(json['detail']).includes('of the service memory-api@pc2');
    expect({ method, url, refused }).toEqual({ method, url, refused: !forServices });
  }
});

test('a route for services opens for the token, with the service as its principal', async () => {
  const app = Fastify() as Api;
  app.setErrorHandler((err, _request, reply) => reply.code(errorTable[asDomainError(err).code].status).send());
  await app.register(fastifyCookie);
  registerRoles(app, createPrincipalStore(api.db));
  app.get('/for-services', { config: { role: 'member', services: true }, schema: { tags: ['work'] } }, (request) => ({
    service: request.caller?.service ?? null,
    owner: request.caller?.ownerId,
  }));
  app.get('/for-people', { config: { role: 'reader' }, schema: { tags: ['work'] } }, () => 'hidden');
  expect(() => app.get('/not-for-all', { config: { role: 'operator', services: true } }, () => 'x')).toThrow(
    'is for services, so its role is reader or member',
  );
  const token = await tokenFor('memory-api@pc2');
  const ask = (path: string, secret: string) =>
    app.inject({ url: path, headers: { authorization: `Bearer ${secret}` } });
  expect((await ask('/for-services', token)).json()).toEqual({ service: 'memory-api@pc2', owner: api.ownerId });
  expect((await ask('/for-services', api.tokens.member)).json()).toMatchObject({ service: null });
  expect((await ask('/for-services', api.tokens.reader)).statusCode).toBe(403);
  expect((await ask('/for-people', token)).statusCode).toBe(403);
  await app.close();
});

test('refuses tokens for what is no service, or not any more, and roles beside a service', async () => {
  const make = async (body: object) => {
    const { status, json } = await api.call('POST', '/v1/tokens?dryRun=true', { body });
    return { status, said: `${String(json['detail'])} ${JSON.stringify(json['errors'] ?? [])}` };
  };
  expect(await make({ service: 'memory-api@pc2' })).toMatchObject({ status: 200 });
  expect(await make({ service: 'nobody' })).toMatchObject({
    status: 404,
    said: expect.stringContaining('no service nobody') as string,
  });
  expect(await make({ service: 'gone' })).toMatchObject({
    status: 404,
    said: expect.stringContaining('names gone any more') as string,
  });
  for (const [body, path] of [
    [{ service: 'memory-api@pc2', role: 'operator' }, 'role'],
    [{ service: 'memory-api@pc2', kind: 'once' }, 'kind'],
    [{ service: '../x' }, 'service'],
  ] as const) {
    const { status, said } = await make(body);
    expect({ status, named: said.includes(`"path":"${path}"`) }).toEqual({ status: 400, named: true });
  }
  const others = await api.call('POST', '/v1/tokens', {
    token: api.stranger.token,
    body: { service: 'memory-api@pc2' },
  });
  expect(others.status).toBe(404);
});

test('a token ends with its service, and opens again once a file names it again', async () => {
  await addService('flicker');
  const token = await tokenFor('flicker');
  const status = async () => (await api.call('GET', '/v1/me', { token })).status;
  const retire = (retiredAt: Date | null) =>
    api.db.updateTable('services').set({ retiredAt }).where('id', '=', 'flicker').execute();
  expect(await status()).toBe(403);
  await retire(new Date());
  expect(await status()).toBe(401);
  await retire(null);
  expect(await status()).toBe(403);
});

test('the command makes one, and lists show whose it is', async () => {
  const soulfra = (args: string[]) =>
    runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.operator } });
  const made = await soulfra(['services', 'token', 'memory-api@pc2', '--days', '30']);
  expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^sfr_[\w-]{43}\n$/) as string });
  expect((await api.call('GET', '/v1/me', { token: made.out.trim() })).status).toBe(403);
  const missing = await soulfra(['services', 'token', 'nobody']);
  expect(missing.code).not.toBe(0);
  expect(missing.err).toContain('no service nobody');
  const { json } = await api.call('GET', '/v1/tokens');
  expect(json.items[0]).toMatchObject({ service: 'memory-api@pc2', name: 'memory-api@pc2', role: 'member' });
  expect((await soulfra(['token', 'list'])).out).toContain('memory-api@pc2');
});
