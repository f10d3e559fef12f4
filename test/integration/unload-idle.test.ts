import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { freePort } from '../support/prometheus.ts';

/** Real workers: mainpc has a server that unloads, pc2 one that keeps its models. */
const model = 'light_q4';
let scope: TestScope;
let lab: Lab;
let folder: string;
let unloads: ModelServer;
let keeps: ModelServer;

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-idle-'));
  // A call takes 4 s, which is longer than a model may be idle.
  const double = { slots: 4, tokensPerSecond: 50, models: [model], replies: () => ({ tokens: 200 }) };
  [unloads, keeps] = [await startModelServer(double), await startModelServer(double)];
  const fleet = testFleet({ heavy: 0, light: 8, urls: { mainpc: unloads.url, pc2: keeps.url } });
  Object.assign(fleet.machines[0]!.modelServer!, { kind: 'ollama', sequences: 4, unloadAfter: '1s' });
  Object.assign(fleet.machines[1]!.modelServer!, { kind: 'vllm', sequences: 4, unloadAfter: '1s' });
  lab = await openLab(scope, { logs: folder });
  await lab.apply(fleet);
  await lab.remember(plainMemories(await everyAgentId(lab.db), 8));
  for (const machineId of ['mainpc', 'pc2']) lab.startWorker(machineId, { SOULFRA_HOST_NAME: machineId });
  await lab.settled(['mainpc', 'pc2']);
});
afterAll(async () => {
  await lab?.close();
  await unloads?.close();
  await keeps?.close();
  await scope?.close();
  rmSync(folder, { recursive: true, force: true });
});

const said = (machineId: string, text: string) =>
  readFileSync(join(folder, `worker-${machineId}.log`), 'utf8').split(text).length - 1;
const unloaded = () =>
  until('the model has left memory', async () => unloads.loadedModels().length === 0 && unloads.stats().running === 0);

test('an idle model leaves memory, is loaded again by a call, stays while the call lasts, and leaves again', async () => {
  await unloaded();
  const { polls } = await lab.db
    .selectFrom('machines')
    .select('polls')
    .where('id', '=', 'mainpc')
    .executeTakeFirstOrThrow();
  expect(polls.length).toBeGreaterThan(0);
  const sweep = await lab.sweep('wakes');
  let calledWithout = 0;
  const watch = setInterval(() => {
    if (unloads.stats().running > 0 && !unloads.loadedModels().includes(model)) calledWithout += 1;
  }, 20);
  await sweep.result().finally(() => clearInterval(watch));
  expect({ calledWithout, started: unloads.stats().started > 0, aborted: unloads.stats().aborted }).toEqual({
    calledWithout: 0,
    started: true,
    aborted: 0,
  });
  const runs = await lab.db.selectFrom('runs').select('state').where('period', '=', 'call-wakes').execute();
  expect(runs.map(({ state }) => state)).toEqual(Array(8).fill('done'));
  await unloaded();
  await until('it is told', async () => said('mainpc', 'idle model unloaded') >= 2);
  expect(said('mainpc', 'idle model loaded again')).toBeGreaterThan(0);
});

test('the list of models says where one is unloaded for being idle, and since when', async () => {
  const { url, token } = await lab.startApi(await freePort());
  const asked = Date.now();
  const listed = async () => {
    const response = await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${token}` } });
    const { items } = (await response.json()) as {
      items: Array<{ id: string; machines: Array<{ machineId: string; idleSince: string | null }> }>;
    };
    return Object.fromEntries(
      items.find(({ id }) => id === model)!.machines.map(({ machineId, idleSince }) => [machineId, idleSince]),
    );
  };
  await until('it is told', async () => (await listed())['mainpc'] !== null);
  const { mainpc, pc2 } = await listed();
  expect(Date.parse(mainpc!)).toBeLessThanOrEqual(asked);
  // Its server keeps it.
  expect(pc2).toBeNull();
});

test('a server that keeps its models is said so once', () => {
  expect(said('pc2', 'keeps its models in memory')).toBe(1);
  expect(said('pc2', 'idle model unloaded')).toBe(0);
});
