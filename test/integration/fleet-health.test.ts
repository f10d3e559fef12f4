import { sql } from 'kysely';
import { WorkflowIdConflictPolicy } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fleetHealthWorkflowId, healthLooksWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
import { openStage, type Stage } from '../support/stage.ts';

let stage: Stage;
/** What a look at health waits for, and how many were begun. */
let held: Promise<void> = Promise.resolve();
let looks = 0;
let judgements = 0;
const start = () =>
  stage.client.workflow.start('checkFleetHealth', {
    workflowId: fleetHealthWorkflowId,
    taskQueue: coordinationQueue,
    workflowIdConflictPolicy: WorkflowIdConflictPolicy.USE_EXISTING,
  });

beforeAll(async () => {
  stage = await openStage(testFleet(), (shipped) => ({
    async judgeLeases() {
      judgements += 1;
      return shipped.judgeLeases();
    },
    async judgeHealth() {
      looks += 1;
      await held;
      return shipped.judgeHealth();
    },
  }));
  await stage.join('mainpc', createScriptedInference());
  await stage.join('pc2', createScriptedInference());
  await stage.plan();
});
afterAll(async () => {
  await stage?.client.workflow.getHandle(fleetHealthWorkflowId).terminate('the test ends');
  await stage?.client.workflow.getHandle(healthLooksWorkflowId).terminate('the test ends');
  await stage?.close();
});

test('finds the lease that ran out within its 5 s, and asks for a plan in the same transaction', async () => {
  const lastLook = async () =>
    (await stage.db.selectFrom('fleetHealth').select('checkedAt').executeTakeFirstOrThrow()).checkedAt;
  const before = await lastLook();
  await start();
  // Its first look may follow a long silence of its own, which gives every machine a fresh lease.
  await until('it has looked once', async () => (await lastLook()).getTime() > before.getTime(), 8_000);
  await sql`update machines set lease_until = clock_timestamp() - interval '1 second' where id = 'pc2'`.execute(
    stage.db,
  );
  await until('it is lost', async () => (await stage.machines.list()).some(({ state }) => state === 'lost'), 8_000);
  expect((await stage.machines.list()).map(({ id, state }) => `${id} ${state}`)).toEqual(['mainpc ready', 'pc2 lost']);
  const asked = await stage.db
    .selectFrom('plans')
    .select(['version', 'reason'])
    .where('state', '=', 'planned')
    .execute();
  expect(asked).toMatchObject([{ reason: 'pc2 lost' }]);
  const intents = await stage.db.selectFrom('intents').select(['workflowId', 'type']).execute();
  expect(intents).toEqual([{ workflowId: `replan:${asked[0]!.version}`, type: 'replanFleet' }]);
});

test('runs once for all machines: a second start is the same execution', async () => {
  const { runId } = await stage.client.workflow.getHandle(fleetHealthWorkflowId).describe();
  await start();
  expect((await stage.client.workflow.getHandle(fleetHealthWorkflowId).describe()).runId).toBe(runId);
});

test('leases are judged in their time while a look at health hangs, and the next look comes by itself', async () => {
  const letGo = Promise.withResolvers<void>();
  held = letGo.promise;
  await stage.client.workflow.start('judgeFleetHealth', {
    workflowId: healthLooksWorkflowId,
    taskQueue: coordinationQueue,
  });
  await until('a look hangs', () => Promise.resolve(looks === 1));
  judgements = 0;
  await until('leases were judged four times', () => Promise.resolve(judgements >= 4), 60_000);
  // One that hangs takes 10 s; taken between two judgements of leases, there would be as many.
  expect(looks).toBeLessThan(judgements);
  held = Promise.resolve();
  letGo.resolve();
  await until(
    'health is judged',
    async () => (await stage.db.selectFrom('health').select('subjectId').execute()).length > 0,
    30_000,
  );
});
