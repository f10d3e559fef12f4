import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deployBlockers, mendedBy } from '../../domain/deploy-blockers.ts';
import { type Finding, finding, readinessAreas } from '../../domain/readiness.ts';
import type { RolloutMove } from '../../domain/rollout-moves.ts';
import { rolloutFileSchema } from '../../domain/rollouts.ts';
import { refuseWhileBlocked } from '../../stores/deploy-blockers.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { createServiceRunStore } from '../../stores/service-runs.ts';
import { newId } from '../../stores/ids.ts';
import { createReadinessStore } from '../../stores/readiness.ts';
import { readRollout } from '../../stores/rollout-rows.ts';
import { createRolloutStore } from '../../stores/rollout-steps.ts';
import { beginRollout } from '../../stores/rollouts.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';
import { emptyInventory } from '../support/inventories.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
  const one = (id: string) => `  - ${JSON.stringify({ id, kind: 'process', machine: 'small', source: 'a.yaml:1' })}\n`;
  const source = `version: 1\nservices:\n${one('old')}${one('new')}`;
  await api.call('POST', '/v1/fleet/apply', {
    body: { source: smallFleet, serviceFiles: [{ name: 'a.yaml', source }] },
  });
});
afterAll(() => api?.close());

let runs = 0;
/** An assessment that found this. */
async function assessed(findings: readonly Finding[], folder = '/srv/repo'): Promise<void> {
  const store = createReadinessStore(api.db);
  const id = `run-${++runs}`;
  const repository = { folder, machineId: null, machineFiles: [], portRules: [] };
  await store.open({ id, ownerId: api.ownerId, repository });
  await store.keepInventory(id, emptyInventory);
  for (const area of readinessAreas)
    await store.store(
      id,
      area,
      findings.filter((each) => each.area === area),
    );
  await store.settle(id);
}
const clash = finding('port-declared-clash', { subject: 'small:7000', place: 'a.yaml:1', evidence: 'old and new' });
const secret = finding('secret-in-file', { subject: 'b.yaml a key', place: 'b.yaml:2', evidence: 'a key' });
const high = finding('store-exposed', { subject: 'db', evidence: 'postgres at *:5432' });
const start = (id: string, query = '') => api.call('POST', `/v1/services/${id}/start${query}`);
const ask = (id: string, action: string) => api.call('POST', `/v1/services/${id}/${action}`);
/** As its machine does it. */
async function stands(id: string): Promise<void> {
  const { rows } = await sql<{ requestId: string }>`
    update service_runs set machine_id = 'small', epoch = 1 where service_id = ${id} returning request_id`.execute(
    api.db,
  );
  const held = { machineId: 'small', epoch: 1 };
  const { requestId } = rows[0]!;
  expect(await createServiceRunStore(api.db).started({ serviceId: id, requestId }, held)).toBe('started');
}

test('a critical finding that is open holds what is new, and says which, its mend and how to answer for it', async () => {
  expect((await start('old')).status).toBe(202);
  await stands('old');
  await assessed([clash, high]);
  for (const query of ['', '?dryRun=true']) {
    const { status, json } = await start('new', query);
    expect([status, json['code']]).toEqual([409, 'DEPLOY_BLOCKED']);
    expect(json['detail']).toContain('new never ran here. port-declared-clash small:7000 of /srv/repo');
    expect(json['detail']).toContain('Give one of them another port.');
    expect(json['detail']).toContain(`soulfra readiness accept port-declared-clash/${clash.fingerprint}`);
    expect(json['detail']).not.toContain('store-exposed');
  }
  // What ran before is started, stopped and restarted as ever: to mend things, too.
  expect((await start('old')).status).toBe(202);
  expect((await ask('old', 'restart')).status).toBe(202);
  expect((await ask('old', 'stop')).status).toBe(202);
});

test('neither a restart, nor a stop before it, nor a start that failed makes a service one that ran before', async () => {
  expect((await ask('new', 'restart')).json['code']).toBe('DEPLOY_BLOCKED');
  expect((await ask('new', 'stop')).status).toBe(202);
  expect((await start('new')).json['code']).toBe('DEPLOY_BLOCKED');
  await assessed([]);
  expect((await start('new')).status).toBe(202);
  const runs = createServiceRunStore(api.db);
  const { requestId } = (await api.db
    .selectFrom('serviceRuns')
    .select('requestId')
    .where('serviceId', '=', 'new')
    .executeTakeFirst())!;
  await runs.failed({ serviceId: 'new', requestId }, 'no program');
  await assessed([clash]);
  expect((await start('new')).json['code']).toBe('DEPLOY_BLOCKED');
  // Nor does a plan bring it: it says why, and what ran before goes on.
  expect((await start('old')).status).toBe(202);
  await sql`update services set machine_id = 'small'`.execute(api.db);
  await sql`update service_runs set machine_id = null, epoch = null where service_id = 'old'`.execute(api.db);
  await sql`insert into plans (version, owner_id, state, reason, plan) overriding system value
    values (9001, ${api.ownerId}, 'applying', 'test', '{}')`.execute(api.db);
  expect(await createPlanStore(api.db).markApplied(9001)).toBe(true);
  const rows = await api.db
    .selectFrom('serviceRuns')
    .select(['serviceId', 'state', 'reason'])
    .orderBy('serviceId')
    .execute();
  expect(rows).toEqual([
    {
      serviceId: 'new',
      state: 'failed',
      reason: expect.stringContaining('new never ran here. port-declared') as string,
    },
    { serviceId: 'old', state: 'waiting', reason: '' },
  ]);
});

