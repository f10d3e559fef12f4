import { afterEach, describe, expect, test } from 'vitest';
import type { ModelServerKind } from '../../domain/fleet.ts';
import { reflectionOutputSchema } from '../../domain/reflections.ts';
import type { Progress } from '../../integrations/inference/inference.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import {
  findOllama,
  loadModel,
  probeModelServer,
  unloadModel,
} from '../../integrations/inference/model-server-probe.ts';
import { generateStructured } from '../../integrations/inference/structured.ts';
import {
  codeOf,
  eventually,
  longRequest,
  makeMemories,
  modelOf,
  modelServerCases,
  startedWatch,
  type Subject,
  watchOf,
} from '../model-server/cases.ts';
import { type Fault, type ModelServer, type ModelServerOptions, startModelServer } from '../support/model-server.ts';

const kinds: ModelServerKind[] = ['llamacpp', 'vllm', 'openai', 'ollama'];
const servers: ModelServer[] = [];

async function start(options: Partial<ModelServerOptions> = {}): Promise<ModelServer> {
  const server = await startModelServer({ slots: 2, tokensPerSecond: 2000, flushMs: 20, ...options });
  servers.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

function subjectOf(server: ModelServer, kind: ModelServerKind = 'llamacpp', contextTokens = 4096): Subject {
  return {
    kind,
    baseUrl: server.url,
    model: 'test-model',
    slots: 2,
    contextTokens,
    stallMs: 500,
    running: async () => server.stats().running,
    freeze: () => server.setFault({ kind: 'freeze' }),
    thaw: () => server.setFault(null),
    crash: () => server.setFault({ kind: 'down' }),
    restore: () => server.setFault(null),
  };
}

function reflectRequest(maxTokens = 400) {
  const agent = { name: 'Vesper', persona: 'Keeps the lamps.', traits: ['patient'] };
  return { agent, memories: makeMemories(6), model: 'test-model', contextTokens: 4096, maxTokens, seed: 1 };
}

describe.each(kinds)('any model server, here the double as %s', (kind) => {
  test.each(modelServerCases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const server = await start({ tokensPerSecond: 2400, contextTokens: 4096 });
    await one.run(subjectOf(server, kind));
  });
});

