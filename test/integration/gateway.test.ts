import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type IncomingHttpHeaders, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createServer } from '../../api/server.ts';
import { loadGateway } from '../../bench/support/gateway-load.ts';
import { chatAsked, chatRequestSchema } from '../../domain/openai-requests.ts';
import { createEmbedders } from '../../integrations/embeddings/embedders.ts';
import { createApiMetrics } from '../../observability/api-metrics.ts';
import { createGatewayRequestStore } from '../../stores/gateway-requests.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { type ScopeWorker, startScopeWorker } from '../support/machine-worker.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { lacks } from '../support/not-run.ts';
import { examples, examplesPython } from '../support/python.ts';
import { smallFleet } from '../support/small-fleet.ts';

const python = await examplesPython();
const noPython = lacks(
  {
    test: 'the Python example of the gateway',
    needs: 'python3 with venv, and the packages of examples/python/requirements.txt',
    command: 'apt-get install python3 python3-venv',
  },
  python !== undefined,
);

/** The official client against the shipped API and worker; only the model server is a double. */
let api: ApiFixture;
let baseURL: string;
let server: ModelServer;
let worker: ScopeWorker;
let memoryApi: OpenAI;
const embedders = createEmbedders({ apiKey: undefined });
const said = 'Seven birds sat on the weir at dusk, and none of them was afraid.';

