import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEmbedders } from '../../integrations/embeddings/embedders.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { type ScopeWorker, startScopeWorker } from '../support/machine-worker.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { smallFleet } from '../support/small-fleet.ts';

const launcher = fileURLToPath(new URL('../../cli/soulfra.js', import.meta.url));
let api: ApiFixture;
let url: string;
let folder: string;
let server: ModelServer;
const embedders = createEmbedders({ apiKey: undefined });
let worker: ScopeWorker;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-talk-'));
  // The workers' own: vectors of two models under one name cannot be compared.
  api = await createApiFixture({ embedderOf: embedders.of });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  server = await startModelServer({
    slots: 4,
    tokensPerSecond: 200,
    models: ['llama8b_q4'],
    replies: ({ messages }) => {
      // What is said now: what was said before may come to mind too.
      const asked = messages.at(-1)!.content.split('<message>')[1]!;
      return asked.includes('bell')
        ? { text: 'It rang \u001b[31mred\u0007 [m1].', tokens: 8 }
        : { tokens: asked.includes('slowly') ? 700 : 30 };
    },
  });
  // `small` has no model server: it quotes memories. It takes part only once the other has gone.
  const source = smallFleet.replace('kind: ollama, sequences: 4', `kind: openai, url: "${server.url}", sequences: 4`);
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source } })).status).toBe(200);
  for (const agentId of ['vesper-001', 'rook-001'])
    await api.call('POST', `/v1/agents/${agentId}/memories`, {
      body: { text: 'Seven birds sat on the weir at dusk.' },
    });
  worker = await startScopeWorker(api.scope, 'big');
});
afterAll(async () => {
  await worker?.stop();
  await server?.close();
  await api?.close();
  await embedders.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

interface Ended {
  code: number;
  out: string;
  err: string;
}
/** The command as a person runs it where no terminal is; `act` gets hold of the process. */
function soulfra(
  args: string[],
  { stdin = '', act }: { stdin?: string; act?: (pid: number) => void } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [launcher, ...args], {
      cwd: folder,
      env: { PATH: process.env['PATH'], SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.member },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (text: Buffer) => (out += text.toString()));
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
    child.stdin.end(stdin);
    act?.(child.pid!);
  });
}

describe('soulfra talk', () => {
  test('says one thing and shows the answer with what it rests on', async () => {
    const said = await soulfra(['talk', 'rook-001', 'How', 'many', 'birds?']);
    expect(said, said.err).toMatchObject({ code: 0, err: '' });
    expect(said.out).toContain('What I remember best is this:');
    expect(said.out).toMatch(/\[m1\] \d{4}-\d\d-\d\d Seven birds sat on the weir at dusk\./);
  });

  test('takes the message from a pipe, goes on with a conversation, and answers as JSON', async () => {
    const first = await soulfra(['talk', 'rook-001', '--json', '--as', 'Ada'], { stdin: 'Good evening.\n' });
    const answer = JSON.parse(first.out) as Record<string, unknown>;
    expect(answer).toMatchObject({ state: 'answered', text: 'Good evening.', author: 'Ada', source: 'model' });
    const conversation = answer['conversationId'] as string;
    const next = await soulfra(['talk', 'rook-001', '--json', '--conversation', conversation, 'And now?']);
    expect(JSON.parse(next.out)).toMatchObject({ conversationId: conversation, state: 'answered' });
  });

  test('a model cannot steer the terminal', async () => {
    const said = await soulfra(['talk', 'vesper-001', 'Does the bell ring?']);
    expect(said.out).toContain('It rang [31mred [m1].');
    for (const mark of ['\u001b', '\u0007']) expect(said.out).not.toContain(mark);
  });

  test('whispers with what was said where it is told so, and tells what came of it', async () => {
    const said = await soulfra(['talk', 'vesper-002', '--whisper', 'Somebody who mends nets.']);
    expect(said, said.err).toMatchObject({ code: 0, err: '' });
    const id = /(whi_\S+) \w+/.exec(said.out)?.[1];
    const { json } = await api.call('GET', `/v1/whispers/${id}`);
    expect(json).toMatchObject({ source: 'reply', parentId: 'vesper-002', text: 'Somebody who mends nets.' });
    const quiet = await soulfra(['talk', 'vesper-002', '/whisper Somebody else.']);
    expect(quiet.out).not.toContain('whi_');
  });

  test('Ctrl-C cancels the answer at the server', async () => {
    let pid = 0;
    const saying = soulfra(['talk', 'vesper-001', 'Tell it slowly.'], { act: (of) => (pid = of) });
    await until('it is being answered', async () => {
      const { json } = await api.call('GET', '/v1/agents/vesper-001/messages?limit=1');
      return json.items[0]?.['text'] === 'Tell it slowly.' && json.items[0]['state'] === 'answering';
    });
    process.kill(pid, 'SIGINT');
    const ended = await saying;
    expect({ code: ended.code, err: ended.err }).toMatchObject({
      code: 1,
      err: expect.stringContaining('it was canceled'),
    });
    const { json } = await api.call('GET', '/v1/agents/vesper-001/messages?limit=1');
    expect(json.items[0]).toMatchObject({ text: 'Tell it slowly.', state: 'canceled' });
  });

  test('refuses what is nothing, and an agent that is none', async () => {
    expect(await soulfra(['talk', 'rook-001'], { stdin: ' \n' })).toMatchObject({ code: 2 });
    const nobody = await soulfra(['talk', 'nobody-001', 'Hello?']);
    expect(nobody).toMatchObject({ code: 2, err: expect.stringContaining('no agent nobody-001') });
  });
});

