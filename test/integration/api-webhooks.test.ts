import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { secretAbout } from '../../api/routes/source-secrets.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

const sources = `sources:
  - { id: door, kind: webhook, agents: [vesper], importance: 4, charactersPerItem: 60, eventsPerMinute: 600 }
  - { id: tickets, kind: webhook, agents: all, pointers: { text: /issue/body, title: /issue/title, url: /issue/url } }
  - { id: slow, kind: webhook, agents: all, eventsPerMinute: 3 }
  - { id: news, kind: feed, url: https://harbour.example/feed, agents: all }
`;
let api: ApiFixture;
const secrets: Record<string, { id: string; secret: string }> = {};
let sent = 0;

beforeAll(async () => {
  api = await createApiFixture();
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet + sources } })).status).toBe(200);
  for (const id of ['door', 'tickets', 'slow']) {
    const { status, json } = await api.call('POST', `/v1/sources/${id}/secrets`);
    expect(status).toBe(201);
    secrets[id] = json as unknown as { id: string; secret: string };
  }
});
afterAll(() => api?.close());
beforeEach(async () => {
  await sql`truncate source_items, intents`.execute(api.db);
});

interface Event {
  source?: string;
  secret?: string;
  id?: string;
  at?: Date;
  body?: unknown;
  raw?: string | Buffer;
  headers?: Record<string, string>;
  query?: string;
}
/** As a sender with the official library sends it. */
function send({ source = 'door', id = `msg_${(sent += 1)}`, at = new Date(), ...event }: Event) {
  const raw = event.raw ?? JSON.stringify(event.body ?? { text: 'Somebody knocked.' });
  const secret = event.secret ?? secrets[source]!.secret;
  return api.call('POST', `/v1/sources/${source}/events${event.query ?? ''}`, {
    token: null,
    raw,
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, at, raw.toString()),
      ...event.headers,
    },
  });
}
const stored = () => api.db.selectFrom('sourceItems').selectAll().orderBy('id').execute();

test('an event is stored with the wish to deliver it, in one step', async () => {
  const body = {
    text: 'Somebody\u202e knocked\u200b.',
    title: 'Door',
    occurredAt: '2026-01-01T10:00:00+02:00',
    importance: 9,
    url: 'https://door.example/1',
  };
  const { status, json } = await send({ id: 'msg_a', body });
  expect({ status, json }).toEqual({ status: 202, json: { id: 'msg_a', known: false } });
  const [item, ...more] = await stored();
  expect(more).toEqual([]);
  expect(item).toMatchObject({
    sourceId: 'door',
    title: 'Door',
    text: 'Door\n\nSomebody knocked.',
    importance: 9,
    url: 'https://door.example/1',
    deliveredAt: null,
  });
  expect(item!.occurredAt.toISOString()).toBe('2026-01-01T08:00:00.000Z');
  const intents = await api.db.selectFrom('intents').select(['type', 'args']).execute();
  expect(intents).toEqual([{ type: 'pollSource', args: [{ sourceId: 'door', polled: { outcome: 'received' } }] }]);
});

test('sent again, also a hundred times at once, it is one event', async () => {
  const answers = await Promise.all(Array.from({ length: 40 }, () => send({ id: 'msg_same' })));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([...Array(39).fill(200), 202]);
  const again = await send({ id: 'msg_same', body: { text: 'Something else.' } });
  expect({ status: again.status, json: again.json }).toEqual({ status: 200, json: { id: 'msg_same', known: true } });
  expect(await stored()).toHaveLength(1);
  expect(await api.db.selectFrom('intents').select('workflowId').execute()).toHaveLength(1);
});

test('the same words under another id are another event', async () => {
  await send({});
  await send({});
  expect(await stored()).toHaveLength(2);
});

test('a dry run checks everything and writes nothing', async () => {
  const { status, json } = await send({ query: '?dryRun=true' });
  expect({ status, json }).toEqual({
    status: 200,
    json: { dryRun: true, would: 'give the event to the agents of door' },
  });
  expect(await stored()).toEqual([]);
});

test('a sender’s own shape is read where the pointers point', async () => {
  const issue = { title: 'x'.repeat(400), body: 'The lamp is broken.', url: 'https://t.example/1', labels: ['a'] };
  expect((await send({ source: 'tickets', body: { action: 'opened', issue } })).status).toBe(202);
  const [item] = await stored();
  expect(item).toMatchObject({ url: 'https://t.example/1', text: expect.stringContaining('The lamp is broken.') });
  const none = await send({ source: 'tickets', body: { issue: { title: 'only' } } });
  expect({ status: none.status, errors: none.json['errors'] }).toEqual({
    status: 400,
    errors: [expect.objectContaining({ path: 'issue.body', rule: 'must hold a text, number or boolean' })],
  });
});

