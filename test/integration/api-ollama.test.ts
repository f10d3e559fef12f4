import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

const gib = 1024 ** 3;
/** What an Ollama with two models answers; anything that would pull or load one fails the test. */
const answers: Record<string, unknown> = {
  'GET /api/tags': {
    models: [
      { name: 'qwen2.5:1.5b', size: 0.92 * gib, details: { parameter_size: '1.5B', quantization_level: 'Q4_K_M' } },
      { name: 'all-minilm:latest', size: 0.04 * gib, details: { parameter_size: '23M' } },
    ],
  },
  'POST /api/show': {
    details: { family: 'qwen2' },
    model_info: {
      'qwen2.block_count': 28,
      'qwen2.attention.head_count': 12,
      'qwen2.attention.head_count_kv': 2,
      'qwen2.embedding_length': 1536,
      'qwen2.context_length': 32768,
    },
  },
};

let api: ApiFixture;
let ollama: Server;
const asked: string[] = [];

beforeAll(async () => {
  ollama = createServer((request, response) => {
    const key = `${request.method} ${request.url}`;
    asked.push(key);
    const answer = answers[key];
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer ?? { error: 'not found' }));
  });
  await new Promise<void>((resolve) => ollama.listen(0, '127.0.0.1', resolve));
  api = await createApiFixture({ ollamaUrl: `http://127.0.0.1:${(ollama.address() as AddressInfo).port}` });
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
});
afterAll(async () => {
  await api?.close();
  ollama?.closeAllConnections();
  ollama?.close();
});

interface Agent {
  id: string;
  modelId: string;
}
async function models(): Promise<Record<string, string>> {
  const { json } = await api.call('GET', '/v1/agents');
  return Object.fromEntries((json.items as unknown as Agent[]).map(({ id, modelId }) => [id, modelId]));
}

test('offers what is installed with its time, and changes nothing', async () => {
  const before = await api.rowCounts();
  const { json } = await api.call('GET', '/v1/models/offers', { token: api.tokens.reader });
  expect(json.items).toMatchObject([
    { name: 'qwen2.5:1.5b', fileGiB: 0.92, fleetModelId: null, modelId: 'ollama_qwen2_5_1_5b_installed' },
    { name: 'all-minilm:latest' },
  ]);
  expect(json.items[0]!['secondsPerAgent']).toBeGreaterThan(0);
  expect(await api.rowCounts()).toEqual(before);
});

test('serves so many agents by this host, leaves the others, and gives them back', async () => {
  const dry = await api.call('POST', '/v1/models/use?dryRun=true', { body: { server: 'ollama', agents: 2 } });
  expect(dry.json).toMatchObject({ dryRun: true, version: null });
  const used = await api.call('POST', '/v1/models/use', { body: { server: 'ollama', agents: 2 } });
  expect(used.status).toBe(200);
  expect(used.json).toMatchObject({
    version: 2,
    worker: 'start by hand',
    offer: { name: 'qwen2.5:1.5b' },
  });
  const machineId = used.json['machineId'] as string;
  const machine = await api.call('GET', `/v1/machines/${machineId}`);
  expect(machine.json).toMatchObject({ modelServer: { kind: 'ollama', sequences: 2 } });
  const own = 'ollama_qwen2_5_1_5b_installed';
  expect(await models()).toEqual({
    'rook-001': 'llama8b_q4',
    'vesper-001': own,
    'vesper-002': own,
    'vesper-003': 'llama8b_q4',
  });
  const exported = await api.call('GET', '/v1/fleet/export');
  expect(exported.text).toContain(`machines: [ ${machineId} ]`);
  expect(exported.text).toMatch(/id: ollama_qwen2_5_1_5b\n/);
  if (machineId !== hostname().toLowerCase()) expect(exported.text).toContain(`host: ${hostname()}`);

  await api.call('POST', '/v1/models/use', { body: { server: 'ollama', agents: 1, model: 'qwen2.5:1.5b' } });
  expect((await models())['vesper-002']).toBe('llama8b_q4');
  const back = await api.call('POST', '/v1/models/use', { body: { server: 'ollama', agents: 0 } });
  expect(back.status).toBe(200);
  expect(Object.values(await models())).toEqual(Array.from({ length: 4 }, () => 'llama8b_q4'));
  expect(new Set(asked)).toEqual(new Set(['GET /api/tags', 'POST /api/show']));
});

test('a model that is not installed is refused, not pulled', async () => {
  const before = await api.rowCounts();
  const { json } = await api.call('POST', '/v1/models/use', {
    body: { server: 'ollama', agents: 2, model: 'llama3:70b' },
  });
  expect(json['code']).toBe('MODEL_MISSING');
  expect(await api.rowCounts()).toEqual(before);
});
