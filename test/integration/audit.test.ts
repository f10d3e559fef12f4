import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { listAudit } from '../../stores/queries/audit.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { createApiProcesses } from '../support/api-process.ts';
import { createDatabase } from '../../stores/database.ts';
import { createTestScope } from '../support/isolation.ts';
import { applyRetention } from '../support/retention.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
});
afterAll(() => api?.close());

async function audited(query = '', token = api.tokens.operator) {
  const { status, json } = await api.call('GET', `/v1/audit${query}`, { token });
  expect(status).toBe(200);
  return json.items;
}

async function invite(address: string): Promise<string> {
  const { status, json } = await api.call('POST', '/v1/users', { body: { address } });
  expect(status).toBe(201);
  return json['id'] as string;
}

test('a write stands there with who asked, what it was about and what became of it; never with what was sent', async () => {
  const id = await invite('ada@harbour.example');
  const changed = await api.call('PATCH', `/v1/users/${id}`, { body: { role: 'creator' } });
  expect(changed.status).toBe(200);
  const me = (await api.call('GET', '/v1/me')).json;
  const rows = await audited(`?subject=${id}`);
  expect(rows).toEqual([
    {
      id: changed.headers['x-request-id'],
      at: expect.any(String) as string,
      actor: api.ownerId,
      actorName: 'operator',
      tokenId: me['tokenId'],
      kind: 'bearer',
      role: 'operator',
      service: null,
      method: 'PATCH',
      route: '/v1/users/:id',
      subjects: [id],
      outcome: 'done',
      status: 200,
    },
    // Of what was made the answer says the id.
    expect.objectContaining({ method: 'POST', route: '/v1/users', subjects: [id], outcome: 'done', status: 201 }),
  ]);
  const { rows: stored } = await sql`select to_jsonb(a)::text as text from audit_entries a`.execute(api.db);
  expect(JSON.stringify(stored)).not.toContain('harbour.example');
});

test('what failed, and what was refused, stands there; what was only tried, read or badly formed does not', async () => {
  const unknown = newId('user');
  await api.call('DELETE', `/v1/users/${unknown}?dryRun=true`);
  await api.call('GET', `/v1/users/${unknown}`);
  await api.call('PATCH', `/v1/users/${unknown}`, { body: { role: 'king' } });
  expect(await audited(`?subject=${unknown}`)).toEqual([]);

  await api.call('DELETE', `/v1/users/${unknown}`);
  await api.call('DELETE', `/v1/users/${unknown}`, { token: api.tokens.member });
  await api.call('DELETE', `/v1/users/${unknown}`, { token: 'sfr_of-nobody-at-all' });
  expect(await audited(`?subject=${unknown}`)).toMatchObject([
    { outcome: 'refused', status: 401, actor: null, tokenId: null },
    { outcome: 'refused', status: 403, actor: api.ownerId, role: 'member' },
    { outcome: 'failed', status: 404, role: 'operator' },
  ]);
  expect(await audited(`?subject=${unknown}&outcome=failed`)).toHaveLength(1);
});

test('who signs in by a link is named, though nobody was known when it was asked', async () => {
  const { json } = await api.call('POST', '/v1/tokens', { body: { kind: 'once' } });
  const swapped = await api.call('POST', '/v1/sessions', { token: null, body: { once: json['token'], as: 'token' } });
  const { tokenId } = (await api.call('GET', '/v1/me', { token: swapped.json['token'] as string })).json;
  expect(await audited(`?actor=${String(tokenId)}`)).toMatchObject([
    { route: '/v1/sessions', actor: api.ownerId, kind: 'bearer', outcome: 'done' },
  ]);
});