describe.each(kinds)('faults, as %s', (kind) => {
  const faults: Array<[string, Fault, string]> = [
    ['429', { kind: 'status', status: 429, retryAfterSeconds: 2 }, 'MODEL_OVERLOADED'],
    ['503', { kind: 'status', status: 503 }, 'MODEL_OVERLOADED'],
    ['500', { kind: 'status', status: 500 }, 'MODEL_SERVER_DOWN'],
    ['502', { kind: 'status', status: 502 }, 'MODEL_SERVER_DOWN'],
    ['400', { kind: 'status', status: 400 }, 'MODEL_REFUSED'],
    ['401', { kind: 'status', status: 401 }, 'MODEL_REFUSED'],
    ['404', { kind: 'status', status: 404 }, 'MODEL_MISSING'],
    ['a cut stream', { kind: 'cut', afterTokens: 5 }, 'MODEL_SERVER_DOWN'],
    ['a stream that ends without a finish reason', { kind: 'endEarly', afterTokens: 5 }, 'MODEL_SERVER_DOWN'],
    ['an error inside the stream', { kind: 'errorInStream' }, 'MODEL_SERVER_DOWN'],
    ['headers that never come', { kind: 'slowHeaders', ms: 60_000 }, 'MODEL_STALLED'],
    ['a refused connection', { kind: 'down' }, 'MODEL_SERVER_DOWN'],
  ];
  test.each(faults)('%s', async (_, fault, code) => {
    const server = await start();
    await server.setFault(fault);
    const subject = subjectOf(server, kind);
    expect(await codeOf(modelOf(subject, 300).generate(longRequest(subject, 50), watchOf([])))).toBe(code);
    // One retry loop: the client itself never asks again.
    expect(server.stats().requests).toBe(fault.kind === 'down' ? 0 : 1);
  });

  test('a model that is not there', async () => {
    const subject = { ...subjectOf(await start(), kind), model: 'other' };
    expect(await codeOf(modelOf(subject).generate(longRequest(subject, 50), watchOf([])))).toBe('MODEL_MISSING');
  });

  test('a stalled server gets no progress reported for it', async () => {
    const server = await start();
    await server.setFault({ kind: 'stall', afterTokens: 0 });
    const subject = subjectOf(server, kind);
    const progress: Progress[] = [];
    expect(await codeOf(modelOf(subject, 300).generate(longRequest(subject, 50), watchOf(progress)))).toBe(
      'MODEL_STALLED',
    );
    expect(progress.filter(({ phase }) => phase === 'token')).toEqual([]);
    expect(progress.length).toBeLessThanOrEqual(1);
    await eventually(async () => server.stats().held === 0, 'the stalled slot is still held');
    expect(server.stats().aborted).toBe(1);
  });

  test('a call that waits in the server’s own queue lives by the tokens of the call before it', async () => {
    const server = await start({ slots: 1, tokensPerSecond: 200 });
    const subject = subjectOf(server, kind);
    const model = modelOf(subject, 300);
    const progress: Progress[] = [];
    const first = model.generate(longRequest(subject, 200), watchOf([]));
    await eventually(async () => server.stats().running === 1, 'the first call does not run');
    const second = model.generate(longRequest(subject, 20), watchOf(progress));
    expect((await first).tokens).toBe(200);
    expect((await second).tokens).toBe(20);
    expect(progress[0]).toEqual({ phase: 'prompt', tokens: 0 });
    const phases = progress.map(({ phase }) => phase);
    expect(phases.lastIndexOf('prompt')).toBeLessThan(phases.indexOf('token'));
  });

  test('a call that is never answered has stalled, however much comes for calls after it or of another model', async () => {
    const server = await start({ slots: 3, tokensPerSecond: 100, models: ['test-model', 'other'] });
    const subject = subjectOf(server, kind);
    const model = modelOf(subject, 300);
    const other = model.generate({ ...longRequest(subject, 150), model: 'other' }, watchOf([]));
    await eventually(async () => server.stats().running === 1, 'the other model does not run');
    await server.setFault({ kind: 'slowHeaders', ms: 60_000, times: 1 });
    const lost = codeOf(model.generate(longRequest(subject, 20), watchOf([])));
    await eventually(async () => server.stats().faulted === 1, 'the lost call has not come');
    const later = model.generate(longRequest(subject, 150), watchOf([]));
    expect(await lost).toBe('MODEL_STALLED');
    expect((await Promise.all([other, later])).map(({ tokens }) => tokens)).toEqual([150, 150]);
  });

  test('a call over its limit is ended though tokens still come', async () => {
    const server = await start({ tokensPerSecond: 50 });
    const model = createTextModel({ kind, baseUrl: server.url, stallMs: 1000, callMs: 400 });
    expect(await codeOf(model.generate(longRequest(subjectOf(server, kind), 500), watchOf([])))).toBe('MODEL_STALLED');
    await eventually(async () => server.stats().aborted === 1, 'the request was not aborted');
  });

  test('a prompt that the server counts over the pinned context is refused even when it answers', async () => {
    const subject = subjectOf(await start(), kind, 64);
    const request = longRequest(subject, 50);
    const messages = [{ role: 'user' as const, content: 'word '.repeat(100) }];
    expect(await codeOf(modelOf(subject).generate({ ...request, messages }, watchOf([])))).toBe('MODEL_REFUSED');
  });

  test('cancellation aborts the request on the server', async () => {
    const server = await start({ tokensPerSecond: 500 });
    const controller = new AbortController();
    const { started, watch } = startedWatch(controller.signal);
    const subject = subjectOf(server, kind);
    const ended = expect(modelOf(subject).generate(longRequest(subject, 1000), watch)).rejects.toThrow('enough');
    await started;
    controller.abort(new Error('enough'));
    await ended;
    await eventually(async () => server.stats().aborted === 1, 'the request was not aborted');
    expect(server.stats()).toMatchObject({ started: 1, finished: 0, running: 0 });
  });

  test('a call canceled beforehand sends nothing', async () => {
    const server = await start();
    const subject = subjectOf(server, kind);
    const call = modelOf(subject).generate(longRequest(subject, 10), watchOf([], AbortSignal.abort(new Error('no'))));
    await expect(call).rejects.toThrow('no');
    expect(server.stats().requests).toBe(0);
  });
});

