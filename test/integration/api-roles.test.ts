import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Role } from '../../domain/states.ts';
import { registerRoles } from '../../api/plugins/roles.ts';
import { createServer } from '../../api/server.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { bornAgents } from '../support/born-agents.ts';
import { testFleet } from '../support/fleets.ts';
import Fastify from 'fastify';
import type { Api } from '../../api/types.ts';

let api: ApiFixture;
let routes: Array<{ method: string; url: string; role: Role | 'none' }>;

beforeAll(async () => {
  api = await createApiFixture();
  // Every route is asked with nothing and with a guess: more than an address may within a minute, see api-limits.test.ts.
  const fleet = testFleet({ heavy: 0, light: 1, limits: { requestsPerMinute: 1_000_000 } });
  const agents = bornAgents(fleet);
  await createFleetStore(api.db).apply({ ownerId: api.ownerId, source: '', fleet, agents, changes: [] });
  const paths = api.app.swagger().paths ?? {};
  routes = Object.entries(paths).flatMap(([url, methods]) =>
    Object.entries(methods as Record<string, { description?: string }>).map(([method, { description }]) => ({
      method: method.toUpperCase(),
      url: url
        .replaceAll('{id}', idFor(url))
        .replace('{deliveryId}', newId(url.includes('/drops/') ? 'delivery' : 'webhookDelivery'))
        .replace('{format}', 'atom')
        .replace('{packageId}', 'wp-01')
        .replace('{secretId}', newId(url.includes('/webhooks/') ? 'webhookSecret' : 'sourceSecret')),
      role: (/least the role (\w+)/.exec(description ?? '')?.[1] ?? 'none') as Role | 'none',
    })),
  );
});
afterAll(() => api?.close());

const feedId = newId('channel');
const open = [
  'GET /v1/downloads/{token}',
  `GET /v1/feeds/${feedId}/atom`,
  'GET /v1/health/live',
  'GET /v1/health/ready',
  'GET /v1/revocations',
  'GET /v1/signing-keys',
  'POST /v1/invites/join',
  'POST /v1/invites/preview',
  'POST /v1/payments/stripe/events',
  'POST /v1/sessions',
  'POST /v1/sign-ups',
  'POST /v1/sources/harbour-news/events',
];
const lesser: Record<Role, Role | undefined> = {
  reader: undefined,
  member: 'reader',
  creator: 'member',
  operator: 'creator',
};

function idFor(url: string): string {
  if (url.includes('/runs/')) return newId('run');
  if (url.startsWith('/v1/rollouts/')) return newId('rollout');
  if (url.startsWith('/v1/messages/')) return newId('message');
  if (url.includes('/whispers/')) return newId('whisper');
  if (url.includes('/sweeps/')) return newId('sweep');
  if (url.includes('/clusters/')) return newId('cluster');
  if (url.includes('/reflections/')) return newId('reflection');
  if (url.startsWith('/v1/memories/')) return newId('memory');
  if (url.startsWith('/v1/threads/')) return newId('thread');
  if (url.startsWith('/v1/loops/')) return newId('loopPackage');
  if (url.includes('/tokens/')) return newId('token');
  if (url.startsWith('/v1/ledger/')) return 'sale:none';
  if (url.startsWith('/v1/signing-keys/')) return `key_${'0'.repeat(32)}`;
  if (url.includes('/payouts/')) return newId('payout');
  if (url.includes('/licenses/')) return newId('license');
  if (url.startsWith('/v1/inbox/')) return newId('notice');
  if (url.startsWith('/v1/listings/')) return newId('listing');
  if (url.startsWith('/v1/purchases/')) return newId('purchase');
  if (url.startsWith('/v1/refunds/')) return newId('refund');
  if (url.includes('/feeds/')) return feedId;
  if (url.includes('/channels/')) return newId('channel');
  if (url.includes('/drops/')) return newId('drop');
  if (url.includes('/drop-schedules/')) return newId('dropSchedule');
  if (url.includes('/webhooks/')) return newId('webhook');
  if (url.includes('/users/')) return newId('user');
  if (url.includes('/mails/')) return newId('mail');
  if (url.startsWith('/v1/guilds/')) return newId('guild');
  if (url.startsWith('/v1/ballots/')) return newId('ballot');
  if (url.startsWith('/v1/invites/')) return newId('invite');
  if (url.startsWith('/v1/services/')) return 'vector-store';
  if (url.includes('/sources/')) return 'harbour-news';
  return url.includes('/schedules/') ? 'reflect-6h' : 'vesper-001';
}

