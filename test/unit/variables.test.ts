import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arithmetic, expand } from '../../domain/variables.ts';

const values: Record<string, string> = {
  PORT_OFFSET: '100',
  EMPTY: '',
  CHAIN: '${PORT_OFFSET}',
  LOOP: '${LOOP}',
  A: '$B$B',
  B: '$C$C',
  C: 'c',
};
const lookup = (name: string) => values[name];

describe('variables', () => {
  test.each([
    ['${PORT_OFFSET}+7200', '100+7200', []],
    ['$PORT_OFFSET/x', '100/x', []],
    ['${X:-d}', 'd', []],
    ['${X:-${Y:-e}}', 'e', []],
    ['${EMPTY:-d}${EMPTY-d}', 'd', []],
    ['${PORT_OFFSET:+there}${X:+not}', 'there', []],
    ['${CHAIN}', '100', []],
    ['$$PORT_OFFSET', '$PORT_OFFSET', []],
    ['$A', 'cccc', []],
    ['${X}+1', '${X}+1', ['X']],
    ['${X:?must be set}', '${X:?must be set}', ['X']],
    ['${LOOP}', '${LOOP}', ['LOOP']],
    ['${PORT_OFFSET%0}', '${PORT_OFFSET%0}', []],
    ['${open', '${open', []],
    ['costs 5$', 'costs 5$', []],
  ])('%s', (text, expanded, unresolved) => {
    expect(expand(text, lookup)).toEqual({ text: expanded, unresolved });
  });

  test('a few lines that would unfold to billions are left as they stand', () => {
    const bomb = (name: string) => {
      const level = Number(name.slice(1));
      return level >= 9 ? 'lol' : `$L${level + 1}`.repeat(10);
    };
    const { text, unresolved } = expand('$L0', bomb);
    expect(text.length).toBeLessThan(100_000);
    expect(unresolved.length).toBeGreaterThan(0);
  });

  test('what is plain stays as it is, and nothing is ever thrown', () => {
    fc.assert(
      fc.property(
        fc.string().filter((text) => !text.includes('$')),
        (text) => {
          expect(expand(text, lookup).text).toBe(text);
        },
      ),
    );
    fc.assert(
      fc.property(fc.array(fc.constantFrom('$', '{', '}', ':', '-', '+', 'A', 'LOOP', 'X', '$$', '${')), (parts) => {
        expect(typeof expand(parts.join(''), lookup).text).toBe('string');
      }),
    );
  });
});

describe('arithmetic', () => {
  test.each([
    ['7200', 7200],
    [' 100 + 7200 ', 7300],
    ['2*(3+4)-1', 13],
    ['$((100 + 1))', 101],
    ['-5+6', 1],
    ['7200/tcp', undefined],
    ['', undefined],
    ['1+', undefined],
    ['process.exit()', undefined],
    ['1 2', undefined],
    ['9'.repeat(40), undefined],
  ])('%s', (text, value) => expect(arithmetic(text)).toBe(value));

  test('follows the rules of arithmetic', () => {
    const number = fc.nat(1000);
    fc.assert(
      fc.property(number, number, number, (a, b, c) => {
        expect(arithmetic(`${a}+${b}*${c}-(${a}-${b})`)).toBe(a + b * c - (a - b));
      }),
    );
  });
});
