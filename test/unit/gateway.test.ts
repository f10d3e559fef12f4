import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ChatPiece, createChatAssembly, restOf } from '../../domain/chat-pieces.ts';
import type { DomainError } from '../../domain/errors.ts';
import { breachesOf } from '../../domain/fleet-rules.ts';
import { fleetSchema, modelVariants } from '../../domain/fleet.ts';
import { gatewayNames, gatewayTarget, retryAfterSeconds } from '../../domain/gateway.ts';
import {
  chatAsked,
  chatRequestSchema,
  embeddingRequestSchema,
  embeddingTexts,
  refuseOverContext,
} from '../../domain/openai-requests.ts';
import { testFleet } from '../support/fleets.ts';

const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const end = { finishReason: 'stop', usage };

function fleetWith(aliases: Record<string, string>) {
  const shipped = testFleet();
  const [heavy, light] = shipped.models;
  const two = { ...light!.quantisations['q4']!, fileGiB: 1, servedAs: { ollama: 'light:latest' } };
  const models = [heavy!, { ...light!, quantisations: { ...light!.quantisations, q2: two } }];
  return fleetSchema.parse({ ...shipped, models, gateway: { aliases } });
}
function namesWith(aliases: Record<string, string>, held: string[]) {
  const fleet = fleetWith(aliases);
  return gatewayNames(fleet, modelVariants(fleet), { embedding: 'use-lite-en', held: new Set(held) });
}
function refusal(work: () => unknown): DomainError {
  try {
    work();
  } catch (err) {
    return err as DomainError;
  }
  throw new Error('it was not refused');
}

test('a model is found by its id, an alias, without its quantisation, and by what its server calls it', () => {
  const names = namesWith({ 'gpt-4o-mini': 'light_q4', best: 'heavy', 'text-embedding-3-small': 'embeddings' }, [
    'light_q2',
  ]);
  const idOf = (name: string) => gatewayTarget(names, name).modelId;
  expect(idOf('light_q4')).toBe('light_q4');
  expect(idOf('gpt-4o-mini')).toBe('light_q4');
  // Of two quantisations the one that a machine holds.
  expect(idOf('light')).toBe('light_q2');
  expect(idOf('light:latest')).toBe('light_q2');
  expect(idOf('best')).toBe('heavy_q4');
  expect(gatewayTarget(names, 'text-embedding-3-small')).toEqual({ kind: 'embeddings', modelId: 'use-lite-en' });
  expect(gatewayTarget(names, 'embeddings').kind).toBe('embeddings');
  // What no machine holds is known, and not shown.
  expect(names.listed).toEqual(['light_q2', 'text-embedding-3-small', 'use-lite-en']);
  const unknown = refusal(() => gatewayTarget(names, 'light_q5'));
  expect(unknown.code).toBe('MODEL_UNKNOWN');
  expect(unknown.message).toMatch(/Did you mean light_q[24]\?.*light_q2, text-embedding-3-small, use-lite-en$/);
});

test('an alias takes no model’s own name, and leads to a model of the file', () => {
  expect(gatewayTarget(namesWith({ light_q4: 'heavy_q4' }, []), 'light_q4').modelId).toBe('light_q4');
  const shipped = testFleet();
  const breaches = breachesOf({ ...shipped, gateway: { aliases: { fine: 'light', wrong: 'ligth_q4' } } });
  expect(breaches).toEqual([
    expect.objectContaining({
      at: ['gateway', 'aliases', 'wrong'],
      mend: expect.stringContaining('light_q4') as string,
    }),
  ]);
});

test('everything a request asks for is kept or refused by name', () => {
  const body = { model: 'm', messages: [{ role: 'user', content: 'Hello.' }] };
  const asked = chatAsked(
    chatRequestSchema.parse({ ...body, temperature: 0, n: 1, user: null, max_tokens: 5, stop: 'x', seed: 1 }),
  );
  expect(asked).toEqual({
    messages: body.messages,
    parameters: { temperature: 0, stop: 'x', seed: 1 },
    maxTokens: 5,
    stream: false,
  });
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z_]{1,20}$/), fc.jsonValue(), (name, value) => {
      fc.pre(value !== null && !(name in chatRequestSchema.shape));
      const err = refusal(() => chatAsked(chatRequestSchema.parse({ ...body, [name]: value })));
      return err.code === 'PARAMETER_UNSUPPORTED' && err.fields[0]!.path === name;
    }),
  );
  expect(
    refusal(() => chatAsked(chatRequestSchema.parse({ ...body, max_tokens: 5, max_completion_tokens: 6 }))).code,
  ).toBe('PARAMETER_UNSUPPORTED');
});

