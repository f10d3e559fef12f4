import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type Fleet } from '../../domain/fleet.ts';
import { copyName } from '../../domain/model-manifest.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, type LabProcess, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { firstDigest, type ModelServer, startModelServer } from '../support/model-server.ts';
import { freePort } from '../support/prometheus.ts';

/** Real workers before doubles of Ollama: both hold the one model of the fleet. */
const model = 'light_q4';
const first = firstDigest(model);
const [second, mute, stray] = ['2', '3', '4'].map((sign) => sign.repeat(64)) as [string, string, string];
const machineIds = ['mainpc', 'pc2'] as const;
const registry: Record<string, string> = {};
let pull: (() => Promise<void>) | undefined;
let scope: TestScope;
let lab: Lab;
let folder: string;
let servers: Record<(typeof machineIds)[number], ModelServer>;
let mainpc: LabProcess;
let api: { url: string; token: string };

function fleetWith(digests: string[] | undefined): Fleet {
  const fleet = testFleet({
    heavy: 0,
    light: 4,
    urls: { mainpc: servers.mainpc.url, pc2: servers.pc2.url },
  });
  for (const machine of fleet.machines) Object.assign(machine.modelServer!, { kind: 'ollama', sequences: 4 });
  const light = fleet.models.find(({ id }) => id === 'light')!.quantisations['q4']!;
  if (digests) light.digests = { ollama: digests };
  return fleet;
}

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-versions-'));
  const double = {
    slots: 4,
    tokensPerSecond: 400,
    models: [model],
    registry,
    mute: [mute],
    on: { pull: async () => pull?.() },
  };
  servers = { mainpc: await startModelServer(double), pc2: await startModelServer(double) };
  lab = await openLab(scope, { logs: folder });
  await lab.apply(fleetWith([first]));
  await lab.remember(plainMemories(await everyAgentId(lab.db), 8));
  mainpc = lab.startWorker('mainpc', { SOULFRA_HOST_NAME: 'mainpc' });
  lab.startWorker('pc2', { SOULFRA_HOST_NAME: 'pc2' });
  await lab.settled([...machineIds]);
  api = await lab.startApi(await freePort());
});
afterAll(async () => {
  await lab?.close();
  for (const server of Object.values(servers ?? {})) await server.close();
  await scope?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function ask<T>(path: string, body?: object): Promise<T> {
  const response = await fetch(`${api.url}/v1${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${api.token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()) as T;
}

const launcher = fileURLToPath(new URL('../../cli/soulfra.js', import.meta.url));
let onOut: ((out: string) => void) | undefined;
function soulfra(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = { PATH: process.env['PATH'], SOULFRA_URL: api.url, SOULFRA_TOKEN: api.token };
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [launcher, ...args, '--yes'], { cwd: folder, env }, (err, out, told) => {
      resolve({ code: err === null ? 0 : Number(err.code), out, err: told });
    });
    child.stdout?.on('data', (out: string) => onOut?.(out));
  });
}

interface Shown {
  items: Array<{ id: string; machines: Array<{ machineId: string; version: { state: string; digest: string } }> }>;
}
const versions = async () => {
  const { items } = await ask<Shown>('/models');
  const { machines } = items.find(({ id }) => id === model)!;
  return Object.fromEntries(machines.map(({ machineId, version }) => [machineId, version]));
};

async function sync() {
  await ask('/models/sync', {});
  let steps: Array<{ machineId: string; outcome: string; reason: string }> | null = null;
  await until('the run has ended', async () => {
    const answer = await ask<{ running: boolean; steps: typeof steps }>('/models/sync');
    steps = answer.running ? null : answer.steps;
    return steps !== null;
  });
  return steps!;
}

const outcomes = (steps: Awaited<ReturnType<typeof sync>>) =>
  Object.fromEntries(steps.map(({ machineId, outcome }) => [machineId, outcome]));

async function polled(machineId: string): Promise<boolean> {
  const { polls } = await lab.db
    .selectFrom('machines')
    .select('polls')
    .where('id', '=', machineId)
    .executeTakeFirstOrThrow();
  return polls.length > 0;
}

test('what is served is a copy that was verified: whatever is pulled under the usual name changes nothing', async () => {
  for (const server of Object.values(servers)) {
    expect(server.loadedModels()).toEqual([copyName(model, first)]);
    server.replace(model, stray);
  }
  const sweep = await lab.sweep('pinned');
  await sweep.result();
  const runs = await lab.db.selectFrom('runs').select('state').where('period', '=', 'call-pinned').execute();
  expect(runs.map(({ state }) => state)).toEqual(Array(4).fill('done'));
  expect(servers.mainpc.lastBody()?.model ?? servers.pc2.lastBody()?.model).toBe(copyName(model, first));
});

test('a new version goes machine by machine, is asked for an answer, and the one before stays for the way back; a worker that dies in the middle goes on', async () => {
  registry[model] = second;
  await lab.apply(fleetWith([second, first]));
  await lab.settled([...machineIds]);
  // Applied alone it moves nothing.
  expect(servers.mainpc.loadedModels()).toEqual([copyName(model, first)]);
  const pulling = Promise.withResolvers<void>();
  const fetched = Promise.withResolvers<void>();
  pull = () => {
    pulling.resolve();
    return fetched.promise;
  };
  const ended = sync();
  await pulling.promise;
  await mainpc.end('SIGKILL');
  pull = undefined;
  mainpc = lab.startWorker('mainpc', { SOULFRA_HOST_NAME: 'mainpc' });
  expect(outcomes(await ended)).toEqual({ mainpc: 'brought', pc2: 'brought' });
  fetched.resolve();
  for (const server of Object.values(servers)) {
    expect(server.loadedModels()).toEqual([copyName(model, second)]);
    expect(server.installed()[copyName(model, first)]).toBe(first);
  }
  await until('both say so', async () => Object.values(await versions()).every(({ state }) => state === 'verified'));
  expect(outcomes(await sync())).toEqual({ mainpc: 'unchanged', pc2: 'unchanged' });
});

test('a version that says nothing is taken back by itself, and no other machine gets it', async () => {
  registry[model] = mute;
  await lab.apply(fleetWith([mute, second]));
  await lab.settled([...machineIds]);
  const steps = await sync();
  expect(outcomes(steps)).toEqual({ mainpc: 'returned', pc2: 'skipped' });
  expect(steps[0]!.reason).toContain('asked for a sentence');
  expect(servers.mainpc.loadedModels()).toEqual([copyName(model, second)]);
  expect(servers.pc2.installed()[copyName(model, mute)]).toBeUndefined();
  expect(await polled('mainpc')).toBe(true);
  await until('it is told', async () => (await versions())['mainpc']?.state === 'behind');
});

test('a registry that gives another version than the one wanted changes nothing', async () => {
  registry[model] = stray;
  await lab.apply(fleetWith([firstDigest('never seen'), second]));
  await lab.settled([...machineIds]);
  const steps = await sync();
  expect(outcomes(steps)).toEqual({ mainpc: 'returned', pc2: 'skipped' });
  expect(steps[0]!.reason).toContain('the registry gives');
  expect(servers.mainpc.loadedModels()).toEqual([copyName(model, second)]);
});

test('a machine that has no accepted version polls nothing, and polls again once one is named', async () => {
  await lab.apply(fleetWith([firstDigest('never seen')]));
  await until('nobody polls', async () => !(await polled('mainpc')) && !(await polled('pc2')));
  await until('it is told', async () => (await versions())['pc2']?.state === 'refused');
  await lab.apply(fleetWith([second]));
  await until('both poll', async () => (await polled('mainpc')) && (await polled('pc2')));
});

test('verified, pinned and rolled back by command', async () => {
  const file = join(folder, 'fleet.yaml');
  writeFileSync(file, stringify(fleetWith(undefined)));
  await until('both say so', async () => Object.values(await versions()).every(({ state }) => state === 'verified'));
  const verified = await soulfra('models', 'verify');
  expect(verified.out.match(/verified/g)).toHaveLength(2);
  expect(verified.code).toBe(0);
  expect(await soulfra('models', 'pin', '--file', file)).toMatchObject({ code: 0 });
  expect(readFileSync(file, 'utf8')).toContain(second);
  writeFileSync(file, stringify(fleetWith([firstDigest('never seen'), first, second])));
  expect(await soulfra('apply', file)).toMatchObject({ code: 0 });
  // While a run is under way: that one has its end first, and what came of it is not told as of this one.
  const pulling = Promise.withResolvers<void>();
  const fetched = Promise.withResolvers<void>();
  pull = () => {
    pulling.resolve();
    return fetched.promise;
  };
  const before = sync();
  await pulling.promise;
  onOut = (out) => {
    if (out.includes('this one comes after it')) fetched.resolve();
  };
  const back = await soulfra('models', 'roll-back', model, '--file', file);
  pull = undefined;
  onOut = undefined;
  await before;
  expect(back.err).toBe('');
  expect(back.out.match(/brought/g)).toHaveLength(2);
  for (const server of Object.values(servers)) expect(server.loadedModels()).toEqual([copyName(model, first)]);
  await until('both say so', async () =>
    Object.values(await versions()).every(({ state, digest }) => state === 'verified' && digest === first),
  );
  const again = await soulfra('models', 'roll-back', 'heavy_q4', '--file', file);
  expect(again).toMatchObject({ code: 2, err: expect.stringContaining('accepts no version of heavy_q4') as string });
});

test('every machine says which version of fleet.yaml it goes by', async () => {
  const current = await lab.db
    .selectFrom('fleetVersions')
    .select('version')
    .orderBy('version', 'desc')
    .executeTakeFirstOrThrow();
  await until('none drifts', async () => {
    const { items } = await ask<{ items: Array<{ fleetVersion: number; drifts: boolean }> }>('/machines');
    return items.every(({ fleetVersion, drifts }) => fleetVersion === current.version && !drifts);
  });
});
