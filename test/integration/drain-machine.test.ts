import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMachineActivities } from '../../activities/machines.ts';
import { createMachineStore, type MachineStore } from '../../stores/machines.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { plannedAndStored, polled, toPoll } from '../support/planned.ts';

/** Real worker processes with model servers that take about a second and a half for a reflection. */
let scope: TestScope;
let lab: Lab;
let logs: string;
let servers: { mainpc: ModelServer; pc2: ModelServer };
let machines: MachineStore;
const agents = 20;

beforeAll(async () => {
  scope = await createTestScope();
  logs = mkdtempSync(join(tmpdir(), 'soulfra-drain-'));
  const double = { tokensPerSecond: 100, models: ['heavy_q4', 'light_q4'], replies: () => ({ tokens: 150 }) };
  servers = {
    mainpc: await startModelServer({ slots: 6, ...double }),
    pc2: await startModelServer({ slots: 4, ...double }),
  };
  const fleet = testFleet({ heavy: 2, light: 16, urls: { mainpc: servers.mainpc.url, pc2: servers.pc2.url } });
  fleet.machines[0]!.modelServer!.sequences = 6;
  fleet.machines[1]!.modelServer!.sequences = 4;
  lab = await openLab(scope, { logs });
  machines = createMachineStore(lab.db);
  await lab.apply(fleet);
  const agentIds = await everyAgentId(lab.db);
  expect(agentIds.length).toBe(agents);
  await lab.remember(plainMemories(agentIds, 8));
  lab.startWorker('mainpc');
  lab.startWorker('pc2');
  await lab.settled(['mainpc', 'pc2']);
});
afterAll(async () => {
  await lab?.close();
  await servers?.mainpc.close();
  await servers?.pc2.close();
  await scope?.close();
  rmSync(logs, { recursive: true, force: true });
});

async function runsOf(period: string) {
  return lab.db.selectFrom('runs').selectAll().where('period', '=', period).execute();
}
async function stateOf(machineId: string) {
  return (await machines.list()).find(({ id }) => id === machineId)!;
}
/** How often each run of a period was begun on a machine: more than once is work done again. */
async function timesBegun(period: string): Promise<number[]> {
  const { rows } = await sql<{ times: number }>`
    select count(e.id) as times from runs r left join events e on e.subject = r.id and e.type = 'run.working'
    where r.period = ${period} group by r.id`.execute(lab.db);
  return rows.map(({ times }) => times);
}
async function expectAllDone(period: string): Promise<void> {
  const runs = await runsOf(period);
  expect(new Set(runs.map(({ agentId }) => agentId)).size).toBe(agents);
  expect(runs.map(({ state, degraded }) => `${state} ${degraded}`)).toEqual(Array(agents).fill('done false'));
}

test('drained in the middle of a sweep, a machine finishes what it has in hand and takes nothing new', async () => {
  const handle = await lab.sweep('drain');
  await until('the small machine is full', async () => servers.pc2.stats().running === 4);
  const { workflowId } = await machines.requestDrain('pc2', labOwner);
  await until('it is drained', async () => (await stateOf('pc2')).state === 'drained');
  const stats = servers.pc2.stats();
  expect(stats).toMatchObject({ running: 0, aborted: 0, started: stats.finished });
  expect((await stateOf('pc2')).polls).toEqual([]);
  await handle.result();
  await expectAllDone('call-drain');
  expect(servers.pc2.stats().started).toBe(stats.started);
  expect(await timesBegun('call-drain')).toEqual(Array(agents).fill(1));
  expect(await lab.client.workflow.getHandle(workflowId).result()).toEqual({ drained: true });
  for (const server of Object.values(servers)) expect(server.stats().mostRunning).toBeLessThanOrEqual(6);
});

test('a drained machine stays in the lease and out of the plan', async () => {
  await lab.settled(['mainpc']);
  expect(await stateOf('pc2')).toMatchObject({ state: 'drained', alive: true, polls: [] });
  const { stored, planned } = await plannedAndStored(lab.db);
  expect(stored.machines).toEqual(planned.machines);
  expect(stored.machines.map(({ machineId }) => machineId)).toEqual(['mainpc']);
  const before = servers.pc2.stats().started;
  await (await lab.sweep('without')).result();
  await expectAllDone('call-without');
  expect(servers.pc2.stats().started).toBe(before);
});

test('undrained, it comes back to the plan and works again', async () => {
  await machines.undrain('pc2', labOwner);
  await lab.settled(['mainpc', 'pc2']);
  const { stored, planned } = await plannedAndStored(lab.db);
  expect(stored.machines).toEqual(planned.machines);
  expect(await polled(lab.db)).toEqual(toPoll(planned));
  const before = servers.pc2.stats().started;
  await (await lab.sweep('again')).result();
  await expectAllDone('call-again');
  expect(servers.pc2.stats().started).toBeGreaterThan(before);
  expect(await timesBegun('call-again')).toEqual(Array(agents).fill(1));
});

test('a drain that is taken back at once leaves the machine at work', async () => {
  await machines.requestDrain('pc2', labOwner);
  await machines.undrain('pc2', labOwner);
  await lab.settled(['mainpc', 'pc2']);
  const { planned } = await plannedAndStored(lab.db);
  await until('it polls what the plan gives it', async () => {
    return JSON.stringify(await polled(lab.db)) === JSON.stringify(toPoll(planned));
  });
  expect((await stateOf('pc2')).state).toBe('ready');
});

test('a drain that comes to the machine after it was taken back stops nothing', async () => {
  let drained = 0;
  const pool = { apply: () => Promise.resolve(), drain: () => Promise.resolve(void (drained += 1)) };
  const activities = createMachineActivities({ machineId: 'pc2', machines, plans: createPlanStore(lab.db), pool });
  await new MockActivityEnvironment().run(() => activities.drainCalls());
  expect(drained).toBe(0);
  await sql`update machines set state = 'draining' where id = 'pc2'`.execute(lab.db);
  await new MockActivityEnvironment().run(() => activities.drainCalls());
  expect(drained).toBe(1);
});