test('of parts of a message only those are taken that bring what they show along', () => {
  const ask = (content: unknown) =>
    chatAsked(chatRequestSchema.parse({ model: 'm', messages: [{ role: 'user', content }] })).messages;
  const text = { type: 'text', text: 'What is this?' };
  const image = (url: unknown) => ({ type: 'image_url', image_url: url });
  const audio = { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } };
  const good = [text, image({ url: 'data:image/png;base64,AAAA' }), audio, { type: 'refusal', refusal: 'No.' }];
  expect(ask(good)).toEqual([{ role: 'user', content: good }]);
  const away = 'http://169.254.169.254/latest';
  for (const [part, field] of [
    [image({ url: away }), 'image_url.url'],
    [image(away), 'image_url.url'],
    [image(undefined), 'image_url.url'],
    [{ ...text, image_url: { url: 'file:///etc/passwd' } }, 'image_url.url'],
    [{ type: 'video_url', video_url: { url: away } }, 'type'],
    [{ type: 'audio_url', audio_url: { url: away } }, 'type'],
    [{ type: 'file', file: { file_id: 'x' } }, 'type'],
  ] as const) {
    const err = refusal(() => ask([text, part]));
    expect([err.code, err.fields[0]!.path]).toEqual(['PARAMETER_UNSUPPORTED', `messages.0.content.1.${field}`]);
  }
});

test('what is nested too deep for a recursion is refused by name', () => {
  const deep: unknown = JSON.parse(`${'['.repeat(50_000)}${']'.repeat(50_000)}`);
  const body = { model: 'm', messages: [{ role: 'user', content: 'x' }], tools: [{ type: 'function', deep }] };
  expect(refusal(() => chatAsked(chatRequestSchema.parse(body))).fields[0]!.path).toBe('tools');
});

test('what no tokenizer fits into the context is refused, and nothing that might fit', () => {
  const of = (words: number, maxTokens?: number) => ({
    messages: [
      { role: 'user' as const, content: [{ type: 'text', text: 'antidisestablishmentarianism '.repeat(words) }] },
    ],
    parameters: {},
    stream: false,
    ...(maxTokens === undefined ? {} : { maxTokens }),
  });
  refuseOverContext(of(99), 100);
  refuseOverContext(of(50, 50), 100);
  expect(refusal(() => refuseOverContext(of(100), 100)).code).toBe('CONTEXT_TOO_LONG');
  expect(refusal(() => refuseOverContext(of(50, 51), 100)).message).toContain('51 tokens are asked for');
});

test('texts to embed are texts', () => {
  const texts = (input: unknown) => embeddingTexts(embeddingRequestSchema.parse({ model: 'm', input }));
  expect(texts('one')).toEqual(['one']);
  expect(texts(['one', 'two'])).toEqual(['one', 'two']);
  for (const input of [[1, 2], [[1], [2]], ['one', ' '], Array<string>(257).fill('x')])
    expect(refusal(() => texts(input)).code).toBe('PARAMETER_UNSUPPORTED');
});

test('pieces put together are the answer, however the server cut it, and what is left of it follows what was shown', () => {
  const call = { id: 'call_1', type: 'function', function: { name: 'count', arguments: '{"of":"birds"}' } };
  const cut = (text: string, at: number[]): string[] => {
    const places = [
      0,
      ...at.map((share) => Math.floor((share * text.length) / 100)).sort((a, b) => a - b),
      text.length,
    ];
    return places.slice(1).map((place, i) => text.slice(places[i], place));
  };
  const shares = fc.array(fc.integer({ min: 0, max: 100 }), { maxLength: 8 });
  fc.assert(
    fc.property(fc.string(), shares, shares, fc.nat(), (text, cuts, callCuts, take) => {
      const argued = cut(call.function.arguments, callCuts);
      const pieces: ChatPiece[] = [
        ...cut(text, cuts).map((content) => ({ delta: { content } })),
        ...argued.map((part, i) => ({
          delta: {
            tool_calls: [
              i === 0
                ? { index: 0, id: call.id, type: call.type, function: { name: 'count', arguments: part } }
                : { index: 0, function: { arguments: part } },
            ],
          },
        })),
      ];
      const whole = createChatAssembly();
      for (const piece of pieces) whole.add(piece);
      const answer = whole.end(end);
      expect(answer.message).toMatchObject({ content: text, tool_calls: [call] });
      const shown = createChatAssembly();
      const told = pieces.slice(0, take % (pieces.length + 1));
      for (const piece of told) shown.add(piece);
      shown.add({ delta: restOf(answer, told.length > 0 ? shown.end(end).message : undefined)! });
      const { content, tool_calls: calls } = shown.end(end).message;
      // Of an empty text there is no rest to show.
      expect([content ?? '', calls]).toEqual([text, [expect.objectContaining(call)]]);
    }),
  );
});

test('what was shown and is no beginning of the answer cannot be gone on with', () => {
  const answer = createChatAssembly();
  answer.add({ delta: { content: 'Seven birds.' } });
  expect(restOf(answer.end(end), { role: 'assistant', content: 'Eight' })).toBeUndefined();
});

test('a time to come again lies between a second and a minute', () => {
  expect([undefined, 0.01, 7.2, 900].map(retryAfterSeconds)).toEqual([5, 1, 8, 60]);
});