describe('who is not known to be the sender learns nothing:', () => {
  const old = () => new Date(Date.now() - 301_000);
  const future = () => new Date(Date.now() + 302_000);
  test.each<[string, () => Event]>([
    ['another secret', () => ({ secret: `whsec_${Buffer.alloc(32, 9).toString('base64')}` })],
    ['the secret of another source', () => ({ secret: secrets['tickets']!.secret })],
    ['too old', () => ({ at: old() })],
    ['of the future', () => ({ at: future() })],
    ['a time that is none', () => ({ headers: { 'webhook-timestamp': `${Math.floor(Date.now() / 1000)}abc` } })],
    ['no signature', () => ({ headers: { 'webhook-signature': '' } })],
    ['a signature of another body', () => ({ headers: { 'webhook-signature': 'v1,AAAA' } })],
    ['another id than was signed', () => ({ headers: { 'webhook-id': 'msg_other' } })],
    ['an id of blanks', () => ({ id: 'a b' })],
    ['an id without end', () => ({ id: 'x'.repeat(300) })],
    ['a source that is none', () => ({ source: 'nowhere', secret: secrets['door']!.secret })],
    ['a source that takes no events', () => ({ source: 'news', secret: secrets['door']!.secret })],
  ])('%s', async (_name, event) => {
    const answer = await send(event());
    expect({ status: answer.status, code: answer.json['code'], detail: answer.json['detail'] }).toEqual({
      status: 401,
      code: 'UNAUTHENTICATED',
      detail: 'the signature does not fit',
    });
    expect(await stored()).toEqual([]);
  });
});

