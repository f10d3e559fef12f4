import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { PartView } from '../../deploy/embedded/parts.ts';
import { isAlive, processRef } from '../../deploy/embedded/processes.ts';
import type { Services } from '../../deploy/embedded/services.ts';
import { mountSmall } from '../support/backup-stage.ts';
import { lacks } from '../support/not-run.ts';

interface Up {
  left: string[];
  services: Services;
  parts: PartView[];
}

let folder: string;
let running: ChildProcess[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-services-'));
  chmodSync(folder, 0o755);
  running = [];
});
afterEach(async () => {
  for (const child of running) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
});

async function bringUp(name = 'services-process.ts'): Promise<{ child: ChildProcess; up: Up; told: () => string }> {
  const program = fileURLToPath(new URL(`../support/${name}`, import.meta.url));
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'pipe'] });
  running.push(child);
  let told = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text));
  for await (const line of createInterface({ input: child.stdout }))
    return { child, up: JSON.parse(line) as Up, told: () => told };
  throw new Error(`it ended before it was up: ${told}`);
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

async function until(what: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error('it did not come about in time');
    await sleep(50);
  }
}

const pids = (up: Up) => up.parts.map((part) => part.pid!);
const livingOf = (numbers: number[]) => numbers.filter((pid) => processRef(pid) !== undefined);

test('one signal stops Temporal, then Redis, then Postgres, and nothing is left', async () => {
  const { child, up, told } = await bringUp();
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([0, null]);
  expect(told().match(/stopping \w+/g)).toEqual(['stopping temporal', 'stopping redis', 'stopping postgres']);
  expect(livingOf(pids(up))).toEqual([]);
});

test('a key press that npm passes on as well does not force the stop, a later one does', async () => {
  const { child, up } = await bringUp('ending-process.ts');
  await sleep(300);
  child.kill('SIGINT');
  child.kill('SIGINT');
  await sleep(1300);
  expect(child.exitCode).toBeNull();
  expect(livingOf(pids(up))).toHaveLength(1);
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([1, null]);
  await until(() => livingOf(pids(up)).length === 0, 5000);
});

test('data survives kill -9 of everything, and the next start ends what is left', async () => {
  const first = await bringUp();
  await query(first.up.services.databaseUrl, 'create table kept as select 297 as agents');
  const refs = pids(first.up).map((pid) => processRef(pid)!);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  const second = await bringUp();
  expect(refs.filter(isAlive)).toEqual([]);
  expect(await query(second.up.services.databaseUrl, 'select agents from kept')).toEqual([{ agents: 297 }]);
  expect(second.up.services).toEqual(first.up.services);
});

test('a second start in the same folder is refused and harms nothing', async () => {
  const { up } = await bringUp();
  await expect(bringUp()).rejects.toThrow(/already runs here as process \d+/);
  expect(livingOf(pids(up))).toHaveLength(3);
});

test('secrets that are not those of the data are named at once with their mend, and the data stays', async () => {
  const first = await bringUp();
  await query(first.up.services.databaseUrl, 'create table kept as select 297 as agents');
  first.child.kill('SIGTERM');
  await once(first.child, 'exit');
  const file = join(folder, 'secrets.json');
  const right = readFileSync(file, 'utf8');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(right), postgresPassword: 'x'.repeat(32) }));
  await expect(bringUp()).rejects.toThrow(/the secret is wrong: .*secrets\.json .*Put the file back/);
  writeFileSync(file, right);
  const { up } = await bringUp();
  expect(await query(up.services.databaseUrl, 'select agents from kept')).toEqual([{ agents: 297 }]);
});

test('npm start on a disk without room says what it needs, and leaves nothing there', async ({ skip }) => {
  const unmount = await mountSmall(folder, 16);
  const row = { test: 'a disk that is full', needs: 'a user who may mount', command: 'run it as root', excused: true };
  if (lacks(row, unmount !== undefined)) skip();
  try {
    const program = fileURLToPath(new URL('../../deploy/embedded/start.ts', import.meta.url));
    const home = join(folder, 'soulfra');
    const child = spawn(process.execPath, [program], { env: { ...process.env, SOULFRA_HOME: home } });
    let told = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text));
    child.stdout.resume();
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(told).toMatch(/the data of .* needs about 1\d+ MB .*\nMake room/);
    expect(existsSync(home)).toBe(false);
  } finally {
    await unmount?.();
  }
});

test('each server that is killed comes back with its data', async () => {
  const { up, told } = await bringUp();
  await query(up.services.databaseUrl, 'create table kept as select 1 as one');
  for (const part of up.parts) {
    process.kill(part.pid!, 'SIGKILL');
    await until(() => told().includes(`${part.name} is up again`), 40_000);
  }
  expect(await query(up.services.databaseUrl, 'select one from kept')).toEqual([{ one: 1 }]);
});

const secrecy = {
  test: 'the password of Postgres is in no argument',
  needs: 'Linux with /proc',
  command: 'run it on Linux',
};

test.skipIf(lacks(secrecy, existsSync('/proc/self/cmdline')))(
  'the password of Postgres is in no argument and in no file that others may read',
  async () => {
    const { up } = await bringUp();
    const password = new URL(up.services.databaseUrl).password;
    for (const pid of pids(up)) expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain(password);
    await expect(query(up.services.databaseUrl.replace(password, 'wrong'), 'select 1')).rejects.toThrow(/password/);
  },
);
