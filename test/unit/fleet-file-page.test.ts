import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { fleetShapeSchema } from '../../domain/fleet.ts';

/** docs/fleet-file.md names every field of the schema, in the section that is its own. */
const page = readFileSync(new URL('../../docs/fleet-file.md', import.meta.url), 'utf8');

interface Json {
  properties?: Record<string, Json>;
  items?: Json;
  additionalProperties?: Json | boolean;
  anyOf?: Json[];
  oneOf?: Json[];
  allOf?: Json[];
}

/** Keys of all objects inside; those of a record are the owner's own. */
function keysOf(json: Json): string[] {
  const own = Object.entries(json.properties ?? {}).flatMap(([key, value]) => [key, ...keysOf(value)]);
  const beside = [
    json.items,
    json.additionalProperties,
    ...(json.anyOf ?? []),
    ...(json.oneOf ?? []),
    ...(json.allOf ?? []),
  ];
  return [...own, ...beside.flatMap((each) => (typeof each === 'object' ? keysOf(each) : []))];
}

/** Words in backticks, by what the heading of their section names: `machines[]` is `machines`. */
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((text) => {
      const name = /^`?(\w+)/.exec(text)![1]!;
      return [
        name,
        new Set([...text.matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => code!.match(/\w+/g) ?? [])),
      ] as const;
    }),
);
const top = (z.toJSONSchema(fleetShapeSchema, { io: 'input', reused: 'inline' }) as Json).properties!;

test('every part of the file is named at its top', () => {
  expect(Object.keys(top).filter((key) => !sections.get('Top')!.has(key))).toEqual([]);
});

const parts = Object.entries(top).filter(([, json]) => keysOf(json).length > 0);
test.each(parts)('%s: every field is named in its section', (part, json) => {
  // An agent may have any field of its archetype.
  const elsewhere = part === 'agents' ? keysOf(top['archetypes']!) : [];
  const keys = [...new Set(keysOf(json))].filter((key) => !elsewhere.includes(key));
  expect(keys.length).toBeGreaterThan(0);
  expect(keys.filter((key) => !sections.get(part)?.has(key))).toEqual([]);
});

test('what is read here is the whole schema', () => {
  expect(parts.map(([part]) => part)).toEqual(
    expect.arrayContaining(['machines', 'sources', 'embeddings', 'retention']),
  );
  expect(keysOf(top['machines']!)).toContain('reserveGiB');
  expect(keysOf(top['sources']!)).toContain('allowPrivate');
});
