import { afterAll, beforeAll, expect, test } from 'vitest';
import { deployBlockers, mendedBy } from '../../domain/deploy-blockers.ts';
import { type Finding, finding, readinessAreas } from '../../domain/readiness.ts';
import { rolloutFileSchema } from '../../domain/rollouts.ts';
import { refuseWhileBlocked } from '../../stores/deploy-blockers.ts';
import { newId } from '../../stores/ids.ts';
import { createReadinessStore } from '../../stores/readiness.ts';
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
async function assessed(findings: readonly Finding[]): Promise<void> {
  const store = createReadinessStore(api.db);
  const id = `run-${++runs}`;
  const repository = { folder: '/srv/repo', machineId: null, machineFiles: [], portRules: [] };
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

test('a critical finding that is open holds what is new, and says which, its mend and how to answer for it', async () => {
  expect((await start('old')).status).toBe(202);
  await assessed([clash, high]);
  for (const query of ['', '?dryRun=true']) {
    const { status, json } = await start('new', query);
    expect([status, json['code']]).toEqual([409, 'DEPLOY_BLOCKED']);
    expect(json['detail']).toContain('port-declared-clash small:7000');
    expect(json['detail']).toContain('Give one of them another port.');
    expect(json['detail']).toContain(`soulfra readiness accept port-declared-clash/${clash.fingerprint}`);
    expect(json['detail']).not.toContain('store-exposed');
  }
  // What ran before is started, stopped and restarted as ever: to mend things, too.
  expect((await start('old')).status).toBe(202);
  expect((await api.call('POST', '/v1/services/old/restart')).status).toBe(202);
  expect((await api.call('POST', '/v1/services/old/stop')).status).toBe(202);
});

const other = { id: 'WP-10', verify: { rules: ['secret-in-file'], healthyMinutes: 0 } };

test('a deployment that mends the finding is not held by it, and by another it is', async () => {
  const mends = mendedBy({ id: 'ports', verify: { rules: [clash.rule], healthyMinutes: 0 } });
  expect(deployBlockers([{ ...clash, state: null, accepted: null }], mendedBy({ ...other, id: 'WP-01' }))).toEqual([]);
  expect(deployBlockers([{ ...clash, state: null, accepted: null }], mendedBy(other))).toHaveLength(1);
  await expect(refuseWhileBlocked(api.db, api.ownerId, mends)).resolves.toBe(undefined);
  await assessed([clash, secret]);
  await expect(refuseWhileBlocked(api.db, api.ownerId, mends)).rejects.toMatchObject({
    code: 'DEPLOY_BLOCKED',
    message: expect.stringContaining('secret-in-file') as string,
  });
  await expect(refuseWhileBlocked(api.db, api.stranger.ownerId)).resolves.toBe(undefined);
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

test('a deploy step is held as it begins, unless its package ends the finding; the way back is open', async () => {
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
  const { moves } = await rollouts.next(id);
  const deploys = new Map(moves.flatMap((move) => (move.kind === 'step' ? [[move.packageId, move] as const] : [])));
  for (const move of deploys.values()) await rollouts.beginStep(id, move);
  const held = deploys.get('WP-02')!;
  await expect(rollouts.deploy(id, held, undefined)).rejects.toMatchObject({ code: 'DEPLOY_BLOCKED' });
  await rollouts.deploy(id, { ...held, packageId: 'WP-10' }, undefined);
  await rollouts.deploy(id, { ...held, phase: 'undo' }, undefined);
  await assessed([]);
  await rollouts.deploy(id, held, undefined);
  expect(await rollouts.deployment(id, held)).toMatchObject({ state: 'done' });
});
