import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { readInventory } from '../../config/imports/inventory-reading.ts';
import { takeInventory } from '../../config/imports/inventory.ts';
import { openCopies } from '../../config/imports/repository-copies.ts';
import { assessAll } from '../../domain/readiness-assessors.ts';
import { inFolder } from '../support/imported.ts';

const requestOf = (folder: string) => ({
  paths: [folder],
  machineFiles: [],
  portRules: [],
  machines: [{ id: 'pc2' }],
  fleet: undefined,
});
const noTools = () => Promise.resolve([]);
const ownCopies = () =>
  readdirSync(tmpdir()).filter((name) => new RegExp(`^soulfra-copies-\\d+-${process.pid}-`).test(name));

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

test('copies of a process that was killed are removed by the next, and those of one that lives are not', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  const space = statSync('/proc/self/ns/pid', { throwIfNoEntry: false })?.ino ?? 0;
  const made = (name: string, ageHours = 0) => {
    const path = join(tmpdir(), `soulfra-copies-${name}`);
    mkdirSync(join(path, 'files'), { recursive: true });
    const at = new Date(Date.now() - ageHours * 3_600_000);
    utimesSync(path, at, at);
    return path;
  };
  const own = openCopies();
  // Of another container: its processes are not seen from here, and what has its number here is another.
  const elsewhere = made(`1${space}-${pid}-77-abcdef`);
  const old = [made(`1${space}-${process.pid}-77-abcdeg`, 2), made(`${process.pid}-abcdef`, 2)];
  const gone = [made(`${space}-${pid}-77-abcdef`), made(`${space}-${process.pid}-77-abcdef`)];
  try {
    await inFolder(bigRepository(1), (folder) =>
      readInventory(requestOf(folder), noTools, new AbortController().signal),
    );
    const there = (paths: string[]) => paths.filter((path) => existsSync(path));
    expect(there([own.folder, elsewhere])).toEqual([own.folder, elsewhere]);
    expect(there(old)).toEqual([]);
    if (process.platform === 'linux') expect(there(gone)).toEqual([]);
  } finally {
    own.remove();
    for (const path of [elsewhere, ...gone]) rmSync(path, { recursive: true, force: true });
  }
});

const unreadOf = (folder: string) =>
  assessAll(takeInventory(requestOf(folder)))
    .filter(({ rule }) => rule === 'file-unread')
    .map(({ subject, evidence, severity }) => `${severity} ${subject}: ${evidence}`);

test('what a limit keeps from being read is unknown, and what needs no reading is not', async () => {
  const long = 'x: 1\n'.repeat(110_000);
  await inFolder(
    {
      'data/long.yaml': long,
      'package-lock.json': long,
      'left/long.yaml': long,
      '.gitignore': 'left\n',
      'a.yaml': 'a: 1\n',
    },
    (folder) => {
      writeFileSync(join(folder, 'picture.key'), Buffer.from([1, 0, 2]));
      writeFileSync(join(folder, 'picture.txt'), Buffer.from([1, 0, 2]));
      expect(unreadOf(folder)).toEqual([
        'unknown data/long.yaml: is longer than 524288 bytes',
        'unknown picture.key: is no text',
      ]);
    },
  );
});

test('keys are looked at before all else, and told where they are private', async () => {
  const pem = (kind: string) => `-----BEGIN ${kind}-----\nMIIB\n-----END ${kind}-----\n`;
  const key = pem(['RSA', 'PRIVATE KEY'].join(' '));
  const filler = `${'x'.repeat(3_000)}\n`.repeat(170);
  const files: Record<string, string> = {
    'zz/id_rsa': key,
    'zz/server.key': key,
    'zz/server.pem': pem('CERTIFICATE'),
    'zz/.npmrc': `//registry.example.org/:_authToken=${'npm_a1B2c3D4'.repeat(3)}\n`,
    'zz/.netrc': `machine git.internal login ci password ${'q7Xw'.repeat(3)}\n`,
    'kept/own.pem': key,
    '.gitignore': 'kept\n',
  };
  // More than is read in all.
  for (let i = 0; i < 140; i++) files[`a/${String(i).padStart(3, '0')}.txt`] = filler;
  await inFolder(files, (folder) => {
    const secrets = assessAll(takeInventory(requestOf(folder))).filter(({ rule }) => rule === 'secret-in-file');
    expect(new Set(secrets.map(({ place }) => place))).toEqual(
      new Set(['zz/.netrc:1', 'zz/.npmrc:1', 'zz/id_rsa:1', 'zz/server.key:1']),
    );
    expect(JSON.stringify(secrets)).not.toMatch(/npm_a1B2|q7Xw/);
    expect(unreadOf(folder).some((told) => told.includes('the files before it have'))).toBe(true);
  });
});

test('a compose file with any number of errors is judged in no time', async () => {
  const source = `services:\n  web:\n    image: web:1\n    volumes: [${'1,'.repeat(30_000)}]\n`;
  await inFolder({ 'compose.yaml': source }, (folder) => {
    const { tools } = takeInventory(requestOf(folder));
    expect(tools[0]!.findings).toHaveLength(50);
    expect(tools[0]!.findings[0]).toMatchObject({ code: 'services.web.volumes.0', line: 4 });
  });
});
