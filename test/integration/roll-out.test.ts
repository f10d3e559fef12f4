import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import { NativeConnection } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createRolloutMachineActivities } from '../../activities/rollouts.ts';
import { rollbackWorkflowId, rolloutWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { rolloutFileSchema } from '../../domain/rollouts.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { readReadiness } from '../../stores/queries/readiness.ts';
import { findRollout } from '../../stores/queries/rollouts.ts';
import { addAcceptance } from '../../stores/readiness.ts';
import { actOnRollout, answerStep, beginRollout } from '../../stores/rollouts.ts';
import { createMachineQueueWorker } from '../../workers/coordination.ts';
import { createInventoryReading } from '../../workers/readiness-reads.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: Stage;
let folder: string;
/** How often each area of a run was assessed; the first time of each dies after its work. */
const times = new Map<string, number>();
/** Workflows that have begun a step. */
const began = new Set<string>();

beforeAll(async () => {
  stage = await openStage(testFleet({ heavy: 0, light: 1 }), (shipped) => ({
    async assessReadinessArea(input) {
      const done = await shipped.assessReadinessArea(input);
      const key = `${input.runId} ${input.area}`;
      times.set(key, (times.get(key) ?? 0) + 1);
      if (times.get(key) === 1) throw new Error('died at the worst line');
      return done;
    },
    beginRolloutStep(input) {
      began.add(Context.current().info.workflowExecution!.workflowId);
      return shipped.beginRolloutStep(input);
    },
  }));
  await stage.db
    .insertInto('tokens')
    .values({ id: 'tok_rollout', ownerId: testOwner, kind: 'bearer', role: 'operator', hash: Buffer.from('rollout') })
    .execute();
});
afterAll(() => stage?.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-rollout-'));
  return () => rmSync(folder, { recursive: true, force: true });
});

const manual = [{ kind: 'manual', text: 'do it' }];
const startup = (port: number) =>
  writeFileSync(
    join(folder, 'startup.yaml'),
    `port_rules: { health: +1 }\nstartup:\n  a: { script: a.py, port: 7000 }\n  b: { script: b.py, port: ${port} }\n`,
  );
function repository(): void {
  writeFileSync(join(folder, 'a.py'), 'import os\nprint(os.environ["A_KEY"])\n');
  writeFileSync(join(folder, 'b.py'), 'print(1)\n');
  startup(7001);
}

/** Begins as the API does, and in place of the relay. */
async function begin(file: object): Promise<string> {
  const id = newId('rollout');
  const rollout = { id, ownerId: testOwner, machines: ['pc2'], requestHash: Buffer.from(id), madeBy: 'tok_rollout' };
  await stage.db
    .transaction()
    .execute((tx) => beginRollout(tx, { ...rollout, file: rolloutFileSchema.parse({ version: 1, ...file }) }));
  await start(id, rolloutWorkflowId(id));
  return id;
}
const start = (rolloutId: string, workflowId: string) =>
  stage.client.workflow.start('rollOut', { workflowId, taskQueue: coordinationQueue, args: [{ rolloutId }] });

const standing = async (id: string) => (await findRollout(stage.db, testOwner, id))!;
const states = async (id: string) =>
  Object.fromEntries((await standing(id)).packages.map((each) => [each.id, each.state]));
async function act(id: string, work: (tx: DatabaseTransaction) => Promise<void>): Promise<void> {
  await stage.db.transaction().execute(work);
  await stage.client.workflow.getHandle(rolloutWorkflowId(id)).signal(rowsChangedSignal);
}
const asked = (id: string, packageId: string, phase = 'steps', timeoutMs = 60_000) =>
  until(
    `${packageId} waits for a person`,
    async () => {
      const each = (await standing(id)).packages.find((one) => one.id === packageId)!;
      return each.steps.some(
        (step) => step.attempt === each.attempt && step.phase === phase && step.state === 'waiting',
      );
    },
    timeoutMs,
  );
const answer = (id: string, packageId: string) => (tx: DatabaseTransaction) =>
  answerStep(tx, { ownerId: testOwner, id, packageId }, { outcome: 'done', reason: '' });
