import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NativeConnection } from '@temporalio/worker';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { sha256 } from '../../config/trust-file.ts';
import { commandText } from '../../domain/service-trust.ts';
import { serviceSchema } from '../../domain/services.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { readReadiness } from '../../stores/queries/readiness.ts';
import { addAcceptance, type Repository } from '../../stores/readiness.ts';
import { keepStopTrial } from '../../stores/stop-trials.ts';
import { createMachineQueueWorker } from '../../workers/coordination.ts';
import { createMachineReadinessReads } from '../../workers/readiness-reads.ts';
import type { AssessReadinessInput, AssessReadinessResult } from '../../workflows/assess-readiness.ts';
import { testFleet } from '../support/fleets.ts';
import { createScriptedInference } from '../support/scripted-inference.ts';
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

test('what somebody tried of a stop counts in the assessments of the fleet, with its day, until it is old or of another command', async () => {
  startup(7100);
  const { db } = stage;
  const found = async () =>
    (await report()).findings
      .filter(({ rule }) => rule.startsWith('stop-'))
      .map(({ rule, subject, evidence }) => `${rule} ${subject}: ${evidence}`);
  const spec = (id: string) => ({
    id,
    kind: 'process',
    command: ['/bin/sh', `${id}.sh`],
    source: 'a.yaml:1',
    machine: 'pc2',
  });
  for (const id of ['tried-a', 'tried-b'])
    await db
      .insertInto('services')
      .values({ id, ownerId: testOwner, spec: JSON.stringify(spec(id)) })
      .execute();
  await db
    .insertInto('tokens')
    .values({ id: 'tok_trial', ownerId: testOwner, kind: 'bearer', role: 'operator', hash: Buffer.from('trial') })
    .execute();
  const keep = (service: string, clean: boolean) =>
    keepStopTrial(db, {
      ownerId: testOwner,
      toldBy: 'tok_trial',
      commandSha256: sha256(commandText(serviceSchema.parse(spec(service)), [])),
      trial: { service, ended: true, said: clean ? 'code 0' : 'code 3', clean, seconds: 0.2, left: [] },
    });
  const today = new Date().toISOString().slice(0, 10);
  await keep('tried-a', true);
  await keep('tried-b', true);
  await keep('tried-b', false);
  await expect(keep('nobody', true)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await run('tried');
  expect(await found()).toEqual([
    `stop-fails tried-b: it ended by code 3 0.2 s after SIGTERM (tried on ${today})`,
    `stop-untried services: 2 of 4 were not stopped by SIGTERM and looked at; of the others the oldest trial is of ${today}`,
  ]);

  await sql`update stop_trials set tried_at = '2020-02-03' where service_id = 'tried-a'`.execute(db);
  await sql`update services set spec = spec || '{"command": ["/bin/true"]}' where id = 'tried-b'`.execute(db);
  await run('old');
  expect(await found()).toEqual(
    expect.arrayContaining([
      'stop-untried tried-a: it was last tried on 2020-02-03, over 90 days ago',
      `stop-untried tried-b: it was tried on ${today}, with another command than it has now`,
    ]),
  );
});

test('every machine says itself what runs there; one that does not answer stays unknown, and nobody waits for one that is away', async () => {
  startup(7100);
  const unknown = async () =>
    (await report()).findings.filter(({ rule }) => rule === 'live-unknown').map(({ subject }) => subject);
  const seen = async () => (await report()).inventory!.live.map(({ machine }) => machine).toSorted();
  await run('away');
  expect(await unknown()).toEqual(['mainpc']);

  const connection = await NativeConnection.connect({ address: stage.scope.temporalAddress });
  const machine = await stage.join('mainpc', createScriptedInference());
  const dies = { once: true };
  const shipped = createMachineReadinessReads({ machineId: 'mainpc', stores: stage, fleet: stage.fleet, folders: [] });
  const worker = await createMachineQueueWorker({
    connection,
    namespace: stage.scope.namespace,
    machineId: 'mainpc',
    identity: 'mainpc/machine/0',
    activities: {
      async readLiveFacts(input: { runId: string }) {
        await shipped.readLiveFacts(input);
        if (dies.once) {
          dies.once = false;
          throw new Error('died at the worst line');
        }
      },
    },
  });
  const running = worker.run();
  await run('both');
  expect([await unknown(), await seen(), dies.once]).toEqual([[], ['mainpc', 'pc2'], false]);
  worker.shutdown();
  await running;
  await connection.close();

  // Its lease holds, and nobody takes what is asked of it.
  await run('silent');
  expect([await unknown(), await seen()]).toEqual([['mainpc'], ['pc2']]);
  await machine.leave();
}, 120_000);
