import { parseFeed } from 'feedsmith';
import Parser from 'rss-parser';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ballotWorkflowId, dropWorkflowId } from '../../domain/ids.ts';
import { newId } from '../../stores/ids.ts';
import { createDeliveryStore } from '../../stores/deliveries.ts';
import { createPublishingStore } from '../../stores/publishing.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { applyFleet } from '../support/outbound.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  await applyFleet(api.db, api.ownerId, {});
});
afterAll(() => api?.close());

const rules = { lateAfter: 1e6, lateSpacing: 1, missedAfter: 1e7 };
const telegram = {
  kind: 'telegram',
  settings: { chatId: '-100' },
  secrets: { botToken: '123456:abcdefghijkl' },
};

async function channel(body: Record<string, unknown> = telegram): Promise<string> {
  const made = await api.call('POST', '/v1/channels', { body: { name: newId('channel'), ...body } });
  expect(made.status, made.text).toBe(201);
  return made.json['id'] as string;
}
async function draft(change: Record<string, unknown> = {}, headers: Record<string, string> = {}) {
  const body = { title: 'The tide', body: 'It turned.', channels: [await channel()], ...change };
  return api.call('POST', '/v1/drops', { body, headers, token: api.tokens.creator });
}
const stateOf = async (id: string) => (await api.call('GET', `/v1/drops/${id}`)).json['state'];

test('a channel begins in dry run, tells no secret, and goes on by operators alone, step by step', async () => {
  const id = await channel();
  const seen = await api.call('GET', `/v1/channels/${id}`);
  expect(seen.json).toMatchObject({
    stage: 'dry_run',
    settings: { server: 'https://api.telegram.org', chatId: '-100' },
  });
  const { rows } = { rows: await api.db.selectFrom('channels').selectAll().where('id', '=', id).execute() };
  for (const text of [seen.text, (await api.call('GET', '/v1/channels')).text, JSON.stringify(rows)])
    expect(text).not.toContain('abcdefghijkl');
  const stage = (wanted: string, token = api.tokens.operator) =>
    api.call('POST', `/v1/channels/${id}/stage`, { token, body: { stage: wanted } });
  expect((await stage('free')).json['code']).toBe('CONFLICT');
  expect((await stage('approval', api.tokens.creator)).status).toBe(403);
  expect((await stage('approval')).json['stage']).toBe('approval');
  expect((await stage('free')).json['stage']).toBe('free');
  expect((await stage('dry_run')).json['stage']).toBe('dry_run');
});

test('a webhook is given a secret that is shown once', async () => {
  const made = await api.call('POST', '/v1/channels', {
    body: { kind: 'webhook', name: 'program', settings: { url: 'https://shop.example/drops' } },
  });
  expect((made.json['secrets'] as { secret: string }).secret).toMatch(/^whsec_/);
  expect((await api.call('GET', `/v1/channels/${made.json['id'] as string}`)).json).not.toHaveProperty('secrets');
  expect((await api.call('POST', '/v1/channels', { body: { ...telegram, name: 'program' } })).json['code']).toBe(
    'CONFLICT',
  );
});

test('a drop links to its workflow once it is on its way, and a ballot from the first', async () => {
  const { json } = await draft();
  const id = json['id'] as string;
  expect(json['links']).toEqual({ temporal: null });
  const links = api.linksTo(dropWorkflowId(id));
  expect((await api.call('POST', `/v1/drops/${id}/publish`, { body: {} })).json['links']).toEqual(links);
  const listed = (await api.call('GET', '/v1/drops')).json['items'] as Array<Record<string, unknown>>;
  expect(listed.find((drop) => drop['id'] === id)).toMatchObject({ links });
  const ballot = await api.call('POST', '/v1/ballots', { body: { title: 'A second ferry' } });
  expect(ballot.status, ballot.text).toBe(201);
  expect(ballot.json['links']).toEqual(api.linksTo(ballotWorkflowId(ballot.json['id'] as string)));
});

