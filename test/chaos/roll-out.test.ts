import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRollout } from '../../config/rollout-file.ts';
import { isDomainError } from '../../domain/errors.ts';
import { rolloutWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { shippedRollout } from '../../domain/shipped-rollout.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { byCodeUnit } from '../../domain/three-way.ts';
import { newId } from '../../stores/ids.ts';
import { readReadiness } from '../../stores/queries/readiness.ts';
import { findRollout } from '../../stores/queries/rollouts.ts';
import { addAcceptance } from '../../stores/readiness.ts';
import { actOnRollout, answerStep, beginRollout, skipPackage } from '../../stores/rollouts.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, type LabProcess, openLab, until } from '../support/lab.ts';
import { writeMonorepo } from '../support/monorepo.ts';

/** Real worker processes that are killed while they carry packages out, on a real repository, with real commands. */
let scope: TestScope;
let lab: Lab;
const folder = mkdtempSync(join(tmpdir(), 'soulfra-rollout-'));
const repository = join(folder, 'repository');
/** That everything is well with, as far as files go. */
const sound = join(folder, 'sound');
const machines = ['mainpc', 'pc2'];
const workers = new Map<string, LabProcess>();

const git = (...args: string[]) => execFileSync('git', ['-C', repository, ...args], { encoding: 'utf8' }).trim();
const everything = () => [git('for-each-ref'), git('status', '--porcelain'), git('rev-parse', 'HEAD')];
const log = () => readFileSync(join(folder, 'log'), 'utf8').split('\n').filter(Boolean);
/** Leaves its name and the step it was begun for; long enough to be killed in. */
const doing = (name: string, status = 0) => [
  '/bin/sh',
  '-c',
  `echo "${name} $SOULFRA_STEP" >> ${join(folder, 'log')}; sleep 0.7; exit ${status}`,
];
const commands = {
  both: doing('both'),
  fails: doing('fails', 7),
  last: doing('last'),
  undoBoth: doing('undo-both'),
  undoFails: doing('undo-fails'),
  undoLast: doing('undo-last'),
  long: [
    '/bin/sh',
    '-c',
    `echo "long $SOULFRA_STEP" >> ${join(folder, 'log')}; while [ ! -e ${join(folder, 'go')} ]; do sleep 0.1; done`,
  ],
};
const start = (machine: string) => {
  const trust = join(folder, `trust.${machine}.yaml`);
  workers.set(
    machine,
    lab.startWorker(machine, {
      SOULFRA_TRUST_FILE: trust,
      SOULFRA_HOME: join(folder, `home.${machine}`),
      SOULFRA_SOURCE_FOLDERS: sound,
    }),
  );
};

beforeAll(async () => {
  execFileSync('git', ['init', '-q', '-b', 'main', repository]);
  writeFileSync(join(repository, 'a.yaml'), 'port: 7200\n');
  writeFileSync(join(folder, 'log'), '');
  git('add', '.');
  git('-c', 'user.name=x', '-c', 'user.email=x@localhost', 'commit', '-qm', 'one');
  for (const machine of machines) {
    const trusted = {
      version: 1,
      commands: Object.values(commands).map((command) => ({ command })),
      repositories: [repository, sound],
    };
    writeFileSync(join(folder, `trust.${machine}.yaml`), JSON.stringify(trusted), { mode: 0o600 });
  }
  writeMonorepo(sound, {
    files: new Map([
      ['startup.mainpc.yaml', 'startup:\n  painter: { script: painter.py }\n'],
      ['startup.pc2.yaml', 'startup:\n  reader: { script: reader.py }\n'],
      ['painter.py', 'print(1)\n'],
      ['reader.py', 'print(2)\n'],
      ['docs/runbook.md', '# What to do\n'],
      ['prometheus.yml', 'scrape_configs: []\n'],
    ]),
  });
  for (const args of [
    ['init', '-q', '-b', 'main'],
    ['add', '.'],
    ['-c', 'user.name=x', '-c', 'user.email=x@localhost', 'commit', '-qm', 'one'],
  ])
    execFileSync('git', ['-C', sound, ...args]);
  scope = await createTestScope();
  lab = await openLab(scope, { logs: join(folder, 'logs') });
  await lab.apply(testFleet({ heavy: 1, light: 2 }));
  for (const machine of machines) start(machine);
  await lab.settled(machines);
});
afterAll(async () => {
  await lab?.close();
  await scope?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function newToken(): Promise<string> {
  const token = newId('token');
  await lab.db
    .insertInto('tokens')
    .values({ id: token, ownerId: labOwner, kind: 'bearer', role: 'operator', hash: Buffer.from(token) })
    .execute();
  return token;
}

const quoted = (command: readonly string[]) => JSON.stringify(command);
const source = () => `
version: 1
repository: { machine: pc2, path: ${repository} }
workPackages:
  - id: ports
    title: Ports
    steps: [{ kind: patch, edits: [{ file: a.yaml, find: '7200', replace: '7210' }] }, { kind: manual, text: merge it }]
  - id: both
    title: On both machines
    dependsOn: [ports]
    steps: [{ kind: command, command: ${quoted(commands.both)} }]
    undo: [{ kind: command, command: ${quoted(commands.undoBoth)} }]
  - id: fails
    title: Fails
    dependsOn: [ports]
    steps: [{ kind: command, command: ${quoted(commands.fails)}, machines: [pc2] }]
    undo: [{ kind: command, command: ${quoted(commands.undoFails)}, machines: [pc2] }]
  - id: last
    title: Last
    dependsOn: [both, fails]
    steps: [{ kind: command, command: ${quoted(commands.last)}, machines: [mainpc] }]
    undo: [{ kind: command, command: ${quoted(commands.undoLast)}, machines: [mainpc] }]
`;

async function act(id: string, work: (tx: DatabaseTransaction) => Promise<void>): Promise<void> {
  await lab.db.transaction().execute(work);
  await lab.client.workflow
    .getHandle(rolloutWorkflowId(id))
    .signal(rowsChangedSignal)
    .catch(() => undefined);
}
const standing = async (id: string) => (await findRollout(lab.db, labOwner, id))!;
const states = async (id: string) =>
  Object.fromEntries((await standing(id)).packages.map((each) => [each.id, each.state]));

/** Kills a worker again and again while the condition is waited for. */
async function reached(what: string, condition: () => Promise<boolean>, kills: number): Promise<void> {
  let left = kills;
  const killing = (async () => {
    while (left > 0) {
      await pause(900);
      const machine = machines[left % machines.length]!;
      await workers.get(machine)!.end('SIGKILL');
      start(machine);
      left--;
    }
  })();
  await until(what, condition, 240_000);
  left = 0;
  await killing;
}

test('through ten kills every step is done once, a failure takes back its own, and a rollback leaves what was there', async () => {
  const before = everything();
  const read = parseRollout(source(), 'rollout.yaml', machines);
  if ('errors' in read) throw new Error(JSON.stringify(read.errors));
  const id = newId('rollout');
  const token = await newToken();
  const rollout = { id, ownerId: labOwner, file: read.rollout, machines, requestHash: Buffer.from('x'), madeBy: token };
  const begin = () => lab.db.transaction().execute((tx) => beginRollout(tx, rollout));
  expect(await begin()).toBe(true);
  expect(await begin()).toBe(false);
  await expect(
    lab.db.transaction().execute((tx) => beginRollout(tx, { ...rollout, id: newId('rollout') })),
  ).rejects.toMatchObject({
    code: 'CONFLICT',
  });

  const asked = async () => (await standing(id)).packages[0]!.steps.some((step) => step.state === 'waiting');
  await reached('a person is asked', asked, 2);
  const branch = `soulfra/${id}/ports`;
  expect(git('show', `${branch}:a.yaml`)).toBe('port: 7210');
  expect(everything().slice(1)).toEqual(before.slice(1));
  const notices = await lab.db
    .selectFrom('notices')
    .select('kind')
    .where('subject', '=', id)
    .where('resolvedAt', 'is', null)
    .execute();
  expect(notices).toEqual([{ kind: 'rollout_waiting' }]);
  await act(id, (tx) => answerStep(tx, { ownerId: labOwner, id, packageId: 'ports' }, { outcome: 'done', reason: '' }));

  await reached('it is held', async () => (await standing(id)).state === 'held', 4);
  expect(await states(id)).toEqual({ ports: 'done', both: 'done', fails: 'failed', last: 'waiting' });
  expect((await standing(id)).packages[2]!.reason).toBe('ended with status 7');
  await act(id, (tx) => skipPackage(tx, labOwner, id, 'fails'));
  await reached('it is done', async () => (await standing(id)).state === 'done', 1);

  await act(id, (tx) => actOnRollout(tx, labOwner, id, 'rollback'));
  await reached('it is rolled back', async () => (await standing(id)).state === 'rolled_back', 3);
  expect(await states(id)).toEqual({ ports: 'undone', both: 'undone', fails: 'skipped', last: 'undone' });
  expect(everything()).toEqual(before);
  const names = log().map((line) => line.split(' ')[0] ?? '');
  expect(names.toSorted(byCodeUnit)).toEqual([
    'both',
    'both',
    'fails',
    'last',
    'undo-both',
    'undo-both',
    'undo-fails',
    'undo-last',
  ]);
  expect(names.indexOf('undo-last')).toBeLessThan(names.indexOf('undo-both'));
  expect(new Set(log()).size).toBe(8);
});

/** Begins as the API does; the relay of the workers starts it. */
async function begun(text: string): Promise<string> {
  const read = parseRollout(text, 'rollout.yaml', machines);
  if ('errors' in read) throw new Error(JSON.stringify(read.errors));
  const id = newId('rollout');
  const rollout = {
    id,
    ownerId: labOwner,
    file: read.rollout,
    machines,
    requestHash: Buffer.from(id),
    madeBy: await newToken(),
  };
  await lab.db.transaction().execute((tx) => beginRollout(tx, rollout));
  return id;
}

test('a workflow that has become long is continued beside a command that takes longer, which is done once', async () => {
  const long = {
    id: 'long',
    title: 'Long',
    machines: ['pc2'],
    steps: [{ kind: 'command', command: commands.long }],
    undo: [{ kind: 'manual', text: 'none' }],
  };
  const id = await begun(JSON.stringify({ version: 1, workPackages: [long] }));
  await until('it has begun', () => Promise.resolve(log().some((line) => line.startsWith('long '))), 60_000);
  const { client } = lab;
  const handle = client.workflow.getHandle(rolloutWorkflowId(id));
  const { runId } = await handle.describe();
  // Temporal suggests it from 4,096 events on, and no run ends while signals come.
  while ((await handle.describe()).historyLength < 4_200)
    await Promise.all(Array.from({ length: 400 }, () => handle.signal(rowsChangedSignal)));
  await until('another run carries it', async () => (await handle.describe()).runId !== runId, 120_000);
  expect((await standing(id)).packages[0]!.steps.map(({ state }) => state)).toEqual(['running']);
  writeFileSync(join(folder, 'go'), '');
  await until('it is done', async () => (await standing(id)).state === 'done', 120_000);
  expect(log().filter((line) => line.startsWith('long '))).toHaveLength(1);
});

test('the shipped packages are carried out on two machines, each of which is read for what it says itself', async () => {
  const repositoryOf = {
    folder: sound,
    machineId: 'pc2',
    machineFiles: machines.map((machine) => ({ machine, file: `startup.${machine}.yaml` })),
    portRules: [],
  };
  const assess = (period: string) =>
    lab.client.workflow.execute('assessReadiness', {
      workflowId: `readiness:${period}`,
      taskQueue: coordinationQueue,
      args: [{ period, ownerId: labOwner, repository: repositoryOf }],
    });
  await assess('first');
  const { findings, inventory } = (await readReadiness(lab.db, labOwner))!;
  expect(inventory!.live.map(({ machine }) => machine).toSorted(byCodeUnit)).toEqual(machines);
  // What no file and no look can end: which tools this host has, and that nobody has tried to stop these two.
  const given = new Set(['tool-absent', 'stop-untried']);
  expect(findings.filter(({ rule }) => !given.has(rule))).toEqual([]);
  for (const { rule, fingerprint } of findings)
    await addAcceptance(lab.db, {
      ownerId: labOwner,
      rule,
      fingerprint,
      by: 'owner',
      reason: 'known',
      until: '2999-01-01',
    });

  const shipped = shippedRollout({ machines: ['pc2', 'mainpc'], repository: { machine: 'pc2', path: sound } });
  const workPackages = shipped.workPackages.map((each) => ({ ...each, verify: { ...each.verify, healthyMinutes: 0 } }));
  const id = await begun(JSON.stringify({ ...shipped, workPackages }));
  const steps = async () => {
    const { state, reason, packages } = await standing(id);
    if (state === 'held')
      throw new Error(`${reason}: ${JSON.stringify(packages.map((each) => [each.id, each.reason]))}`);
    for (const each of packages)
      if (each.steps.some((step) => step.state === 'waiting'))
        await act(id, (tx) =>
          answerStep(tx, { ownerId: labOwner, id, packageId: each.id }, { outcome: 'done', reason: '' }),
        ).catch(answered);
    return state === 'done';
  };
  await until('all twelve are done', steps, 400_000);
  expect(Object.values(await states(id))).toEqual(Array(12).fill('done'));
  const { rows } = await sql<{ runs: number }>`
    select count(distinct run_id)::int as runs from readiness_assessments where starts_with(run_id, ${`rollout:${id}:`})`.execute(
    lab.db,
  );
  expect(rows).toEqual([{ runs: 12 }]);
}, 420_000);

/** Its workflow may have gone on between the look and the answer. */
function answered(err: unknown): void {
  if (!isDomainError(err, 'CONFLICT')) throw err;
}
