import { expect, test } from 'vitest';
import { createExpander } from '../../config/imports/values.ts';

const values: Record<string, string> = {
  OPENAI_APIKEY: 'planted-1',
  REDIS_AUTH: 'planted-2',
  PGPASS: 'planted-3',
  PORT: '7200',
  MAX_TOKENS: '4096',
};
const wordsOf = (...words: string[]) => {
  const expander = createExpander((name) => values[name]);
  return { words: expander.words(words, 'x.yaml:1'), told: expander.unresolved };
};

test.each([
  [
    ['app', '--k', '${OPENAI_APIKEY}'],
    ['app', '--k', '${OPENAI_APIKEY}'],
  ],
  [
    ['app', '--auth=${REDIS_AUTH}', '${PGPASS}'],
    ['app', '--auth=${REDIS_AUTH}', '${PGPASS}'],
  ],
  [
    ['app', '--apikey', 'planted'],
    ['app', '--apikey', '${APIKEY}'],
  ],
  [
    ['sh', '-c', 'export HF_TOKEN=hf_planted && vllm serve'],
    ['sh', '-c', 'export HF_TOKEN=${HF_TOKEN} && vllm serve'],
  ],
  [
    ['curl', '-H', 'Authorization: Bearer planted-value'],
    ['curl', '-H', 'Authorization: Bearer ${TOKEN}'],
  ],
  [
    ['app', 'redis://me:planted@cache:6379'],
    ['app', 'redis://me:${PASSWORD}@cache:6379'],
  ],
])('no secret of %j is copied', (given, kept) => {
  const { words } = wordsOf(...given);
  expect(words).toEqual(kept);
  expect(words.join(' ')).not.toContain('planted');
});

test('counts of tokens are no secrets, and a command without any is told of none', () => {
  const { words, told } = wordsOf(
    'vllm',
    '--max-tokens',
    '4096',
    '--max-num-batched-tokens=8192',
    '--port',
    '${PORT}',
    '${MAX_TOKENS}',
  );
  expect(words).toEqual(['vllm', '--max-tokens', '4096', '--max-num-batched-tokens=8192', '--port', '7200', '4096']);
  expect(told).toEqual([]);
});