const is = (id: string, packageId: string, state: string) =>
  until(`${packageId} is ${state}`, async () => (await states(id))[packageId] === state, 60_000);

test('a package whose rules do not hold says which finding, is taken back and holds its dependants; accepted, it is done', async () => {
  repository();
  const clash = ['port-declared-clash', 'port-derived-clash'];
  const file = {
    workPackages: [
      { id: 'WP-01', title: 'Ports', steps: manual, verify: { rules: clash }, undo: manual },
      { id: 'WP-02', title: 'Images', dependsOn: ['WP-01'], steps: manual },
      { id: 'WP-05', title: 'Others', steps: manual, verify: { rules: clash, subjects: ['*:9*'] }, undo: manual },
      { id: 'WP-10', title: 'Secrets', steps: manual, verify: { rules: ['secret-in-file'] }, undo: manual },
    ],
  };
  await expect(begin(file)).rejects.toThrow('nothing was assessed yet');
  await stage.client.workflow.execute('assessReadiness', {
    workflowId: 'readiness:first',
    taskQueue: coordinationQueue,
    args: [
      {
        period: 'first',
        ownerId: testOwner,
        repository: {
          folder,
          machineId: null,
          machineFiles: [{ machine: 'pc2', file: 'startup.yaml' }],
          portRules: [],
        },
      },
    ],
  });

  const id = await begin(file);
  const ruled = ['WP-01', 'WP-05', 'WP-10'];
  for (const packageId of ruled) await asked(id, packageId);
  // Three assessments at the same time.
  for (const packageId of ruled) await act(id, answer(id, packageId));
  await is(id, 'WP-05', 'done');
  await is(id, 'WP-10', 'done');
  await asked(id, 'WP-01', 'undo');
  const reason = /^port-derived-clash\/([0-9a-f]{16}) pc2:7001: .+startup\.yaml/;
  const failed = (await standing(id)).packages[0]!;
  expect(failed).toMatchObject({ state: 'undoing', reason: expect.stringMatching(reason) });
  await act(id, answer(id, 'WP-01'));
  await until('it is held', async () => (await standing(id)).state === 'held', 30_000);
  expect(await states(id)).toEqual({ 'WP-01': 'failed', 'WP-02': 'waiting', 'WP-05': 'done', 'WP-10': 'done' });
  expect((await standing(id)).packages[0]!.reason).toMatch(reason);
  const { metadata } = await stage.client.workflow
    .getHandle(rolloutWorkflowId(id))
    .query<{ currentDetails?: string } & Record<string, unknown>>('__temporal_workflow_metadata')
    .then((told) => ({ metadata: JSON.stringify(told) }));
  expect(metadata).toMatch(/WP-01 failed: port-derived-clash/);

  const fingerprint = reason.exec(failed.reason)![1]!;
  const acceptance = { rule: 'port-derived-clash', fingerprint, by: 'owner', reason: 'moving', until: '2999-01-01' };
  await addAcceptance(stage.db, { ownerId: testOwner, ...acceptance });
  await act(id, (tx) => actOnRollout(tx, testOwner, id, 'resume'));
  for (const packageId of ['WP-01', 'WP-02']) {
    await asked(id, packageId);
    await act(id, answer(id, packageId));
  }
  await until('it is done', async () => (await standing(id)).state === 'done', 60_000);
  const runs = await stage.db
    .selectFrom('readinessRuns')
    .select(['id', 'state'])
    .where('id', 'like', 'rollout:%')
    .orderBy('id')
    .execute();
  const run = (packageId: string, attempt: number) => ({ id: `rollout:${id}:${packageId}:${attempt}`, state: 'done' });
  expect(runs).toEqual([run('WP-01', 1), run('WP-01', 2), run('WP-05', 1), run('WP-10', 1)]);
  expect([...times].filter(([key, count]) => key.startsWith('rollout:') && count !== 2)).toEqual([]);
  expect((await readReadiness(stage.db, testOwner))!.findings.length).toBeGreaterThan(0);
});

