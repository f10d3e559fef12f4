import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { workWorkflowId } from '../../domain/ids.ts';
import { mostOpenWorks, mostWorkBytes } from '../../domain/work.ts';
import { createOverdueWorkflowStore } from '../../stores/overdue-workflows.ts';
import { answerWork } from '../../stores/work.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { runSoulfra } from '../support/command.ts';
import { until } from '../support/lab.ts';
import { addService, openWorkStage, type WorkStage } from '../support/work.ts';

let api: ApiFixture;
let stage: WorkStage;
let keys = 0;

beforeAll(async () => {
  api = await createApiFixture();
  stage = await openWorkStage(api);
});
afterAll(async () => {
  await stage?.close();
  await api?.close();
});

/** A service of its own for each test, so that none claims another's. */
async function service(name: string) {
  const token = await addService(api.db, api.ownerId, name);
  const queue = `external_${name.replaceAll('-', '_')}`;
  const post = (path: string, body: unknown) => api.call('POST', `/v1/work${path}`, { token, body });
  return {
    token,
    queue,
    post,
    submit: async (body: Record<string, unknown> = {}) => {
      const headers = { 'idempotency-key': `key-${(keys += 1)}` };
      const answer = await api.call('POST', '/v1/work', {
        token: api.tokens.member,
        body: { service: name, input: { n: keys }, ...body },
        headers,
      });
      expect(answer.status, answer.text).toBe(202);
      return answer.json['id'] as string;
    },
    /** Else the one that is offered first would be claimed first. */
    offered: (pieces: number) =>
      until('all are offered', async () => {
        const { rows } = await sql<{ n: number }>`select count(*) as n from works
          where queue = ${queue} and task_token is not null`.execute(api.db);
        return rows[0]!.n === pieces;
      }),
    claim: (waitSeconds = 30) => post('/claim', { queue, waitSeconds }),
  };
}

const show = async (id: string) => (await api.call('GET', `/v1/work/${id}`)).json;
const tokenOf = ({ json }: Answer) => json['token'] as string;
const ended = async (id: string) => {
  const handle = stage.client.workflow.getHandle(workWorkflowId(id));
  await until('its workflow has begun', () =>
    handle.describe().then(
      () => true,
      () => false,
    ),
  );
  return ((await handle.result()) as { state: string }).state;
};

test('work is claimed, kept by heartbeats and completed; the same result again is answered alike, another is refused', async () => {
  const scribe = await service('scribe');
  const waiting = scribe.claim(30);
  const id = await scribe.submit({ input: { audio: 'aud_1', nul: 'a\u0000b' } });
  const claim = await waiting;
  expect(claim.status, claim.text).toBe(200);
  expect(claim.json).toMatchObject({
    input: { audio: 'aud_1', nul: 'a\u0000b' },
    leaseSeconds: 60,
    workId: id,
    attempt: 1,
  });
  const token = tokenOf(claim);
  expect((await scribe.post('/heartbeat', { token })).json).toEqual({ leaseSeconds: 60 });
  expect(await show(id)).toMatchObject({ state: 'running', attempt: 1 });
  const done = await scribe.post('/complete', { token, result: { text: 'x', at: 1 } });
  expect(done.json).toEqual({ workId: id, attempt: 1, state: 'completed' });
  const again = await scribe.post('/complete', { token, result: { at: 1, text: 'x' } });
  expect([again.status, again.json]).toEqual([200, done.json]);
  const other = await scribe.post('/complete', { token, result: 'else' });
  expect([other.status, other.json['code']]).toEqual([409, 'CONFLICT']);
  const late = await scribe.post('/heartbeat', { token });
  expect([late.status, late.json['code']]).toEqual([409, 'WORK_LEASE_LOST']);
  expect(await ended(id)).toBe('completed');
  expect(await show(id)).toMatchObject({
    state: 'completed',
    result: { text: 'x', at: 1 },
    claims: [{ outcome: 'completed' }],
  });
  // Nothing of the token lies anywhere.
  const { rows } = await sql<{ text: string }>`select row_to_json(a)::text || row_to_json(w)::text as text
    from work_attempts a join works w on w.id = a.work_id`.execute(api.db);
  for (const { text } of rows) expect(text).not.toContain(token.slice(4));
});