describe('structured answers', () => {
  test('a reflection comes back with memory ids', async () => {
    const server = await start();
    const outcome = await createModelReflector(modelOf(subjectOf(server))).reflect(reflectRequest(), watchOf([]));
    expect(outcome).toMatchObject({ source: 'model', repair: null, refused: [], left: [], tokens: 400, modelCalls: 1 });
    expect(outcome.insights).toHaveLength(3);
    expect(outcome.insights.flatMap(({ evidence }) => evidence).every((id) => id.startsWith('mem_'))).toBe(true);
  });

  test('broken JSON once is repaired by one more call that is told why, and progress never goes back', async () => {
    const server = await start();
    await server.setFault({ kind: 'brokenJson', times: 1 });
    const progress: Progress[] = [];
    const outcome = await createModelReflector(modelOf(subjectOf(server))).reflect(reflectRequest(), watchOf(progress));
    expect(outcome).toMatchObject({
      repair: expect.stringContaining('not one JSON object'),
      tokens: 800,
      modelCalls: 2,
    });
    expect(server.stats().requests).toBe(2);
    expect(server.lastBody()?.messages.at(-1)?.content).toContain('was not accepted: it is not one JSON object');
    expect(server.lastBody()?.raw['seed']).toBe(2);
    const tokens = progress.map((seen) => seen.tokens);
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b));
  });

  test('broken JSON always ends after the second call', async () => {
    const server = await start();
    await server.setFault({ kind: 'brokenJson' });
    const { invalid, insights } = await createModelReflector(modelOf(subjectOf(server))).reflect(
      reflectRequest(),
      watchOf([]),
    );
    expect([invalid, insights]).toEqual([expect.stringContaining('not one JSON object'), []]);
    expect(server.stats().requests).toBe(2);
  });

  test('where a run can spare no second call, there is none', async () => {
    const server = await start();
    await server.setFault({ kind: 'brokenJson' });
    const request = { ...reflectRequest(), mostCalls: 1 };
    const outcome = await createModelReflector(modelOf(subjectOf(server))).reflect(request, watchOf([]));
    expect(outcome).toMatchObject({
      invalid: expect.stringContaining('not one JSON object'),
      modelCalls: 1,
      repair: null,
    });
    expect(server.stats().requests).toBe(1);
  });

  test('focal questions come back as they were asked for', async () => {
    const server = await start();
    const outcome = await createModelReflector(modelOf(subjectOf(server))).questions!(reflectRequest(), watchOf([]));
    expect(outcome).toMatchObject({ promptVersion: 'questions/2', modelCalls: 1, repair: null });
    expect(outcome.questions).toHaveLength(3);
    expect(outcome.questions.every((question) => question.endsWith('?'))).toBe(true);
  });

  test('an answer cut at the token limit is told so', async () => {
    const server = await start({ replies: () => ({ tokens: 900 }) });
    const outcome = await createModelReflector(modelOf(subjectOf(server))).reflect(reflectRequest(100), watchOf([]));
    expect(outcome.invalid).toMatch(/cut at the token limit/);
  });

  test('reads the object out of thoughts and fences', async () => {
    const text = '<think>{not this}</think>\nHere you are:\n```json\n{"insights":[]}\n```';
    const server = await start({ replies: () => ({ text, tokens: 20 }) });
    const subject = subjectOf(server);
    const request = longRequest(subject, 50);
    const { value } = await generateStructured(modelOf(subject), request, reflectionOutputSchema, watchOf([]));
    expect(value).toEqual({ insights: [] });
  });

  test('insights without valid evidence are refused, not stored', async () => {
    const insights = [
      { text: 'Made up.', evidence: ['m99'] },
      { text: 'The lamp matters.', evidence: ['m1', 'm99'] },
    ];
    const server = await start({ replies: () => ({ text: JSON.stringify({ insights }), tokens: 20 }) });
    const outcome = await createModelReflector(modelOf(subjectOf(server))).reflect(reflectRequest(), watchOf([]));
    expect(outcome.insights).toEqual([{ text: 'The lamp matters.', evidence: ['mem_0'] }]);
    expect(outcome.refused).toEqual([{ kind: 'withoutEvidence', reason: 'names no memory that was given' }]);
    expect(outcome.droppedEvidence).toBe(2);
  });

  test('a context with room for no memory asks nothing', async () => {
    const server = await start();
    const request = { ...reflectRequest(), contextTokens: 512 };
    const call = createModelReflector(modelOf(subjectOf(server))).reflect(request, watchOf([]));
    expect(await codeOf(call)).toBe('MODEL_REFUSED');
    expect(server.stats().requests).toBe(0);
  });
});

