import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countedImportance } from '../../domain/importance.ts';
import { nearlySameWords, quoteFinder } from '../../domain/plain-text.ts';

describe('the same words', () => {
  test.each([
    ['The ferry is late.', 'the FERRY — is late!', true],
    ['The ferry is late.', 'The ferry was late.', false],
    ['one two three four five six seven eight nine ten', 'ten one two three four five six seven eight nine', true],
    ['', '…', true],
    ['On day 3 I counted 9 boats.', 'On day 4 I counted 12 boats.', false],
  ])('%j and %j: %s', (a, b, same) => {
    expect(nearlySameWords(a, b)).toBe(same);
    expect(nearlySameWords(b, a)).toBe(same);
  });
});

describe('a quote', () => {
  const secret = 'My aunt Odalys hides the spare key under the blue beehive.';
  test.each([
    [secret, 'She said: “hides the spare KEY, under”!', true],
    [secret, 'She hides a spare key under the hive.', false],
    [secret, 'the spare key under', false],
    ['Call me.', 'She said: call me!', true],
    ['Call me.', 'Call somebody, not me.', false],
    ['姑姑把钥匙藏在蜂箱下面。', '她说：“钥匙藏在蜂箱”。', true],
    ['姑姑把钥匙藏在蜂箱下面。', '蜂箱是蓝色的。', false],
    ['…', 'anything', false],
  ])('of %j in %j: %s', (source, text, found) => {
    expect(quoteFinder(source)(text)).toBe(found);
  });

  test('any five words in a row are found, whatever stands around them', () => {
    const word = fc.stringMatching(/^[a-z]{2,8}$/);
    fc.assert(
      fc.property(fc.array(word, { minLength: 5, maxLength: 30 }), fc.nat(), fc.array(word), (words, from, around) => {
        const start = from % (words.length - 4);
        const quote = [...around, ...words.slice(start, start + 5), ...around].join(' ');
        expect(quoteFinder(words.join(' '))(quote)).toBe(true);
      }),
    );
  });

  test('of few words, said in all orders, exactly the runs are found', () => {
    const texts = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 24 });
    fc.assert(
      fc.property(texts, texts, (words, said) => {
        const length = Math.min(5, words.length);
        const runs = (of: string[]) => of.flatMap((_, i) => (i + length > of.length ? [] : [of.slice(i, i + length)]));
        const own = new Set(runs(words).map(String));
        expect(quoteFinder(words.join(' '))(said.join(' '))).toBe(runs(said).some((run) => own.has(String(run))));
      }),
      { numRuns: 2_000 },
    );
  });
});

test('what moves an agent: lived and told within a day; not its own thoughts, not history', () => {
  const now = new Date('2026-11-21T12:00:00Z');
  const at = (occurredAt: string, kind: 'observation' | 'reflection' = 'observation') =>
    countedImportance({ kind, importance: 7, occurredAt }, now);
  expect(at('2026-11-21T11:00:00Z')).toBe(7);
  expect(at('2026-11-20T12:00:00Z')).toBe(7);
  expect(at('2026-11-20T11:59:59Z')).toBe(0);
  expect(at('2026-12-01T00:00:00Z')).toBe(7);
  expect(at('2026-11-21T11:00:00Z', 'reflection')).toBe(0);
  const told = { kind: 'observation' as const, importance: 7, occurredAt: '2026-11-21T11:00:00Z', past: {} };
  expect(countedImportance(told, now)).toBe(0);
});