test('a drop that was rejected before it was sent has no workflow to link to; one that was taken back later has', async () => {
  const { json: channel } = await api.call('POST', '/v1/channels', { body: { ...telegram, name: 'asks first' } });
  const asks = channel['id'] as string;
  await api.call('POST', `/v1/channels/${asks}/stage`, { body: { stage: 'approval' } });
  const drafted = async () => (await draft({ channels: [asks] })).json['id'] as string;
  const later = { body: { at: new Date(Date.now() + 3_600_000).toISOString() } };
  const rejected = await drafted();
  expect((await api.call('POST', `/v1/drops/${rejected}/publish`, later)).json).toMatchObject({
    state: 'awaiting_approval',
    links: { temporal: null },
  });
  expect((await api.call('POST', `/v1/drops/${rejected}/reject`, { body: {} })).json).toMatchObject({
    state: 'canceled',
    sentAt: null,
    links: { temporal: null },
  });
  const approved = await drafted();
  await api.call('POST', `/v1/drops/${approved}/publish`, later);
  await api.call('POST', `/v1/drops/${approved}/approve`, { body: {} });
  expect((await api.call('DELETE', `/v1/drops/${approved}`)).json).toMatchObject({
    state: 'canceled',
    links: api.linksTo(dropWorkflowId(approved)),
  });
});

test('the same Idempotency-Key drafts once; other content under it is refused', async () => {
  const to = [await channel()];
  const key = { 'idempotency-key': 'tide-1' };
  const first = await draft({ channels: to }, key);
  expect(first.status, first.text).toBe(201);
  const second = await draft({ channels: to }, key);
  expect(second.json['id']).toBe(first.json['id']);
  expect(second.headers['idempotent-replayed']).toBe('true');
  expect((await draft({ channels: to, title: 'Other' }, key)).json['code']).toBe('CONFLICT');
});

test('drafted, published at a time, changed under its version, taken back', async () => {
  const made = await draft();
  const at = `/v1/drops/${made.json['id'] as string}`;
  const future = new Date(Date.now() + 3_600_000).toISOString();
  expect((await api.call('POST', `${at}/publish`, { body: { at: future } })).json).toMatchObject({
    state: 'scheduled',
    publishAt: future,
  });
  expect((await api.call('POST', `${at}/publish`, { body: {} })).json['code']).toBe('CONFLICT');
  const change = (version: string) =>
    api.call('PATCH', at, { body: { title: 'Later' }, headers: { 'if-match': version } });
  expect((await change('"7"')).json['code']).toBe('PRECONDITION_FAILED');
  const changed = await change('"1"');
  expect(changed.json).toMatchObject({ title: 'Later', version: 2 });
  expect(changed.headers['etag']).toBe('"2"');
  expect((await api.call('DELETE', at)).json['state']).toBe('canceled');
  expect((await api.call('DELETE', at)).json['code']).toBe('CONFLICT');
  expect((await change('"2"')).json['code']).toBe('CONFLICT');
});

test('a channel that asks: the drop waits in the inbox, and one word is enough', async () => {
  const asks = await channel();
  await api.call('POST', `/v1/channels/${asks}/stage`, { body: { stage: 'approval' } });
  const id = (await draft({ channels: [asks] })).json['id'] as string;
  await api.call('POST', `/v1/drops/${id}/publish`, { body: {} });
  expect(await stateOf(id)).toBe('awaiting_approval');
  const inbox = await api.call('GET', '/v1/inbox');
  expect(inbox.json.items).toContainEqual(expect.objectContaining({ kind: 'drop_waiting', subject: id }));
  expect((await api.call('POST', `/v1/drops/${id}/approve`, { token: api.tokens.creator })).status).toBe(403);
  expect((await api.call('POST', `/v1/drops/${id}/reject`, { body: { reason: 'too loud' } })).json).toMatchObject({
    state: 'canceled',
    reason: expect.stringContaining('too loud') as unknown,
  });
  expect((await api.call('POST', `/v1/drops/${id}/approve`)).json['code']).toBe('CONFLICT');
});

