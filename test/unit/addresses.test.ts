import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addressesIn, createAddressFilter, withoutStrangeAddresses } from '../../domain/addresses.ts';

test.each([
  ['See https://a.example/b?c=d.', ['https://a.example/b?c=d']],
  ['![x](http://a.example/p.png) and <ftp://b.example>', ['http://a.example/p.png', 'ftp://b.example']],
  ['[x](//a.example/p) or www.b.example, or https:/c.example', ['//a.example/p', 'www.b.example', 'https:/c.example']],
  [
    'javascript:alert(1) data:text/html,x mailto:a@b.example',
    ['javascript:alert(1', 'data:text/html,x', 'mailto:a@b.example'],
  ],
  ['no: 10://, a // b, and/or, 12:30, http: alone', []],
])('addresses in %j', (text, found) => {
  expect(addressesIn(text)).toEqual(found);
});

const shown = ['I read https://a.example/news today.'];

test('an address that was shown stays, also at the end of a sentence; one that was not is taken out', () => {
  expect(withoutStrangeAddresses('See https://a.example/news. Then https://a.example/news?it=secret!', shown)).toBe(
    'See https://a.example/news. Then (address removed)!',
  );
});

test('a stream without strange addresses is the text without them, however it is cut', () => {
  const part = fc.constantFrom(
    'https://a.example/news',
    'https://a.example/news?it=secret',
    '![x](//b.example/p.png)',
    'javascript:alert(1)',
    'data:image/png;base64,AA',
    'www.b.example',
    'https:/b.example',
    'A word',
    '看https://b.example/看',
    ' ',
    '. ',
    ')',
    '/',
    ':',
    'http',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), fc.array(fc.nat({ max: 120 }), { maxLength: 8 }), (parts, cuts) => {
      const text = parts.join('');
      const at = [0, ...cuts.toSorted((a, b) => a - b), text.length];
      const filter = createAddressFilter(shown);
      const pieces = at.slice(1).map((end, i) => filter.pass(text.slice(at[i], end)));
      expect(pieces.join('') + filter.end()).toBe(withoutStrangeAddresses(text, shown));
    }),
    { numRuns: 2_000 },
  );
});

test('words pass as they come', () => {
  const filter = createAddressFilter([]);
  expect(['The boats', ' came', ' home, 看', '见了', '.'].map((piece) => filter.pass(piece))).toEqual([
    'The ',
    'boats ',
    'came home, 看',
    '见了',
    '.',
  ]);
});