test('that one repository is sound says nothing of another', async () => {
  await assessed([], '/srv/other');
  expect((await start('new')).json['detail']).toContain('of /srv/repo is critical');
  const accept = { rule: clash.rule, fingerprint: clash.fingerprint, until: '2000-01-01', by: 'o', reason: 'r' };
  // Told of the last run or not, it can be answered for.
  expect((await api.call('POST', '/v1/readiness/acceptances', { body: accept })).status).toBe(201);
  const { json } = await api.call('GET', '/v1/inbox');
  expect(json.items.map(({ kind }) => kind)).toContain('readiness_critical');
  // A run of the one is compared with the run of it before, and not with the other's.
  await assessed([clash], '/srv/repo/');
  const known = await api.call('GET', '/v1/readiness');
  expect((known.json['findings'] as Array<{ state: string }>).map(({ state }) => state)).toEqual(['known']);
  // Each is assessed again by the week.
  const last = await createReadinessStore(api.db).lastOfEach();
  expect(last.map(({ repository: { folder } }) => folder).toSorted()).toEqual(['/srv/other', '/srv/repo/']);
  // However many runs of the other follow.
  for (let i = 0; i < 51; i++) await assessed([], '/srv/other');
  expect((await start('new')).json['code']).toBe('DEPLOY_BLOCKED');
});

const other = { id: 'WP-10', verify: { rules: ['secret-in-file'], healthyMinutes: 0 } };

test('a deployment that mends the finding is not held by it, and by another it is', async () => {
  expect(deployBlockers([{ ...clash, state: null, accepted: null }], mendedBy({ ...other, id: 'WP-01' }))).toEqual([]);
  expect(deployBlockers([{ ...clash, state: null, accepted: null }], mendedBy(other))).toHaveLength(1);
  await assessed([clash, secret]);
  await expect(refuseWhileBlocked(api.db, api.ownerId, ['new'])).rejects.toMatchObject({
    code: 'DEPLOY_BLOCKED',
    message: expect.stringContaining('secret-in-file') as string,
  });
  await expect(refuseWhileBlocked(api.db, api.ownerId, ['old'])).resolves.toBe(undefined);
  await expect(refuseWhileBlocked(api.db, api.stranger.ownerId, ['new'])).resolves.toBe(undefined);
});

test('it is let through by who answers for it until a day, and by an assessment that no longer has it', async () => {
  const accept = (each: Finding, until: string) =>
    api.call('POST', '/v1/readiness/acceptances', {
      body: { rule: each.rule, fingerprint: each.fingerprint, until, by: 'owner', reason: 'known' },
    });
  expect((await accept(secret, '2000-01-01')).status).toBe(201);
  expect((await accept(clash, '2999-01-01')).status).toBe(201);
  expect((await start('new')).json['detail']).toContain('secret-in-file');
  await assessed([clash]);
  expect((await start('new')).status).toBe(202);
});

test('a deploy step waits and says why, unless its package ends the finding; then it begins by itself', async () => {
  await assessed([secret]);
  const id = newId('rollout');
  const { id: madeBy } = await api.db.selectFrom('tokens').select('id').executeTakeFirstOrThrow();
  const steps = [{ kind: 'deploy' }];
  const file = rolloutFileSchema.parse({
    version: 1,
    workPackages: [
      { id: 'WP-02', title: 'Images', steps },
      { id: 'WP-10', title: 'Secrets', steps },
    ],
  });
  const rollout = { id, ownerId: api.ownerId, file, machines: ['small'], requestHash: Buffer.from(id), madeBy };
  await api.db.transaction().execute((tx) => beginRollout(tx, rollout));
  const rollouts = createRolloutStore(api.db);
  type Step = Extract<RolloutMove, { kind: 'step' }>;
  const stepsOf = (moves: readonly RolloutMove[]) => moves.filter((move): move is Step => move.kind === 'step');
  const [mending, ...others] = stepsOf((await rollouts.next(id)).moves);
  expect([mending!.packageId, others]).toEqual(['WP-10', []]);
  const held = { ...mending!, packageId: 'WP-02' };
  expect(await rollouts.beginStep(id, held)).toBe(undefined);
  const shown = () => readRollout(api.db, id);
  const waiting = (await shown()).packages.find((each) => each.id === 'WP-02')!;
  expect(waiting.state).toBe('waiting');
  expect(waiting.reason).toContain('its deployment waits, and begins by itself afterwards. secret-in-file');
  const notices = async () =>
    (await api.call('GET', '/v1/inbox')).json.items.filter(({ kind }) => kind === 'rollout_waiting');
  expect(await notices()).toMatchObject([{ subject: id, seen: 1 }]);
  // While it waits, what mends the finding goes on.
  const begun = (await rollouts.beginStep(id, mending!))!;
  await rollouts.deploy(id, mending!, undefined);
  await rollouts.endStep(id, { ...mending!, key: begun.key }, { state: 'done' });
  await sql`update rollout_packages set state = 'done' where package_id = 'WP-10'`.execute(api.db);
  // Nothing else is left to do, and nobody has to resume it.
  expect(await rollouts.next(id)).toMatchObject({ moves: [], state: 'running' });
  expect(await notices()).toMatchObject([{ subject: id, seen: 1 }]);
  await assessed([]);
  const [free] = stepsOf((await rollouts.next(id)).moves);
  expect(free?.packageId).toBe('WP-02');
  await rollouts.beginStep(id, free!);
  expect(await notices()).toEqual([]);
  expect((await shown()).packages.map(({ reason }) => reason)).toEqual(['', '']);
  await rollouts.deploy(id, free!, undefined);
  const restarted = await api.db
    .selectFrom('serviceRuns')
    .select('serviceId')
    .where('action', '=', 'restart')
    .execute();
  expect(restarted.map(({ serviceId }) => serviceId)).toContain('old');
});
