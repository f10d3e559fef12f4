import { expect, test } from 'vitest';
import fc from 'fast-check';
import { wavesOf, withDependants, withNeeded } from '../../domain/service-waves.ts';

const service = (id: string, ...dependsOn: string[]) => ({ id, dependsOn });
const shop = [service('web', 'api'), service('api', 'db', 'cache'), service('db'), service('cache'), service('mail')];

test('a wave needs only what an earlier one has', () => {
  expect(wavesOf(shop)).toEqual([['cache', 'db', 'mail'], ['api'], ['web']]);
  expect([...withNeeded(shop, ['api'])].toSorted()).toEqual(['api', 'cache', 'db']);
  expect([...withDependants(shop, ['db'])].toSorted()).toEqual(['api', 'db', 'web']);
});

test('a circle is refused by name', () => {
  const circle = [service('a', 'b'), service('b', 'c'), service('c', 'b'), service('d')];
  expect(() => wavesOf(circle)).toThrow('b → c → b need each other');
});

test('of any services without a circle each stands once, after all that it needs', () => {
  // What is needed has a lower number, so that there is no circle.
  const services = fc
    .array(fc.array(fc.nat(30), { maxLength: 5 }), { maxLength: 30 })
    .map((needs) => needs.map((of, i) => service(`s${i}`, ...of.filter((n) => n < i).map((n) => `s${n}`))));
  fc.assert(
    fc.property(services, (all) => {
      const waves = wavesOf(all);
      const waveOf = new Map(waves.flatMap((wave, number) => wave.map((id) => [id, number] as const)));
      expect(waves.flat()).toHaveLength(all.length);
      for (const { id, dependsOn } of all)
        for (const needed of dependsOn) expect(waveOf.get(needed)).toBeLessThan(waveOf.get(id)!);
    }),
  );
});
