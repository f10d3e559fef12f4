import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { readReadiness } from '../../stores/queries/readiness.ts';
import { addAcceptance, type Repository } from '../../stores/readiness.ts';
import type { AssessReadinessInput, AssessReadinessResult } from '../../workflows/assess-readiness.ts';
import { testFleet } from '../support/fleets.ts';
import { openStage, type Stage } from '../support/stage.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: Stage;
let folder: string;
/** How often each area was assessed; the first time of each dies after its work. */
const times = new Map<string, number>();

beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 1 });
  stage = await openStage(fleet, (shipped) => ({
    // Every assessor's worker dies once, after its work and before its answer.
    async assessReadinessArea(input) {
      const done = await shipped.assessReadinessArea(input);
      const key = `${input.runId} ${input.area}`;
      times.set(key, (times.get(key) ?? 0) + 1);
      if (times.get(key) === 1) throw new Error('died at the worst line');
      return done;
    },
  }));
});
afterAll(() => stage?.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-readiness-'));
  return () => rmSync(folder, { recursive: true, force: true });
});

const asked = (more: Partial<Repository> = {}): Repository => ({
  folder,
  machineId: null,
  machineFiles: [{ machine: 'pc2', file: 'startup.yaml' }],
  portRules: [{ name: 'health', add: 1 }],
  ...more,
});
const report = async () => (await readReadiness(stage.db, testOwner))!;
const states = async () =>
  Object.fromEntries((await report()).findings.map(({ rule, subject, state }) => [`${rule} ${subject}`, state]));
const startup = (port: number) =>
  writeFileSync(join(folder, 'startup.yaml'), `a: { script: a.py, port: 7000 }\nb: { script: b.py, port: ${port} }\n`);

function assess(input: AssessReadinessInput & { period: string }): Promise<AssessReadinessResult> {
  return stage.client.workflow.execute('assessReadiness', {
    workflowId: `readiness:${input.period}`,
    taskQueue: coordinationQueue,
    args: [input],
  }) as Promise<AssessReadinessResult>;
}
const run = (period: string) => assess({ period, ownerId: testOwner, repository: asked() });

test('what is found is new, known, gone and returned; each is stored once though every assessor died once', async () => {
  for (const name of ['a.py', 'b.py']) writeFileSync(join(folder, name), 'print(1)\n');
  startup(7001);
  expect(await run('one')).toEqual({ runs: [{ runId: 'one', verdict: 'not_ready' }] });
  expect([...times.values()].every((count) => count === 2)).toBe(true);
  expect(times.size).toBe(10);
  const clash = 'port-derived-clash pc2:7001';
  expect((await states())[clash]).toBe('new');
  expect(await stage.openNotice(`readiness_critical:${testOwner}`)).toMatchObject({ seen: 1 });

  // The weekly run looks at what the last one looked at.
  expect(await assess({ period: 'two' })).toEqual({ runs: [{ runId: 'two', verdict: 'not_ready' }] });
  expect((await states())[clash]).toBe('known');
  // Nobody is told anew of what is known.
  expect(await stage.openNotice(`readiness_critical:${testOwner}`)).toMatchObject({ seen: 1 });

  startup(7100);
  expect((await run('three')).runs[0]!.verdict).toBe('partially_ready');
  expect((await report()).gone.map(({ rule, subject }) => `${rule} ${subject}`)).toEqual([clash]);
  expect(await stage.openNotice(`readiness_critical:${testOwner}`)).toBe(undefined);

  startup(7001);
  expect((await run('four')).runs[0]!.verdict).toBe('not_ready');
  expect((await states())[clash]).toBe('returned');
  const { fingerprint, rule } = (await report()).findings.find(({ subject }) => subject === 'pc2:7001')!;
  const acceptance = { rule, fingerprint, by: 'owner', reason: 'moving it' };
  await addAcceptance(stage.db, { ownerId: testOwner, until: '2000-01-01', ...acceptance });
  expect((await report()).verdict).toBe('not_ready');
  await addAcceptance(stage.db, { ownerId: testOwner, until: '2999-01-01', ...acceptance });
  expect(await report()).toMatchObject({ verdict: 'partially_ready', accepted: 1 });

  const kept = await stage.db.selectFrom('readinessRuns').select('id').where('inventory', 'is not', null).execute();
  expect(kept).toEqual([{ id: 'four' }]);
  // The machine that read it was looked at, too.
  expect((await report()).findings.map(({ rule: each, subject }) => `${each} ${subject}`)).not.toContain(
    'live-unknown pc2',
  );
});

test('a folder that the machine does not allow is refused with the reason, and a run begun twice is one', async () => {
  const outside = await assess({ period: 'outside', ownerId: testOwner, repository: asked({ folder: '/etc' }) });
  expect(outside).toEqual({ runs: [{ runId: 'outside', verdict: null }] });
  const row = await stage.db
    .selectFrom('readinessRuns')
    .select(['state', 'reason'])
    .where('id', '=', 'outside')
    .executeTakeFirstOrThrow();
  expect(row).toEqual({ state: 'failed', reason: '/etc is outside SOULFRA_SOURCE_FOLDERS' });

  startup(7001);
  const { readiness } = stage;
  await readiness.open({ id: 'twice', ownerId: testOwner, repository: asked() });
  await readiness.open({ id: 'twice', ownerId: testOwner, repository: asked({ folder: '/other' }) });
  expect((await readiness.find('twice')).repository.folder).toBe(folder);
  await run('twice');
  const [first, second] = [await report(), (await readiness.settle('twice'), await report())];
  expect(second).toEqual(first);
});
