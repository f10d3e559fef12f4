import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { covers } from '../../domain/roles.ts';
import { type Role, roles } from '../../domain/states.ts';
import { registerRoles } from '../../api/plugins/roles.ts';
import { createServer } from '../../api/server.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createPrincipalStore, type NewToken } from '../../stores/principals.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { bornAgents } from '../support/born-agents.ts';
import { testFleet } from '../support/fleets.ts';
import { exampleOf, type JsonSchema } from '../support/schema-examples.ts';
import { seedOneRowEach } from '../support/seeded-rows.ts';
import Fastify from 'fastify';
import type { Api } from '../../api/types.ts';

let api: ApiFixture;
/** Every route, with what it declares: who may call it, and what it takes. */
interface DeclaredRoute {
  method: string;
  url: string;
  role: Role | 'none';
  scope: string | undefined;
  forServices: boolean;
  params: Array<{ name: string; pattern: string }>;
  /** What its query must hold. */
  query: Record<string, unknown>;
  body: JsonSchema | undefined;
}
let routes: DeclaredRoute[];
let schemas: Record<string, JsonSchema>;
/** A row of the operator's by table. */
let rows: Map<string, string>;
const callers: Record<string, string> = {};

interface Operation {
  description?: string;
  parameters?: Array<{ name: string; in: string; required?: boolean; schema: JsonSchema }>;
  requestBody?: { required?: boolean; content: Record<string, { schema: JsonSchema }> };
}

beforeAll(async () => {
  api = await createApiFixture();
  // Every route is asked by everybody: more than an address may within a minute, see api-limits.test.ts.
  const fleet = testFleet({ heavy: 0, light: 1, limits: { requestsPerMinute: 1_000_000 } });
  const agents = bornAgents(fleet);
  await createFleetStore(api.db).apply({ ownerId: api.ownerId, source: '', fleet, agents, changes: [] });
  const document = api.app.swagger() as {
    paths?: Record<string, Record<string, Operation>>;
    components?: { schemas?: Record<string, JsonSchema> };
  };
  schemas = document.components?.schemas ?? {};
  routes = Object.entries(document.paths ?? {}).flatMap(([url, methods]) =>
    Object.entries(methods).map(([method, { description = '', parameters = [], requestBody }]) => ({
      method: method.toUpperCase(),
      url,
      role: (/least the role (\w+)/.exec(description)?.[1] ?? 'none') as Role | 'none',
      scope: /the scope ([\w-]+:\w+)/.exec(description)?.[1],
      forServices: description.includes('The token of a service opens it'),
      params: parameters
        .filter((parameter) => parameter.in === 'path')
        .map(({ name, schema }) => ({ name, pattern: schema.pattern ?? schema.anyOf?.[0]?.pattern ?? '' })),
      query: Object.fromEntries(
        parameters
          .filter((parameter) => parameter.in === 'query' && parameter.required === true)
          .map(({ name, schema }) => [name, exampleOf(schema, schemas)]),
      ),
      body: requestBody?.content['application/json']?.schema,
    })),
  );
  const neighbour = newId('user');
  await api.db
    .insertInto('users')
    .values({ id: neighbour, name: 'neighbour', role: 'creator', operatorId: api.ownerId })
    .execute();
  const known = new Map([
    ['agents', agents[0]!.id],
    ['machines', 'pc2'],
  ]);
  rows = await seedOneRowEach(api.db, api.ownerId, given, known);
  rows.set('users', neighbour);
  // What two of them are joined with has no id.
  await sql`insert into drop_stops (owner_id) values (${api.ownerId}) on conflict do nothing`.execute(api.db);
  await sql`insert into destinations (owner_id, key) values (${api.ownerId}, 'x')`.execute(api.db);
  const principals = createPrincipalStore(api.db);
  const issue = async (token: Omit<NewToken, 'kind' | 'name'>) =>
    (await principals.issue({ kind: 'bearer', name: 'test', ...token })).secret;
  callers['service'] = await issue({ ownerId: api.ownerId, role: 'member', serviceId: rows.get('services')! });
  callers['readsAudit'] = await issue({ ownerId: api.ownerId, role: 'operator', scopes: ['audit:read'] });
  callers['readsHealth'] = await issue({ ownerId: api.ownerId, role: 'operator', scopes: ['health:read'] });
  for (const role of ['reader', 'member', 'creator'] as const)
    callers[`neighbour ${role}`] = await issue({ ownerId: neighbour, role });
}, 60_000);
afterAll(() => api?.close());

