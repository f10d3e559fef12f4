import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { yieldSchema } from '../../domain/yield.ts';
import { createMachineStore, type MachineStore } from '../../stores/machines.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, type LabProcess, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { plannedAndStored } from '../support/planned.ts';

/** Real workers, a real program of the owner's, and a card that a double of nvidia-smi shows. */
const game = 'owners-game';
const agents = 18;
/** What the model server says that its one model takes. */
const ownGiB = 6;
let scope: TestScope;
let lab: Lab;
let folder: string;
let servers: { mainpc: ModelServer; pc2: ModelServer };
let machines: MachineStore;
let owner: ChildProcess | undefined;
let worker: LabProcess;

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-yield-'));
  mkdirSync(join(folder, 'bin'));
  copyFileSync('/bin/sleep', join(folder, game));
  chmodSync(join(folder, game), 0o755);
  setUsedMiB(800);
  const double = { tokensPerSecond: 100, vramGiB: ownGiB, models: ['light_q4'], replies: () => ({ tokens: 150 }) };
  servers = {
    mainpc: await startModelServer({ slots: 4, ...double }),
    pc2: await startModelServer({ slots: 4, ...double }),
  };
  const fleet = testFleet({ heavy: 0, light: agents, urls: { mainpc: servers.mainpc.url, pc2: servers.pc2.url } });
  for (const machine of fleet.machines) Object.assign(machine.modelServer!, { kind: 'ollama', sequences: 4 });
  fleet.machines[0]!.yield = yieldSchema.parse({ processes: [game], foreignVramGiB: 4, returnAfter: '2s' });
  lab = await openLab(scope, { logs: join(folder, 'logs') });
  machines = createMachineStore(lab.db);
  await lab.apply(fleet);
  await lab.remember(plainMemories(await everyAgentId(lab.db), 8));
  worker = startWorker('mainpc');
  startWorker('pc2');
  await lab.settled(['mainpc', 'pc2']);
});
afterAll(async () => {
  owner?.kill('SIGKILL');
  await lab?.close();
  await servers?.mainpc.close();
  await servers?.pc2.close();
  await scope?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Each worker on the host that is its machine. */
function startWorker(machineId: string): LabProcess {
  return lab.startProcess(`worker-${machineId}`, ['workers/main.ts', '--machine', machineId], {
    DATABASE_URL: scope.databaseUrl,
    REDIS_URL: scope.redisUrl,
    TEMPORAL_ADDRESS: scope.temporalAddress,
    TEMPORAL_NAMESPACE: scope.namespace,
    SOULFRA_HOST_NAME: machineId,
    PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
  });
}

/** Written beside and renamed: the worker may run it at any moment. Null: the driver fails. */
function setUsedMiB(used: number | null): void {
  const file = join(folder, 'bin', 'nvidia-smi');
  const row = `0, GPU-a, NVIDIA GeForce RTX 4090, 570.86, 24564, ${used}, 1, 3, 41, 62.1`;
  writeFileSync(`${file}.new`, `#!/bin/sh\n${used === null ? 'exit 9' : `echo '${row}'`}\n`, { mode: 0o755 });
  renameSync(`${file}.new`, file);
}

function startGame(): void {
  owner = spawn(join(folder, game), ['600'], { stdio: 'ignore' });
}
async function endGame(): Promise<void> {
  const gone = new Promise((resolve) => owner!.once('exit', resolve));
  owner!.kill('SIGKILL');
  await gone;
}

async function mainpc() {
  return (await machines.list()).find(({ id }) => id === 'mainpc')!;
}
async function planned(): Promise<string[]> {
  return (await plannedAndStored(lab.db)).stored.machines.map(({ machineId }) => machineId).sort();
}
async function yielded(): Promise<void> {
  await until('it yields, with its memory free and nothing in hand', async () => {
    const { yields, polls } = await mainpc();
    const { running } = servers.mainpc.stats();
    return yields !== null && polls.length === 0 && running === 0 && servers.mainpc.loadedModels().length === 0;
  });
}
async function returned(): Promise<void> {
  await until('it works again', async () => {
    const { yields, polls } = await mainpc();
    return yields === null && polls.length > 0 && servers.mainpc.loadedModels().includes('light_q4');
  });
}
async function ends(period: string): Promise<string[]> {
  const runs = await lab.db.selectFrom('runs').select(['state', 'agentId']).where('period', '=', period).execute();
  expect(new Set(runs.map(({ agentId }) => agentId)).size).toBe(agents);
  return [...new Set(runs.map(({ state }) => state))];
}

test('in the middle of a sweep its owner starts a game: calls go on elsewhere, the card is free, the reason is shown', async () => {
  const handle = await lab.sweep('game');
  await until('the machine is full', async () => servers.mainpc.stats().running === 4);
  startGame();
  await yielded();
  expect(servers.mainpc.stats().aborted).toBeGreaterThan(0);
  const stopped = servers.mainpc.stats().started;
  expect(await mainpc()).toMatchObject({ state: 'ready', yields: `${game} runs` });
  await lab.settled(['mainpc', 'pc2']);
  expect(await planned()).toEqual(['pc2']);
  await handle.result();
  expect(await ends('call-game')).toEqual(['done']);
  expect(servers.mainpc.stats().started).toBe(stopped);
});

test('a worker that dies meanwhile takes nothing when it is back, until the game ends', async () => {
  await worker.end('SIGKILL');
  const { epoch } = await mainpc();
  worker = startWorker('mainpc');
  await until('it is back', async () => {
    const row = await mainpc();
    return row.epoch > epoch && row.state === 'ready' && row.planVersion !== null;
  });
  expect(await mainpc()).toMatchObject({ yields: `${game} runs`, polls: [] });
  expect(servers.mainpc.loadedModels()).toEqual([]);
  await endGame();
  await returned();
  await lab.settled(['mainpc', 'pc2']);
  expect(await planned()).toEqual(['mainpc', 'pc2']);
  const types = await lab.db
    .selectFrom('events')
    .select('type')
    .where('type', 'in', ['machine.yielded', 'machine.returned'])
    .orderBy('id')
    .execute();
  expect(types.map(({ type }) => type)).toEqual(['machine.yielded', 'machine.returned']);
});

test('memory of other programs drives it out; that of its own models does not', async () => {
  setUsedMiB((ownGiB + 3.5) * 1024);
  const handle = await lab.sweep('beside');
  await handle.result();
  expect(await ends('call-beside')).toEqual(['done']);
  expect((await mainpc()).yields).toBeNull();
  setUsedMiB((ownGiB + 9) * 1024);
  await yielded();
  expect((await mainpc()).yields).toMatch(/^other programs hold \d+\.\d GiB of its VRAM, over 4$/);
  setUsedMiB(800);
  await returned();
});

async function yieldedSoFar(): Promise<number> {
  const rows = await lab.db.selectFrom('events').select('id').where('type', '=', 'machine.yielded').execute();
  return rows.length;
}

test('models that the server held before its worker was started anew, or while it did not answer, are its own', async () => {
  const before = await yieldedSoFar();
  setUsedMiB((ownGiB + 3.5) * 1024);
  const { epoch } = await mainpc();
  await worker.end('SIGKILL');
  expect(servers.mainpc.loadedModels()).toEqual(['light_q4']);
  worker = startWorker('mainpc');
  await until('it works', async () => {
    const row = await mainpc();
    return row.epoch > epoch && row.polls.length > 0;
  });
  await servers.mainpc.setFault({ kind: 'down' });
  await until('its queues are not polled', async () => (await mainpc()).polls.length === 0);
  await servers.mainpc.setFault(null);
  await until('it works again', async () => (await mainpc()).polls.length > 0);
  expect({ yields: (await mainpc()).yields, events: await yieldedSoFar() }).toEqual({ yields: null, events: before });
});

test('a model that the server does not let go is tried again until it is gone, and said so', async () => {
  setUsedMiB(800);
  await servers.mainpc.setFault({ kind: 'keeps' });
  startGame();
  await until('it says what is left', async () => {
    const { yields } = await mainpc();
    return yields === `${game} runs; light_q4 still in memory, unloading is tried again`;
  });
  expect(servers.mainpc.loadedModels()).toEqual(['light_q4']);
  await servers.mainpc.setFault(null);
  await yielded();
  await until('nothing is left', async () => (await mainpc()).yields === `${game} runs`);
});

test('one sign that cannot be seen hides no other, and is no word that the owner has gone', async () => {
  await endGame();
  await returned();
  setUsedMiB(null);
  startGame();
  await yielded();
  await endGame();
  const unseen = `${game} runs; whether it still is so cannot be seen: its memory`;
  await until('it says what it does not see', async () => (await mainpc()).yields === unseen);
  setUsedMiB(800);
  await returned();
});
