import { expect, test } from 'vitest';
import { answerByModel } from '../../integrations/inference/model-answerer.ts';

test('a mark that hides text is taken out of the stream, also where a piece ends within it', async () => {
  const written = 'A fine day\u{e0061}. 🌞';
  const told: string[] = [];
  const outcome = await answerByModel(
    {
      generate: async (_request, watch) => {
        // The worst cut: each half of a character by itself.
        for (let i = 0; i < written.length; i += 1) watch.onText?.(written[i]!);
        return { text: written, tokens: 5, finishReason: 'stop' };
      },
    },
    {
      agent: { name: 'Vesper', persona: 'keeps the evening watch', traits: ['calm'] },
      author: 'Ada',
      text: 'How was your day?',
      turns: [],
      memories: [],
      model: 'small',
      contextTokens: 4_096,
      seed: 1,
    },
    { signal: new AbortController().signal, onProgress: () => undefined, onText: (piece) => told.push(piece) },
  );
  expect(outcome.text).toBe('A fine day. 🌞');
  expect(told.join('')).toBe('A fine day. 🌞');
});