const open = [
  'GET /v1/downloads/{token}',
  'GET /v1/feeds/{id}/{format}',
  'GET /v1/health/live',
  'GET /v1/health/ready',
  'GET /v1/revocations',
  'GET /v1/signing-keys',
  'POST /v1/invites/join',
  'POST /v1/invites/preview',
  'POST /v1/payments/stripe/events',
  'POST /v1/sessions',
  'POST /v1/sign-ins',
  'POST /v1/sign-ups',
  'POST /v1/sources/{id}/events',
];
/** Of rows whose ids are no three letters and a UUID. */
const given = {
  services: { id: 'vector-store' },
  channels: { kind: 'discord_webhook' },
  signing_keys: { id: `key_${'0'.repeat(32)}` },
  ledger_transfers: { id: 'sale:seeded' },
};

const nameOf = ({ method, url }: DeclaredRoute) => `${method} ${url}`;

/** The address with rows of the operator's in it; what has none gets an id that is nobody's. */
function addressOf({ url, params }: DeclaredRoute): string {
  return params.reduce((address, { name, pattern }) => address.replace(`{${name}}`, valueOf(url, name, pattern)), url);
}

function valueOf(url: string, name: string, pattern: string): string {
  if (name === 'format') return 'atom';
  if (name === 'packageId') return 'wp-01';
  const noun = url.split('/')[2]!;
  const named: Record<string, string> = {
    agents: rows.get('agents')!,
    machines: 'pc2',
    services: given.services.id,
    sources: 'harbour-news',
    schedules: 'reflect-6h',
    ledger: given.ledger_transfers.id,
    'signing-keys': given.signing_keys.id,
  };
  const prefix = /^\^(\w{3})_/.exec(pattern)?.[1];
  if (prefix === undefined || (name === 'id' && noun in named)) return named[noun] ?? 'none';
  const known = [...rows.values()].find((id) => id.startsWith(`${prefix}_`));
  return known ?? `${prefix}_${newId('request').slice(4)}`;
}

function call(route: DeclaredRoute, token: string | null): Promise<Answer> {
  const query = new URLSearchParams(
    Object.entries(route.query).map(([name, value]): [string, string] => [name, String(value)]),
  );
  if (route.method !== 'GET') query.set('dryRun', 'true');
  const body = bodies[nameOf(route)] ?? (route.body === undefined ? undefined : exampleOf(route.body, schemas));
  return api.call(route.method, `${addressOf(route)}?${query.toString()}`, {
    token,
    headers: { 'idempotency-key': 'matrix', 'if-match': '"1"' },
    ...(body === undefined || body === null ? {} : { body }),
  });
}

/** Bodies that the schema alone does not lead to. */
const bodies: Record<string, unknown> = {
  'POST /v1/agents/{id}/budgets': { amount: 1, currency: 'EUR' },
  'POST /v1/guilds/{id}/invites': { link: {} },
  'POST /v1/licenses/{id}/extend': { uses: 5, reason: 'a word' },
  'PATCH /v1/listings/{id}': { title: 'a word' },
  'PATCH /v1/channels/{id}': { allowExtractive: true },
  'PATCH /v1/drops/{id}': { title: 'a word' },
};

/** By OpenAI's protocol a refusal is told in its words. */
function codeOf({ json }: Answer): unknown {
  const { code } = (json['error'] ?? {}) as { code?: string };
  return code === undefined ? json['code'] : { invalid_api_key: 'UNAUTHENTICATED', forbidden: 'FORBIDDEN' }[code];
}

