import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { createBenchPayments } from '../../bench/support/bench-payments.ts';
import { findDevServer } from '../../bench/support/dev-server.ts';
import { startOf } from '../../bench/support/purchase-clients.ts';
import { openBenchShop } from '../../bench/support/purchase-shop.ts';
import {
  fleetHealthWorkflowId,
  healthLooksWorkflowId,
  idOf,
  judgeWorkflowId,
  messageWorkflowId,
  pollSourceWorkflowId,
  reflectWorkflowId,
  spawnWorkflowId,
} from '../../domain/ids.ts';
import { type Source, sourceSchema } from '../../domain/sources.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createDriftStore } from '../../stores/drift.ts';
import { createJudgementStore } from '../../stores/judgements.ts';
import { newId } from '../../stores/ids.ts';
import { decideWhisperUpdate } from '../../domain/messages.ts';
import type { Spawning } from '../../domain/spawn-policy.ts';
import { receiveWhisper } from '../../stores/admission.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { startFeedServer } from '../support/feed-server.ts';
import { testFleet } from '../support/fleets.ts';
import { backupHistories, recordBackups } from './record-backups.ts';
import { mirrorHistories, recordMirror } from './record-mirror.ts';
import { modelHistories, recordModels } from './record-models.ts';
import { recordBallots } from './record-ballots.ts';
import { recordInvites } from './record-invites.ts';
import { recordDrops } from './record-drops.ts';
import { gatewayHistories, recordGateway } from './record-gateway.ts';
import { notifyHistories, recordNotify } from './record-notify.ts';
import { recordOutbound } from './record-outbound.ts';
import { recordServices, serviceHistories } from './record-services.ts';
import { startStripeDouble } from '../support/stripe-double.ts';
import { recordPayments } from './record-payments.ts';
import { recordWork, workHistories } from './record-work.ts';
import { recordRollouts, rolloutHistories } from './record-rollouts.ts';
import { type Lab, labOwner, openLab, openLabServers, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';

/**
 * `npm run replay:record`: runs every workflow by real worker processes and saves what happened, for replay.test.ts.
 * With names, such as `-- drain`, only the histories whose names begin so are written.
 * To be run when a workflow has changed on purpose and nothing of the old kind is still running anywhere; otherwise the
 * change needs `patched()`, and the old histories stay.
 */
const histories = fileURLToPath(new URL('./histories/', import.meta.url));

const healthHistories = ['check-fleet-health-running', 'judge-fleet-health-running'];

const globeHistories = ['place-globe-done', 'place-globe-by-hand'];
const readinessHistories = ['assess-readiness-done', 'assess-readiness-refused', 'assess-readiness-each-machine'];

const run = promisify(execFile);
const wanted = process.argv.slice(2);
const { binary } = await findDevServer();
const base = await openLabServers();
const logs = mkdtempSync(join(tmpdir(), 'soulfra-record-'));
const folder = mkdtempSync(join(tmpdir(), 'soulfra-record-folder-'));
// Workers take it over with the rest of this process's environment.
process.env['SOULFRA_SOURCE_FOLDERS'] = folder;
const mailbox = join(logs, 'mail');
const webhookKey = Buffer.alloc(32, 9).toString('base64url');
Object.assign(process.env, { SOULFRA_MAILBOX: mailbox, SOULFRA_WEBHOOK_KEY: webhookKey });
const double = await startStripeDouble();
process.env['STRIPE_SECRET_KEY'] = double.secretKey;
process.env['SOULFRA_STRIPE_URL'] = double.url;
const lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn' });
try {
  await record(lab);
} finally {
  await lab.close();
  await base.close();
  await double.close();
  rmSync(logs, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
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

  const say = (agentId: string) => {
    const messageId = newId('message');
    return client.workflow.start('answerMessage', {
      workflowId: messageWorkflowId(messageId),
      taskQueue: coordinationQueue,
      args: [
        {
          messageId,
          agentId,
          ownerId: labOwner,
          conversationId: idOf('conversation', messageId.slice(4)),
          authorId: 'tok_recorded',
          author: 'Ada',
          text: 'How many boats?',
          contentHash: 'recorded',
        },
      ],
      workflowTaskTimeout: '2 seconds',
    });
  };
  const messageIs = (workflowId: string, state: string, why = '') =>
    until(`${workflowId} is ${state} ${why}`, async () => {
      const id = workflowId.slice('message:'.length);
      const row = await db.selectFrom('messages').select(['state', 'reason']).where('id', '=', id).executeTakeFirst();
      return row?.state === state && row.reason.startsWith(why);
    });

  await rest.apply(testFleet({ heavy: 2, light: 3 }));
  await rest.remember(plainMemories(await everyAgentId(db), 8));
  if (!isAlone(workHistories) && !isAlone(modelHistories)) await recordPurchases();
  rest.startWorker('pc2');
  await rest.settled(['pc2']);
  if (isAlone(globeHistories)) return recordGlobe();
  if (isAlone(modelHistories)) return recordModels({ client, ...rest }, save);
  await recordReadiness();
  if (isAlone(readinessHistories)) {
    rest.startWorker('mainpc');
    await rest.settled(['mainpc', 'pc2']);
    await recordAssessment('each-machine', folder);
    return;
  }
  await recordWork({ client, db, ...rest }, save);
  if (isAlone(workHistories)) return;
  if (wanted.length === 0 || isAlone(gatewayHistories)) await recordGateway({ client, db, ...rest }, save);
  if (isAlone(gatewayHistories)) return;
  await recordBackups({ client, ...rest }, save);
  if (isAlone(backupHistories)) return;
  await recordMirror({ client, ...rest }, folder, save);
  if (isAlone(mirrorHistories)) return;
  await recordModels({ client, ...rest }, save);
  await rest.apply(testFleet({ heavy: 2, light: 3 }));
  await rest.settled(['pc2']);
  await recordHealth();
  if (isAlone(healthHistories)) return;
  const servicesAlone = isAlone(serviceHistories);
  await recordServices({ client, db, ...rest }, save);
  if (servicesAlone) return;
  await recordRollouts({ client, db, ...rest }, save);
  if (isAlone(rolloutHistories)) return;
  const notifyAlone = isAlone(notifyHistories);
  await recordNotify({ client, db, ...rest }, save);
  if (notifyAlone) return;
  await rest.apply(testFleet({ heavy: 2, light: 3 }));
  await rest.settled(['pc2']);
  await recordInvites({ client, db, ...rest }, save);
  await recordPayments({ client, db, ...rest }, double, save);
  await rest.apply(testFleet({ heavy: 2, light: 3 }));
  await rest.settled(['pc2']);

  await recordOutbound({ client, db, ...rest }, { mailbox, webhookKey }, save);
  await recordBallots({ client, db, ...rest }, save);
  await rest.apply(testFleet({ heavy: 2, light: 3 }));
  await rest.settled(['pc2']);

  await (await rest.sweep('first')).result();
  await save('reflect-fleet-done', 'reflect-fleet:call-first');
  await save('reflect-agent-done', reflectWorkflowId('light-001', 'call-first'));
  // Since 0.2 what a run concludes is held against earlier reflections before it is stored.
  await save('reflect-agent-compared', reflectWorkflowId('light-002', 'call-first'));
  await save('reflect-agent-degraded', reflectWorkflowId('heavy-001', 'call-first'));
  await client.workflow.getHandle(reflectWorkflowId('proud-002', 'call-first')).cancel();
  await until('a parked run was canceled', async () => (await runState('proud-002', 'call-first')) === 'canceled');
  await save('reflect-agent-canceled', reflectWorkflowId('proud-002', 'call-first'));

  for (const [name, agentId] of [
    ['done', 'light-001'],
    ['degraded', 'heavy-001'],
  ] as const) {
    const said = await say(agentId);
    await said.result();
    await save(`answer-message-${name}`, said.workflowId);
  }
  const unheard = await say('proud-002');
  await messageIs(unheard.workflowId, 'received', 'no living machine');
  await unheard.cancel();
  await messageIs(unheard.workflowId, 'canceled');
  await save('answer-message-canceled', unheard.workflowId);
  const refused = await say('nobody-001');
  await refused.result().catch(() => undefined);
  await save('answer-message-failed', refused.workflowId);
  const waiting = await say('proud-001');
  await messageIs(waiting.workflowId, 'received', 'no living machine');

  const mainpc = rest.startWorker('mainpc');
  await rest.settled(['mainpc', 'pc2']);
  await messageIs(waiting.workflowId, 'answered');
  await save('answer-message-waited', waiting.workflowId);
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
  // apply-retention-done is of 0.1.0, before vectors were walked.
  await save('apply-retention-walked', 'apply-retention:recorded');
  await client.workflow.execute('expireLicenses', {
    workflowId: 'expire-licenses:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('expire-licenses-done', 'expire-licenses:recorded');

  await client.workflow.execute('reembedMemories', {
    workflowId: 'reembed-memories:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('reembed-memories-done', 'reembed-memories:recorded');
  await client.workflow.execute('weaveMemories', {
    workflowId: 'weave:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('weave-memories-done', 'weave:recorded');
  await client.workflow.execute('consolidateMemories', {
    workflowId: 'consolidate-memories:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('consolidate-memories-done', 'consolidate-memories:recorded');
  await client.workflow.execute('rateDrift', {
    workflowId: 'drift:recorded',
    taskQueue: coordinationQueue,
    args: [{ period: 'recorded' }],
  });
  await save('rate-drift-done', 'drift:recorded');
  await save('judge-drift-none', await judged());
  await client.workflow.execute('clusterAgents', {
    workflowId: 'clusters:recorded',
    taskQueue: coordinationQueue,
    args: [{ period: 'recorded' }],
  });
  await save('cluster-agents-done', 'clusters:recorded');
  await recordGlobe();
  await client.workflow.execute('reconcileLedger', {
    workflowId: 'reconcile:recorded',
    taskQueue: coordinationQueue,
    args: [{}],
  });
  await save('reconcile-ledger-done', 'reconcile:recorded');

  /** Whether only some of these are wanted. */
  function isAlone(names: readonly string[]): boolean {
    return wanted.length > 0 && wanted.every((name) => names.some((one) => one.startsWith(name)));
  }

  async function recordGlobe(): Promise<void> {
    await client.workflow.execute('placeGlobe', {
      workflowId: 'globe:recorded',
      taskQueue: coordinationQueue,
      args: [{ period: 'recorded' }],
    });
    await save('place-globe-done', 'globe:recorded');
    await client.workflow.execute('placeGlobe', {
      workflowId: 'globe:call-recorded',
      taskQueue: coordinationQueue,
      args: [{ period: 'call-recorded' }],
    });
    await save('place-globe-by-hand', 'globe:call-recorded');
  }

  /** One that is judged, and one whose folder no machine allows. */
  async function recordReadiness(): Promise<void> {
    for (const [name, assessed] of [
      ['done', folder],
      ['refused', '/nowhere'],
    ] as const)
      await recordAssessment(name, assessed);
  }

  async function recordAssessment(name: string, assessed: string): Promise<void> {
    await client.workflow.execute('assessReadiness', {
      workflowId: `readiness:${name}`,
      taskQueue: coordinationQueue,
      args: [
        {
          period: name,
          ownerId: labOwner,
          repository: { folder: assessed, machineId: 'pc2', machineFiles: [], portRules: [] },
        },
      ],
    });
    await save(`assess-readiness-${name}`, `readiness:${name}`);
  }

  /** What goes on for ever, after some rounds. */
  async function recordHealth(): Promise<void> {
    const looked = async () => {
      const { rows } = await sql<{ at: Date }>`select checked_at as at from fleet_health`.execute(db);
      return rows[0]!.at.getTime();
    };
    const first = await looked();
    await until('leases were judged some times', async () => (await looked()) - first > 12_000);
    await save('check-fleet-health-running', fleetHealthWorkflowId);
    await save('judge-fleet-health-running', healthLooksWorkflowId);
  }

  /** An agent is flagged, and the relay starts its judgement; the machine is simulated, so nothing is judged. */
  async function judged(): Promise<string> {
    const drift = createDriftStore(db);
    const standing = (await drift.agentsAfter(labOwner, 'light-', 1))[0]!;
    const rating = {
      agentId: standing.agentId,
      after: standing.standing?.ratingId ?? null,
      state: 'drifting' as const,
      drift: 0.5,
      weighted: 0.5,
      z: 5,
      windowSize: 3,
      history: 20,
      reason: '',
      newestOutput: 'recorded',
      vector: new Float32Array([1, 0]),
    };
    const flagged = { ownerId: labOwner, period: 'flagged', model: 'use-lite-en', spaceId: null };
    await drift.store({ ...flagged, ratings: [rating] });
    await createJudgementStore(db).ask({ ...flagged, most: 1, samples: 3 });
    const row = await db.selectFrom('driftJudgements').select('ratingId').executeTakeFirstOrThrow();
    const ended = () => db.selectFrom('driftJudgements').select('state').where('state', '<>', 'pending').execute();
    await until('judged', async () => (await ended()).length > 0);
    const workflowId = judgeWorkflowId(row.ratingId);
    await client.workflow.getHandle(workflowId).result();
    return workflowId;
  }

  /** By a worker of the bench's own, since it has a provider: one in seven payments is refused at each step, by its key. */
  async function recordPurchases(): Promise<void> {
    await createBenchPayments(db);
    const { buyers, listings } = await openBenchShop(lab, 2, (i) => (i === 0 ? 1 : 1_000_000));
    const { databaseUrl, temporalAddress, namespace } = base.addresses;
    const worker = rest.startProcess('purchases', ['test/support/purchase-worker-process.ts', '--name', 'recorded'], {
      DATABASE_URL: databaseUrl,
      TEMPORAL_ADDRESS: temporalAddress,
      TEMPORAL_NAMESPACE: namespace,
    });
    const buy = async (name: string, buyer: number, payment: string, refusedAt?: number) => {
      const at = (id: string) => [0, 1].find((salt) => (Number.parseInt(id.slice(-8), 16) + salt) % 7 === 0);
      let id = newId('purchase');
      while (at(id) !== refusedAt) id = newId('purchase');
      const start = startOf(id, buyers[buyer]!, listings[0]!, payment);
      await client.workflow.execute('purchaseLicense', start);
      await save(`purchase-license-${name}`, start.workflowId);
    };
    await buy('credits', 1, 'credits');
    await buy('credits-too-low', 0, 'credits');
    await buy('captured', 1, 'bench');
    await buy('declined', 1, 'bench', 0);
    await buy('undone', 1, 'bench', 1);
    await worker.end();
  }

  await recordSources();

  async function recordSources(): Promise<void> {
    const feed = await startFeedServer();
    feed.publish({ id: '1', title: 'The tide turned' });
    const shared = { kind: 'feed', agents: 'all', allowPrivate: ['127.0.0.1'] };
    const sources = [
      { ...shared, id: 'news', url: feed.url },
      { ...shared, id: 'away', url: feed.url, allowPrivate: [] },
      { kind: 'folder', id: 'notes', machine: 'pc2', folder, agents: 'all' },
    ].map((source): Source => sourceSchema.parse(source));
    await rest.apply({ ...testFleet({ heavy: 2, light: 3 }), sources });
    const sweep = await client.workflow.start('pollSources', {
      workflowId: 'poll-sources:recorded',
      taskQueue: coordinationQueue,
      args: [{}],
    });
    await sweep.result();
    await save('poll-sources-started', sweep.workflowId);
    await client.workflow.execute('pollSource', {
      workflowId: 'poll-source:notes:recorded',
      taskQueue: coordinationQueue,
      args: [{ sourceId: 'notes', machineId: 'pc2' }],
    });
    await save('poll-source-on-machine', 'poll-source:notes:recorded');
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

  const spawning = { ...testFleet().spawning, growth: 0.99, mostAlike: 0.99 };
  const spawned = await whisper('spawned', 'light-001', spawning);
  await until('it was born', async () => (await whisperState(spawned)) === 'spawned');
  await save('spawn-persona-spawned', spawnWorkflowId(spawned));
  const alike = await whisper('alike', 'light-002', { ...spawning, mostAlike: 0, drafts: 2 });
  await until('it was too alike', async () => (await whisperState(alike)) === 'refused');
  await save('spawn-persona-refused', spawnWorkflowId(alike));
  const approved = await whisper('approved', 'light-003', { ...spawning, approval: 'operator' });
  await until('it waits', async () => (await whisperState(approved)) === 'awaiting_approval');
  await client.workflow
    .getHandle(spawnWorkflowId(approved))
    .executeUpdate(decideWhisperUpdate, { args: [{ draft: 1, approve: true }] });
  // spawn-persona-approved is of before a draft that waited for a person was judged again.
  await save('spawn-persona-judged-again', spawnWorkflowId(approved));
  const expired = await whisper('expired', 'heavy-001', { ...spawning, approval: 'operator', deadline: '1s' });
  await until('nobody decided', async () => (await whisperState(expired)) === 'expired');
  await save('spawn-persona-expired', spawnWorkflowId(expired));
  await recordDrops({ client, db, ...rest }, save);

  async function whisper(requestId: string, parentId: string, policy: Spawning): Promise<string> {
    await rest.apply({ ...testFleet({ heavy: 2, light: 3 }), spawning: policy });
    await rest.settled(['mainpc']);
    const received = await db.transaction().execute((tx) =>
      receiveWhisper(
        tx,
        {
          ownerId: labOwner,
          source: 'api',
          // One each, so that no limit of a lineage stands between.
          parentId,
          text: `Somebody ${requestId}.`,
          requestedBy: 'the recording',
          requestId,
        },
        policy,
      ),
    );
    return received.id;
  }
  async function whisperState(id: string): Promise<string> {
    return (await db.selectFrom('whispers').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;
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
