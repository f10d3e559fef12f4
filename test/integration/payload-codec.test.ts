import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection, type WorkflowFailedError } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { msToTs } from '@temporalio/common/lib/time.js';
import proto from '@temporalio/proto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createServer } from '../../api/server.ts';
import type { Api } from '../../api/types.ts';
import { createPayloads, payloadKeyId, type PayloadSettings } from '../../config/payload-codec.ts';
import { messageWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { announcedPayloadKeys } from '../../integrations/payload-keys.ts';
import { newId } from '../../stores/ids.ts';
import type { AnswerMessageInput } from '../../workflows/answer-message.ts';
import { type ApiFixture, createApiFixture, payloadDeps } from '../support/api.ts';
import { openLab, until } from '../support/lab.ts';
import { type ScopeWorker, startScopeWorker } from '../support/machine-worker.ts';
import { smallFleet } from '../support/small-fleet.ts';

/** One namespace in the order of its life: in the clear, then encoded, then under the next key, then off again. */

const keyOf = (byte: number) => Buffer.alloc(32, byte).toString('base64url');
const [first, second] = [keyOf(1), keyOf(2)];
/** In what an agent is told and asked; nowhere else. */
const marker = 'Wrenfield';
const ui = 'http://temporal.example';

let api: ApiFixture;
/** Sees what Temporal keeps. */
let bare: Client;
let connection: Connection;
let worker: ScopeWorker | undefined;
const apps: Api[] = [];

beforeAll(async () => {
  api = await createApiFixture();
  connection = await Connection.connect({ address: api.scope.temporalAddress });
  bare = new Client({ connection, namespace: api.scope.namespace });
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } })).status).toBe(200);
  for (const text of [`The lamp of ${marker} went out again.`, `Nobody in ${marker} saw who lit it.`])
    await api.call('POST', '/v1/agents/vesper-001/memories', { body: { text } });
  // Open from before any key was in use.
  await bare.workflow.start('waiting', { workflowId: 'waiting', taskQueue: 'nobody', args: [] });
}, 60_000);
afterEach(() => stopWorker());
afterAll(async () => {
  await Promise.all(apps.map((app) => app.close()));
  await connection?.close();
  await api?.close();
}, 60_000);

async function stopWorker(): Promise<void> {
  const running = worker;
  worker = undefined;
  await running?.stop();
}
async function startWorker(payloads: PayloadSettings): Promise<ScopeWorker> {
  worker = await startScopeWorker(api.scope, 'big', { payloads });
  return worker;
}