test('the second workflow of a rollback does nothing while the first one lives, and carries on where it ends', async () => {
  const each = (id: string, dependsOn: string[]) => ({ id, title: id, dependsOn, steps: manual, undo: manual });
  const id = await begin({ workPackages: [each('one', []), each('two', ['one'])] });
  await asked(id, 'one');
  await act(id, answer(id, 'one'));
  await asked(id, 'two');
  // As the look for lost workflows begins one, which cannot tell.
  await stage.db.transaction().execute((tx) => actOnRollout(tx, testOwner, id, 'rollback'));
  const second = await start(id, rollbackWorkflowId(id));
  // The first is told by the second.
  await asked(id, 'two', 'undo');
  expect(began.has(rolloutWorkflowId(id))).toBe(true);
  expect(began.has(rollbackWorkflowId(id))).toBe(false);
  await stage.client.workflow.getHandle(rolloutWorkflowId(id)).terminate('lost');
  await stage.db.transaction().execute(answer(id, 'two'));
  await asked(id, 'one', 'undo', 90_000);
  await stage.db.transaction().execute(answer(id, 'one'));
  await second.signal(rowsChangedSignal);
  expect(await second.result()).toEqual({ state: 'rolled_back' });
  expect(await states(id)).toEqual({ one: 'undone', two: 'undone' });
});

test('what is generated is a commit on a branch of its own, of what the files lack; the rest stays as it was', async () => {
  repository();
  const git = (...args: string[]) => execFileSync('git', ['-C', folder, ...args], { encoding: 'utf8' }).trim();
  git('init', '-q', '-b', 'main');
  git('add', '.');
  git('-c', 'user.name=x', '-c', 'user.email=x@localhost', 'commit', '-qm', 'one');
  const everything = () => [git('for-each-ref'), git('status', '--porcelain'), git('rev-parse', 'HEAD')];
  const before = everything();
  const connection = await NativeConnection.connect({ address: stage.scope.temporalAddress });
  let executions = 0;
  const trusted = () => ({ commands: [], repositories: [folder] });
  const shipped = createRolloutMachineActivities({
    ...stage,
    machineId: 'pc2',
    readInventory: createInventoryReading('pc2', () => trusted().repositories),
    trusted,
    folder: join(folder, 'commands'),
  });
  const worker = await createMachineQueueWorker({
    connection,
    namespace: stage.scope.namespace,
    machineId: 'pc2',
    identity: 'pc2/machine/0',
    activities: {
      // Dies once after each work, before its answer.
      async doRolloutStep(input: Parameters<typeof shipped.doRolloutStep>[0]) {
        const done = await shipped.doRolloutStep(input);
        if (executions++ % 2 === 0) throw new Error('died at the worst line');
        return done;
      },
    },
  });
  const running = worker.run();
  const kinds = ['container-package', 'environment', 'runbooks', 'cleanup-plan'];
  const id = await begin({
    repository: { machine: 'pc2', path: folder },
    workPackages: [
      { id: 'WP-02', title: 'Images', steps: kinds.map((what) => ({ kind: 'generate', what })), undo: manual },
    ],
  });
  await is(id, 'WP-02', 'done');
  const branch = `soulfra/${id}/WP-02`;
  expect(everything().slice(1)).toEqual(before.slice(1));
  const steps = (await standing(id)).packages[0]!.steps;
  expect(steps.map(({ result }) => (result!['files'] as string[]).join(' '))).toEqual([
    'templates/soulfra/Dockerfile templates/soulfra/compose.yaml',
    'templates/soulfra/env.example',
    'docs/runbooks/services.md',
    '',
  ]);
  expect(git('log', '--format=%s', `main..${branch}`).split('\n')).toEqual(Array(3).fill('WP-02: Images'));
  expect(git('show', `${branch}:templates/soulfra/env.example`)).toMatch(/# a \(a\.py:2\)\nA_KEY=$/);
  expect(git('show', `${branch}:templates/soulfra/compose.yaml`)).toContain('127.0.0.1:7001:7001');
  expect(git('diff', '--diff-filter=D', '--name-only', `main...${branch}`)).toBe('');

  await stage.db.transaction().execute((tx) => actOnRollout(tx, testOwner, id, 'rollback'));
  await start(id, rollbackWorkflowId(id));
  await is(id, 'WP-02', 'undone');
  expect(everything()).toEqual(before);
  worker.shutdown();
  await running;
  await connection.close();
});
