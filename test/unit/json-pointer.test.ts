import fc from 'fast-check';
import { expect, test } from 'vitest';
import { atPointer, jsonPointerSchema, nestsOver } from '../../domain/json-pointer.ts';

/** The document of RFC 6901, section 5. */
const rfc = {
  foo: ['bar', 'baz'],
  '': 0,
  'a/b': 1,
  'c%d': 2,
  'e^f': 3,
  'g|h': 4,
  'i\\j': 5,
  'k"l': 6,
  ' ': 7,
  'm~n': 8,
};

test.each([
  ['/foo', ['bar', 'baz']],
  ['/foo/0', 'bar'],
  ['/', 0],
  ['/a~1b', 1],
  ['/c%d', 2],
  ['/e^f', 3],
  ['/i\\j', 5],
  ['/ ', 7],
  ['/m~0n', 8],
  ['/foo/2', undefined],
  ['/foo/-', undefined],
  ['/foo/00', undefined],
  ['/foo/length', undefined],
  ['/toString', undefined],
  ['/__proto__', undefined],
  ['/foo/0/bar', undefined],
])('%s', (pointer, value) => {
  expect(atPointer(rfc, pointer)).toEqual(value);
});

test('only pointers are pointers', () => {
  for (const good of ['/a', '/a/b', '/a~1b', '/']) expect(jsonPointerSchema.safeParse(good).success).toBe(true);
  for (const bad of ['', 'a', '#/a', '/a~2', '/a~', '$.a'])
    expect(jsonPointerSchema.safeParse(bad).success).toBe(false);
});

test('depth is that of brackets outside strings', () => {
  expect(nestsOver('[[1]]', 2)).toBe(false);
  expect(nestsOver('[[[1]]]', 2)).toBe(true);
  expect(nestsOver('{"a":"[[[[\\"[[["}', 1)).toBe(false);
  expect(nestsOver('[[],[],[]]', 2)).toBe(false);
  expect(nestsOver('['.repeat(60_000), 32)).toBe(true);
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const depth = (json: unknown): number =>
        typeof json === 'object' && json !== null ? 1 + Math.max(0, ...Object.values(json).map(depth)) : 0;
      expect(nestsOver(JSON.stringify(value), depth(value))).toBe(false);
      if (depth(value) > 0) expect(nestsOver(JSON.stringify(value), depth(value) - 1)).toBe(true);
    }),
  );
});