test('stop-all is told by whoever asks, and ended by an operator', async () => {
  await channel();
  expect((await api.call('GET', '/v1/drops/stop')).json).toMatchObject({ stopped: false });
  const stopped = await api.call('POST', '/v1/drops/stop-all', {
    token: api.tokens.member,
    body: { reason: 'odd posts' },
  });
  expect(stopped.json).toMatchObject({ stopped: true, reason: 'odd posts' });
  expect((await api.call('POST', '/v1/drops/resume-all', { token: api.tokens.creator })).status).toBe(403);
  expect((await api.call('POST', '/v1/drops/resume-all?dryRun=true')).json['dryRun']).toBe(true);
  expect((await api.call('GET', '/v1/drops/stop')).json).toMatchObject({ stopped: true });
  expect((await api.call('POST', '/v1/drops/resume-all')).json).toMatchObject({ stopped: false });
});

test('nothing of another owner is shown, changed or posted to', async () => {
  const { token } = api.stranger;
  const [theirs, id] = [await channel(), (await draft()).json['id'] as string];
  for (const [method, url, body] of [
    ['GET', `/v1/channels/${theirs}`],
    ['DELETE', `/v1/channels/${theirs}`],
    ['POST', `/v1/channels/${theirs}/stage`, { stage: 'approval' }],
    ['POST', `/v1/channels/${theirs}/secrets`, { secrets: telegram.secrets }],
    ['GET', `/v1/drops/${id}`],
    ['DELETE', `/v1/drops/${id}`],
    ['POST', `/v1/drops/${id}/publish`, {}],
    ['POST', `/v1/drops/${id}/approve`],
    ['POST', '/v1/drops', { body: 'Mine.', channels: [theirs] }],
  ] as const) {
    const answer = await api.call(method, url, { token, ...(body === undefined ? {} : { body }) });
    expect({ method, url, status: answer.status }).toEqual({ method, url, status: 404 });
  }
  for (const url of ['/v1/channels', '/v1/drops', '/v1/deliveries'])
    expect((await api.call('GET', url, { token })).json.items).toEqual([]);
  expect(await stateOf(id)).toBe('draft');
});

test('a feed is read by everybody, by two parsers, with stable ids and 304', async () => {
  const feed = await keptChannel(api.db, api.ownerId, {
    kind: 'feed',
    settings: { title: 'Harbour', siteUrl: 'https://harbour.example' },
  });
  const read = (format: string, headers = {}) =>
    api.call('GET', `/v1/feeds/${feed}/${format}`, { token: null, headers });
  expect((await read('atom')).status).toBe(200);
  const deliveries = createDeliveryStore(api.db);
  const ids: string[] = [];
  for (const body of ['First.', 'Second: a\u0001b & <c>.']) {
    const id = await publishedDrop(api.db, api.ownerId, { channels: [feed], title: 'A drop', body });
    const turn = await createPublishingStore(api.db).beginPublishing(id);
    const deliveryId = (turn as { deliveries: Array<{ deliveryId: string }> }).deliveries[0]!.deliveryId;
    ids.unshift(deliveryId);
    const begun = await deliveries.begin(deliveryId, body.replace('\u0001', ''), rules);
    expect(begun).toMatchObject({ kind: 'begun' });
    await deliveries.end(deliveryId, 1, { outcome: 'published', reason: '' });
  }
  for (const format of ['atom', 'rss', 'json']) {
    const answer = await read(format);
    expect(answer.headers['cache-control']).toBe('public, max-age=60');
    expect(parseFeed(answer.text).format).toBe(format);
    for (const id of ids) expect(answer.text).toContain(`urn:uuid:${id.slice(4)}`);
    if (format !== 'json') {
      const { items } = await new Parser().parseString(answer.text);
      expect(items.map(({ title }) => title)).toEqual(['A drop', 'A drop']);
    }
    const etag = String(answer.headers['etag']);
    expect((await read(format, { 'if-none-match': `"other", W/${etag}` })).status).toBe(304);
    expect((await read(format, { 'if-none-match': '"other"' })).text).toBe(answer.text);
  }
});
