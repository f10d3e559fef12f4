import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashTextOf, isDeeperThan } from '../../domain/any-json.ts';
import { canonicalJson } from '../../domain/canonical-json.ts';

test('JSON has one text, whatever the order of its fields and whatever its numbers and names are', () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      const value: unknown = JSON.parse(json);
      const text = hashTextOf(value);
      expect(JSON.stringify(JSON.parse(text))).toHaveLength(JSON.stringify(value).length);
      expect(hashTextOf(JSON.parse(text))).toBe(text);
    }),
  );
  expect(hashTextOf(JSON.parse('{"b":0.5,"a":[-0,1e20,"\\ud83d"]}'))).toBe(
    '{"a":[0,100000000000000000000,"\\ud83d"],"b":0.5}',
  );
  const proto = '{"__proto__":{"x":1},"a":1}';
  expect(hashTextOf(JSON.parse(proto))).toBe(proto);
  expect(hashTextOf({ b: undefined, a: 1 })).toBe('{"a":1}');
  // Hashes that were stored before are the same.
  const plain = { b: [1, { d: null, c: true }], a: 'é"', '\u{1f600}': 1, '\ufb33': 2 };
  expect(hashTextOf(plain)).toBe(canonicalJson(plain));
});

test('how deep it is nested is told without recursion', () => {
  const deep = (depth: number): unknown => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  expect([isDeeperThan('x', 0), isDeeperThan(deep(3), 3), isDeeperThan(deep(4), 3)]).toEqual([false, false, true]);
  expect(isDeeperThan(deep(100_000), 200)).toBe(true);
  expect(isDeeperThan({ a: { b: [1] } }, 2)).toBe(true);
});