describe('soulfra mcp', () => {
  async function connected<Result>(
    token: string,
    use: (client: Client, noise: () => string) => Promise<Result>,
  ): Promise<Result> {
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [launcher, 'mcp'],
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', SOULFRA_URL: url, SOULFRA_TOKEN: token },
      stderr: 'pipe',
    });
    let noise = '';
    transport.stderr?.on('data', (text: Buffer) => (noise += text.toString()));
    const client = new Client({ name: 'test', version: '1' });
    client.onerror = (err) => (noise += err.message);
    await client.connect(transport);
    try {
      return await use(client, () => noise);
    } finally {
      await client.close();
    }
  }
  interface Called {
    isError?: boolean;
    content: Array<{ type: string; text: string }>;
    structuredContent?: Record<string, unknown>;
  }
  const call = async (client: Client, name: string, args: Record<string, unknown>) =>
    (await client.callTool({ name, arguments: args })) as unknown as Called;

  test('tools search, talk and remember through the API, and say nothing else on stdout', async () => {
    await connected(api.tokens.member, async (client, noise) => {
      const { tools } = await client.listTools();
      expect(tools.map(({ name }) => name).sort()).toEqual([
        'list_agents',
        'remember',
        'search_memory',
        'talk',
        'whisper',
      ]);
      const agents = await call(client, 'list_agents', {});
      expect(agents.content[0]!.text).toContain('rook-001');

      const kept = await call(client, 'remember', {
        agent: 'rook-001',
        text: 'A heron stood by the mill.',
        key: 'heron',
      });
      expect(kept.structuredContent).toMatchObject({ memory: expect.stringMatching(/^mem_/) });
      const again = await call(client, 'remember', {
        agent: 'rook-001',
        text: 'A heron stood by the mill.',
        key: 'heron',
      });
      expect(again.structuredContent).toEqual(kept.structuredContent);

      const found = await call(client, 'search_memory', { agent: 'rook-001', query: 'heron at the mill', limit: 3 });
      expect(found.isError, found.content[0]!.text).toBeFalsy();
      const memories = found.structuredContent!['memories'] as Array<{ id: string; text: string }>;
      expect(memories.map(({ text }) => text)).toContain('A heron stood by the mill.');

      const said = await call(client, 'talk', { agent: 'rook-001', message: 'Was there a heron?', as: 'Ada' });
      expect(said.isError, said.content[0]!.text).toBeFalsy();
      expect(said.structuredContent).toMatchObject({ source: 'model', degraded: false, citations: [{ alias: 'm1' }] });
      const conversation = said.structuredContent!['conversation'] as string;
      const next = await call(client, 'talk', { agent: 'rook-001', message: 'Where?', conversation });
      expect(next.structuredContent).toMatchObject({ conversation });

      const asked = { parent: 'rook-001', text: 'A miller who counts the herons.', key: 'miller' };
      const whispered = await call(client, 'whisper', asked);
      expect(whispered.isError, whispered.content[0]!.text).toBeFalsy();
      const { whisper } = whispered.structuredContent as { whisper: string };
      expect(whisper).toMatch(/^whi_/);
      expect((await call(client, 'whisper', asked)).structuredContent).toMatchObject({ whisper });
      expect((await api.call('GET', `/v1/whispers/${whisper}`)).json).toMatchObject({ parentId: 'rook-001' });
      expect(noise()).toBe('');
    });
  });

  test('refusals are tool errors with code and mend; what breaks a schema too', async () => {
    await connected(api.tokens.reader, async (client) => {
      const forbidden = await call(client, 'talk', { agent: 'rook-001', message: 'Hello?' });
      expect(forbidden).toMatchObject({ isError: true });
      expect(forbidden.content[0]!.text).toMatch(/^FORBIDDEN: .*member.*\nUse a token with the role/);
      const unknown = await call(client, 'search_memory', { agent: 'nobody-001', query: 'x' });
      expect(unknown.content[0]!.text).toMatch(/^NOT_FOUND: no agent nobody-001/);
      const broken = await call(client, 'search_memory', { agent: 'Not An Id', query: '' }).catch((err: Error) => ({
        isError: true,
        content: [{ text: err.message }],
      }));
      expect(broken.isError).toBe(true);
      expect(broken.content[0]!.text).toMatch(/agent/);
    });
  });

  test('without a server to ask, each call says so', async () => {
    const transport = new StdioClientTransport({
      command: process.execPath,
      args: [launcher, 'mcp'],
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', SOULFRA_URL: 'http://127.0.0.1:9', SOULFRA_TOKEN: 'sfr_nobody-at-all' },
    });
    const client = new Client({ name: 'test', version: '1' });
    await client.connect(transport);
    const told = await call(client, 'list_agents', {});
    expect(told).toMatchObject({ isError: true });
    expect(told.content[0]!.text).toMatch(/^UNAVAILABLE: nothing answers/);
    await client.close();
  });
});