test('an expired lease gives the work to another; the late result is refused, also while the other has it', async () => {
  const slow = await service('slow');
  // The second claim is not beaten either, and lasts for four calls.
  const id = await slow.submit({ leaseSeconds: 15 });
  const first = await slow.claim();
  const second = await slow.claim(30);
  expect(second.json).toMatchObject({ workId: id, attempt: 2 });
  for (const path of ['/heartbeat', '/complete', '/fail']) {
    const body = {
      token: tokenOf(first),
      ...(path === '/complete' ? { result: 1 } : path === '/fail' ? { reason: 'x' } : {}),
    };
    const late = await slow.post(path, body);
    expect([late.status, late.json['code']], path).toEqual([409, 'WORK_LEASE_LOST']);
  }
  expect((await slow.post('/complete', { token: tokenOf(second), result: 2 })).status).toBe(200);
  expect(await ended(id)).toBe('completed');
  expect(await show(id)).toMatchObject({ result: 2, claims: [{ outcome: 'lost' }, { outcome: 'completed' }] });
  expect(stage.lost).toContain('slow');
});

test('a lease that is lost for the last time fails the work, with its reason', async () => {
  const gone = await service('gone');
  const id = await gone.submit({ leaseSeconds: 5, attempts: 1 });
  expect((await gone.claim()).status).toBe(200);
  expect(await ended(id)).toBe('failed');
  expect((await show(id))['reason']).toBe('the lease of attempt 1 ran out, and it was the last one');
});

test('what fails comes again while it may; what would fail alike does not', async () => {
  const shaky = await service('shaky');
  const id = await shaky.submit({ attempts: 3 });
  for (const attempt of [1, 2]) {
    const claim = await shaky.claim(20);
    expect(claim.json).toMatchObject({ workId: id, attempt });
    const body = { token: tokenOf(claim), reason: `the disk was full ${attempt}` };
    const failed = await shaky.post('/fail', body);
    expect(failed.json).toEqual({ workId: id, attempt, state: 'queued' });
    // The answer was lost.
    expect((await shaky.post('/fail', body)).json).toEqual(failed.json);
  }
  const last = await shaky.claim(20);
  expect((await shaky.post('/fail', { token: tokenOf(last), reason: 'again' })).json['state']).toBe('failed');
  expect(await ended(id)).toBe('failed');
  expect(await show(id)).toMatchObject({ reason: 'again', attempt: 3 });
  const other = await shaky.submit();
  const claim = await shaky.claim();
  await shaky.post('/fail', { token: tokenOf(claim), reason: 'no such audio', retryable: false });
  expect(await ended(other)).toBe('failed');
  expect(await show(other)).toMatchObject({ reason: 'no such audio', attempt: 1 });
});

test('the most urgent comes first, then the oldest; of many who claim each work is one’s', async () => {
  const busy = await service('busy');
  const ids: string[] = [];
  for (const priority of [3, 5, 1, 3, 1]) ids.push(await busy.submit({ priority }));
  await busy.offered(5);
  const order: string[] = [];
  for (let i = 0; i < 5; i += 1) {
    const claim = await busy.claim();
    order.push(claim.json['workId'] as string);
    await busy.post('/complete', { token: tokenOf(claim), result: i });
  }
  expect(order).toEqual([2, 4, 0, 3, 1].map((i) => ids[i]));
  const more = await Promise.all(Array.from({ length: 12 }, () => busy.submit()));
  const got: Answer[] = [];
  await until(
    'all are claimed',
    async () => {
      const claims = await Promise.all(Array.from({ length: 20 }, () => busy.claim(2)));
      got.push(...claims.filter(({ status }) => status === 200));
      return got.length >= more.length;
    },
    40_000,
  );
  expect(got.map(({ json }) => json['workId'] as string).toSorted()).toEqual(more.toSorted());
  await Promise.all(got.map((one) => busy.post('/complete', { token: tokenOf(one), result: 0 })));
});

test('canceled work is taken from whoever has it; of cancel and complete at once one is done', async () => {
  const fickle = await service('fickle');
  const id = await fickle.submit();
  const claim = await fickle.claim();
  expect((await api.call('POST', `/v1/work/${id}/cancel`, { body: {} })).json).toMatchObject({ state: 'canceled' });
  const late = await fickle.post('/complete', { token: tokenOf(claim), result: 1 });
  expect([late.status, late.json['code']]).toEqual([409, 'WORK_LEASE_LOST']);
  expect(late.json['detail']).toContain('canceled by hand');
  expect(await ended(id)).toBe('canceled');
  for (let round = 0; round < 5; round += 1) {
    const one = await fickle.submit();
    const [has, canceled] = await Promise.all([
      fickle.claim(2),
      api.call('POST', `/v1/work/${one}/cancel`, { body: {} }),
    ]);
    expect(canceled.status).toBe(200);
    if (has.status === 200)
      expect((await fickle.post('/complete', { token: tokenOf(has), result: 1 })).status).toBe(409);
    const two = await fickle.submit();
    const held = await fickle.claim();
    const [done, stopped] = await Promise.all([
      fickle.post('/complete', { token: tokenOf(held), result: 1 }),
      api.call('POST', `/v1/work/${two}/cancel`, { body: {} }),
    ]);
    expect(new Set([done.status, stopped.status])).toEqual(new Set([200, 409]));
    expect(await ended(two)).toBe(done.status === 200 ? 'completed' : 'canceled');
  }
});

