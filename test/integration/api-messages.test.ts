import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createServer } from '../../api/server.ts';
import type { Api } from '../../api/types.ts';
import { messageWorkflowId } from '../../domain/ids.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { type ScopeWorker, startScopeWorker } from '../support/machine-worker.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
let server: ModelServer;
let url: string;
let names: Record<string, string>;
const workers: ScopeWorker[] = [];
/** Said before any worker runs. */
let early: { id: string; conversationId: string };

const messages = '/v1/agents/vesper-001/messages';
const streamed = { accept: 'text/event-stream' };

beforeAll(async () => {
  api = await createApiFixture();
  server = await startModelServer({ slots: 8, tokensPerSecond: 200, models: ['llama8b_q4'], flushMs: 20 });
  const source = smallFleet.replaceAll('kind: ollama', `kind: openai, url: "${server.url}"`);
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source } })).status).toBe(200);
  const agents = await api.db.selectFrom('agents').select(['id', 'name']).execute();
  names = Object.fromEntries(agents.map(({ id, name }) => [id, name]));
  for (const agentId of ['vesper-001', 'vesper-002', 'rook-001'])
    for (const text of [
      'Three boats came home at dusk.',
      'The weir was repaired in spring.',
      'It rained on Ash Street.',
    ])
      await api.call('POST', `/v1/agents/${agentId}/memories`, { body: { text } });
  await api.app.listen({ port: 0, host: '127.0.0.1' });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker.stop()));
  await server?.close();
  await api?.close();
}, 60_000);
afterEach(async () => {
  await server.setFault(null);
  server.setTokens({});
});

interface Told {
  id?: string;
  event: string;
  data: Record<string, unknown>;
}
function eventsOf(text: string): Told[] {
  return text.split('\n\n').flatMap((block) => {
    const data = /^data: (.*)$/m.exec(block)?.[1];
    const id = /^id: (.*)$/m.exec(block)?.[1];
    const event = /^event: (.*)$/m.exec(block)?.[1];
    return data === undefined || event === undefined
      ? []
      : [{ event, data: JSON.parse(data) as Told['data'], ...(id === undefined ? {} : { id }) }];
  });
}
const textOf = (events: readonly Told[]) =>
  events.flatMap(({ event, data }) => (event === 'token' ? [data['text']] : [])).join('');

/** Reads a stream over a real socket until it ends or `enough`. */
async function read(
  path: string,
  init: RequestInit,
  enough: (events: Told[]) => boolean = () => false,
): Promise<Told[]> {
  const stop = new AbortController();
  const headers = {
    authorization: `Bearer ${api.tokens.member}`,
    ...streamed,
    ...(init.headers as Record<string, string>),
  };
  const response = await fetch(`${url}${path}`, { ...init, headers, signal: stop.signal });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  let text = '';
  const decoder = new TextDecoder();
  for await (const bytes of response.body!) {
    text += decoder.decode(bytes, { stream: true });
    if (enough(eventsOf(text.slice(0, text.lastIndexOf('\n\n') + 2)))) break;
  }
  stop.abort();
  return eventsOf(text);
}
const say = (text: string, headers: Record<string, string> = {}): RequestInit => ({
  method: 'POST',
  body: JSON.stringify({ text }),
  headers: { 'content-type': 'application/json', ...headers },
});
async function kept(messageId: string) {
  return api.db
    .selectFrom('memories')
    .select(['kind', 'text'])
    .where('externalKey', 'like', `message:${messageId}:%`)
    .orderBy('seq')
    .execute();
}