test('a flood of refusals does not fill the table', async () => {
  const { secret } = await createPrincipalStore(api.db).issue({
    ownerId: api.ownerId,
    kind: 'bearer',
    role: 'reader',
    name: 'many',
  });
  const before = (await audited('?outcome=refused&limit=200')).length;
  for (let i = 0; i < 30; i += 1) await api.call('POST', '/v1/users', { token: secret, body: {} });
  expect((await audited('?outcome=refused&limit=200')).length - before).toBe(10);
});

test('all writes are kept but these: questions, and calls and renewals that leave nothing behind', () => {
  const paths = api.app.swagger().paths as Record<string, Record<string, { description?: string }>>;
  const left = Object.entries(paths).flatMap(([url, methods]) =>
    Object.entries(methods)
      .filter(([, { description = '' }]) => description.includes('Not kept in the audit log.'))
      .map(([method]) => `${method.toUpperCase()} ${url}`),
  );
  expect(left.sort()).toEqual([
    'POST /openai/v1/chat/completions',
    'POST /openai/v1/embeddings',
    'POST /v1/fleet/simulate',
    'POST /v1/invites/preview',
    'POST /v1/licenses/{id}/check',
    'POST /v1/work/claim',
    'POST /v1/work/heartbeat',
  ]);
});

test('each installation reads its own', async () => {
  await invite('grace@harbour.example');
  expect(await audited('', api.stranger.token)).toEqual([]);
  const made = await api.call('POST', '/v1/tokens', { token: api.stranger.token, body: {} });
  expect(await audited('', api.stranger.token)).toMatchObject([
    { route: '/v1/tokens', subjects: [made.json['id']], actor: api.stranger.ownerId },
  ]);
  expect(await audited(`?actor=${api.stranger.ownerId}`)).toEqual([]);
});

test('nobody changes, deletes or empties it but retention, and that only what is old', async () => {
  await invite('mary@harbour.example');
  for (const statement of [
    sql`update audit_entries set status = 500 where phase = 'ended'`,
    sql`delete from audit_entries`,
    sql`truncate audit_entries`,
  ])
    await expect(statement.execute(api.db)).rejects.toThrow('audit_entries are append-only');
  const count = async () =>
    Number((await sql<{ n: number }>`select count(*) as n from audit_entries`.execute(api.db)).rows[0]!.n);
  const before = await count();
  await sql`insert into audit_entries (id, phase, at, owner_id, method, route)
    values (${newId('request')}, 'begun', now() - interval '800 days', ${api.ownerId}, 'POST', '/v1/users')`.execute(
    api.db,
  );
  await applyRetention(api.db);
  expect(await count()).toBe(before);
});

test('a write whose process dies stands there as begun, with who asked', async () => {
  const scope = await createTestScope();
  const db = createDatabase({ url: scope.databaseUrl, name: 'test audit', onIdleError: () => undefined });
  const processes = await createApiProcesses(scope, db);
  try {
    const dying = await processes.start();
    const made = await processes.call('POST', '/users', JSON.stringify({ address: 'ada@harbour.example' }));
    const { id } = (await made.json()) as { id: string };
    // The write waits for the row, and dies waiting.
    await db.transaction().execute(async (tx) => {
      await sql`select from users where id = ${id} for update`.execute(tx);
      const answer = processes.call('PATCH', `/users/${id}`, JSON.stringify({ role: 'creator' })).catch(() => 'died');
      for (;;) {
        const { rows } = await sql<{ n: number }>`select count(*)::int as n from audit_entries
          where phase = 'begun' and method = 'PATCH'`.execute(db);
        if (rows[0]!.n === 1) break;
        await sleep(20);
      }
      await dying.kill();
      expect(await answer).toBe('died');
    });
    expect(await listAudit(db, { ownerId: processes.ownerId, limit: 10, subject: id })).toMatchObject([
      { method: 'PATCH', actor: processes.ownerId, role: 'operator', outcome: 'unknown', status: null },
      { method: 'POST', outcome: 'done' },
    ]);
  } finally {
    processes.killAll();
    await db.destroy();
    await scope.close();
  }
}, 180_000);
