import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cleanLine, cleanText } from '../../domain/clean-text.ts';

describe('text of several lines', () => {
  test('loses what cannot be seen, and keeps words', () => {
    expect(cleanText('a\u0000b\u001b[31mc\u200bd\u202ee\u2066f\ufeffg')).toBe('ab[31mcdefg');
    expect(cleanText('hidden\u{e0049}\u{e0067}\u{e006e} words\u{e0101}, private\ue000 ones\u{10fffd}')).toBe(
      'hidden words, private ones',
    );
    expect(cleanText('a \r\n b\r\n\r\n\r\n\r\nc\t d ')).toBe('a\n b\n\nc\t d');
    expect(cleanText('👩\u200d👩\u200d👧 می\u200cخواهم é ﬁ')).toBe('👩\u200d👩\u200d👧 می\u200cخواهم é ﬁ');
    expect(cleanText('half \ud800 pair')).toBe('half \ufffd pair');
    expect(cleanText(' \u200b\n ')).toBe('');
  });
});

describe('text on one line', () => {
  test('has one space for what parts words, controls too, and nothing that hides or turns it', () => {
    expect(cleanLine('  a\u0000b\n\u202ec\u202c\u200bd \ud800 \u{e0041}e ')).toBe('a b cd \ufffd e');
    expect(cleanLine('A\u001b[31m red\nline\u202e ')).toBe('A [31m red line');
    expect(cleanLine('e\u200b\u0301')).toBe('é');
    expect(cleanLine('\u200b\u2063\ufeff')).toBe('');
  });
});

test.each([
  ['cleanText', cleanText, /[^\P{Cc}\n\t]/u],
  ['cleanLine', cleanLine, /\p{Cc}/u],
] as const)(
  '%s, for any text: well-formed, without controls, and the same when cleaned again',
  (_, clean, controls) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const cleaned = clean(text);
        expect(cleaned.isWellFormed()).toBe(true);
        expect(cleaned).not.toMatch(controls);
        expect(clean(cleaned)).toBe(cleaned);
      }),
    );
  },
);
