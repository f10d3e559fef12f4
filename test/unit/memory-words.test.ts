import fc from 'fast-check';
import { expect, test } from 'vitest';
import { memoryWords } from '../../domain/memory-words.ts';

const termsOf = (text: string, name = '') => [...memoryWords(text, name).terms].sort();

test('keeps names and words that can be a subject, plural like singular; a full name counts once and by itself', () => {
  expect(termsOf('I gave Una Breck the keys of the lamps.')).toEqual(['keys', 'lamp', 'una', 'una breck']);
  expect(termsOf('Then nothing.', 'Una Breck')).toEqual(['una', 'una breck']);
  // At the beginning every word is written large, so a short one there is no name.
  expect(termsOf('He met Al at dawn. Al ran.')).toEqual(['al', 'dawn']);
});

test('reads denials up to the next clause, and not past a preposition or a number', () => {
  const [sentence] = memoryWords('The bell was not broken on the hill, and the lamp burnt.', '').sentences;
  expect([...sentence!.denied]).toEqual(['broken']);
  const [counted] = memoryWords('There were not twenty people on the bridge.', '').sentences;
  expect([...counted!.denied]).toEqual([]);
  expect([...counted!.counts]).toEqual([['people', 20]]);
  const [speck] = memoryWords('It lay there without a speck of rust.', '').sentences;
  expect([...speck!.denied].sort()).toEqual(['rust', 'speck']);
});

test('counts things in words and digits; `one` before `of` or behind `every` is no number', () => {
  const countsOf = (text: string) => Object.fromEntries(memoryWords(text, '').sentences[0]!.counts);
  expect(countsOf('two hundred breaths and 12 boats')).toEqual({ breath: 200, boat: 12 });
  expect(countsOf('twenty-four sacks')).toEqual({ sack: 24 });
  expect(countsOf('every one weighed, one of the weights, only one door')).toEqual({ door: 1 });
});

test('a run is never what somebody says of himself, and ends with its clause', () => {
  const [sentence] = memoryWords('I saw that the old bell cracked at noon, and they left.', '').sentences;
  expect([...sentence!.runs]).toEqual([
    'saw that the old',
    'that the old bell',
    'the old bell cracked',
    'old bell cracked at',
    'bell cracked at noon',
  ]);
});

test('the same sentence about others opens alike and names others', () => {
  const [one] = memoryWords('Una Breck confessed in the smithy to the theft.', '').sentences;
  const [other] = memoryWords('Osk Bramley confessed at the weir to the theft.', '').sentences;
  expect(one!.opening).toBe(other!.opening);
  expect(one!.names).not.toBe(other!.names);
});

test('takes any text: broken, long, without a letter', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 400 }), fc.string({ maxLength: 30 }), (text, name) => {
      const words = memoryWords(text, name);
      for (const sentence of words.sentences) {
        for (const term of sentence.terms) expect(words.terms.has(term)).toBe(true);
        for (const denied of sentence.denied) expect(sentence.terms.has(denied)).toBe(true);
      }
    }),
  );
  expect(memoryWords('word '.repeat(100_000), 'A B').terms.size).toBeLessThan(5);
  expect(memoryWords('', '').sentences).toEqual([]);
});