test('only sign-in, health and what is signed otherwise are open to everybody', () => {
  expect(
    routes
      .filter(({ role }) => role === 'none')
      .map(nameOf)
      .sort(),
  ).toEqual(open);
});

test('every other route refuses whoever is nobody, of a lesser role, a service or without its scope', async () => {
  expect(routes.length).toBeGreaterThan(200);
  const wrong: object[] = [];
  for (const route of routes.filter(({ role }) => role !== 'none')) {
    // Of those that nobody lets in there are more than a stranger may ask for in a minute.
    await api.deps.redis!.flushdb();
    const lesser = roles.filter((role) => !covers(role, route.role as Role));
    const refused: Array<[who: string, token: string | null, status: number, why: RegExp]> = [
      ['nobody', null, 401, /no valid token/],
      ['a wrong token', 'sfr_of-nobody-at-all', 401, /no valid token/],
      ...lesser.map((role): [string, string, number, RegExp] => [role, api.tokens[role], 403, /needs the role/]),
    ];
    if (!route.forServices) refused.push(['a service', callers['service']!, 403, /of the service/]);
    if (route.scope !== undefined) {
      const other = route.scope === 'audit:read' ? 'readsHealth' : 'readsAudit';
      refused.push([other, callers[other]!, 403, /needs the scope/]);
    }
    for (const [who, token, status, why] of refused) {
      const answer = await call(route, token);
      const code = status === 401 ? 'UNAUTHENTICATED' : 'FORBIDDEN';
      if (answer.status !== status || codeOf(answer) !== code || !why.test(answer.text))
        wrong.push({ route: nameOf(route), who, status: answer.status, said: answer.text.slice(0, 120) });
    }
  }
  expect(wrong).toEqual([]);
}, 60_000);

test('the declared role is enough', async () => {
  const wrong: object[] = [];
  for (const route of routes) {
    if (route.role === 'none' || streams.has(nameOf(route))) continue;
    const { status, text } = await call(route, api.tokens[route.role]);
    // The row may ask for more, such as a seat in the guild; the route does not.
    if (status === 401 || /needs the (?:role|scope)|is of the service/.test(text))
      wrong.push({ route: nameOf(route), text });
  }
  expect(wrong).toEqual([]);
}, 60_000);

/** They answer as long as somebody listens. */
const streams = new Set(['GET /v1/events', 'GET /v1/messages/{id}/events']);

test('another owner’s row is as if it were not there, for an operator of other things and for another user', async () => {
  const wrong: object[] = [];
  for (const route of routes.filter(({ role, params }) => role !== 'none' && params.length > 0)) {
    const name = nameOf(route);
    if (streams.has(name)) continue;
    const { status: own } = await call(route, api.tokens.operator);
    const found = own !== 404;
    if (found === name in withoutRow) wrong.push({ name, own });
    const { status: strange, text } = await call(route, api.stranger.token);
    if (strange !== 404 && !(name in shared)) wrong.push({ name, strange, text: text.slice(0, 160) });
    if (route.role === 'operator') continue;
    const beside = await call(route, callers[`neighbour ${route.role}`]!);
    if (beside.status !== 404 && !(name in shared))
      wrong.push({ name, beside: beside.status, text: beside.text.slice(0, 160) });
  }
  expect(wrong).toEqual([]);
}, 60_000);