test('without a worker a message is promised, not written; the same key says it once', async () => {
  const before = await api.rowCounts();
  const headers = { 'idempotency-key': 'early' };
  const dry = await api.call('POST', `${messages}?dryRun=true`, { body: { text: 'Early?' }, headers });
  expect(dry.json).toEqual({ dryRun: true, would: 'ask vesper-001' });
  const [first, again] = await Promise.all(
    [0, 1].map(() => api.call('POST', messages, { body: { text: 'Early?' }, headers, token: api.tokens.member })),
  );
  expect([first!.status, again!.status]).toEqual([202, 202]);
  expect(first!.json).toMatchObject({ state: 'received', agentId: 'vesper-001', author: 'test' });
  expect(again!.json['id']).toBe(first!.json['id']);
  early = first!.json as unknown as typeof early;
  expect(first!.headers['location']).toBe(`/v1/messages/${early.id}`);
  expect(first!.json['links']).toEqual(api.linksTo(messageWorkflowId(early.id)));
  const other = await api.call('POST', messages, { body: { text: 'Late?' }, headers });
  expect({ status: other.status, code: other.json['code'] }).toEqual({ status: 409, code: 'CONFLICT' });
  expect(await api.rowCounts()).toEqual(before);
}, 60_000);

test('once machines work it is answered, with the memories it rests on', async () => {
  for (const machineId of ['big', 'small']) {
    workers.push(await startScopeWorker(api.scope, machineId));
  }
  let answer: Answer;
  await until('it is answered', async () => {
    answer = await api.call('GET', `/v1/messages/${early.id}`, { token: api.tokens.reader });
    return answer.json['state'] === 'answered';
  });
  expect(answer!.json).toMatchObject({
    text: 'Early?',
    source: 'model',
    conversationId: early.conversationId,
    degraded: false,
  });
  expect(answer!.json['citations']).toMatchObject([{ alias: 'm1', memoryId: expect.stringMatching(/^mem_/) }]);
  expect((await kept(early.id)).map(({ kind }) => kind)).toEqual(['conversation', 'reply']);
});

test('asked without a stream the answer comes at once, and the same key brings the same answer', async () => {
  server.setTokens({ [names['vesper-001']!]: 40 });
  const headers = { 'idempotency-key': 'whole' };
  const body = { text: 'How many boats came?', author: 'Ada' };
  const first = await api.call('POST', messages, { body, headers });
  expect({ status: first.status, state: first.json['state'] }, first.text).toEqual({ status: 200, state: 'answered' });
  expect(first.json).toMatchObject({
    author: 'Ada',
    attempt: 1,
    promptVersion: 'talk/2',
    machineId: expect.any(String),
  });
  const { requests } = server.stats();
  const again = await api.call('POST', messages, { body, headers });
  expect(again.json).toEqual(first.json);
  expect(server.stats().requests).toBe(requests);
  // Also once Temporal has forgotten it.
  const other = await api.call('POST', messages, { body: { text: 'How many?', author: 'Ada' }, headers });
  expect(other.json['code']).toBe('CONFLICT');
});

test('streams the answer as it is written; what was streamed is the answer', async () => {
  server.setTokens({ [names['vesper-001']!]: 60 });
  const told = eventsOf((await api.call('POST', messages, { body: { text: 'Stream it.' }, headers: streamed })).text);
  expect(told[0]).toMatchObject({ event: 'queued', data: { agentId: 'vesper-001' } });
  expect(told.filter(({ event }) => event === 'token').length).toBeGreaterThan(2);
  const last = told.at(-1)!;
  expect(last).toMatchObject({ event: 'answer', data: { state: 'answered' } });
  expect(last.data['links']).toEqual(api.linksTo(messageWorkflowId(last.data['id'] as string)));
  expect(textOf(told)).toBe(last.data['answer']);
  // A later reader finds the same again.
  const late = await read(`/v1/messages/${last.data['id'] as string}/events`, {});
  expect(textOf(late)).toBe(textOf(told));
  expect(late.at(-1)).toEqual(last);
});

test('a reader that goes away cancels nothing, and goes on where it was', async () => {
  server.setTokens({ [names['vesper-001']!]: 240 });
  const first = await read(
    messages,
    say('A long one.'),
    (events) => events.filter(({ event }) => event === 'token').length >= 3,
  );
  const id = first[0]!.data['id'] as string;
  const heard = first.filter(({ event }) => event === 'token');
  const rest = await read(`/v1/messages/${id}/events`, { headers: { 'last-event-id': heard.at(-1)!.id! } });
  const last = rest.at(-1)!;
  expect(last.event).toBe('answer');
  expect(textOf(heard) + textOf(rest)).toBe(last.data['answer']);
  expect(rest.some(({ event }) => event === 'restart')).toBe(false);
});

