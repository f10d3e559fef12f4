import { Client, Connection } from '@temporalio/client';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLimitCounter } from '../../api/plugins/rate-limit.ts';
import { createServer } from '../../api/server.ts';
import type { Api } from '../../api/types.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
const others: Api[] = [];
beforeAll(async () => {
  api = await createApiFixture();
  const source = smallFleet.replace('version: 1\n', 'version: 1\nlimits: { requestsPerMinute: 20 }\n');
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source } })).status).toBe(200);
});
afterAll(async () => {
  await Promise.all(others.map((other) => other.close()));
  await api?.close();
});

test('answers carry the limit; beyond it 429 with the seconds to wait, each token for itself', async () => {
  // The limit of fleet.yaml is read anew every few seconds; a fresh server reads it with its first request.
  await api.deps.redis!.flushdb();
  const other = await createServerAgain();
  const first = await other('GET', '/v1/me');
  expect(first.headers).toMatchObject({ 'x-ratelimit-limit': '20', 'x-ratelimit-remaining': '19' });
  let refused = first;
  for (let i = 0; i < 20; i += 1) refused = await other('GET', '/v1/me');
  expect({ status: refused.statusCode, code: refused.json<{ code: string }>().code }).toEqual({
    status: 429,
    code: 'RATE_LIMITED',
  });
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect((await other('GET', '/v1/me', api.tokens.member)).statusCode).toBe(200);
  // Health is asked by whoever watches, as often as they like.
  for (let i = 0; i < 30; i += 1) expect((await other('GET', '/v1/health/live', null)).statusCode).toBe(200);
});

test('guesses without a token are counted by address', async () => {
  await api.deps.redis!.flushdb();
  const other = await createServerAgain();
  const statuses: number[] = [];
  for (let i = 0; i < 12; i += 1) statuses.push((await other('GET', '/v1/me', `sfr_guess-number-${i}`)).statusCode);
  expect(statuses.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 401));
  expect(statuses.at(-1)).toBe(429);
});

test('one address has many people: sign-ins and guesses of some take reading and signing in from nobody else', async () => {
  await api.deps.redis!.flushdb();
  const other = await createServerAgain();
  const signIn = () => other('POST', '/v1/sessions', null, { once: 'a-link-of-nobody' });
  const statuses: number[] = [];
  for (let i = 0; i < 12; i += 1) statuses.push((await signIn()).statusCode);
  expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429, 429]);
  for (let i = 0; i < 12; i += 1) await other('GET', '/v1/me', `sfr_guess-number-${i}`);
  expect((await other('GET', '/v1/me', null)).statusCode).toBe(429);
  expect((await other('GET', '/v1/nowhere', null)).statusCode).toBe(429);
  expect((await other('GET', '/', null)).statusCode).not.toBe(429);
  expect((await other('GET', '/v1/signing-keys', null)).statusCode).toBe(200);
  expect((await other('GET', '/v1/me', api.tokens.member)).statusCode).toBe(200);
});

test('counts live in Redis, so that two processes share them; a flush only forgets them', async () => {
  const counters = [createLimitCounter(api.deps.redis), createLimitCounter(api.deps.redis)] as const;
  await api.deps.redis!.flushdb();
  expect((await counters[0]('tok')).current).toBe(1);
  expect((await counters[1]('tok')).current).toBe(2);
  await api.deps.redis!.flushdb();
  expect((await counters[0]('tok')).current).toBe(1);
});

test('without Redis the process counts by itself and nothing fails', async () => {
  const away = new Redis('redis://127.0.0.1:9', { lazyConnect: true, enableOfflineQueue: false, retryStrategy: null });
  away.on('error', () => undefined);
  await away.connect().catch(() => undefined);
  const count = createLimitCounter(away);
  expect([(await count('a')).current, (await count('a')).current, (await count('b')).current]).toEqual([1, 2, 1]);
  const other = await createServerAgain(away);
  const answer = await other('GET', '/v1/me');
  expect({ status: answer.statusCode, left: answer.headers['x-ratelimit-remaining'] }).toEqual({
    status: 200,
    left: '19',
  });
  const ready = await other('GET', '/v1/health/ready', null);
  expect({ status: ready.statusCode, ...ready.json<object>() }).toMatchObject({
    status: 503,
    parts: { redis: { state: 'down' }, postgres: { state: 'up' } },
  });
  expect(ready.json<{ detail: string }>().detail).toMatch(/^redis: /);
  away.disconnect();
});

test('a part that does not answer is named with 503', async () => {
  const connection = Connection.lazy({ address: '127.0.0.1:9', connectTimeout: '500 ms' });
  const app = await createServer({ ...api.deps, temporal: new Client({ connection }) });
  const ready = await app.inject({ method: 'GET', url: '/v1/health/ready' });
  expect({ status: ready.statusCode, ...ready.json<object>() }).toMatchObject({
    status: 503,
    code: 'UNAVAILABLE',
    parts: { temporal: { state: 'down' }, postgres: { state: 'up' } },
  });
  expect(ready.json<{ detail: string }>().detail).toMatch(/^temporal: /);
  // Reading goes on; starting work says what is missing.
  const headers = { authorization: `Bearer ${api.tokens.operator}` };
  expect((await app.inject({ method: 'GET', url: '/v1/agents', headers })).statusCode).toBe(200);
  const sweep = await app.inject({ method: 'POST', url: '/v1/sweeps', headers });
  expect({ status: sweep.statusCode, code: sweep.json<{ code: string }>().code }).toEqual({
    status: 503,
    code: 'UNAVAILABLE',
  });
  await app.close();
  await connection.close();
}, 30_000);

async function createServerAgain(redis = api.deps.redis) {
  const app = await createServer({ ...api.deps, redis });
  others.push(app);
  return (method: 'GET' | 'POST', url: string, token: string | null = api.tokens.operator, payload?: object) =>
    app.inject({
      method,
      url,
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      ...(payload && { payload }),
    });
}