test('the deadline ends what nobody has done', async () => {
  const idle = await service('idle');
  const id = await idle.submit({ deadline: new Date(Date.now() + 2_000).toISOString() });
  expect(await ended(id)).toBe('expired');
  expect(await show(id)).toMatchObject({ state: 'expired', reason: 'its deadline came before it was done' });
  expect((await idle.claim(0)).status).toBe(204);
});

test('the deadline takes work from whoever has it, however it beats', async () => {
  const late = await service('late');
  const id = await late.submit({ deadline: new Date(Date.now() + 6_000).toISOString(), leaseSeconds: 60 });
  const claim = await late.claim();
  expect((await late.post('/heartbeat', { token: tokenOf(claim) })).status).toBe(200);
  const beats: Answer[] = [];
  await until('a heartbeat is refused', async () => {
    beats.push(await late.post('/heartbeat', { token: tokenOf(claim) }));
    return beats.at(-1)!.status !== 200;
  });
  expect([beats.at(-1)!.status, beats.at(-1)!.json['code']]).toEqual([409, 'WORK_LEASE_LOST']);
  expect(await ended(id)).toBe('expired');
  expect(await show(id)).toMatchObject({ state: 'expired', claims: [{ outcome: 'expired' }] });
});

test('any JSON is work and a result; what is nested too deep is refused', async () => {
  const odd = await service('odd');
  const json = '{"half":0.5,"big":1e20,"cut":"\\ud83d","zero":-0,"list":[1.25,{"b":1,"a":-1e-7}]}';
  const any = JSON.parse(json) as Record<string, unknown>;
  const id = await odd.submit({ input: any });
  const claim = await odd.claim();
  const said = { ...any, zero: 0 };
  expect(claim.json['input']).toEqual(said);
  const done = await odd.post('/complete', { token: tokenOf(claim), result: any });
  expect([done.status, done.json['state']]).toEqual([200, 'completed']);
  expect((await odd.post('/complete', { token: tokenOf(claim), result: any })).status).toBe(200);
  expect(await ended(id)).toBe('completed');
  expect((await show(id))['result']).toEqual(said);
  const deep = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`) as unknown;
  const send = (input: unknown, key: string, more = {}) =>
    api.call('POST', '/v1/work', { body: { service: 'odd', input, ...more }, headers: { 'idempotency-key': key } });
  expect((await send(deep(200), 'deep-200')).status).toBe(202);
  const refused = await send(deep(201), 'deep-201');
  expect([refused.status, refused.json['code']]).toEqual([400, 'INVALID_INPUT']);
  const raw = await api.app.inject({
    method: 'POST',
    url: '/v1/work',
    headers: {
      authorization: `Bearer ${api.tokens.member}`,
      'content-type': 'application/json',
      'idempotency-key': 'deepest',
    },
    payload: `{"service":"odd","input":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
  });
  expect(raw.statusCode).toBe(400);
  const past = await send(1, 'past', { deadline: new Date(Date.now() - 1_000).toISOString() });
  expect([past.status, past.json['code']]).toEqual([400, 'INVALID_INPUT']);
});

test('a service has so much open work and no more', async () => {
  const full = await service('full');
  const id = await full.submit();
  await sql`insert into works (id, owner_id, service_id, queue, joins, input, request_hash, priority, lease_seconds, attempts, deadline)
    select w.id || '_' || n, owner_id, service_id, 'external_nobody', 'native', input, request_hash, priority, lease_seconds,
      attempts, deadline from works w, generate_series(1, ${mostOpenWorks - 1}) n where w.id = ${id}`.execute(api.db);
  const more = () =>
    api.call('POST', '/v1/work', { body: { service: 'full', input: 1 }, headers: { 'idempotency-key': 'over' } });
  const refused = await more();
  expect([refused.status, refused.json['code']]).toEqual([429, 'RATE_LIMITED']);
  await sql`delete from works where queue = 'external_nobody'`.execute(api.db);
  expect((await more()).status).toBe(202);
});

