import { expect, test } from 'vitest';
import { estimateTokens } from '../../domain/token-estimate.ts';

// The largest of four counts: o200k and cl100k (js-tiktoken 1.0.21), llama3-tokenizer-js 1.2.0, llama-tokenizer-js 1.2.2.
test.each([
  ['English', 'The quick brown fox jumps over the lazy dog.', 12],
  ['capitals', 'THE FERRY IS LATE AGAIN', 10],
  ['a time', '2026-10-03T12:00:00Z', 20],
  ['German', 'Donaudampfschifffahrtsgesellschaft fährt heute nicht.', 19],
  ['Finnish', 'Lumi narskui jalkojen alla, kun kävelimme rantaan.', 21],
  ['Russian', 'Паром опоздал, и Мира ждала на причале.', 20],
  ['Japanese', '私は毎朝海を見る。', 13],
  ['Thai', 'ฉันรักทะเล', 12],
  ['Arabic', 'تأخرت العبّارة اليوم', 16],
  ['emoji', '😀🚢🔥👩‍👩‍👧', 26],
  ['hexadecimal', 'deadbeefcafebabe0123456789abcdef', 20],
  ['base64', 'aGVsbG8gd29ybGQgdGhpcyBpcyBhIHRlc3Q', 29],
])('estimates %s at no less than it was counted, and at most 2.2 times that', (_, text, counted) => {
  expect(estimateTokens(text)).toBeGreaterThanOrEqual(counted);
  expect(estimateTokens(text)).toBeLessThanOrEqual(counted * 2.2);
});
