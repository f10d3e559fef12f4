import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createChatAssembly } from '../../domain/chat-pieces.ts';
import { chatAsked, chatRequestSchema } from '../../domain/openai-requests.ts';
import { createChatModel } from '../../integrations/inference/chat.ts';

/** Requests in OpenAI's words to Ollama's own API: what goes over the wire, and what comes back. */
let server: Server;
let bodies: Array<Record<string, unknown>> = [];
let lines: object[] = [];
let chat: ReturnType<typeof createChatModel>;

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (part: Buffer) => (text += part.toString()));
    request.on('end', () => {
      bodies.push(JSON.parse(text) as Record<string, unknown>);
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      for (const line of lines) response.write(`${JSON.stringify(line)}\n`);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  chat = createChatModel({ kind: 'ollama', baseUrl: `http://127.0.0.1:${port}/v1`, stallMs: 5_000, callMs: 10_000 });
});
afterAll(() => server?.close());

async function ask(body: object) {
  bodies = [];
  const { messages, parameters, maxTokens } = chatAsked(
    chatRequestSchema.parse({ model: 'm', messages: [{ role: 'user', content: 'Hello.' }], ...body }),
  );
  const assembly = createChatAssembly();
  const end = await chat.chat(
    { model: 'llama3.1:8b', messages, parameters, maxTokens, loadedTokens: 4096 },
    {
      signal: new AbortController().signal,
      onProgress: () => undefined,
      onPiece: async (piece) => assembly.add(piece),
    },
  );
  return assembly.end(end);
}

test('options, format, tools and messages are said as Ollama says them, in the context that is loaded', async () => {
  lines = [
    { message: { role: 'assistant', content: 'Seven', thinking: '' }, done: false },
    { message: { role: 'assistant', content: ' birds.' }, done: false },
    {
      message: { role: 'assistant', content: '' },
      done: true,
      done_reason: 'stop',
      prompt_eval_count: 9,
      eval_count: 2,
    },
  ];
  const schema = { type: 'object', properties: { birds: { type: 'integer' } } };
  const answer = await ask({
    messages: [
      { role: 'developer', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'How many?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'call_0', type: 'function', function: { name: 'count', arguments: '{"of":"birds"}' } }],
      },
      { role: 'tool', tool_call_id: 'call_0', content: '7' },
    ],
    temperature: 0.1,
    repetition_penalty: 1.2,
    stop: 'END',
    max_tokens: 40,
    reasoning_effort: 'none',
    tools: [{ type: 'function', function: { name: 'count' } }],
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema } },
  });
  expect(answer).toMatchObject({
    message: { content: 'Seven birds.' },
    finishReason: 'stop',
    usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
  });
  expect(bodies).toEqual([
    {
      model: 'llama3.1:8b',
      stream: true,
      think: false,
      truncate: false,
      shift: false,
      keep_alive: -1,
      format: schema,
      tools: [{ type: 'function', function: { name: 'count' } }],
      options: { temperature: 0.1, repeat_penalty: 1.2, stop: ['END'], num_predict: 40, num_ctx: 4096 },
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'How many?', images: ['AAAA'] },
        { role: 'assistant', content: '', tool_calls: [{ function: { name: 'count', arguments: { of: 'birds' } } }] },
        { role: 'tool', content: '7', tool_call_id: 'call_0' },
      ],
    },
  ]);
});

test('calls of tools come back as OpenAI’s clients read them', async () => {
  const called = (of: string) => ({ function: { name: 'count', arguments: { of } } });
  lines = [
    { message: { role: 'assistant', content: '', tool_calls: [called('birds'), called('boats')] }, done: false },
    {
      message: { role: 'assistant', content: '' },
      done: true,
      done_reason: 'stop',
      prompt_eval_count: 5,
      eval_count: 8,
    },
  ];
  const { message, finishReason } = await ask({ tools: [{ type: 'function', function: { name: 'count' } }] });
  expect(finishReason).toBe('tool_calls');
  expect(message.content).toBeNull();
  expect(message.tool_calls).toMatchObject([
    { id: 'call_0', type: 'function', function: { name: 'count', arguments: '{"of":"birds"}' } },
    { id: 'call_1', function: { arguments: '{"of":"boats"}' } },
  ]);
});

test.each([
  ['tool_choice', { tool_choice: 'none' }],
  ['logprobs', { logprobs: true }],
  [
    'messages.0.content.0.image_url.url',
    { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x.example/a.png' } }] }] },
  ],
  [
    'messages.tool_calls.function.arguments',
    { messages: [{ role: 'assistant', tool_calls: [{ function: { name: 'x', arguments: '{' } }] }] },
  ],
])('%s is refused by its name, and nothing is sent', async (path, body) => {
  await expect(ask(body)).rejects.toMatchObject({ code: 'PARAMETER_UNSUPPORTED', fields: [{ path }] });
  expect(bodies).toEqual([]);
});

test('a stream that breaks off is no answer', async () => {
  lines = [{ message: { role: 'assistant', content: 'Seven' }, done: false }];
  await expect(ask({})).rejects.toMatchObject({ code: 'MODEL_SERVER_DOWN' });
});
