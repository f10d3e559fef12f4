import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { maskOf, maskSize, maskSvg } from '../../domain/masks.ts';
import { bornAgents } from '../support/born-agents.ts';

const parsed = parseFleet(readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8'), 'fleet.yaml');
if ('errors' in parsed) throw new Error('fleet.yaml cannot be read');
const seeds = bornAgents(parsed.fleet).map(({ maskSeed }) => maskSeed);

test('no two of the 297 masks of the shipped town are alike, neither drawn nor in words', () => {
  expect(seeds).toHaveLength(297);
  const masks = seeds.map(maskOf);
  expect(new Set(masks.map(({ shapes }) => JSON.stringify(shapes))).size).toBe(297);
  expect(new Set(masks.map(({ description }) => description)).size).toBe(297);
  // What is seen first in a small picture: colours, outline, crown and paint.
  const likeness = masks.flatMap((mask, i) =>
    masks.slice(0, i).map((other) => {
      const names = Object.keys(mask.features) as Array<keyof typeof mask.features>;
      return names.filter((name) => mask.features[name] === other.features[name]).length;
    }),
  );
  expect(Math.max(...likeness)).toBeLessThan(8);
});

test('a mask is made of its seed alone, lies within its square, and holds nobody’s text', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 32 - 1), (seed) => {
      expect(maskOf(seed)).toEqual(maskOf(seed));
      for (const { d } of maskOf(seed).shapes)
        for (const [number] of d.matchAll(/(?<=[A-Z ])\d+(?:\.\d+)?(?=[ A-Z])/g))
          expect(Number(number)).toBeLessThanOrEqual(maskSize);
      expect(maskSvg(seed)).toMatch(
        /^<svg [^>]+><title>[\w ,:-]+\.<\/title>(?:<path [^<>]+\/>|<g [^<>]+><path [^<>]+\/><\/g>)+<\/svg>$/,
      );
    }),
  );
});
