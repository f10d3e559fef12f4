import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseRollout } from '../../config/rollout-file.ts';
import { rolloutWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { byCodeUnit } from '../../domain/three-way.ts';
import { newId } from '../../stores/ids.ts';
import { findRollout } from '../../stores/queries/rollouts.ts';
import { actOnRollout, answerStep, beginRollout, skipPackage } from '../../stores/rollouts.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, type LabProcess, openLab, until } from '../support/lab.ts';

/** Real worker processes that are killed while they carry packages out, on a real repository, with real commands. */
let scope: TestScope;
let lab: Lab;
const folder = mkdtempSync(join(tmpdir(), 'soulfra-rollout-'));
const repository = join(folder, 'repository');
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
};
const start = (machine: string) => {
  const trust = join(folder, `trust.${machine}.yaml`);
  workers.set(
    machine,
    lab.startWorker(machine, { SOULFRA_TRUST_FILE: trust, SOULFRA_HOME: join(folder, `home.${machine}`) }),
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
      repositories: [repository],
    };
    writeFileSync(join(folder, `trust.${machine}.yaml`), JSON.stringify(trusted), { mode: 0o600 });
  }
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
  const token = newId('token');
  await lab.db
    .insertInto('tokens')
    .values({ id: token, ownerId: labOwner, kind: 'bearer', role: 'operator', hash: Buffer.from(token) })
    .execute();
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
