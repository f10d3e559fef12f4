import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { readInventory } from '../../config/imports/inventory-reading.ts';
import { takeInventory } from '../../config/imports/inventory.ts';
import { inFolder } from '../support/imported.ts';

const requestOf = (folder: string) => ({
  paths: [folder],
  machineFiles: [],
  portRules: [],
  machines: [{ id: 'pc2' }],
  fleet: undefined,
});
const noTools = () => Promise.resolve([]);
const ownCopies = () => readdirSync(tmpdir()).filter((name) => name.startsWith(`soulfra-copies-${process.pid}-`));

/** Big enough that reading it in the caller's thread would hold that up. */
function bigRepository(modules = 1_500): Record<string, string> {
  const files: Record<string, string> = {
    'startup.yaml': 'a: { script: services/m0.py, port: 7000 }\n',
    '.env': 'PORT_OFFSET=0\n',
    '.gitignore': '.env\n',
  };
  const line = (i: number) => `def call_${i}(value):\n    return value + ${i}\n\n`;
  const body = Array.from({ length: 20 }, (_, i) => line(i)).join('');
  for (let i = 0; i < modules; i++)
    files[`services/m${i}.py`] = `import services.m${(i * 7 + 1) % modules}\nVALUE = ${i}\n${body}`;
  return files;
}

test('while a big repository is read, the loop goes on', async () => {
  await inFolder(bigRepository(), async (folder) => {
    let read = false;
    const reading = readInventory(requestOf(folder), noTools, new AbortController().signal).finally(() => {
      read = true;
    });
    let turns = 0;
    for (; !read; turns++) await turn();
    const inventory = await reading;
    expect(inventory.modules).toHaveLength(1_500);
    expect(inventory.services.map(({ id }) => id)).toEqual(['a']);
    // One turn is what a reading in this thread would leave; leases and heartbeats need them all the time.
    expect(turns).toBeGreaterThan(50);
    expect(inventory).toEqual(takeInventory(requestOf(folder)));
  });
});

test('a reading that is given up ends at once, and leaves no copy behind', async () => {
  await inFolder(bigRepository(), async (folder) => {
    const giving = new AbortController();
    const reading = readInventory(requestOf(folder), noTools, giving.signal);
    const refused = expect(reading).rejects.toThrow('the machine stops');
    expect(ownCopies()).toHaveLength(1);
    await turn();
    giving.abort(new Error('the machine stops'));
    await refused;
    expect(ownCopies()).toEqual([]);
  });
});

test('tools look at copies of what was read, without what git leaves out; then they are gone', async () => {
  await inFolder(bigRepository(3), async (folder) => {
    let seen: string[] = [];
    const report = { tool: 'x', state: 'ran' as const, detail: '', install: '', findings: [] };
    const { tools } = await readInventory(
      requestOf(folder),
      (copies) => {
        const lying = readdirSync(copies.folder, { recursive: true, withFileTypes: true });
        seen = lying.filter((each) => each.isFile()).map(({ name }) => name);
        expect([...copies.files].toSorted()).toEqual([
          'services/m0.py',
          'services/m1.py',
          'services/m2.py',
          'startup.yaml',
        ]);
        return Promise.resolve([report]);
      },
      new AbortController().signal,
    );
    expect(tools).toEqual([report]);
    expect(seen.toSorted()).toEqual(['m0.py', 'm1.py', 'm2.py', 'startup.yaml']);
    expect(ownCopies()).toEqual([]);
  });
});

test('what is refused in the thread is refused here, with its fields', async () => {
  const reading = readInventory(requestOf('/nowhere/at/all'), noTools, new AbortController().signal);
  await expect(reading).rejects.toMatchObject({ code: 'INVALID_INPUT', fields: [{ path: 'PATH' }] });
});

test('copies of a process that was killed are removed by the next', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  const left = join(tmpdir(), `soulfra-copies-${pid}-abcdef`);
  mkdirSync(join(left, 'files'), { recursive: true });
  await inFolder(bigRepository(1), (folder) => readInventory(requestOf(folder), noTools, new AbortController().signal));
  expect(existsSync(left)).toBe(false);
});