/** An API with these keys over the same rows and the same Temporal. */
async function apiWith(settings: PayloadSettings) {
  const deps = payloadDeps(api.scope, connection, settings);
  const app = await createServer({ ...api.deps, ...deps });
  await app.ready();
  apps.push(app);
  const call = async (method: 'GET' | 'POST' | 'DELETE' | 'OPTIONS', url: string, more: CallOptions = {}) => {
    const response = await app.inject({
      method,
      url,
      headers: {
        ...(more.token === null ? {} : { authorization: `Bearer ${more.token ?? api.tokens.operator}` }),
        ...(more.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...more.headers,
      },
      ...(more.body === undefined ? {} : { payload: JSON.stringify(more.body) }),
    });
    return {
      status: response.statusCode,
      headers: response.headers,
      json: (response.body === '' ? {} : response.json()) as Record<string, unknown>,
    };
  };
  return { call, client: deps.temporal };
}
interface CallOptions {
  token?: string | null;
  body?: unknown;
  headers?: Record<string, string>;
}
type OwnApi = Awaited<ReturnType<typeof apiWith>>;

/** Asks vesper-001 something, as the API would, and without its wait for the answer: it comes only once a worker runs. */
async function ask({ client }: OwnApi, text: string): Promise<string> {
  const [messageId, conversationId] = [newId('message'), newId('conversation')];
  const { ownerId } = api;
  const about = { agentId: 'vesper-001', conversationId, author: 'test' };
  const input: AnswerMessageInput = { ...about, messageId, ownerId, authorId: ownerId, text, contentHash: messageId };
  await client.workflow.start('answerMessage', {
    workflowId: messageWorkflowId(messageId),
    taskQueue: coordinationQueue,
    workflowTaskTimeout: '2 seconds',
    args: [input],
    memo: { ...about, ownerId, content: messageId },
  });
  return messageId;
}
async function answered(through: OwnApi, id: string): Promise<void> {
  await until(
    `${id} is answered`,
    async () => (await through.call('GET', `/v1/messages/${id}`)).json['state'] === 'answered',
    90_000,
  );
}

/** Everything Temporal keeps of a workflow: its history and how it is described, bytes of payloads as text. */
async function keptOf(workflowId: string): Promise<string> {
  const { namespace } = bare.options;
  const history = await bare.workflowService.getWorkflowExecutionHistory({ namespace, execution: { workflowId } });
  const described = await bare.workflowService.describeWorkflowExecution({ namespace, execution: { workflowId } });
  const asText = (name: string, value: unknown) =>
    typeof value === 'string' && bytesFields.has(name) ? Buffer.from(value, 'base64').toString('latin1') : value;
  return `${JSON.stringify(history, asText)}\n${JSON.stringify(described, asText)}`;
}
/** Of payloads; protobuf's JSON has them as base64. */
const bytesFields = new Set(['data', 'encoding', 'encryption-key-id']);

const off: PayloadSettings = { keys: [], encodes: false };
const on: PayloadSettings = { keys: [first], encodes: true };
const rotated: PayloadSettings = { keys: [second, first], encodes: true };

test('what was asked in the clear is answered by workers that encode; from then on Temporal keeps nothing that can be read', async () => {
  const before = await apiWith(off);
  const clear = await ask(before, `Who lights the lamp of ${marker}?`);
  // Without this the rest would show nothing: a message is in what its workflow is given.
  expect(await keptOf(messageWorkflowId(clear))).toContain(marker);

  const encoding = await apiWith(on);
  const encoded = await ask(encoding, `And who puts out the lamp of ${marker}?`);
  expect(await announcedPayloadKeys(connection, api.scope.namespace)).toMatchObject([{ id: payloadKeyId(first) }]);
  await startWorker(on);
  await Promise.all([answered(encoding, clear), answered(encoding, encoded)]);
  const kept = await keptOf(messageWorkflowId(encoded));
  expect(kept).toContain('binary/encrypted');
  expect(kept).not.toContain(marker);
  // What the API asks Temporal itself: memo and result.
  const { memo } = await encoding.client.workflow.getHandle(messageWorkflowId(encoded)).describe();
  expect(memo).toMatchObject({ ownerId: api.ownerId });
}, 180_000);

test('words of failures are encoded, too, and who has the key reads them', async () => {
  const encoding = await apiWith(on);
  await startWorker(on);
  const workflowId = `answer:${randomUUID()}`;
  const input: AnswerMessageInput = {
    messageId: 'msg_00000000-0000-7000-8000-000000000000',
    ownerId: api.ownerId,
    agentId: `nobody-of-${marker}`,
    conversationId: 'cnv_00000000-0000-7000-8000-000000000000',
    authorId: api.ownerId,
    author: 'test',
    text: 'Is anybody there?',
    contentHash: '0'.repeat(64),
  };
  const handle = await encoding.client.workflow.start('answerMessage', {
    workflowId,
    taskQueue: coordinationQueue,
    args: [input],
  });
  const failed = await handle.result().then(
    () => undefined,
    (err: WorkflowFailedError) => err.cause,
  );
  expect(failed?.message).toContain(`nobody-of-${marker}`);
  const kept = await keptOf(workflowId);
  expect(kept).toContain('Encoded failure');
  expect(kept).not.toContain(marker);
  expect(kept).not.toContain('answer-message.ts');
}, 120_000);

test('a worker without the key takes nothing, and what waits is answered once one has it', async () => {
  const encoding = await apiWith(on);
  const waiting = await ask(encoding, 'Is it dark?');
  for (const payloads of [off, { keys: [second], encodes: true }])
    await expect(startScopeWorker(api.scope, 'big', { payloads })).rejects.toMatchObject({
      code: 'PAYLOAD_KEY_MISSING',
      fields: [{ path: 'SOULFRA_PAYLOAD_KEYS', rule: expect.stringContaining(payloadKeyId(first)) }],
    });
  const { namespace } = bare.options;
  const { history } = await bare.workflowService.getWorkflowExecutionHistory({
    namespace,
    execution: { workflowId: messageWorkflowId(waiting) },
  });
  expect(history?.events?.some((event) => event.workflowTaskFailedEventAttributes)).toBe(false);
  await startWorker(on);
  await answered(encoding, waiting);
}, 180_000);

test('so does its process: it ends, and its log names the key', async () => {
  const logs = mkdtempSync(join(tmpdir(), 'soulfra-codec-'));
  const lab = await openLab(api.scope, { logs });
  try {
    const lacking = lab.startWorker('small', { SOULFRA_METRICS: 'off' });
    await until('it has ended', async () => !lacking.alive, 60_000);
    await until('its log is written', async () => {
      const text = readFileSync(join(logs, 'worker-small.log'), 'utf8');
      return text.includes('worker ends') && text.includes(payloadKeyId(first));
    });
  } finally {
    await lab.close();
    rmSync(logs, { recursive: true, force: true });
  }
}, 120_000);

test('a worker that meets a key which came later ends, and the work is taken up under the next ring', async () => {
  const running = await startWorker(on);
  const ended = running.failed.catch((err: unknown) => err);
  const next = await apiWith(rotated);
  const asked = await ask(next, `What burns in ${marker} at night?`);
  expect(await ended).toMatchObject({ code: 'PAYLOAD_KEY_MISSING' });
  await stopWorker();
  await startWorker(rotated);
  await answered(next, asked);
  expect(await keptOf(messageWorkflowId(asked))).not.toContain(marker);
  const { json } = await next.call('GET', '/v1/codec/keys');
  const times = { since: expect.any(String) as string, used: expect.any(String) as string };
  expect(json).toEqual({
    encodes: true,
    keys: [
      { id: payloadKeyId(second), ...times, held: true, encodes: true },
      { id: payloadKeyId(first), ...times, held: true, encodes: false },
    ],
  });
}, 180_000);

test('off again, what comes is in the clear and what was encoded is read', async () => {
  const reading = await apiWith({ ...rotated, encodes: false });
  const waiting = await ask(await apiWith(rotated), 'Is it light?');
  await startWorker({ ...rotated, encodes: false });
  const clear = await ask(reading, `Is ${marker} far?`);
  await Promise.all([answered(reading, waiting), answered(reading, clear)]);
  expect(await keptOf(messageWorkflowId(clear))).toContain(marker);
}, 180_000);

/** As Temporal's UI sends what it shows. */
const wire = (text: string) => ({
  metadata: { encoding: Buffer.from('json/plain').toString('base64') },
  data: Buffer.from(JSON.stringify(text)).toString('base64'),
});

test('Temporal’s UI has payloads decoded by whoever runs the installation, from its own origin, and it is written down', async () => {
  const { call } = await apiWith(rotated);
  const decode = '/v1/codec/decode?preserveStorageRefs=true';
  const encoded = await call('POST', '/v1/codec/encode', { body: { payloads: [wire('lamp')] } });
  const { payloads } = encoded.json as { payloads: object[] };
  expect(JSON.stringify(payloads)).not.toContain(wire('lamp').data);
  const decoded = await call('POST', decode, { body: { payloads: [...payloads, wire('clear')] } });
  expect(decoded.json).toEqual({ payloads: [wire('lamp'), wire('clear')] });

  const link = await call('POST', '/v1/tokens', { body: { kind: 'once' } });
  const session = await call('POST', '/v1/sessions', { token: null, body: { once: link.json['token'], as: 'cookie' } });
  const cookie = String(session.headers['set-cookie']).split(';')[0]!;
  const asPage = (origin: string) =>
    call('POST', decode, { token: null, body: { payloads }, headers: { origin, cookie } });
  const shown = await asPage(ui);
  expect({ status: shown.status, json: shown.json }).toEqual({ status: 200, json: { payloads: [wire('lamp')] } });
  expect(shown.headers).toMatchObject({
    'access-control-allow-origin': ui,
    'access-control-allow-credentials': 'true',
    vary: 'Origin',
  });
  const elsewhere = await asPage('http://temporal.example:8080');
  expect(elsewhere.status).toBe(403);
  expect(elsewhere.headers['access-control-allow-origin']).toBeUndefined();
  // No other route takes the UI's page for one of ours.
  const other = await call('POST', '/v1/tokens', {
    token: null,
    body: { role: 'reader', name: 'x' },
    headers: { origin: ui, cookie },
  });
  expect(other.status).toBe(403);

  const preflight = (origin: string) => call('OPTIONS', '/v1/codec/decode', { token: null, headers: { origin } });
  const asked = await preflight(ui);
  expect({ status: asked.status, headers: asked.headers['access-control-allow-headers'] }).toEqual({
    status: 204,
    headers: 'authorization, content-type, x-namespace',
  });
  expect((await preflight('http://elsewhere.example')).headers['access-control-allow-origin']).toBeUndefined();

  for (const token of [api.tokens.creator, api.stranger.token])
    expect((await call('POST', decode, { token, body: { payloads } })).status).toBe(403);
  // A try answers nothing that was sealed.
  const dry = await call('POST', '/v1/codec/decode?dryRun=true', { body: { payloads } });
  expect(dry.json).toEqual({ dryRun: true, would: 'decode 1 payloads' });
  const { json } = await call('GET', '/v1/audit?limit=100');
  const rows = (json['items'] as Array<{ route: string; outcome: string }>).filter(({ route }) =>
    route.startsWith('/v1/codec/'),
  );
  expect(rows.filter(({ route, outcome }) => route.endsWith('decode') && outcome === 'done')).toHaveLength(2);
  expect(rows.filter(({ outcome }) => outcome === 'refused').length).toBeGreaterThan(0);
});

test('a payload that cannot be read says why in its place, and the rest of the page is read', async () => {
  const { call } = await apiWith(rotated);
  const other = await apiWith({ keys: [first], encodes: false });
  const encoded = await call('POST', '/v1/codec/encode', { body: { payloads: [wire('lamp')] } });
  const payloads = encoded.json['payloads'] as object[];
  const byFirst = await (await apiWith(on)).call('POST', '/v1/codec/encode', { body: { payloads: [wire('wick')] } });
  const [wick] = byFirst.json['payloads'] as Array<{ data: string }>;
  const damaged = { ...wick!, data: wick!.data.replace(/^..../, 'AAAA') };
  const page = [wire('clear'), ...payloads, wick, damaged];
  const shown = await other.call('POST', '/v1/codec/decode', { body: { payloads: page } });
  expect(shown.status).toBe(200);
  const answers = shown.json['payloads'] as Array<{ metadata: Record<string, string>; data: string }>;
  const textOf = (text: string | undefined) => Buffer.from(text ?? '', 'base64').toString();
  expect(answers.map(({ data }) => JSON.parse(textOf(data)) as string)).toEqual([
    'clear',
    expect.stringMatching(`cannot be read here: .*lacks the key ${payloadKeyId(second)}.*behind the first`),
    'wick',
    expect.stringContaining('damaged'),
  ]);
  const codes = answers.map(({ metadata }) => textOf(metadata['soulfra-unreadable']));
  expect(codes).toEqual(['', 'PAYLOAD_KEY_MISSING', '', 'INVALID_INPUT']);
});

test('a key is retired by hand: not while it encodes, nor while an open workflow or a Schedule has something under it', async () => {
  const { call } = await apiWith(rotated);
  const at = (key: string, query = '') => `/v1/codec/keys/${payloadKeyId(key)}${query}`;
  expect((await call('DELETE', at(second))).json).toMatchObject({ code: 'CONFLICT' });
  expect((await call('DELETE', at(keyOf(7)))).status).toBe(404);
  expect((await call('DELETE', at(first), { token: api.stranger.token })).status).toBe(403);
  const refusal = async () => (await call('DELETE', at(first))).json['detail'];
  expect(await refusal()).toMatch(/a process encoded by \w+ at .*, within the hour/);
  // As a month after the rotation: what is looked at then is what is open.
  const { namespace } = bare.options;
  const monthAgo = new Date(Date.now() - 30 * 86_400_000).toISOString();
  const data = { [`soulfra.payload-key.${payloadKeyId(first)}`]: `${monthAgo} ${monthAgo}` };
  await bare.workflowService.updateNamespace({ namespace, updateInfo: { data } });

  // Begun by a machine that was forgotten, long after the other key came into use.
  const { client: late } = await apiWith({ keys: [first, second], encodes: true });
  const workflow = await late.workflow.start('waiting', { workflowId: 'late', taskQueue: 'nobody', args: ['lamp'] });
  const schedule = await late.schedule.create({
    scheduleId: 'lamps',
    spec: { calendars: [] },
    action: { type: 'startWorkflow', workflowType: 'waiting', taskQueue: 'nobody', args: ['lamp'] },
  });
  await bare.workflowService.updateNamespace({ namespace, updateInfo: { data } });
  await until('both are found', async () => {
    const told = String(await refusal());
    return told.includes('workflow late') && told.includes('Schedule lamps');
  });
  await workflow.terminate();
  await schedule.delete();
  // No history has what an activity under way has said of how far it is, and its next try is given it.
  const { workflowId } = await bare.workflow.start('waiting', { workflowId: 'beating', taskQueue: 'by-hand' });
  const taskQueue = { name: 'by-hand' };
  const { workflowService } = bare;
  const { codec } = createPayloads({ keys: [first], encodes: true });
  const payloads = await codec.encode([defaultPayloadConverter.toPayload('half way')]);
  await connection.withDeadline(Date.now() + 60_000, async () => {
    const { taskToken } = await workflowService.pollWorkflowTaskQueue({ namespace, taskQueue });
    const scheduleActivityTaskCommandAttributes = {
      activityId: '1',
      activityType: { name: 'beat' },
      taskQueue,
      startToCloseTimeout: msToTs('10 minutes'),
    };
    const commandType = proto.temporal.api.enums.v1.CommandType.COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK;
    await workflowService.respondWorkflowTaskCompleted({
      namespace,
      taskToken,
      commands: [{ commandType, scheduleActivityTaskCommandAttributes }],
    });
    const activity = await workflowService.pollActivityTaskQueue({ namespace, taskQueue });
    await workflowService.recordActivityTaskHeartbeat({
      namespace,
      taskToken: activity.taskToken,
      details: { payloads },
    });
  });
  await until('it is found', async () => String(await refusal()).includes(`workflow ${workflowId}`));
  await bare.workflow.getHandle(workflowId).terminate();
  // What a Schedule of the fleet began meanwhile may be open: no worker runs now.
  await until('neither is', async () => {
    const { status, json } = await call('DELETE', at(first, '?dryRun=true'));
    return (status === 200 || status === 409) && !/workflow (?:late|beating)|Schedule lamps/.test(JSON.stringify(json));
  });
  expect((await call('DELETE', at(second, '?anyway=true'))).json).toMatchObject({ code: 'CONFLICT' });
  expect((await call('DELETE', at(first, '?anyway=true'))).status).toBe(204);
  expect(await announcedPayloadKeys(connection, api.scope.namespace)).toMatchObject([{ id: payloadKeyId(second) }]);
});
