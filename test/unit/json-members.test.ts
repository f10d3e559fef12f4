import fc from 'fast-check';
import { expect, test } from 'vitest';
import { jsonMembers } from '../../integrations/importers/json-members.ts';

const read = (text: string | Buffer) =>
  [...jsonMembers(Buffer.from(text as string))].map(({ line, key, value, whole }) => ({
    line,
    key,
    value: value.toString('utf8').trim(),
    whole,
  }));

test('finds every member of any object, however it is spaced', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.jsonValue()), { maxLength: 12 }),
      fc.constantFrom(undefined, 1, '\t', '\r\n'),
      (members, indent) => {
        const object = Object.fromEntries(members);
        const found = read(JSON.stringify(object, null, indent));
        expect(found.every(({ whole }) => whole)).toBe(true);
        const again = Object.fromEntries(found.map(({ key, value }) => [JSON.parse(`"${key}"`), JSON.parse(value)]));
        expect(again).toEqual(JSON.parse(JSON.stringify(object)));
      },
    ),
    { numRuns: 500 },
  );
});

test('a file cut off anywhere gives its whole members and at most one broken one', () => {
  const text = JSON.stringify({ a: 'x"}', b: [1, { c: '\\' }], d: null });
  for (let end = 1; end < text.length; end += 1) {
    const found = read(text.slice(0, end));
    const broken = found.filter(({ whole }) => !whole);
    expect(broken.length).toBeLessThanOrEqual(1);
    for (const { value } of found.filter(({ whole }) => whole)) JSON.parse(value);
  }
});

test('tells lines, and shows a key that stands twice twice', () => {
  expect(read('{\n "a": 1,\n "b": {\n  "c": 2 },\n "a": 3\n}').map(({ line, key }) => [line, key])).toEqual([
    [2, 'a'],
    [3, 'b'],
    [5, 'a'],
  ]);
});

test('ends on what is no object', () => {
  expect(read('')).toEqual([]);
  expect(read('[1]')).toEqual([]);
  expect(read('\ufeff {"a": 1}')).toHaveLength(1);
  expect(read('{1: 2, "a": 3}').map(({ key }) => key)).toEqual([undefined, 'a']);
  expect(read('{"a" 1, "b": 2').map(({ key, whole }) => [key, whole])).toEqual([
    [undefined, true],
    ['b', false],
  ]);
});