describe('a sender who is known is told what is wrong:', () => {
  test.each<[string, Event, number, string]>([
    ['no JSON', { raw: '{"text": ' }, 400, 'MALFORMED_BODY'],
    ['nothing', { raw: '' }, 400, 'MALFORMED_BODY'],
    ['no text', { body: { title: 'a' } }, 400, 'INVALID_INPUT'],
    ['an unknown field', { body: { text: 'a', agentId: 'rook-001' } }, 400, 'INVALID_INPUT'],
    ['importance over 10', { body: { text: 'a', importance: 11 } }, 400, 'INVALID_INPUT'],
    ['a time that is none', { body: { text: 'a', occurredAt: 'today' } }, 400, 'INVALID_INPUT'],
    ['an address that is none', { body: { text: 'a', url: 'javascript:alert(1)' } }, 400, 'INVALID_INPUT'],
    ['a text of nothing that is seen', { body: { text: '\u200b\u200b' } }, 400, 'INVALID_INPUT'],
    ['brackets without end', { raw: '['.repeat(60_000) }, 400, 'MALFORMED_BODY'],
    ['too much', { body: { text: 'x'.repeat(70_000) } }, 413, 'BODY_TOO_LARGE'],
    ['another content type', { headers: { 'content-type': 'text/plain' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ])('%s', async (_name, event, status, code) => {
    const answer = await send(event);
    expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status, code });
    expect(await stored()).toEqual([]);
  });

  test('more than the source takes in a minute; who is not the sender does not count', async () => {
    for (let i = 0; i < 4; i += 1) await send({ source: 'slow', secret: secrets['door']!.secret });
    for (let i = 0; i < 3; i += 1) expect((await send({ source: 'slow' })).status).toBe(202);
    const answer = await send({ source: 'slow' });
    expect({ status: answer.status, code: answer.json['code'] }).toEqual({ status: 429, code: 'RATE_LIMITED' });
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  });
});

describe('secrets', () => {
  test('are shown once, sealed in the database, and two may be live', async () => {
    const second = await api.call('POST', '/v1/sources/door/secrets');
    expect(second.status).toBe(201);
    const third = await api.call('POST', '/v1/sources/door/secrets');
    expect({ status: third.status, code: third.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
    const listed = await api.call('GET', '/v1/sources/door/secrets');
    expect(listed.json.items.map(({ id }) => id)).toEqual([second.json['id'], secrets['door']!.id]);
    expect(listed.text).not.toContain('whsec_');
    const { rows } = await sql<{ row: string }>`select s::text as row from source_secrets s`.execute(api.db);
    const bytes = Buffer.from(secrets['door']!.secret.slice(6), 'base64');
    for (const { row } of rows) {
      expect(row).not.toContain(secrets['door']!.secret.slice(6, 20));
      expect(row).not.toContain(bytes.toString('hex').slice(0, 16));
    }

    const fresh = (second.json as unknown as { secret: string }).secret;
    expect((await send({ secret: fresh })).status).toBe(202);
    expect((await send({})).status).toBe(202);
    const path = `/v1/sources/door/secrets/${secrets['door']!.id}`;
    expect((await api.call('DELETE', `${path}?dryRun=true`)).json).toMatchObject({ dryRun: true });
    expect((await send({})).status).toBe(202);
    expect((await api.call('DELETE', path)).status).toBe(204);
    expect((await api.call('DELETE', path)).status).toBe(204);
    expect((await send({})).status).toBe(401);
    expect((await send({ secret: fresh })).status).toBe(202);
    const used = await api.call('GET', '/v1/sources/door/secrets');
    expect(used.json.items).toMatchObject([{ revokedAt: null }, { revokedAt: expect.any(String) }]);
    expect(used.json.items[0]!['lastUsedAt']).not.toBeNull();
    secrets['door'] = second.json as unknown as { id: string; secret: string };
  });

  test('two who make a second one at once make one', async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => api.call('POST', '/v1/sources/tickets/secrets')));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  });

  test('under another key open nothing, which a person is told; and none is made without a key', async () => {
    const box = createSecretBox(Buffer.alloc(32, 8));
    const other = await createApiFixture({ secretBox: box });
    const none = await createApiFixture({ secretBox: undefined });
    try {
      for (const each of [other, none]) {
        await each.call('POST', '/v1/fleet/apply', { body: { source: smallFleet + sources } });
        // As after a restore of the database alone.
        const [row] = await api.db
          .selectFrom('sourceSecrets')
          .selectAll()
          .where('revokedAt', 'is', null)
          .where('sourceId', '=', 'door')
          .execute();
        await each.db
          .insertInto('sourceSecrets')
          .values({ ...row!, ownerId: each.ownerId })
          .execute();
        expect((await sendTo(each)).status).toBe(401);
        expect((await sendTo(each)).status).toBe(401);
        expect(await openNotices(each)).toEqual([
          {
            kind: 'source_secret_unreadable',
            subject: 'door',
            action: `soulfra sources secret revoke door ${row!.id}`,
            detail: expect.stringMatching(each === none ? /KEY is not set/ : /KEY is another than/),
            seen: 1,
          },
        ]);
      }
      // The right key again: the first event that it opens settles it. Without one, revoking does.
      const { id, secret } = secrets['door']!;
      await other.db
        .updateTable('sourceSecrets')
        .set({ sealed: box.seal(secret, secretAbout(id)) })
        .execute();
      expect((await sendTo(other)).status).toBe(202);
      expect(await openNotices(other)).toEqual([]);
      expect((await none.call('DELETE', `/v1/sources/door/secrets/${id}`)).status).toBe(204);
      expect(await openNotices(none)).toEqual([]);
      const refused = await none.call('POST', '/v1/sources/door/secrets');
      expect({ status: refused.status, code: refused.json['code'] }).toEqual({ status: 503, code: 'UNAVAILABLE' });
    } finally {
      await other.close();
      await none.close();
    }
  });
});

function sendTo(fixture: ApiFixture) {
  const raw = JSON.stringify({ text: 'a' });
  const at = new Date();
  return fixture.call('POST', '/v1/sources/door/events', {
    token: null,
    raw,
    headers: {
      'content-type': 'application/json',
      'webhook-id': 'msg_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secrets['door']!.secret).sign('msg_1', at, raw),
    },
  });
}
const openNotices = ({ db }: ApiFixture) =>
  db
    .selectFrom('notices')
    .select(['kind', 'subject', 'action', 'detail', 'seen'])
    .where('resolvedAt', 'is', null)
    .where('kind', '=', 'source_secret_unreadable')
    .execute();

test('a webhook is listed as such and cannot be polled', async () => {
  await send({});
  const { json } = await api.call('GET', '/v1/sources/door');
  expect(json).toMatchObject({
    kind: 'webhook',
    state: 'ok',
    from: '/v1/sources/door/events',
    every: null,
    nextPollAt: null,
    pending: 1,
  });
  const poll = await api.call('POST', '/v1/sources/door/poll');
  expect({ status: poll.status, code: poll.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
});