test('Redis flushed in the middle takes text under way and nothing else', async () => {
  server.setTokens({ [names['vesper-001']!]: 240 });
  let flushed: Promise<unknown> | undefined;
  const told = await read(messages, say('Flush.'), (events) => {
    if (events.length >= 4) flushed ??= api.deps.redis!.flushall();
    return false;
  });
  await flushed;
  const last = told.at(-1)!;
  expect(last).toMatchObject({ event: 'answer', data: { state: 'answered' } });
  expect((await kept(last.data['id'] as string)).length).toBe(2);
});

test('without Redis the answer comes whole', async () => {
  const app: Api = await createServer({ ...api.deps, redis: undefined });
  server.setTokens({ [names['vesper-001']!]: 40 });
  const response = await app.inject({
    method: 'POST',
    url: messages,
    headers: { authorization: `Bearer ${api.tokens.member}`, ...streamed },
    payload: { text: 'Whole.' },
  });
  expect(eventsOf(response.body).map(({ event }) => event)).toEqual(['queued', 'answer']);
  await app.close();
});

test('what a person says may whisper: the answer names the whisper, or why there is none', async () => {
  server.setTokens({ [names['vesper-002']!]: 20 });
  const path = '/v1/agents/vesper-002/messages';
  const asked = (text: string, more: Record<string, unknown>, headers: Record<string, string> = {}) =>
    api.call('POST', path, { body: { text, ...more }, headers, token: api.tokens.member });
  expect((await asked('Only said.', {})).json).toMatchObject({ state: 'answered', whisper: null });
  const dry = await api.call('POST', `${path}?dryRun=true`, { body: { text: 'A.', whisper: true } });
  expect(dry.json).toEqual({ dryRun: true, would: 'ask vesper-002, and whisper for a child of it' });
  const key = { 'idempotency-key': 'whispers' };
  const words = 'Somebody who keeps the bees.';
  const first = await asked(words, { whisper: true }, key);
  expect(first.json).toMatchObject({ state: 'answered', whisper: { id: expect.stringMatching(/^whi_/) } });
  const { id } = first.json['whisper'] as { id: string };
  const whisper = await api.call('GET', `/v1/whispers/${id}`);
  expect(whisper.json).toMatchObject({ source: 'reply', parentId: 'vesper-002', text: words });
  const again = await asked(words, { whisper: true }, key);
  expect(again.json).toMatchObject({ id: first.json['id'], whisper: { id } });
  expect((await asked(words, {}, key)).json['code']).toBe('CONFLICT');
  // A lineage of one may have one child in a week.
  const told = eventsOf((await asked('And another.', { whisper: true }, streamed)).text).at(-1)!;
  expect(told).toMatchObject({
    event: 'answer',
    data: { state: 'answered', whisper: { state: 'refused', code: 'GROWING_TOO_FAST', agentId: null } },
  });
  const list = await api.call('GET', '/v1/whispers?parentId=vesper-002');
  expect(list.json.items).toHaveLength(2);
});

test('what the model refuses ends the stream as failed, with the reason', async () => {
  await server.setFault({ kind: 'status', status: 400, message: 'too long for me', times: 1 });
  const told = eventsOf((await api.call('POST', messages, { body: { text: 'Refuse.' }, headers: streamed })).text);
  expect(told.at(-1)).toMatchObject({
    event: 'failed',
    data: { state: 'failed', reason: 'model server answered 400: 400 too long for me', answer: '' },
  });
});

test('a server that breaks off in the middle: the stream says restart, and the next attempt is the answer', async () => {
  server.setTokens({ [names['vesper-002']!]: 120 });
  await server.setFault({ kind: 'cut', afterTokens: 40, times: 1 });
  const path = '/v1/agents/vesper-002/messages';
  const told = eventsOf((await api.call('POST', path, { body: { text: 'Break.' }, headers: streamed })).text);
  const restart = told.findIndex(({ event }) => event === 'restart');
  expect(restart).toBeGreaterThan(1);
  const last = told.at(-1)!;
  expect(last.event).toBe('answer');
  expect(textOf(told.slice(restart))).toBe(last.data['answer']);
  expect((await kept(last.data['id'] as string)).length).toBe(2);
});

