import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openHome } from '../../deploy/embedded/home.ts';
import { takePorts } from '../../deploy/embedded/ports.ts';

/** Beside the ranges of `npm start` and of the servers of the tests; the first one tried is drawn, so two test runs at once rarely meet. */
const range = { first: 14_000 + 20 * randomInt(100), last: 16_980 };

let folder: string;
const homeOf = (name: string) => openHome({ SOULFRA_HOME: join(folder, name) }, folder);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-ports-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('starts beside each other have a block each, though nobody listens there yet', async () => {
  const names = ['a', 'b', 'c', 'd'];
  const taken = await Promise.all(names.map(async (name) => takePorts(homeOf(name), range)));
  const later = await takePorts(homeOf('e'), range);
  expect(new Set([...taken, later].map(({ base }) => base)).size).toBe(5);
});

test('a block one of whose ports is taken is left to whoever comes when it is free', async () => {
  const { base, redis } = await takePorts(homeOf('first'), range);
  const next = base + 20;
  const other = createServer().listen({ port: next + (redis - base), host: '127.0.0.1' });
  await new Promise((resolve) => other.once('listening', resolve));
  expect((await takePorts(homeOf('second'), range)).base).toBeGreaterThan(next);
  other.close();
  await new Promise((resolve) => other.once('close', resolve));
  expect((await takePorts(homeOf('third'), range)).base).toBe(next);
});