/** Of these the operator has no row here, and why; so a stranger's 404 proves nothing. */
const sourcesOfFile = 'sources stand in fleet.yaml';
const schedulesOfTemporal = 'Schedules are Temporal’s';
const withoutRow: Record<string, string> = {
  'GET /openai/v1/models/{model}': 'models are the fleet’s, by name',
  'POST /v1/rollouts/{id}/packages/{packageId}/skip': 'packages are of its file',
  'POST /v1/rollouts/{id}/packages/{packageId}/answer': 'packages are of its file',
  'GET /v1/sources/{id}': sourcesOfFile,
  'GET /v1/sources/{id}/items': sourcesOfFile,
  'POST /v1/sources/{id}/poll': sourcesOfFile,
  'POST /v1/sources/{id}/secrets': sourcesOfFile,
  'GET /v1/sources/{id}/secrets': sourcesOfFile,
  'DELETE /v1/sources/{id}/secrets/{secretId}': sourcesOfFile,
  'GET /v1/ledger/transfers/{id}': 'without entries it is none',
  'POST /v1/licenses/{id}/deactivate': 'there is no activation of it',
  'POST /v1/licenses/{id}/transfer': 'there is nobody of that id to have it',
  'POST /v1/purchases/{id}/refunds': 'nothing of it is in the ledger',
  'POST /v1/schedules/{id}/pause': schedulesOfTemporal,
  'POST /v1/schedules/{id}/resume': schedulesOfTemporal,
  'POST /v1/schedules/{id}/trigger': schedulesOfTemporal,
};
/** What others may see or do all the same, and why. */
const ofTheMarket = 'only who runs the marketplace: refused before any row is looked for';
const shared: Record<string, string> = {
  'DELETE /v1/codec/keys/{id}': 'only who runs the installation: keys are nobody else’s',
  'POST /v1/listings/{id}/take-down': ofTheMarket,
  'POST /v1/listings/{id}/put-back': ofTheMarket,
};