test('an open message is canceled once, and its reader is told', async () => {
  server.setTokens({ [names['vesper-001']!]: 500 });
  const reading = read(messages, say('Cancel me.'));
  let id = '';
  await until('it is being answered', async () => {
    const list = await api.call('GET', `${messages}?limit=1`);
    id = list.json.items[0]!['id'] as string;
    return list.json.items[0]!['text'] === 'Cancel me.' && list.json.items[0]!['state'] === 'answering';
  });
  const dry = await api.call('POST', `/v1/messages/${id}/cancel?dryRun=true`);
  expect(dry.json).toEqual({ dryRun: true, would: `cancel ${id}, which is answering` });
  const canceled = await api.call('POST', `/v1/messages/${id}/cancel`, { token: api.tokens.member });
  expect({ status: canceled.status, state: canceled.json['state'] }).toEqual({ status: 202, state: 'canceled' });
  expect((await reading).at(-1)).toMatchObject({
    event: 'failed',
    data: { state: 'canceled', reason: 'canceled by hand' },
  });
  expect(await kept(id)).toEqual([]);
  expect((await api.call('POST', `/v1/messages/${id}/cancel`)).json['code']).toBe('CONFLICT');
});

test('lists what was said, the last first, page by page and by conversation', async () => {
  const path = '/v1/agents/rook-001/messages';
  server.setTokens({ [names['rook-001']!]: 20 });
  const said: string[] = [];
  let conversationId: string | undefined;
  for (const text of ['One.', 'Two.', 'Three.']) {
    const { json } = await api.call('POST', path, { body: { text, ...(conversationId ? { conversationId } : {}) } });
    conversationId ??= json['conversationId'] as string;
    said.unshift(json['id'] as string);
  }
  const first = await api.call('GET', `${path}?limit=2`, { token: api.tokens.reader });
  const second = await api.call('GET', `${path}?limit=2&cursor=${first.json['nextCursor'] as string}`);
  expect([...first.json.items, ...second.json.items].map(({ id }) => id)).toEqual(said);
  expect(second.json['nextCursor']).toBeNull();
  const others = await api.call('GET', `${path}?conversationId=${early.conversationId}`);
  expect(others.json.items).toEqual([]);
  expect((await api.call('GET', path, { token: api.stranger.token })).json['code']).toBe('NOT_FOUND');
  for (const [method, at] of [
    ['GET', ''],
    ['GET', '/events'],
    ['POST', '/cancel'],
  ] as const) {
    const answer = await api.call(method, `/v1/messages/${said[0]}${at}`, { token: api.stranger.token });
    expect({ at, status: answer.status }).toEqual({ at, status: 404 });
  }
});

test('a token reads only so many answers at once', async () => {
  server.setTokens({ [names['vesper-001']!]: 500 });
  const stop = new AbortController();
  const { json } = await api.call('POST', '/v1/tokens', { body: { role: 'member', name: 'many' } });
  const open = async () => {
    const headers = {
      authorization: `Bearer ${json['token'] as string}`,
      'content-type': 'application/json',
      ...streamed,
    };
    const body = JSON.stringify({ text: 'Many.' });
    return (await fetch(`${url}${messages}`, { method: 'POST', headers, body, signal: stop.signal })).status;
  };
  expect(await Promise.all(Array.from({ length: 16 }, open))).toEqual(Array.from({ length: 16 }, () => 200));
  expect(await open()).toBe(429);
  stop.abort();
  await until('the streams are gone', async () =>
    (await api.call('GET', '/metrics')).text.includes('soulfra_api_answer_streams{part="api"} 0'),
  );
});

test('a retired agent is not asked; a body that is none is refused', async () => {
  await api.db
    .updateTable('agents')
    .set({ state: 'retired', retiredBy: 'operator' })
    .where('id', '=', 'vesper-003')
    .execute();
  const refused = await api.call('POST', '/v1/agents/vesper-003/messages', { body: { text: 'Hello?' } });
  expect({ status: refused.status, code: refused.json['code'] }).toEqual({ status: 409, code: 'AGENT_RETIRED' });
});