beforeAll(async () => {
  api = await createApiFixture({ embedderOf: embedders.of });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  baseURL = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}/openai/v1`;
  server = await startModelServer({
    slots: 4,
    tokensPerSecond: 200,
    models: ['llama8b_q4'],
    contextTokens: 2048,
    replies: ({ messages }) => ({ text: said, tokens: messages.at(-1)!.content.includes('slowly') ? 1500 : 20 }),
  });
  const source = `${smallFleet.replace('kind: ollama, sequences: 4', `kind: vllm, url: "${server.url}", sequences: 4`)}
gateway: { aliases: { gpt-4o-mini: llama8b_q4, text-embedding-3-small: embeddings }, openPerService: 6, openMiB: 8, waitFor: 20s }
budgets: { services: { thrifty: 30, vectors: 5 } }
limits: { requestsPerMinute: 100000 }
`
    // The other machine has no model server, and keeps no model.
    .replace('{ name: RTX 3060, class: 12g, vramGiB: 12 }', '')
    .replace('    modelServer: { kind: ollama, sequences: 2 }\n', '');
  const applied = await api.call('POST', '/v1/fleet/apply', { body: { source } });
  expect(applied.status, applied.text).toBe(200);
  worker = await startScopeWorker(api.scope, 'big');
  memoryApi = await clientOf('memory-api');
  await until('the model can be asked for', async () => {
    const { data } = await memoryApi.models.list();
    return data.some(({ id }) => id === 'llama8b_q4');
  });
});
afterAll(async () => {
  await worker?.stop();
  await server?.close();
  await api?.close();
  await embedders.close();
}, 60_000);
afterEach(() => server.setFault(null));

/** A service with a token of its own. */
async function clientOf(service: string): Promise<OpenAI> {
  const spec = JSON.stringify({ id: service, kind: 'process', source: 'startup.yaml:1' });
  await api.db.insertInto('services').values({ id: service, ownerId: api.ownerId, spec }).execute();
  const { secret } = await createPrincipalStore(api.db).issueForService(service, {
    ownerId: api.ownerId,
    name: service,
  });
  return new OpenAI({ baseURL, apiKey: secret, maxRetries: 0 });
}
const ask = (content: string) => ({ model: 'llama8b_q4', messages: [{ role: 'user' as const, content }] });

async function refusalOf(asked: Promise<unknown>): Promise<APIError> {
  const err = await asked.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(err).toBeInstanceOf(APIError);
  return err as APIError;
}
async function textOf(stream: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  return text;
}
/** A request that has said how long its body is, and sends it only where it is told what of. */
function beginBody(bytes: number, of?: string) {
  const request = httpRequest(`${baseURL}/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${memoryApi.apiKey}`,
      'content-type': 'application/json',
      'content-length': bytes,
    },
  });
  let headers: IncomingHttpHeaders = {};
  const answered = new Promise<string>((resolve) => {
    request.on('response', (response) => {
      headers = response.headers;
      response.resume();
      resolve(String(response.statusCode));
      request.destroy();
    });
    request.on('error', () => resolve('gone'));
  });
  if (of === undefined) request.flushHeaders();
  else request.end(of.repeat(bytes));
  return { answered, headers: () => headers, end: () => request.destroy() };
}
async function rows(): Promise<number> {
  const { total } = await api.db
    .selectFrom('gatewayRequests')
    .select((eb) => eb.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow();
  return Number(total);
}

describe('chat completions', () => {
  test('answer by the model’s own name and by an alias, with all that was asked handed on', async () => {
    const tools = [{ type: 'function' as const, function: { name: 'count_birds', parameters: { type: 'object' } } }];
    const answer = await memoryApi.chat.completions.create({
      ...ask('How many birds?'),
      model: 'gpt-4o-mini',
      temperature: 0.2,
      stop: ['END'],
      seed: 7,
      max_completion_tokens: 50,
      tools,
      response_format: { type: 'json_object' },
    });
    expect(answer).toMatchObject({
      object: 'chat.completion',
      model: 'llama8b_q4',
      choices: [{ index: 0, message: { role: 'assistant', content: said }, finish_reason: 'stop' }],
      usage: { completion_tokens: 20 },
    });
    expect(answer.id).toMatch(/^chatcmpl-/);
    expect(answer.usage!.total_tokens).toBe(answer.usage!.prompt_tokens + 20);
    expect(server.lastBody()!.raw).toMatchObject({
      model: 'llama8b_q4',
      temperature: 0.2,
      stop: ['END'],
      seed: 7,
      max_tokens: 50,
      tools,
      response_format: { type: 'json_object' },
    });
    expect(await rows()).toBe(0);
  });

  test('stream as they are written, with usage where it is asked for', async () => {
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    const stream = await memoryApi.chat.completions.create({
      ...ask('Tell me.'),
      max_tokens: 10,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(said.startsWith(text) && text.length > 10).toBe(true);
    expect(chunks[0]!.choices[0]!.delta.role).toBe('assistant');
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe('length');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 10 } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    const plain = await memoryApi.chat.completions.create({ ...ask('Tell me more.'), stream: true });
    expect(await textOf(plain)).toBe(said);
  });

  test('any text is asked, also what Postgres would not keep as jsonb', async () => {
    const answer = await memoryApi.chat.completions.create(ask('nul \u0000 and half a pair \ud83d'));
    expect(answer.choices[0]!.message.content).toBe(said);
  });

  test('a request whose row is gone ends', async () => {
    const asked = refusalOf(memoryApi.chat.completions.create({ ...ask('slowly'), max_tokens: 1500 }));
    await until('it is open', async () => (await rows()) === 1);
    // Not while it is being started.
    await until('it is being answered', async () => server.stats().running > 0);
    await api.db.deleteFrom('gatewayRequests').execute();
    expect(await asked).toMatchObject({ status: 503 });
    await until('nobody writes any more', async () => server.stats().running === 0, 30_000);
  });

  test('come whole where Redis is away', async () => {
    const second = await createApiFixtureWithoutRedis();
    const client = new OpenAI({ baseURL: second.url, apiKey: api.tokens.member, maxRetries: 0 });
    const stream = await client.chat.completions.create({ ...ask('Tell me.'), stream: true });
    expect(await textOf(stream)).toBe(said);
    await second.close();
  });

  test.each([
    ['one that is misspelt', 'llama8b_q5', 'Did you mean llama8b_q4?'],
    ['one of elsewhere', 'gpt-9', 'gpt-4o-mini, llama8b_q4'],
  ])('an unknown model, %s, is refused with those there are', async (_name, model, hint) => {
    const err = await refusalOf(memoryApi.chat.completions.create({ ...ask('x'), model }));
    expect(err).toBeInstanceOf(NotFoundError);
    expect(err).toMatchObject({ code: 'model_not_found', param: 'model', type: 'invalid_request_error' });
    expect(err.message).toContain(hint);
  });

  test.each([
    ['n', { n: 2 }],
    ['functions', { functions: [] }],
    ['audio', { audio: { voice: 'x', format: 'mp3' } }],
    ['stream_options', { stream_options: { include_usage: true } }],
  ])('%s is refused by its name', async (param, more) => {
    const err = await refusalOf(
      memoryApi.chat.completions.create({ ...ask('x'), ...more } as unknown as OpenAI.ChatCompletionCreateParams),
    );
    expect(err).toMatchObject({ status: 400, param, code: 'unsupported_parameter' });
  });

  test('what is too long is refused, whether seen here or by the model server', async () => {
    for (const content of ['word '.repeat(3_000), 'antidisestablishmentarianism'.repeat(400)]) {
      const err = await refusalOf(memoryApi.chat.completions.create(ask(content)));
      expect(err).toBeInstanceOf(BadRequestError);
      expect(err.code).toBe('context_length_exceeded');
    }
    const wrong = await refusalOf(memoryApi.chat.completions.create({ ...ask('x'), temperature: 9 }));
    expect(wrong).toMatchObject({ status: 400, param: 'temperature' });
  });

  test('who has no token, or a lesser one, is refused in OpenAI’s words', async () => {
    const stranger = new OpenAI({ baseURL, apiKey: 'sfr_of-nobody', maxRetries: 0 });
    const err = await refusalOf(stranger.models.list());
    expect(err).toBeInstanceOf(AuthenticationError);
    expect(err.code).toBe('invalid_api_key');
    const reader = new OpenAI({ baseURL, apiKey: api.tokens.reader, maxRetries: 0 });
    expect((await refusalOf(reader.chat.completions.create(ask('x')))).status).toBe(403);
    const path = await refusalOf(memoryApi.get('/assistants'));
    expect(path).toMatchObject({ status: 404, code: 'not_found' });
  });

  test('a service that has spent its tokens of the day is refused, and not asked to try again', async () => {
    const thrifty = await clientOf('thrifty');
    await thrifty.chat.completions.create({ ...ask('One.'), max_tokens: 20 });
    await thrifty.chat.completions.create({ ...ask('Two.'), max_tokens: 20 });
    const err = await refusalOf(thrifty.chat.completions.create({ ...ask('Three.'), max_tokens: 20 }));
    expect(err).toBeInstanceOf(RateLimitError);
    expect(err.code).toBe('insufficient_quota');
    expect(err.headers?.get('x-should-retry')).toBe('false');
    const { json } = await api.call('GET', '/v1/token-budgets');
    expect(json.items).toContainEqual(expect.objectContaining({ scope: 'service', subject: 'thrifty', tokens: 40 }));
  });

  test('vectors count in its budget like answers', async () => {
    const vectors = await clientOf('vectors');
    const input = 'Seven birds sat on the weir at dusk.';
    const { usage } = await vectors.embeddings.create({ model: 'embeddings', input });
    expect(usage.total_tokens).toBeGreaterThan(5);
    const err = await refusalOf(vectors.embeddings.create({ model: 'embeddings', input }));
    expect(err).toMatchObject({ status: 429, code: 'insufficient_quota' });
    const { json } = await api.call('GET', '/v1/token-budgets');
    const counted = { scope: 'service', subject: 'vectors', tokens: usage.total_tokens, budget: 5 };
    expect(json.items).toContainEqual(expect.objectContaining(counted));
  });

  test('bodies that do not fit beside those on their way are refused before they are read', async () => {
    let first = beginBody(6 * 2 ** 20);
    await until('the first has taken its room', async () => {
      // Nothing it sends keeps it: either there was no room for it, or it is no JSON.
      const told = await beginBody(3 * 2 ** 20, 'x').answered;
      // It may have come while there was none for the first.
      if ((await Promise.race([first.answered, Promise.resolve('waits')])) !== 'waits') first = beginBody(6 * 2 ** 20);
      return told === '429';
    });
    const small = await memoryApi.chat.completions.create(ask('How many birds?'));
    expect(small.choices[0]!.message.content).toBe(said);
    const refused = beginBody(3 * 2 ** 20);
    expect(await refused.answered).toBe('429');
    expect(Number(refused.headers()['retry-after'])).toBeGreaterThan(0);
    first.end();
    // What is read whole and is no JSON is told so.
    await until('there is room again', async () => (await beginBody(3 * 2 ** 20, 'x').answered) === '400');
  });

  test('more than may be open at once are told when to come again', async () => {
    const crowd = await clientOf('crowd');
    const slow = Array.from({ length: 6 }, () => crowd.chat.completions.create({ ...ask('slowly'), max_tokens: 1500 }));
    await until('six are open', async () => (await rows()) === 6);
    const err = await refusalOf(crowd.chat.completions.create(ask('One more.')));
    expect(err).toBeInstanceOf(RateLimitError);
    expect(Number(err.headers?.get('retry-after'))).toBeGreaterThan(0);
    // It is the crowd's own limit.
    expect((await memoryApi.embeddings.create({ model: 'embeddings', input: 'x' })).data).toHaveLength(1);
    for (const { choices } of await Promise.all(slow)) expect(choices[0]!.message.content).toBeTruthy();
    expect(await rows()).toBe(0);
  });

  test('whoever goes away takes the call along', async () => {
    const before = server.stats().aborted;
    const gone = new AbortController();
    const stream = await memoryApi.chat.completions.create(
      { ...ask('slowly'), max_tokens: 1500, stream: true },
      { signal: gone.signal },
    );
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) gone.abort();
    }
    const givenUp = (calls: number) =>
      until('the model server writes for nobody', async () => server.stats().aborted === before + calls);
    await givenUp(1);
    const whole = new AbortController();
    const asked = memoryApi.chat.completions.create({ ...ask('slowly'), max_tokens: 1500 }, { signal: whole.signal });
    await until('it is being answered', async () => server.stats().running > 0);
    whole.abort();
    await expect(asked).rejects.toThrow();
    await givenUp(2);
    await until('nothing is left', async () => (await rows()) === 0);
  });
});

describe('a model server that fails', () => {
  test('is asked again where nothing was shown, also in the middle of an answer that is not streamed', async () => {
    await server.setFault({ kind: 'cut', afterTokens: 5, times: 1 });
    const answer = await memoryApi.chat.completions.create(ask('How many?'));
    expect(answer.choices[0]!.message.content).toBe(said);
    await server.setFault({ kind: 'status', status: 503, times: 1 });
    const stream = await memoryApi.chat.completions.create({ ...ask('How many?'), stream: true });
    expect(await textOf(stream)).toBe(said);
  });

  test('ends a stream that had begun with an error, and nothing is shown twice', async () => {
    let text = '';
    const stream = await memoryApi.chat.completions.create({ ...ask('slowly'), stream: true });
    const err = await refusalOf(
      (async () => {
        for await (const chunk of stream) {
          // Once something was shown, however slow this box is.
          if (text === '' && chunk.choices[0]?.delta.content) await server.setFault({ kind: 'down', forMs: 500 });
          text += chunk.choices[0]?.delta.content ?? '';
        }
      })(),
    );
    expect(text.length).toBeGreaterThan(0);
    expect(said.startsWith(text)).toBe(true);
    expect(err.code).toBe('answer_cut');
    expect(await rows()).toBe(0);
  });

  test('a server that goes away under load and comes back loses no request that had not begun to answer', async () => {
    const { secret } = await createPrincipalStore(api.db).issueForService('crowd', {
      ownerId: api.ownerId,
      name: 'load',
    });
    const done = await loadGateway({
      url: baseURL,
      token: secret,
      model: 'llama8b_q4',
      requests: 30,
      atOnce: 6,
      maxTokens: 40,
      streamEvery: 2,
      strike: { afterAnswers: 6, act: () => server.setFault({ kind: 'down', forMs: 2_000 }) },
    });
    expect({ ...done, texts: Object.keys(done.texts) }).toMatchObject({ asked: 30, lost: 0, texts: [said] });
    expect(done.answered + done.cut).toBe(30);
    expect(Object.keys(done.codes).filter((code) => !code.endsWith('answer_cut'))).toEqual([]);
  });
});

describe('embeddings and models', () => {
  test.skipIf(noPython)('gateway.py prints an answer and the length of a vector', async () => {
    const env = { PATH: process.env['PATH'], OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: memoryApi.apiKey! };
    const { stdout, stderr } = await promisify(execFile)(python!, [join(examples, 'gateway.py'), 'How', 'many?'], {
      env,
    });
    expect(stdout).toBe(`${said}\n`);
    expect(stderr).toBe('gpt-4o-mini; the question as a vector of 512\n');
  });

  test('are vectors as the official client asks for them, and as plain numbers', async () => {
    const input = ['Seven birds sat on the weir.', 'The bell rang.'];
    const packed = await memoryApi.embeddings.create({ model: 'text-embedding-3-small', input });
    const plain = await memoryApi.embeddings.create({ model: 'use-lite-en', input, encoding_format: 'float' });
    expect(packed.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(packed.data[1]!.embedding).toHaveLength(512);
    expect(packed.data[1]!.embedding).toEqual(plain.data[1]!.embedding);
    expect(packed.usage.prompt_tokens).toBeGreaterThan(5);
    const wrong = await refusalOf(memoryApi.embeddings.create({ model: 'use-lite-en', input: 'x', dimensions: 64 }));
    expect(wrong).toMatchObject({ status: 400, param: 'dimensions' });
    const chat = await refusalOf(memoryApi.embeddings.create({ model: 'llama8b_q4', input: 'x' }));
    expect(chat.code).toBe('model_not_found');
  });

  test('lists what can be asked for', async () => {
    const { data } = await memoryApi.models.list();
    expect(data.map(({ id }) => id)).toEqual(['gpt-4o-mini', 'llama8b_q4', 'text-embedding-3-small', 'use-lite-en']);
    expect((await memoryApi.models.retrieve('gpt-4o-mini')).id).toBe('gpt-4o-mini');
  });

  test('each is counted by service and model', async () => {
    const text = await api.deps.metrics.registry.metrics();
    expect(text).toMatch(/soulfra_gateway_requests_total\{[^}]*service="memory-api"[^}]*outcome="answered"[^}]*\} \d+/);
    expect(text).toMatch(/soulfra_gateway_requests_total\{[^}]*service="crowd"[^}]*outcome="refused"[^}]*\} \d+/);
    expect(text).toMatch(/soulfra_gateway_tokens_total\{[^}]*service="thrifty"[^}]*direction="written"[^}]*\} 40/);
    expect(text).toMatch(/soulfra_gateway_open_requests\{[^}]*\} 0/);
  });
});

describe('what a dead process of the API leaves behind', () => {
  test('a request that ended with nobody to read it is deleted soon, and none that is open or has just ended', async () => {
    const store = createGatewayRequestStore(api.db);
    const asked = chatAsked(chatRequestSchema.parse(ask('x')));
    for (const id of ['cpl_old', 'cpl_new', 'cpl_open'])
      await store.open({ id, ownerId: api.ownerId, tokenId: 'tok', modelId: 'llama8b_q4', asked });
    await store.fail('cpl_old', 'UNAVAILABLE', 'it was let go');
    await store.fail('cpl_new', 'UNAVAILABLE', 'it was let go');
    await sql`update gateway_requests set created_at = now() - interval '11 minutes'`.execute(api.db);
    await sql`update gateway_requests set ended_at = now() - interval '11 minutes' where id = 'cpl_old'`.execute(
      api.db,
    );
    expect(await store.forgetEnded()).toBe(1);
    expect(await store.forgetEnded()).toBe(0);
    const left = await api.db.selectFrom('gatewayRequests').select('id').orderBy('id').execute();
    expect(left.map(({ id }) => id)).toEqual(['cpl_new', 'cpl_open']);
    await sql`delete from gateway_requests`.execute(api.db);
  });

  test.skipIf(process.platform !== 'linux')('Postgres itself asks soon whether its host lives', async () => {
    const listener = api.deps.listen('gateway_requests', () => undefined, 4711);
    try {
      let ports: { port: number; at: number } | undefined;
      await until('it is connected', async () => {
        const { rows: found } = await sql<{ port: number; at: number }>`
          select a.client_port as port, inet_server_port() as at from pg_locks l join pg_stat_activity a on a.pid = l.pid
          where l.locktype = 'advisory' and l.objid = 4711`.execute(api.db);
        [ports] = found;
        return ports !== undefined;
      });
      const { port, at } = ports!;
      // The server's end of the connection: its timer counts down to a question in hundredths of a second.
      const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map((file) => readFileSync(file, 'utf8'));
      const ends = tables.flatMap((table) => table.split('\n').slice(1)).map((row) => row.trim().split(/\s+/));
      const hex = (number: number) => number.toString(16).toUpperCase().padStart(4, '0');
      const own = ends.find((row) => row[1]?.endsWith(`:${hex(at)}`) && row[2]?.endsWith(`:${hex(port)}`))!;
      const [kind, when] = own[5]!.split(':');
      expect(kind).toBe('02');
      expect(Number.parseInt(when!, 16) / 100).toBeLessThanOrEqual(11);
    } finally {
      await listener.close();
    }
  });
});

/** The same API over the same servers, but for Redis. */
async function createApiFixtureWithoutRedis(): Promise<{ url: string; close(): Promise<void> }> {
  const app = await createServer({ ...api.deps, redis: undefined, metrics: createApiMetrics() });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/openai/v1`;
  return { url, close: () => app.close() };
}