test('what our worker offered is offered by the next one, and counts as no attempt; a claim outlives it', async () => {
  const moved = await service('moved');
  const [one, two] = [await moved.submit(), await moved.submit()];
  await moved.offered(2);
  const held = await moved.claim();
  await stage.restartQueues();
  const next = await moved.claim(30);
  expect([held.json['workId'], next.json['workId']]).toEqual([one, two]);
  expect(next.json['attempt']).toBe(1);
  expect((await moved.post('/heartbeat', { token: tokenOf(held) })).status).toBe(200);
  for (const claim of [held, next]) await moved.post('/complete', { token: tokenOf(claim), result: 1 });
  expect([await ended(one), await ended(two)]).toEqual(['completed', 'completed']);
});

test('an answer that Temporal never heard of ends the work at the end of the lease', async () => {
  const lost = await service('lost');
  const id = await lost.submit({ leaseSeconds: 5 });
  const claim = await lost.claim();
  // As if the API were killed between its commit and its word to Temporal.
  await api.db.transaction().execute((tx) => answerWork(tx, 'lost', tokenOf(claim), { kind: 'completed', result: 7 }));
  expect(await ended(id)).toBe('completed');
  expect(await show(id)).toMatchObject({ state: 'completed', result: 7, claims: [{ outcome: 'completed' }] });
});

test('work whose workflow was lost goes on with a new one', async () => {
  const orphan = await service('orphan');
  const id = await orphan.submit({ leaseSeconds: 5 });
  const offered = async () =>
    (await api.db.selectFrom('works').select('taskToken').where('id', '=', id).executeTakeFirstOrThrow()).taskToken;
  await until('it is offered', async () => (await offered()) !== null);
  await stage.client.workflow.getHandle(workWorkflowId(id)).terminate('as if Temporal had lost it');
  await until('the offer is taken back', async () => (await offered()) === null);
  await api.db
    .updateTable('works')
    .set({ createdAt: sql<Date>`now() - interval '1 hour'` })
    .where('id', '=', id)
    .execute();
  expect(await createOverdueWorkflowStore(api.db).resume()).toMatchObject({ works: 1 });
  const claim = await orphan.claim(30);
  expect(claim.json).toMatchObject({ workId: id, attempt: 1 });
  await orphan.post('/complete', { token: tokenOf(claim), result: 1 });
  expect(await ended(id)).toBe('completed');
});

test('a service claims from its own queue and sees its own work alone', async () => {
  const mine = await service('mine');
  const theirs = await service('theirs');
  const id = await theirs.submit();
  const elsewhere = await mine.post('/claim', { queue: theirs.queue, waitSeconds: 0 });
  expect([elsewhere.status, elsewhere.json['code']]).toEqual([403, 'FORBIDDEN']);
  expect((await api.call('GET', `/v1/work/${id}`, { token: mine.token })).status).toBe(404);
  expect((await api.call('GET', `/v1/work/${id}`, { token: theirs.token })).status).toBe(200);
  expect((await api.call('GET', '/v1/work', { token: theirs.token })).status).toBe(403);
  const claim = await theirs.claim();
  for (const path of ['/heartbeat', '/complete']) {
    const stolen = await mine.post(path, { token: tokenOf(claim), ...(path === '/complete' ? { result: 1 } : {}) });
    expect([stolen.status, stolen.json['code']], path).toEqual([409, 'WORK_LEASE_LOST']);
  }
  const person = await api.call('POST', '/v1/work/claim', { body: { queue: theirs.queue, waitSeconds: 0 } });
  expect([person.status, person.json['code']]).toEqual([403, 'FORBIDDEN']);
  // A service may give work to another, and see what came of it.
  const given = await api.call('POST', '/v1/work', {
    token: mine.token,
    body: { service: 'theirs', input: 1 },
    headers: { 'idempotency-key': 'given' },
  });
  expect(given.json).toMatchObject({ service: 'theirs', submittedBy: 'mine' });
  expect((await api.call('GET', `/v1/work/${given.json['id'] as string}`, { token: mine.token })).status).toBe(200);
  expect((await api.call('POST', `/v1/work/${id}/cancel`, { token: api.stranger.token, body: {} })).status).toBe(404);
});