/** By OpenAI's protocol a refusal is told in its words. */
function codeOf({ json }: Answer): unknown {
  const { code } = (json['error'] ?? {}) as { code?: string };
  return code === undefined ? json['code'] : { invalid_api_key: 'UNAUTHENTICATED', forbidden: 'FORBIDDEN' }[code];
}

test('only sign-in, health and what is signed otherwise are open to everybody', () => {
  const found = routes.filter(({ role }) => role === 'none').map(({ method, url }) => `${method} ${url}`);
  expect(found.sort()).toEqual(open);
});

test('every other route refuses without a token, with a wrong one, and with a lesser role', async () => {
  expect(routes.length).toBeGreaterThan(35);
  for (const { method, url, role } of routes) {
    if (role === 'none') continue;
    // More routes than a stranger may ask for in a minute.
    await api.deps.redis!.flushdb();
    const none = await api.call(method, url, { token: null });
    expect({ url, status: none.status, code: codeOf(none) }).toEqual({
      url,
      status: 401,
      code: 'UNAUTHENTICATED',
    });
    const wrong = await api.call(method, url, { token: 'sfr_of-nobody-at-all' });
    expect({ url, status: wrong.status }).toEqual({ url, status: 401 });
    const below = lesser[role];
    if (below === undefined) continue;
    const less = await api.call(method, url, { token: api.tokens[below] });
    expect({ url, status: less.status, code: codeOf(less) }).toEqual({ url, status: 403, code: 'FORBIDDEN' });
  }
});

test('the declared role is enough', async () => {
  for (const { method, url, role } of routes) {
    if (role === 'none' || url === '/v1/events') continue;
    const { status } = await api.call(`${method}`, method === 'GET' ? url : `${url}?dryRun=true`, {
      token: api.tokens[role],
    });
    expect({ url, refused: status === 401 || status === 403 }).toEqual({ url, refused: false });
  }
});

test('a route without a role stops the start', async () => {
  const app = Fastify() as Api;
  registerRoles(app, createPrincipalStore(api.db));
  expect(() => app.get('/v1/secrets', () => 'all of them')).toThrow('GET /v1/secrets declares no role');
  await app.close();
});

test('a revoked or expired token opens nothing', async () => {
  const made = await api.call('POST', '/v1/tokens', { body: { role: 'reader', name: 'short' } });
  expect(made.status).toBe(201);
  const { id, token } = made.json as unknown as { id: string; token: string };
  expect((await api.call('GET', '/v1/me', { token })).status).toBe(200);
  expect((await api.call('DELETE', `/v1/tokens/${id}`)).status).toBe(204);
  expect((await api.call('GET', '/v1/me', { token })).status).toBe(401);
  const stored = await api.db.selectFrom('tokens').select('hash').where('id', '=', id).executeTakeFirstOrThrow();
  expect(stored.hash.toString('utf8')).not.toContain(token);
  const expired = await createPrincipalStore(api.db).issue({
    ownerId: api.ownerId,
    kind: 'bearer',
    role: 'reader',
    name: 'old',
    expiresInSeconds: -1,
  });
  expect((await api.call('GET', '/v1/me', { token: expired.secret })).status).toBe(401);
});

