import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { treeLimits } from '../../config/imports/tree.ts';
import { servicesFileSchema } from '../../domain/services.ts';

/** docs/importing.md names every field of the schema, in the section that is its own. */
const page = readFileSync(new URL('../../docs/importing.md', import.meta.url), 'utf8');

interface Json {
  properties?: Record<string, Json>;
  items?: Json;
  anyOf?: Json[];
  oneOf?: Json[];
}

function keysOf(json: Json): string[] {
  const own = Object.entries(json.properties ?? {}).flatMap(([key, value]) => [key, ...keysOf(value)]);
  const beside = [json.items, ...(json.anyOf ?? []), ...(json.oneOf ?? [])];
  return [...own, ...beside.flatMap((each) => (each === undefined ? [] : keysOf(each)))];
}

const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((text) => [
      /^`?(\w+)/.exec(text)![1]!,
      new Set([...text.matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => code!.match(/\w+/g) ?? [])),
    ]),
);
const top = (z.toJSONSchema(servicesFileSchema, { io: 'input', reused: 'inline' }) as Json).properties!;
const parts = Object.entries(top).filter(([, json]) => keysOf(json).length > 0);

test('every list is a section, and every field is named in its own', () => {
  expect(parts.map(([part]) => part)).toEqual(['portRules', 'services', 'workPackages']);
  for (const [part, json] of parts)
    expect(
      keysOf(json).filter((key) => !sections.get(part)!.has(key)),
      part,
    ).toEqual([]);
});

test('the limits are those that hold', () => {
  expect(page).toContain(`${treeLimits.fileBytes / 1024} KiB`);
  expect(page).toContain(`${treeLimits.bytes / 1024 / 1024} MiB`);
  expect(page).toContain(treeLimits.entries.toLocaleString('en-US'));
  expect(page).toContain(`${treeLimits.depth} folders`);
});
