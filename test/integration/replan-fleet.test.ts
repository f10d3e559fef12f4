import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMachineStore } from '../../stores/machines.ts';
import { requestReplan } from '../../stores/plans.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, type LabProcess, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { plannedAndStored, polled, toPoll } from '../support/planned.ts';

/** Real worker processes, one a machine. At first only the small one lives, which cannot hold the heavy model. */
let scope: TestScope;
let lab: Lab;
let logs: string;
let mainpc: LabProcess;

beforeAll(async () => {
  scope = await createTestScope();
  logs = mkdtempSync(join(tmpdir(), 'soulfra-replan-'));
  lab = await openLab(scope, { logs });
  await lab.apply(testFleet({ heavy: 2, light: 3 }));
  await lab.remember(plainMemories(await everyAgentId(lab.db), 8));
  lab.startWorker('pc2');
  await lab.settled(['pc2']);
});
afterAll(async () => {
  await lab?.close();
  await scope?.close();
  rmSync(logs, { recursive: true, force: true });
});

async function endsOf(period: string) {
  const rows = await lab.db
    .selectFrom('runs')
    .select(['agentId', 'state', 'degraded', 'reason', 'id'])
    .where('period', '=', period)
    .execute();
  return Object.fromEntries(rows.map((row) => [row.agentId, row]));
}
async function expectThePlanServed(machineIds: string[]): Promise<number> {
  await lab.settled(machineIds);
  const { version, stored, planned } = await plannedAndStored(lab.db);
  expect(stored).toEqual(planned);
  expect(stored.machines.map(({ machineId }) => machineId).sort()).toEqual(machineIds);
  await until('each machine polls what the plan gives it', async () => {
    return JSON.stringify(await polled(lab.db)) === JSON.stringify(toPoll(planned));
  });
  return version;
}
async function openNotices(): Promise<string[]> {
  const rows = await lab.db
    .selectFrom('notices')
    .select('key')
    .where('resolvedAt', 'is', null)
    .orderBy('key')
    .execute();
  return rows.map(({ key }) => key);
}
async function versionOfState(state: string): Promise<number[]> {
  const rows = await lab.db.selectFrom('plans').select('version').where('state', '=', state).execute();
  return rows.map(({ version }) => version);
}

test('with the small machine alone the plan is the planner’s, and it polls that', async () => {
  await expectThePlanServed(['pc2']);
  const { stored } = await plannedAndStored(lab.db);
  expect(stored.machines[0]!.models.map(({ modelId }) => modelId)).toEqual(['light_q4']);
});

test('a parked run leaves the sweep, which ends without it; the next sweep skips its agent with the reason', async () => {
  await (await lab.sweep('parked')).result();
  const ends = await endsOf('call-parked');
  const proud = ['proud-001', 'proud-002'];
  for (const [agentId, run] of Object.entries(ends)) {
    if (proud.includes(agentId)) {
      expect(run).toMatchObject({
        state: 'parked',
        reason: expect.stringContaining('no living machine serves heavy_q4'),
      });
    } else expect(run).toMatchObject({ state: 'done', degraded: agentId.startsWith('heavy') });
  }
  expect(Object.keys(ends).length).toBe(7);
  expect(await openNotices()).toEqual(['parked_work:heavy_q4']);

  await (await lab.sweep('skips')).result();
  const skips = await endsOf('call-skips');
  for (const agentId of proud) {
    expect(skips[agentId]).toMatchObject({
      state: 'canceled',
      reason: expect.stringContaining(
        `skipped: ${ends[agentId]!.id} is still parked (no living machine serves heavy_q4`,
      ),
    });
  }
});

test('a machine that joins brings a plan, and what was parked for it finishes undegraded', async () => {
  mainpc = lab.startWorker('mainpc');
  await lab.settled(['mainpc', 'pc2']);
  await until('the parked runs are done', async () => {
    const { 'proud-001': one, 'proud-002': two } = await endsOf('call-parked');
    return one?.state === 'done' && two?.state === 'done' && !one.degraded && !two.degraded;
  });
  expect(await openNotices()).toEqual([]);
});

test('causes that come before a plan is computed share its version, and the plan is the planner’s', async () => {
  const machines = createMachineStore(lab.db);
  const [newest] = await versionOfState('applied');
  const versions = await lab.db.transaction().execute(async (tx) => {
    const first = await requestReplan(tx, { ownerId: labOwner, reason: 'one cause' });
    return [first, await requestReplan(tx, { ownerId: labOwner, reason: 'another' })];
  });
  expect(versions[1]).toBe(versions[0]);
  expect(versions[0]).toBeGreaterThan(newest!);
  expect(await expectThePlanServed(['mainpc', 'pc2'])).toBe(versions[0]);
  const row = await lab.db.selectFrom('plans').select('reason').where('version', '=', versions[0]!).executeTakeFirst();
  expect(row?.reason).toBe('one cause; another');
  expect((await machines.list()).every(({ planVersion }) => planVersion === versions[0])).toBe(true);
});

test('a lost machine is replanned around: the plan that works is the planner’s for what is left', async () => {
  const before = await plannedAndStored(lab.db);
  await mainpc.end('SIGKILL');
  await until('it is lost', async () => (await openNotices()).includes('machine_lost:mainpc'), 40_000);
  const version = await expectThePlanServed(['pc2']);
  expect(version).toBeGreaterThan(before.version);
  const { stored } = await plannedAndStored(lab.db);
  const kept = before.stored.machines.find(({ machineId }) => machineId === 'pc2');
  expect(stored.machines[0]!.models.map(({ queue }) => queue)).toEqual(kept!.models.map(({ queue }) => queue));
  const homes = await lab.db.selectFrom('agents').select(['id', 'homeMachineId', 'homeReason']).execute();
  for (const { id, homeMachineId, homeReason } of homes) {
    if (homeMachineId === null) expect([id, homeReason]).toEqual([id, expect.stringContaining('heavy_q4')]);
    else expect(homeMachineId).toBe('pc2');
  }
});

test('a machine that returns is taken back in', async () => {
  mainpc = lab.startWorker('mainpc');
  await until('it is no longer missed', async () => !(await openNotices()).includes('machine_lost:mainpc'));
  await expectThePlanServed(['mainpc', 'pc2']);
  await (await lab.sweep('back')).result();
  const ends = Object.values(await endsOf('call-back'));
  expect(ends.map(({ state, degraded }) => `${state} ${degraded}`)).toEqual(Array(7).fill('done false'));
});

test('a plan that was overtaken while it was applied is left to its successor', async () => {
  const rows = await lab.db.selectFrom('plans').select(['version', 'state']).orderBy('version').execute();
  expect(rows.at(-1)!.state).toBe('applied');
  expect(rows.slice(0, -1).every(({ state }) => state === 'superseded')).toBe(true);
  const overtaken = rows.at(-2)!.version;
  const handle = await lab.client.workflow.start('replanFleet', {
    workflowId: `replan:${overtaken}:late`,
    taskQueue: 'coordination',
    args: [{ planVersion: overtaken }],
  });
  expect(await handle.result()).toMatchObject({ applied: false });
  expect(await versionOfState('applied')).toEqual([rows.at(-1)!.version]);
  const { rows: machines } = await sql<{ planVersion: number }>`select plan_version from machines order by id`.execute(
    lab.db,
  );
  expect(machines.map(({ planVersion }) => planVersion)).toEqual([rows.at(-1)!.version, rows.at(-1)!.version]);
});
