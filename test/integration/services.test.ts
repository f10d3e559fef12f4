import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createPlanActivities } from '../../activities/plans.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { createRunStore } from '../../stores/runs.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { runSoulfra } from '../support/command.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-services-'));
  api = await createApiFixture();
});
afterEach(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

const store = `version: 1
services:
  - { id: vector-store, machine: small, kind: container, image: store:1, ports: [{ name: main, port: 6333 }], source: 'compose.yaml:2' }
`;
const voices = `# hand-written
version: 1
services:
  - id: voice
    kind: process
    command: [python3, voice.py]
    dependsOn: [vector-store]
    gpu: { vramGiB: 6, because: [torch] }
    models: [{ model: llama8b_q4, tokensPerDay: 400000 }]
    source: startup.yaml:4
`;
type Files = Record<string, string>;
const both: Files = { 'a.yaml': store, 'b.yaml': voices };
const serviceFiles = (files: Files) => Object.entries(files).map(([name, source]) => ({ name, source }));
const apply = (files: Files | undefined, query = '', source = smallFleet) =>
  api.call('POST', `/v1/fleet/apply${query}`, {
    body: { source, ...(files === undefined ? {} : { serviceFiles: serviceFiles(files) }) },
  });
type Change = { action: string; kind: string; id: string };
const told = (json: Record<string, unknown>) =>
  (json['changes'] as Change[])
    .filter(({ kind }) => kind === 'service' || kind === 'work_package')
    .map(({ action, id }) => `${action} ${id}`);
const listed = async (query = '') => {
  const { json } = await api.call('GET', `/v1/services${query}`);
  return json.items.map((service) => service['id']);
};

test('services come, change, go and come back with the apply, and an undo brings the files of its version', async () => {
  const before = await api.rowCounts();
  const dry = await apply(both, '?dryRun=true');
  expect(told(dry.json)).toEqual(['create vector-store', 'create voice']);
  expect(await api.rowCounts()).toEqual(before);

  expect((await apply(both)).json).toMatchObject({ version: 1 });
  expect(await listed()).toEqual(['vector-store', 'voice']);
  expect((await apply({ ...both, 'a.yaml': `# told more\n${store}` })).json).toMatchObject({
    changes: [],
    version: null,
  });

  const moved = { ...both, 'a.yaml': store.replace('6333', '6334') };
  const second = await apply(moved);
  expect(second.json['changes']).toEqual([
    {
      action: 'change',
      kind: 'service',
      id: 'vector-store',
      fields: [{ field: 'ports.0.port', from: 6333, to: 6334 }],
    },
  ]);

  const third = await apply({ 'a.yaml': moved['a.yaml']! });
  expect(told(third.json)).toEqual(['retire voice']);
  expect(await listed()).toEqual(['vector-store']);
  expect(await listed('?retired=true')).toEqual(['voice']);
  const gone = await api.call('GET', '/v1/services/voice');
  expect(gone.json).toMatchObject({ retiredAt: expect.any(String), machineId: null, reason: 'no longer in fleet.d' });

  expect(told((await api.call('POST', '/v1/fleet/undo?dryRun=true')).json)).toEqual(['revive voice']);
  await api.call('POST', '/v1/fleet/undo');
  const back = await api.call('GET', '/v1/services/voice');
  expect(back.json).toMatchObject({
    retiredAt: null,
    needsGpu: true,
    vramGiB: 6,
    spec: { command: ['python3', 'voice.py'] },
  });
  const files = await api.call('GET', '/v1/fleet/files');
  expect((files.json['files'] as Array<{ path: string; source: string }>).slice(1)).toEqual([
    { path: 'fleet.d/a.yaml', source: moved['a.yaml'] },
    { path: 'fleet.d/b.yaml', source: voices },
  ]);
  expect((await api.call('GET', '/v1/services/vector-store')).json['dependants']).toEqual(['voice']);
});

test('an apply that brings no files, and a change by command, leave services as they are', async () => {
  await apply(both);
  const renamed = await apply(undefined, '', smallFleet.replace('name: Small', 'name: Smaller'));
  expect(renamed.json).toMatchObject({ version: 2, servicesKept: 2 });
  const body = { id: 'spare', gpu: 'RTX 3090:24', modelServer: 'http://10.0.0.9:8000/v1', kind: 'vllm' };
  const added = await api.call('POST', '/v1/machines', { body });
  expect({ status: added.status, kept: added.json['servicesKept'] }).toEqual({ status: 201, kept: 2 });
  expect(await listed()).toEqual(['vector-store', 'voice']);
  // An empty folder says that there is none.
  const none = await apply({}, '', smallFleet.replace('name: Small', 'name: Smaller'));
  expect(told(none.json)).toEqual(['retire vector-store', 'retire voice']);
});

test('a service holds its machine in the fleet, and every error of all files is told at once by file and line', async () => {
  const wrong = {
    'a.yaml': store.replace('machine: small', 'machine: smal'),
    'b.yaml': voices.replace('[vector-store]', '[vektor-store]'),
  };
  const { status, json } = await apply(wrong);
  expect({ status, code: json['code'] }).toEqual({ status: 422, code: 'CONFIG_INVALID' });
  expect(json['errors']).toEqual([
    expect.objectContaining({ file: 'fleet.d/a.yaml', line: 3, path: 'services.0.machine' }),
    expect.objectContaining({
      file: 'fleet.d/b.yaml',
      line: 7,
      path: 'services.0.dependsOn.0',
      mend: 'Did you mean `vector-store`?',
    }),
  ]);
  expect(json['detail']).toContain('fleet.d/a.yaml line 3: services.0.machine must be one of');
  await apply(both);
  const without = smallFleet.replace(/ {2}- id: small\n(?: {4}.*\n)+/, '');
  expect((await apply(undefined, '', without)).json['errors']).toEqual([
    expect.objectContaining({ file: 'fleet.d/a.yaml', path: 'services.0.machine' }),
  ]);
  for (const name of ['../a.yaml', '.hidden.yaml', 'a/b.yaml', 'a.txt', 'a\n.yaml']) {
    const { json: refused } = await apply({ [name]: store });
    expect({ name, code: refused['code'] }).toEqual({ name, code: 'INVALID_INPUT' });
  }
});

test('work packages and port rules are told, and kept with the version', async () => {
  const pack = (script: string) => `version: 1
portRules: [{ name: health, add: 1 }]
workPackages:
  - { id: wp-01, script: ${script}, completeness: { state: complete }, source: 'migrate.py:1' }
`;
  expect(told((await apply({ 'p.yaml': pack('migrate.py') })).json)).toEqual(['create wp-01']);
  expect(told((await apply({ 'p.yaml': pack('migrate_2.py') })).json)).toEqual(['change wp-01']);
  expect(told((await apply({ 'p.yaml': pack('migrate_2.py') })).json)).toEqual([]);
  expect(told((await apply({})).json)).toEqual(['retire wp-01']);
});

test('nobody sees or takes the services of another owner', async () => {
  await apply(both);
  const { token } = api.stranger;
  expect((await api.call('GET', '/v1/services', { token })).json.items).toEqual([]);
  expect((await api.call('GET', '/v1/services/voice', { token })).status).toBe(404);
  expect((await api.call('GET', '/v1/fleet/files', { token })).status).toBe(404);
});

test('a plan places services with their reason, a lost machine gives them up, and the registry knows where they are', async () => {
  await apply(both);
  const machines = createMachineStore(api.db);
  for (const id of ['big', 'small']) await machines.register(id, { identity: `${id}/worker/1`, runsAs: 'simulated' });
  const plans = createPlanStore(api.db);
  const activities = createPlanActivities({
    plans,
    runs: createRunStore(api.db),
    reconcileSchedules: () => Promise.resolve(),
  });
  const replan = async () => {
    const planVersion = await plans.requestReplan({ ownerId: api.ownerId, reason: 'test' });
    // Asked twice, as an activity is.
    await activities.computePlan({ planVersion });
    await activities.computePlan({ planVersion });
  };
  const placed = async () => {
    const { json } = await api.call('GET', '/v1/services');
    return json.items.map(({ id, machineId, state, reason, why, address }) => ({
      id,
      machineId,
      state,
      reason,
      why,
      address,
    }));
  };
  await replan();
  const start = { state: 'unknown', reason: '', address: null };
  expect(await placed()).toEqual([
    { ...start, id: 'vector-store', machineId: 'small', why: 'fleet.d names it' },
    { ...start, id: 'voice', machineId: 'big', why: 'its 24g card has room: 6 GiB of 24 on card 0' },
  ]);
  const { json: plan } = await api.call('GET', '/v1/fleet/plan');
  const usable = (plan['plan'] as { machines: Array<{ machineId: string; vramUsableGiB: number }> }).machines;
  expect(usable).toMatchObject([
    { machineId: 'big', vramUsableGiB: 17 },
    { machineId: 'small', vramUsableGiB: 11 },
  ]);

  await api.db.updateTable('services').set({ state: 'up' }).execute();
  await replan();
  expect((await placed()).map(({ id, address }) => [id, address])).toEqual([
    ['vector-store', 'small:6333'],
    ['voice', null],
  ]);
  const { json: map } = await api.call('GET', '/v1/fleet/map');
  expect(map['services']).toMatchObject([
    { id: 'vector-store', machineId: 'small', why: 'fleet.d names it', address: 'small:6333' },
    { id: 'voice', machineId: 'big' },
  ]);
  expect(map['agents']).toHaveLength(4);
  expect((map['agents'] as Array<{ why: string }>).every(({ why }) => why !== '')).toBe(true);

  const { json: simulated } = await api.call('POST', '/v1/fleet/simulate', { body: { lose: ['small'] } });
  expect(simulated['services']).toMatchObject([{ id: 'vector-store', from: 'small', to: 'big' }]);

  const lose = (id: string) => api.db.updateTable('machines').set({ state: 'lost' }).where('id', '=', id).execute();
  await lose('small');
  await replan();
  expect(await placed()).toMatchObject([
    {
      id: 'vector-store',
      machineId: 'big',
      ...start,
      why: expect.stringMatching(/^its machine small is not in service; /),
    },
    { id: 'voice', machineId: 'big', state: 'up' },
  ]);
  await lose('big');
  await replan();
  const nowhere = 'its machine small is not in service; no machine is in service';
  expect(await placed()).toMatchObject([
    { id: 'vector-store', machineId: null, state: 'down', reason: nowhere, address: null },
    { id: 'voice', machineId: null, state: 'down', reason: 'no machine is in service' },
  ]);
});

test('the command applies fleet.d with fleet.yaml, lists it, shows one and writes it all out again', async () => {
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  const soulfra = (...args: string[]) =>
    runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.operator } });
  writeFileSync(join(folder, 'fleet.yaml'), smallFleet);
  mkdirSync(join(folder, 'fleet.d'));
  for (const [name, source] of Object.entries(both)) writeFileSync(join(folder, 'fleet.d', name), source);
  const dry = await soulfra('apply', '--dry-run');
  expect(dry.out).toContain('+ create service voice');
  expect((await soulfra('apply', '--yes')).code).toBe(0);
  const list = await soulfra('services', 'list');
  expect(list.out).toMatch(/vector-store +unknown +- +6333/);
  const show = await soulfra('services', 'show', 'voice');
  expect(show.out).toContain('command python3 voice.py');
  expect(show.out).toContain('needs vector-store');
  expect(show.out).toContain('asks llama8b_q4, 400000 tokens a day');

  expect((await soulfra('fleet', 'map', '--markdown')).out).toContain(
    '| voice | none | unknown | - | not planned yet |',
  );
  expect((await soulfra('export', '--to', 'copy')).code).toBe(0);
  expect(readFileSync(join(folder, 'copy/fleet.d/b.yaml'), 'utf8')).toBe(voices);
  expect((await soulfra('apply', '--dry-run', 'copy/fleet.yaml')).out).toContain('Nothing changes.');
  const again = await soulfra('export', '--to', 'copy');
  expect({ code: again.code, err: again.err }).toMatchObject({ code: 2, err: expect.stringContaining('already') });

  writeFileSync(join(folder, 'fleet.d', 'b.yaml'), voices.replace('kind: process', 'kind: proces'));
  const broken = await soulfra('apply');
  expect(broken.code).toBe(2);
  expect(broken.err).toContain('fleet.d/b.yaml line 5: services.0.kind');
  rmSync(join(folder, 'fleet.d'), { recursive: true });
  const without = await soulfra('apply', '--dry-run');
  expect(without.out).toContain('fleet.d is not there: 2 services stay as they are');
  expect(existsSync(join(folder, 'fleet.d'))).toBe(false);
});