describe('Ollama', () => {
  test('is asked by its own API with the context pinned and cutting forbidden', async () => {
    const server = await start();
    const subject = subjectOf(server, 'ollama');
    await modelOf(subject).generate(longRequest(subject, 50), watchOf([]));
    expect(server.lastBody()?.raw).toMatchObject({
      truncate: false,
      shift: false,
      options: { num_ctx: 4096, num_predict: 50 },
    });
  });

  test('loads and unloads on demand, and says what is in memory', async () => {
    const server = await start();
    expect((await probeModelServer(server.url, 'ollama')).models).toEqual([{ id: 'test-model', loaded: false }]);
    await loadModel(server.url, 'ollama', { id: 'test-model', contextTokens: 4096 });
    const state = await probeModelServer(server.url, 'ollama');
    expect(state.models).toEqual([{ id: 'test-model', loaded: true, vramGiB: 1, contextTokens: 4096 }]);
    await unloadModel(server.url, 'ollama', 'test-model');
    expect(server.loadedModels()).toEqual([]);
    expect(await codeOf(loadModel(server.url, 'ollama', { id: 'other', contextTokens: 4096 }))).toBe('MODEL_MISSING');
  });

  test('is found with its installed models, or not at all', async () => {
    const server = await start();
    const found = await findOllama({ url: server.url });
    expect(found).toEqual({
      url: server.url,
      models: [{ name: 'test-model', fileGiB: 1, parameters: '1B', quantisation: 'Q4_K_M' }],
    });
    await server.setFault({ kind: 'down' });
    expect(await findOllama({ url: server.url })).toBeNull();
  });
});

test('llama.cpp tells how far it has read a long prompt, and that is progress; a server that says nothing has stalled', async () => {
  const server = await start();
  await server.setFault({ kind: 'slowPrompt', ms: 900 });
  const progress: Progress[] = [];
  const subject = subjectOf(server, 'llamacpp');
  const generation = await modelOf(subject, 300).generate(longRequest(subject, 20), watchOf(progress));
  expect(generation.tokens).toBe(20);
  expect(progress.filter(({ phase }) => phase === 'prompt').length).toBeGreaterThan(3);
  const silent = subjectOf(server, 'vllm');
  expect(await codeOf(modelOf(silent, 300).generate(longRequest(silent, 20), watchOf([])))).toBe('MODEL_STALLED');
});

test('a server with fixed models is asked for nothing but whether it has the model', async () => {
  const server = await start();
  await loadModel(server.url, 'vllm', { id: 'test-model', contextTokens: 4096 });
  expect(await codeOf(loadModel(server.url, 'vllm', { id: 'other', contextTokens: 4096 }))).toBe('MODEL_MISSING');
  await unloadModel(server.url, 'vllm', 'test-model');
  await server.setFault({ kind: 'down' });
  expect(await codeOf(loadModel(server.url, 'vllm', { id: 'test-model', contextTokens: 1 }))).toBe('MODEL_SERVER_DOWN');
});