test('the same key is the same work; other content, too much of it, and services that take none are refused', async () => {
  await addService(api.db, api.ownerId, 'mute', null);
  await service('once');
  const send = (body: object, key = 'one') =>
    api.call('POST', '/v1/work', { body, headers: { 'idempotency-key': key } });
  const answers = await Promise.all(Array.from({ length: 8 }, () => send({ service: 'once', input: 1 })));
  expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(202));
  expect(new Set(answers.map(({ json }) => json['id'])).size).toBe(1);
  expect((await send({ service: 'once', input: 2 })).status).toBe(409);
  expect((await send({ service: 'mute', input: 1 }, 'two')).json['code']).toBe('SERVICE_TAKES_NO_WORK');
  expect((await send({ service: 'nobody', input: 1 }, 'three')).status).toBe(404);
  expect((await send({ service: 'once' }, 'four')).json['code']).toBe('INVALID_INPUT');
  expect((await send({ service: 'once', input: 'x'.repeat(mostWorkBytes - 2) }, 'five')).status).toBe(202);
  const big = await send({ service: 'once', input: 'x'.repeat(mostWorkBytes - 1) }, 'six');
  expect([big.status, big.json['code']]).toEqual([400, 'INVALID_INPUT']);
  expect((await send({ service: 'once', input: 'x'.repeat(mostWorkBytes + 9000) }, 'seven')).status).toBe(413);
  const before = await api.rowCounts();
  const dry = await api.call('POST', '/v1/work?dryRun=true', {
    body: { service: 'once', input: 1 },
    headers: { 'idempotency-key': 'dry' },
  });
  expect(dry.json).toEqual({ dryRun: true, would: 'give once the work' });
  expect(await api.rowCounts()).toEqual(before);
});

test('work that waits while nobody takes any is told, until somebody does', async () => {
  const asleep = await service('asleep');
  await addService(api.db, api.ownerId, 'absent', 'native');
  const id = await asleep.submit();
  const headers = { 'idempotency-key': 'absent' };
  const absent = await api.call('POST', '/v1/work', { body: { service: 'absent', input: 1 }, headers });
  const open = async () => {
    await stage.tellUnclaimed();
    const { rows } = await sql<{ subject: string }>`select subject from notices
      where kind = 'work_unclaimed' and resolved_at is null order by 1`.execute(api.db);
    return rows.map(({ subject }) => subject);
  };
  await until('it is offered', async () => {
    const row = await api.db.selectFrom('works').select('offeredAt').where('id', '=', id).executeTakeFirstOrThrow();
    return row.offeredAt !== null;
  });
  expect(await open()).toEqual([]);
  const hourAgo = sql<Date>`now() - interval '1 hour'`;
  await api.db
    .updateTable('works')
    .set({ offeredAt: hourAgo, createdAt: hourAgo })
    .where('id', 'in', [id, absent.json['id'] as string])
    .execute();
  expect(await open()).toEqual(['absent', 'asleep']);
  const claim = await asleep.claim();
  expect(await open()).toEqual(['absent']);
  await asleep.post('/complete', { token: tokenOf(claim), result: 1 });
  await api.call('POST', `/v1/work/${absent.json['id'] as string}/cancel`, { body: {} });
  expect(await open()).toEqual([]);
});

test('the command submits, lists, shows and cancels', async () => {
  const typed = await service('typed');
  const cwd = mkdtempSync(join(tmpdir(), 'soulfra-work-'));
  writeFileSync(join(cwd, 'input.json'), '{"from":"file"}');
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  const soulfra = async (...args: string[]) => {
    const { code, out, err } = await runSoulfra(['work', ...args], {
      cwd,
      env: { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.member },
    });
    return { code, said: out + err };
  };
  const submitted = await soulfra('submit', 'typed', '@input.json', '--priority', '1', '--key', 'typed');
  expect(submitted, submitted.said).toMatchObject({ code: 0 });
  const id = /wrk_[\w-]+/.exec(submitted.said)![0];
  expect((await soulfra('submit', 'typed', '@input.json', '--priority', '1', '--key', 'typed')).said).toContain(id);
  expect((await soulfra('submit', 'typed', 'no json')).code).toBe(2);
  expect((await soulfra('list', '--service', 'typed')).said).toContain(id);
  const claim = await typed.claim();
  expect(claim.json['input']).toEqual({ from: 'file' });
  const shown = await soulfra('show', id);
  expect(shown.said).toContain('{"from":"file"}');
  expect(shown.said).toContain('under way');
  expect((await soulfra('cancel', id, '--dry-run')).said).toContain(`would cancel ${id}, which is running`);
  expect((await soulfra('cancel', id)).said).toContain('is canceled');
  expect((await soulfra('cancel', id)).code).toBe(1);
  rmSync(cwd, { recursive: true });
});
