import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type ErrorCode, isDomainError } from '../../domain/errors.ts';
import type { ModelServerKind } from '../../domain/fleet.ts';
import type { ReflectableMemory } from '../../domain/reflections.ts';
import type {
  GenerateRequest,
  ModelServerOptions,
  Progress,
  TextModel,
} from '../../integrations/inference/inference.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import { probeModelServer } from '../../integrations/inference/model-server-probe.ts';
import { generateStructured } from '../../integrations/inference/structured.ts';

/** A model server, real or double, and the ways to disturb it. */
export interface Subject {
  kind: ModelServerKind;
  baseUrl: string;
  model: string;
  /** Sequences at once, and the context each has. */
  slots: number;
  contextTokens: number;
  /** Stall limit that its speed can keep on a busy box. */
  stallMs: number;
  running(): Promise<number>;
  /** Stops moving without closing anything. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  crash(): Promise<void>;
  restore(): Promise<void>;
}

export interface Case {
  name: string;
  run: (subject: Subject) => Promise<void>;
}

/** What any model server must show through our adapters. Each case leaves the server as it found it. */
export const modelServerCases: readonly Case[] = [
  {
    name: 'lists its model when probed',
    async run(subject) {
      const state = await probeModelServer(subject.baseUrl, subject.kind);
      assert.equal(state.up, true, state.reason);
      assert.ok(state.models.some(({ id }) => id === subject.model));
    },
  },
  {
    name: 'streams with progress on each token and counts them',
    async run(subject) {
      const progress: Progress[] = [];
      const generation = await modelOf(subject).generate(longRequest(subject, 120), watchOf(progress));
      assert.equal(progress[0]?.phase, 'headers');
      const tokens = progress.filter(({ phase }) => phase === 'token').map((seen) => seen.tokens);
      assert.ok(tokens.length >= 2, `${tokens.length} token reports`);
      assert.deepEqual(
        tokens,
        [...tokens].sort((a, b) => a - b),
      );
      assert.ok(generation.tokens > 0 && generation.tokens <= 120 && (generation.promptTokens ?? 0) > 0);
    },
  },
  {
    name: 'reflects with evidence among the memories given',
    async run(subject) {
      const memories = makeMemories(6);
      const request = {
        agent: { name: 'Vesper', persona: 'Keeps the lamps of a harbour.', traits: ['patient'] },
        memories,
        model: subject.model,
        contextTokens: subject.contextTokens,
        maxTokens: Math.floor(subject.contextTokens / 2),
      };
      const reflector = createModelReflector(talkative(modelOf(subject)));
      // Random text of marks alone is refused as empty, rightly: then another seed is tried.
      let outcome = await reflector.reflect({ ...request, seed: 1 }, watchOf([]));
      for (let seed = 2; seed <= 8 && outcome.insights.length === 0; seed += 1) {
        outcome = await reflector.reflect({ ...request, seed }, watchOf([]));
      }
      const known = new Set(memories.map(({ id }) => id));
      assert.ok(outcome.insights.length > 0, 'no insight in eight tries');
      for (const insight of outcome.insights) {
        assert.ok(insight.evidence.length > 0 && insight.evidence.every((id) => known.has(id)));
      }
      assert.deepEqual(new Set(outcome.used), known);
      assert.deepEqual(outcome.left, []);
    },
  },
  {
    name: 'lets go of the slot when the call is canceled',
    async run(subject) {
      const controller = new AbortController();
      const reason = new Error('canceled by the test');
      const { started, watch } = startedWatch(controller.signal);
      const call = modelOf(subject).generate(longRequest(subject, 2000), watch);
      const ended = assert.rejects(call, reason);
      await started;
      controller.abort(reason);
      await ended;
      await eventually(async () => (await subject.running()) === 0, 'the server still generates');
    },
  },
  {
    name: 'is a stall when tokens stop, and no progress is reported after the last',
    async run(subject) {
      const progress: Progress[] = [];
      const { started, watch } = startedWatch(undefined, progress);
      const ended = codeOf(modelOf(subject).generate(longRequest(subject, 2000), watch));
      await started;
      await subject.freeze();
      // What was already on its way may still come; from then on there is nothing.
      await sleep(subject.stallMs / 3);
      const before = progress.length;
      assert.equal(await ended, 'MODEL_STALLED');
      assert.equal(progress.length, before);
      await subject.thaw();
      await eventually(async () => (await subject.running()) === 0, 'the server still generates');
    },
  },
  {
    name: 'refuses a prompt over the context instead of cutting it',
    async run(subject) {
      const request = longRequest(subject, 64);
      const tooLong = 'word '.repeat(subject.contextTokens);
      const long = { ...request, messages: [{ role: 'user' as const, content: tooLong }] };
      assert.equal(await codeOf(modelOf(subject).generate(long, watchOf([]))), 'MODEL_REFUSED');
    },
  },
  {
    name: 'tries once more when the answer does not follow the schema, then gives up',
    async run(subject) {
      let calls = 0;
      const model = modelOf(subject);
      const counting: TextModel = {
        generate: (request, watch) => {
          calls += 1;
          return model.generate(request, watch);
        },
      };
      const never = z.object({ never: z.literal('there') });
      const call = generateStructured(counting, longRequest(subject, 400), never, watchOf([]));
      assert.equal(await codeOf(call), 'MODEL_OUTPUT_INVALID');
      assert.equal(calls, 2);
    },
  },
  {
    name: 'serves more calls than it has slots, one after another',
    async run(subject) {
      const model = modelOf(subject, 30_000);
      const calls = Array.from({ length: subject.slots * 2 + 1 }, () =>
        model.generate(longRequest(subject, 60), watchOf([])),
      );
      const generations = await Promise.all(calls);
      assert.ok(generations.every(({ tokens }) => tokens > 0));
    },
  },
  {
    name: 'is down when it dies in mid-stream, stays down, and serves again when it is back',
    async run(subject) {
      const { started, watch } = startedWatch();
      const ended = codeOf(modelOf(subject).generate(longRequest(subject, 2000), watch));
      await started;
      await subject.crash();
      assert.equal(await ended, 'MODEL_SERVER_DOWN');
      assert.equal(await codeOf(modelOf(subject).generate(longRequest(subject, 20), watchOf([]))), 'MODEL_SERVER_DOWN');
      assert.equal((await probeModelServer(subject.baseUrl, subject.kind)).up, false);
      await subject.restore();
      await modelOf(subject).generate(longRequest(subject, 20), watchOf([]));
    },
  },
];

/** Has the grammar ask for an insight: a random model would nearly always end the list at once, and nothing would be shown. */
function talkative(model: TextModel): TextModel {
  return {
    generate(request, watch) {
      const jsonSchema = structuredClone(request.jsonSchema) as { properties: { insights: { minItems?: number } } };
      jsonSchema.properties.insights.minItems = 1;
      return model.generate({ ...request, jsonSchema }, watch);
    },
  };
}

export function modelOf(subject: Pick<Subject, 'kind' | 'baseUrl' | 'stallMs'>, stallMs = subject.stallMs): TextModel {
  const options: ModelServerOptions = { kind: subject.kind, baseUrl: subject.baseUrl, stallMs, callMs: 60_000 };
  return createTextModel(options);
}

/** Asks for an object whose text is as long as the tokens allow, so that there is time to disturb it. */
export function longRequest(subject: Pick<Subject, 'model' | 'contextTokens'>, maxTokens: number): GenerateRequest {
  return {
    model: subject.model,
    messages: [{ role: 'user', content: 'Write a long text.' }],
    maxTokens,
    contextTokens: subject.contextTokens,
    seed: 7,
    schemaName: 'text',
    jsonSchema: {
      type: 'object',
      properties: {
        text: { type: 'string', minLength: Math.floor(maxTokens * 0.8), maxLength: Math.floor(maxTokens * 0.9) },
      },
      required: ['text'],
      additionalProperties: false,
    },
  };
}

export function makeMemories(count: number): ReflectableMemory[] {
  const texts = [
    'The ferry came late and Mira waited on the quay with two lamps.',
    'Mira said the ferry would stop for the winter.',
    'I mended the old lamp and it burned until morning.',
    'A stranger asked for the road to the mill; nobody knew it.',
    'The ferry ran after all, in snow, with Mira at the wheel.',
    'The lamp on the quay went out twice in the storm.',
  ];
  return Array.from({ length: count }, (_, i) => ({
    id: `mem_${i}`,
    text: texts[i % texts.length]!,
    occurredAt: new Date(Date.UTC(2026, 9, 1 + i)).toISOString(),
    importance: 1 + ((i * 3) % 10),
  }));
}

export function watchOf(progress: Progress[], signal = new AbortController().signal) {
  return { signal, onProgress: (seen: Progress) => void progress.push(seen) };
}

/** `started` resolves when the first token has come. */
export function startedWatch(signal = new AbortController().signal, progress: Progress[] = []) {
  const { promise: started, resolve } = Promise.withResolvers<void>();
  const watch = {
    signal,
    onProgress(seen: Progress) {
      progress.push(seen);
      if (seen.phase === 'token') resolve();
    },
  };
  return { started, watch };
}

/** The code a call failed with; a call that succeeds, or fails with something else, is a failure of the test. */
export async function codeOf(call: Promise<unknown>): Promise<ErrorCode> {
  try {
    await call;
  } catch (err) {
    if (isDomainError(err)) return err.code;
    throw err;
  }
  throw new Error('the call was expected to fail');
}

export async function eventually(met: () => Promise<boolean>, otherwise: string, withinMs = 5000): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await met())) {
    if (performance.now() > until) throw new Error(otherwise);
    await sleep(25);
  }
}
