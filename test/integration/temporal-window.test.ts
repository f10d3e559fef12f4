import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { createWorkflowStarter } from '../../api/workflow-starts.ts';
import { notifyScheduleId, pollSourceWorkflowId } from '../../domain/ids.ts';
import { searchAttributeNames } from '../../domain/temporal-needs.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { windowOf } from '../../domain/workflow-window.ts';
import { ensureSearchAttributes, withWindow } from '../../integrations/temporal-window.ts';
import { createLogger } from '../../observability/logger.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { insertIntent } from '../../stores/intents.ts';
import { reconcileSchedules } from '../../workers/schedules.ts';
import { until } from '../support/lab.ts';
import { applyFleet, openOutbound } from '../support/outbound.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
let outbound: Awaited<ReturnType<typeof openOutbound>>;
let client: Client;
beforeAll(async () => {
  store = await openStoreScope();
  await applyFleet(store.db, testOwner, {});
  outbound = await openOutbound(store, {}, { activities: { claimSources: () => ({ sourceIds: ['harbour-news'] }) } });
  client = outbound.client;
});
afterAll(async () => {
  for await (const { scheduleId } of client.schedule.list()) await client.schedule.getHandle(scheduleId).delete();
  await outbound?.close();
  await store?.close();
});

async function shown(workflowId: string) {
  const description = await client.workflow.getHandle(workflowId).describe();
  return {
    summary: await description.staticSummary(),
    details: await description.staticDetails(),
    attributes: Object.fromEntries(
      description.typedSearchAttributes
        .getAll()
        .filter(({ key }) => (searchAttributeNames as readonly string[]).includes(key.name))
        .map(({ key, value }) => [key.name, value]),
    ),
  };
}

test('the API, the relay, a Schedule and a parent each start with a window', async () => {
  const start = { type: 'reflectAgent', again: 'never', ownerId: testOwner, content: 'c', summary: 'by hand' } as const;
  const input = { agentId: 'light-001', period: 'call-1', trigger: 'call' };
  await createWorkflowStarter(client, createLogger({ part: 'api', level: 'silent' })).start({
    ...start,
    workflowId: 'by-api',
    args: [input],
  });
  expect(await shown('by-api')).toMatchObject({
    summary: 'light-001 reflects (call): by hand',
    details: expect.stringContaining('Climbs the ladder'),
    attributes: { SoulfraKind: 'reflection', AgentId: 'light-001' },
  });

  await insertIntent(store.db, { workflowId: 'by-relay', type: 'drainMachine', args: [{ machineId: 'pc2' }] });
  await until('the relay has started it', () =>
    shown('by-relay').then(
      () => true,
      () => false,
    ),
  );
  expect(await shown('by-relay')).toMatchObject({
    summary: 'drains pc2',
    attributes: { SoulfraKind: 'fleet', MachineId: 'pc2' },
  });

  const fleet = createFleetReader(createFleetStore(store.db));
  await reconcileSchedules(client, fleet, { cadences: async () => ['6h'], sources: async () => false });
  const { action } = await client.schedule.getHandle(notifyScheduleId).describe();
  expect(action).toMatchObject({ staticSummary: 'what people are to be told' });
  // Made anew over one that is there already.
  await reconcileSchedules(client, fleet, { cadences: async () => ['6h'], sources: async () => false });

  const sweep = await client.workflow.start('pollSources', {
    ...windowOf('pollSources', [{}]),
    workflowId: 'a-parent',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await sweep.result();
  const child = pollSourceWorkflowId('harbour-news', sweep.firstExecutionRunId);
  expect(await shown(child)).toMatchObject({
    summary: 'reads harbour-news',
    attributes: { SoulfraKind: 'source' },
  });
  await until('they are found by what they are of', async () => {
    const found: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query: `AgentId = 'light-001'` })) found.push(workflowId);
    return found.join() === 'by-api';
  });
  for (const id of ['by-api', 'by-relay', child]) await client.workflow.getHandle(id).terminate('the test ends');
});

test('a parent that was started without attributes starts children without them', async () => {
  const sweep = await client.workflow.start('pollSources', {
    workflowId: 'an-old-parent',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await sweep.result();
  const child = pollSourceWorkflowId('harbour-news', sweep.firstExecutionRunId);
  expect(await shown(child)).toMatchObject({ summary: 'reads harbour-news', attributes: {} });
  await client.workflow.getHandle(child).terminate('the test ends');
});

test('a Temporal that does not know the attributes still works, and they can be registered there', async () => {
  const namespace = `outside-${store.scope.number}`;
  const connection = await Connection.connect({ address: store.scope.temporalAddress });
  try {
    await connection.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: 86_400 as never },
    });
    const outside = new Client({ connection, namespace });
    const begin = (workflowId: string) =>
      withWindow({ ...windowOf('drainMachine', [{ machineId: 'pc2' }]) }, (window) =>
        outside.workflow.start('drainMachine', { ...window, workflowId, taskQueue: 'nobody', args: [{}] }),
      );
    const summaryOf = async (id: string) => {
      const description = await outside.workflow.getHandle(id).describe();
      return [await description.staticSummary(), description.typedSearchAttributes.getAll().length];
    };
    await until(
      'the namespace is there',
      () =>
        begin('first').then(
          () => true,
          () => false,
        ),
      60_000,
    );
    expect(await summaryOf('first')).toEqual(['drains pc2', 0]);
    expect(await ensureSearchAttributes(connection, namespace)).toBeUndefined();
    expect(await ensureSearchAttributes(connection, namespace)).toBeUndefined();
    let tries = 0;
    await until(
      'it takes them',
      async () => {
        tries += 1;
        await begin(`later-${tries}`);
        return (await summaryOf(`later-${tries}`))[1] === 2;
      },
      60_000,
    );
    expect(await ensureSearchAttributes(connection, 'nobody-has-it')).toContain(
      'temporal operator search-attribute create',
    );
  } finally {
    await connection.close();
  }
});
