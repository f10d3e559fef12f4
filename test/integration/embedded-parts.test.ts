import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openHome } from '../../deploy/embedded/home.ts';
import { createParts, type Parts, type PartSpec } from '../../deploy/embedded/parts.ts';

let folder: string;
let parts: Parts;
let events: string[];
let failed: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-parts-'));
  events = [];
  failed = [];
  const home = openHome({ SOULFRA_HOME: folder, SOULFRA_CACHE: join(folder, 'cache') }, folder);
  parts = createParts({ home, onEvent: (text) => events.push(text), onFailed: (part) => failed.push(part) });
});
afterEach(async () => {
  await parts.stopAll();
  rmSync(folder, { recursive: true, force: true });
});

function part(name: string, script: string, changes: Partial<PartSpec> = {}): PartSpec {
  return {
    name,
    order: 0,
    command: process.execPath,
    args: ['-e', script],
    env: process.env,
    stopSignal: 'SIGTERM',
    graceMs: 2000,
    startAttempts: 1,
    readyWithinMs: 5000,
    ...changes,
  };
}
const forever = 'setInterval(() => {}, 1000)';
const view = (name: string) => parts.list().find((listed) => listed.name === name)!;

async function until(what: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !what(); i += 1) await sleep(50);
  expect(what()).toBe(true);
}

test('a part that dies is started again, at most three times a minute', async () => {
  await parts.start(part('worker-a', 'setTimeout(() => process.exit(3), 100)'));
  await until(() => failed.length > 0);
  expect(failed).toEqual(['worker-a']);
  expect(events.filter((text) => text.includes('starting it again'))).toHaveLength(3);
  expect(view('worker-a').state).toBe('failed');
});

test('a part that was killed by hand stays down until it is started by hand', async () => {
  await parts.start(part('worker-a', forever));
  await parts.kill('worker-a');
  await sleep(700);
  expect(view('worker-a')).toMatchObject({ state: 'killed', pid: null });
  await parts.start(part('worker-a', forever));
  expect(view('worker-a')).toMatchObject({ state: 'up', pid: expect.any(Number) });
  await expect(parts.start(part('worker-a', forever))).rejects.toThrow('worker-a is running');
});

test('a part that does not heed its signal is ended after its grace', async () => {
  await parts.start(part('deaf', `process.on('SIGTERM', () => {}); ${forever}`, { graceMs: 300 }));
  await sleep(300);
  await parts.stopAll();
  expect(view('deaf').pid).toBeNull();
  expect(events).toEqual(['deaf did not stop within 0.3 s and was ended']);
});

test('a part that never comes up says what its log says', async () => {
  await expect(
    parts.start(part('broken', 'throw new Error("no such disk")', { ready: async () => false })),
  ).rejects.toThrow(/no such disk/);
});