test('a route without a role or a scope stops the start', async () => {
  const app = Fastify() as Api;
  registerRoles(app, createPrincipalStore(api.db));
  expect(() => app.get('/v1/secrets', () => 'all of them')).toThrow('GET /v1/secrets declares no role');
  const unscoped = (tags: string[]) => () =>
    app.get('/v1/secrets', { config: { role: 'operator' }, schema: { tags } }, () => 'all of them');
  expect(unscoped([])).toThrow('GET /v1/secrets has no tag, so it has no scope');
  expect(unscoped(['vaults'])).toThrow('GET /v1/secrets has the tag vaults, so it has no scope');
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

test('a token with scopes opens what they say, tells of itself alone, and makes none that may more', async () => {
  const make = (body: object, token?: string) => api.call('POST', '/v1/tokens', { body, ...(token ? { token } : {}) });
  const made = await make({ role: 'operator', scopes: ['agents:write', 'sign-in:write'] });
  expect(made.json).toMatchObject({ scopes: ['agents:write', 'sign-in:write'] });
  const days = (Date.parse(made.json['expiresAt'] as string) - Date.now()) / 86_400_000;
  expect(Math.round(days)).toBe(90);
  const token = made.json['token'] as string;
  const ask = async (method: string, url: string) => (await api.call(method, url, { token })).status;
  expect(await ask('GET', '/v1/agents')).toBe(200);
  expect(await ask('POST', '/v1/agents/light-001/pause?dryRun=true')).toBe(200);
  expect(await ask('GET', '/v1/machines')).toBe(403);
  expect(await ask('DELETE', '/v1/me?dryRun=true')).toBe(403);
  expect((await api.call('GET', '/v1/me', { token })).json).toMatchObject({
    scopes: ['agents:write', 'sign-in:write'],
  });
  expect((await api.call('GET', '/v1/tokens', { token })).json.items).toMatchObject([{ id: made.json['id'] }]);

  expect((await make({ role: 'reader' }, token)).json['code']).toBe('FORBIDDEN');
  expect((await make({ kind: 'once' }, token)).json['code']).toBe('FORBIDDEN');
  expect((await make({ scopes: ['agents:read', 'users:write'] }, token)).json['detail']).toContain('not users:write');
  expect((await make({ scopes: ['agents:read'] }, token)).status).toBe(201);
  expect((await make({ scopes: ['agents:rule'] })).json['errors']).toMatchObject([
    { path: 'scopes.0', mend: expect.stringContaining('agents, audit') as string },
  ]);
  expect((await make({ kind: 'once', scopes: ['agents:read'] })).json['errors']).toMatchObject([{ path: 'scopes' }]);
  expect((await make({ expiresInDays: null })).json['expiresAt']).toBeNull();
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

test('behind a proxy that is named: its word on TLS and caller is taken, nobody else’s; over TLS the cookie is of this host alone', async () => {
  const app = await createServer({ ...api.deps, trustProxy: ['10.7.0.2'] });
  const ask = async (
    method: 'GET' | 'POST',
    url: string,
    from: string,
    headers: Record<string, string>,
    body?: object,
  ) =>
    app.inject({
      method,
      url,
      remoteAddress: from,
      headers: { host: 'inner:17000', ...headers },
      ...(body === undefined ? {} : { payload: body }),
    });
  const signIn = async (from: string) => {
    const { json } = await api.call('POST', '/v1/tokens', { body: { kind: 'once' } });
    const tls = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'soulfra.example' };
    const answer = await ask('POST', '/v1/sessions', from, tls, { once: json['token'] });
    return String(answer.headers['set-cookie']);
  };
  expect(await signIn('10.7.0.3')).toMatch(/^soulfra_session=.*HttpOnly; SameSite=Strict$/);
  const cookie = await signIn('10.7.0.2');
  expect(cookie).toMatch(/^__Host-soulfra_session=sfr_.*Path=\/; HttpOnly; Secure; SameSite=Strict$/);

  const secret = /=(sfr_[^;]+)/.exec(cookie)![1]!;
  const proxied = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'soulfra.example' };
  const me = async (from: string, name: string) =>
    (await ask('GET', '/v1/me', from, { ...proxied, cookie: `${name}=${secret}` })).statusCode;
  // What a neighbour of our domain, or a page in the clear, could have put there is not looked at.
  expect(await me('10.7.0.2', '__Host-soulfra_session')).toBe(200);
  expect(await me('10.7.0.2', 'soulfra_session')).toBe(401);
  expect(await me('10.7.0.3', '__Host-soulfra_session')).toBe(401);
  const write = async (origin: string) =>
    (
      await ask(
        'POST',
        '/v1/tokens?dryRun=true',
        '10.7.0.2',
        { ...proxied, origin, cookie: `__Host-soulfra_session=${secret}` },
        {},
      )
    ).statusCode;
  expect([
    await write('https://soulfra.example'),
    await write('http://soulfra.example'),
    await write('https://inner:17000'),
  ]).toEqual([200, 403, 403]);
  const out = await app.inject({
    method: 'DELETE',
    url: '/v1/sessions',
    remoteAddress: '10.7.0.2',
    headers: {
      ...proxied,
      host: 'inner:17000',
      origin: 'https://soulfra.example',
      cookie: `__Host-soulfra_session=${secret}`,
    },
  });
  expect(out.statusCode).toBe(204);
  expect(String(out.headers['set-cookie'])).toMatch(/^__Host-soulfra_session=;.*Secure/);
  await app.close();
});

test('the limits of who comes without a token are by the caller that a named proxy tells, and by nobody else’s word', async () => {
  await api.deps.redis!.flushdb();
  const app = await createServer({ ...api.deps, trustProxy: ['10.7.0.2'] });
  const left = async (from: string, told: string) => {
    const answer = await app.inject({
      method: 'GET',
      url: '/v1/signing-keys',
      remoteAddress: from,
      headers: { 'x-forwarded-for': told },
    });
    return Number(answer.headers['x-ratelimit-remaining']);
  };
  const first = await left('10.7.0.2', '198.51.100.1');
  expect(await left('10.7.0.2', '198.51.100.1')).toBe(first - 1);
  expect(await left('10.7.0.2', '198.51.100.2')).toBe(first);
  // Who names a caller before the proxy does is counted by what the proxy saw.
  expect(await left('10.7.0.2', '198.51.100.9, 198.51.100.2')).toBe(first - 1);
  expect(await left('10.7.0.3', '198.51.100.1')).toBe(first);
  expect(await left('10.7.0.3', '198.51.100.7')).toBe(first - 1);
  await app.close();
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
