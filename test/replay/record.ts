import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import { findDevServer } from '../../bench/support/dev-server.ts';
import { fleetHealthWorkflowId, pollSourceWorkflowId, reflectWorkflowId } from '../../domain/ids.ts';
import { type Source, sourceSchema } from '../../domain/sources.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { startFeedServer } from '../support/feed-server.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner, openLab, openLabServers, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';

/**
 * `npm run replay:record`: runs every workflow by real worker processes and saves what happened, for replay.test.ts.
 * With names, such as `-- drain`, only the histories whose names begin so are written.
 * To be run when a workflow has changed on purpose and nothing of the old kind is still running anywhere; otherwise the
 * change needs `patched()`, and the old histories stay.
 */
const histories = fileURLToPath(new URL('./histories/', import.meta.url));

const run = promisify(execFile);
const wanted = process.argv.slice(2);
const { binary } = await findDevServer();
const base = await openLabServers();
const logs = mkdtempSync(join(tmpdir(), 'soulfra-record-'));
const lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn' });
try {
  await record(lab);
} finally {
  await lab.close();
  await base.close();
  rmSync(logs, { recursive: true, force: true });
}

async function record({ client, db, ...rest }: Lab): Promise<void> {
  const machines = createMachineStore(db);
  const stateOf = async (id: string) => (await machines.list()).find((machine) => machine.id === id)?.state;
  const runState = async (agentId: string, period: string) => {
    const workflowId = reflectWorkflowId(agentId, period);
    const row = await db.selectFrom('runs').select('state').where('workflowId', '=', workflowId).executeTakeFirst();
    return row?.state;
  };
  const reflect = (agentId: string, requestId: string) =>
    client.workflow.start('reflectAgent', {
      workflowId: reflectWorkflowId(agentId, `call-${requestId}`),
      taskQueue: coordinationQueue,
      args: [{ agentId, period: `call-${requestId}`, trigger: 'call' }],
      workflowTaskTimeout: '2 seconds',
    });

  await rest.apply(testFleet({ heavy: 2, light: 3 }));
  await rest.remember(plainMemories(await everyAgentId(db), 8));
  rest.startWorker('pc2');
  await rest.settled(['pc2']);

  await (await rest.sweep('first')).result();
  await save('reflect-fleet-done', 'reflect-fleet:call-first');
  await save('reflect-agent-done', reflectWorkflowId('light-001', 'call-first'));
  await save('reflect-agent-degraded', reflectWorkflowId('heavy-001', 'call-first'));
  await client.workflow.getHandle(reflectWorkflowId('proud-002', 'call-first')).cancel();
  await until('a parked run was canceled', async () => (await runState('proud-002', 'call-first')) === 'canceled');
  await save('reflect-agent-canceled', reflectWorkflowId('proud-002', 'call-first'));

  const mainpc = rest.startWorker('mainpc');
  await rest.settled(['mainpc', 'pc2']);
  await until('a parked run is done', async () => (await runState('proud-001', 'call-first')) === 'done');
  await save('reflect-agent-parked', reflectWorkflowId('proud-001', 'call-first'));
  const { version } = await db
    .selectFrom('plans')
    .select('version')
    .where('state', '=', 'applied')
    .executeTakeFirstOrThrow();
  await save('replan-fleet-applied', `replan:${version}`);

  // Alive by its lease but taking nothing: schedule-to-start asks, and the run stays on its rung.
  mainpc.signal('SIGSTOP');
  const waited = await reflect('proud-001', 'waited');
  await pause(3_500);
  mainpc.signal('SIGCONT');
  await waited.result();
  await save('reflect-agent-waited', waited.workflowId);

  const failed = await reflect('nobody-001', 'failed');
  await failed.result().catch(() => undefined);
  await save('reflect-agent-failed', failed.workflowId);

  const sweep = await rest.sweep('canceled');
  await sweep.cancel();
  await sweep.result().catch(() => undefined);
  await save('reflect-fleet-canceled', sweep.workflowId);

  const { workflowId: drain } = await machines.requestDrain('pc2', labOwner);
  await until('drained', async () => (await stateOf('pc2')) === 'drained');
  await client.workflow.getHandle(drain).result();
  await save('drain-machine-drained', drain);

  await client.workflow.execute('applyRetention', {
    workflowId: 'apply-retention:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('apply-retention-done', 'apply-retention:recorded');

  await client.workflow.execute('reembedMemories', {
    workflowId: 'reembed-memories:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('reembed-memories-done', 'reembed-memories:recorded');
  await client.workflow.execute('rateDrift', {
    workflowId: 'drift:recorded',
    taskQueue: coordinationQueue,
    args: [{ period: 'recorded' }],
  });
  await save('rate-drift-done', 'drift:recorded');
  await client.workflow.execute('clusterAgents', {
    workflowId: 'clusters:recorded',
    taskQueue: coordinationQueue,
    args: [{ period: 'recorded' }],
  });
  await save('cluster-agents-done', 'clusters:recorded');
  await save('check-fleet-health-running', fleetHealthWorkflowId);

  await recordSources();

  async function recordSources(): Promise<void> {
    const feed = await startFeedServer();
    feed.publish({ id: '1', title: 'The tide turned' });
    const shared = { kind: 'feed', agents: 'all', allowPrivate: ['127.0.0.1'] };
    const sources = [
      { ...shared, id: 'news', url: feed.url },
      { ...shared, id: 'away', url: feed.url, allowPrivate: [] },
    ].map((source): Source => sourceSchema.parse(source));
    await rest.apply({ ...testFleet({ heavy: 2, light: 3 }), sources });
    const sweep = await client.workflow.start('pollSources', {
      workflowId: 'poll-sources:recorded',
      taskQueue: coordinationQueue,
      args: [{}],
    });
    await sweep.result();
    await save('poll-sources-started', sweep.workflowId);
    for (const [id, outcome] of [
      ['news', 'read'],
      ['away', 'failed'],
    ] as const) {
      const poll = pollSourceWorkflowId(id, sweep.firstExecutionRunId);
      await client.workflow.getHandle(poll).result();
      await save(`poll-source-${outcome}`, poll);
    }
    await feed.close();
  }

  async function save(name: string, workflowId: string): Promise<void> {
    if (wanted.length > 0 && !wanted.some((start) => name.startsWith(start))) return;
    const show = ['workflow', 'show', '--workflow-id', workflowId, '--output', 'json'];
    const at = ['--address', base.addresses.temporalAddress, '--namespace', base.addresses.namespace];
    const { stdout } = await run(binary, [...show, ...at], { maxBuffer: 64 * 2 ** 20 });
    const { events } = JSON.parse(stdout, withoutTheBox) as { events: unknown[] };
    mkdirSync(histories, { recursive: true });
    const lines = events.map((event) => JSON.stringify(event)).join(',\n');
    writeFileSync(join(histories, `${name}.json`), `{"events":[\n${lines}\n]}\n`);
    process.stdout.write(`${name}: ${events.length} events\n`);
  }
}

/** Replay asks neither who ran a task nor where a failure came from, and both name the machine of the recording. */
function withoutTheBox(key: string, value: unknown): unknown {
  if (key === 'identity') return 'recorded';
  if (key === 'stackTrace') return '';
  return value;
}