test('a sign-in link becomes a session once; a session writes only from our own pages', async () => {
  const { json } = await api.call('POST', '/v1/tokens', { body: { kind: 'once' } });
  const once = json['token'] as string;
  const asBearer = await api.call('GET', '/v1/me', { token: once });
  expect(asBearer.status).toBe(401);
  const first = await api.call('POST', '/v1/sessions', { token: null, body: { once } });
  expect(first.status).toBe(200);
  const cookie = String(first.headers['set-cookie']);
  expect(cookie).toMatch(/^soulfra_session=sfr_.*HttpOnly; SameSite=Strict/);
  expect((await api.call('POST', '/v1/sessions', { token: null, body: { once } })).status).toBe(401);

  const session = cookie.split(';')[0]!;
  const write = (headers: Record<string, string>) =>
    api.call('POST', '/v1/tokens?dryRun=true', { token: null, body: {}, headers: { cookie: session, ...headers } });
  expect((await api.call('GET', '/v1/me', { token: null, headers: { cookie: session } })).status).toBe(200);
  expect((await write({})).json['code']).toBe('FORBIDDEN');
  expect((await write({ origin: 'http://elsewhere.example', host: 'localhost' })).json['code']).toBe('FORBIDDEN');
  expect((await write({ origin: 'null', host: 'localhost' })).json['code']).toBe('FORBIDDEN');
  expect((await write({ origin: 'http://localhost', host: 'localhost' })).status).toBe(200);
  const out = await api.call('DELETE', '/v1/sessions', {
    token: null,
    headers: { cookie: session, origin: 'http://localhost', host: 'localhost' },
  });
  expect(out.status).toBe(204);
  expect((await api.call('GET', '/v1/me', { token: null, headers: { cookie: session } })).status).toBe(401);
});

test('the pages of the web UI: from ourselves alone, anew at each visit; their files for ever; and never in place of an answer to a program', async () => {
  const uiFolder = mkdtempSync(join(tmpdir(), 'soulfra-ui-'));
  const app = await createServer({ ...api.deps, uiFolder });
  const get = (url: string, headers: Record<string, string> = {}) => app.inject({ method: 'GET', url, headers });
  const html = { accept: 'text/html,*/*;q=0.8' };
  try {
    const absent = await get('/', html);
    expect(absent.statusCode).toBe(503);
    expect(absent.body).toContain('npm run build:ui');

    // Built while the API runs.
    mkdirSync(join(uiFolder, 'assets'));
    writeFileSync(join(uiFolder, 'index.html'), '<title>built</title>');
    writeFileSync(join(uiFolder, 'assets', 'main-1a2b.js'), 'export {};');
    writeFileSync(join(uiFolder, 'assets', 'main-1a2b.js.br'), brotliCompressSync('export {};'));
    for (const url of ['/', '/fleet', '/agents/vesper-001?tab=talk', '/documents']) {
      const page = await get(url, html);
      expect({ url, status: page.statusCode, body: page.body }).toEqual({
        url,
        status: 200,
        body: '<title>built</title>',
      });
      expect(page.headers['cache-control']).toBe('no-cache');
      const policy = String(page.headers['content-security-policy']);
      expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
      expect(policy).not.toMatch(/unsafe|https?:|\*/);
    }

    const file = await get('/assets/main-1a2b.js', { 'accept-encoding': 'br' });
    expect(file.headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-encoding': 'br',
      'content-type': expect.stringContaining('javascript'),
      'x-content-type-options': 'nosniff',
    });
    for (const url of ['/assets/gone-1a2b.js', '/assets/../index.html', '/assets/%2e%2e/index.html', '/assets/'])
      expect({ url, status: (await get(url)).statusCode }).toEqual({ url, status: 404 });

    for (const url of ['/v1/nowhere', '/openai/nowhere', '/metrics/nowhere', '/docs/nowhere']) {
      const answer = await get(url, html);
      expect({ url, type: answer.headers['content-type'] }).toEqual({
        url,
        type: expect.stringContaining('json'),
      });
    }
    expect((await get('/fleet', { accept: 'application/json' })).statusCode).toBe(404);
    expect((await app.inject({ method: 'POST', url: '/fleet', headers: html })).statusCode).toBe(404);
  } finally {
    await app.close();
    rmSync(uiFolder, { recursive: true });
  }
});
