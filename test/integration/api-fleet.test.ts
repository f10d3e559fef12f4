import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { type Presence, presenceKey } from '../../domain/presence.ts';
import { inferenceQueue, talkQueue } from '../../domain/task-queues.ts';
import { lockNumbers } from '../../stores/locks.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { lockRoom } from '../../stores/room.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeEach(async () => {
  api = await createApiFixture();
});
afterEach(() => api?.close());

const apply = (source: string, query = '') => api.call('POST', `/v1/fleet/apply${query}`, { body: { source } });
type Change = { action: string; kind: string; id: string };
const told = (json: Record<string, unknown>) =>
  (json['changes'] as Change[]).map(({ action, kind, id }) => `${action} ${kind} ${id}`);

test('a dry run tells changes and both plans, and writes nothing', async () => {
  const before = await api.rowCounts();
  const { status, json } = await apply(smallFleet, '?dryRun=true');
  expect(status).toBe(200);
  expect(told(json)).toContain('create agent vesper-002');
  expect(json).toMatchObject({ dryRun: true, version: null, plan: { before: null } });
  const after = (json['plan'] as { after: { machines: Array<{ machineId: string; agents: number }> } }).after;
  expect(after.machines.reduce((sum, machine) => sum + machine.agents, 0)).toBe(4);
  expect(await api.rowCounts()).toEqual(before);
});

test('an apply makes machines and agents with names and asks for a plan', async () => {
  const { json } = await apply(smallFleet);
  expect(json).toMatchObject({ version: 1, planVersion: 1 });
  const fleet = await api.call('GET', '/v1/fleet');
  expect(fleet.json).toMatchObject({
    name: 'Small',
    version: 1,
    agents: { total: 4, active: 4, retired: 0 },
    plan: { version: 1, state: 'planned' },
    machines: [
      { id: 'big', state: 'lost', reason: 'never started', gpus: [{ name: 'RTX 4090', class: '24g', vramGiB: 24 }] },
      { id: 'small' },
    ],
  });
  const agent = await api.call('GET', '/v1/agents/rook-001');
  expect(agent.json).toMatchObject({
    archetype: 'rook',
    cadence: '1d',
    machineId: null,
    why: 'not planned yet',
    lastRun: null,
  });
  expect((agent.json['persona'] as string).length).toBeGreaterThan(20);
  expect(await api.db.selectFrom('intents').select('workflowId').execute()).toEqual([{ workflowId: 'replan:1' }]);
});

test('the same file again changes nothing and makes no version', async () => {
  await apply(smallFleet);
  const before = await api.rowCounts();
  const { json } = await apply(`# a comment more\n${smallFleet}`);
  expect(json).toMatchObject({ changes: [], version: null });
  expect(await api.rowCounts()).toEqual(before);
});

test('who is no longer named is retired and lives on when named again; undo applies the version before', async () => {
  await apply(smallFleet);
  await api.call('POST', '/v1/agents/rook-001/memories', { body: { text: 'seven birds' } });
  const without = smallFleet.replace(/.*id: rook.*\n/, '');
  const { json } = await apply(without);
  expect(told(json)).toEqual(expect.arrayContaining(['retire agent rook-001', 'retire schedule reflect-1d']));
  expect((await api.call('GET', '/v1/agents/rook-001')).json['state']).toBe('retired');
  const refused = await api.call('POST', '/v1/agents/rook-001/trigger');
  expect(refused.json['code']).toBe('AGENT_RETIRED');

  const dry = await api.call('POST', '/v1/fleet/undo?dryRun=true');
  expect(told(dry.json)).toContain('revive agent rook-001');
  const undone = await api.call('POST', '/v1/fleet/undo');
  expect(undone.json).toMatchObject({ version: 3 });
  const rook = await api.call('GET', '/v1/agents/rook-001');
  expect(rook.json).toMatchObject({ state: 'active', memories: 1 });
  const versions = await api.call('GET', '/v1/fleet/versions');
  expect(versions.json.items.map(({ version, undoOf }) => [version, undoOf])).toEqual([
    [3, 1],
    [2, null],
    [1, null],
  ]);
  // Going further back than the first is refused.
  expect((await api.call('POST', '/v1/fleet/undo')).json['code']).toBe('CONFLICT');
});

test('an apply leaves the room that a whisper was given', async () => {
  await apply(smallFleet);
  const { json: whisper } = await api.call('POST', '/v1/whispers', {
    body: { parentId: 'vesper-001', text: 'A keeper of lists.' },
  });
  // What its child would ask for, by what runs of its parent have taken, is more than the cards can do.
  await api.db.updateTable('agents').set({ expectedTokens: 8_000_000 }).where('id', '=', 'vesper-001').execute();
  const faster = smallFleet.replace('cadence: 1d', 'cadence: 2h');
  expect((await apply(faster, '?dryRun=true')).status).toBe(200);
  await api.db.updateTable('whispers').set({ roomAt: new Date() }).execute();
  for (const query of ['', '?dryRun=true']) {
    const { status, json } = await apply(faster, query);
    expect({ status, code: json['code'] }).toEqual({ status: 422, code: 'CADENCE_TOO_FAST' });
  }
  // Nobody is born of a parent that the same apply retires.
  expect((await apply(smallFleet.replace(/.*id: vesper.*\n/, ''), '?dryRun=true')).status).toBe(200);
  const ended = { state: 'refused', reasonCode: 'CANCELED', endedAt: new Date() };
  await api.db
    .updateTable('whispers')
    .set(ended)
    .where('id', '=', whisper['id'] as string)
    .execute();
  expect((await apply(faster)).json).toMatchObject({ version: 2 });
});

test('room that is given while an apply is under way is left, too', async () => {
  await apply(smallFleet);
  await api.call('POST', '/v1/whispers', { body: { parentId: 'vesper-001', text: 'A keeper of lists.' } });
  await api.db.updateTable('agents').set({ expectedTokens: 8_000_000 }).where('id', '=', 'vesper-001').execute();
  const faster = smallFleet.replace('cadence: 1d', 'cadence: 2h');
  let applied: ReturnType<typeof apply> | undefined;
  await api.db.transaction().execute(async (tx) => {
    await lockRoom(tx);
    applied = apply(faster);
    await until('the apply waits for the room', async () => {
      const { rows } = await sql<{ count: number }>`select count(*) from pg_locks
        where locktype = 'advisory' and not granted and objid = ${lockNumbers.room}
          and database = (select oid from pg_database where datname = current_database())`.execute(api.db);
      return Number(rows[0]!.count) > 0;
    });
    await tx.updateTable('whispers').set({ roomAt: new Date() }).execute();
  });
  expect((await applied!).json).toMatchObject({ code: 'CADENCE_TOO_FAST' });
});

test('what is exported applies without a change', async () => {
  await apply(smallFleet);
  const { text, headers } = await api.call('GET', '/v1/fleet/export');
  expect(headers['content-type']).toBe('application/yaml; charset=utf-8');
  expect('fleet' in parseFleet(text)).toBe(true);
  expect((await apply(text)).json).toMatchObject({ changes: [] });
});

test('what was made of a file that is old by now is refused, whatever was changed since', async () => {
  await apply(smallFleet);
  const read = async () => {
    const { json, headers } = await api.call('GET', '/v1/fleet/files');
    expect(headers['etag']).toBe(json['etag']);
    expect((await api.call('GET', '/v1/fleet/export')).headers['etag']).toBe(json['etag']);
    return json['etag'] as string;
  };
  const changed = (cadence: string, etag: string, query = '') =>
    api.call('POST', `/v1/fleet/apply${query}`, {
      body: { source: smallFleet.replace('cadence: 1d', `cadence: ${cadence}`) },
      headers: { 'if-match': etag },
    });
  const first = await read();
  expect((await changed('2d', first, '?dryRun=true')).status).toBe(200);
  expect((await changed('2d', first)).json).toMatchObject({ version: 2 });
  expect((await api.call('GET', '/v1/fleet/files')).json).toMatchObject({ version: 2 });
  const versions = () => api.db.selectFrom('fleetVersions').select('version').execute();
  for (const query of ['', '?dryRun=true'])
    expect(await changed('3d', first, query)).toMatchObject({ status: 412, json: { code: 'PRECONDITION_FAILED' } });
  expect(await versions()).toHaveLength(2);
  // No version of the file tells of an agent that was given another name.
  const second = await read();
  await api.db.updateTable('agents').set({ name: 'Another' }).where('id', '=', 'rook-001').execute();
  expect((await changed('3d', second)).status).toBe(412);
  const third = await read();
  expect(new Set([first, second, third]).size).toBe(3);
  expect((await changed('3d', third)).json).toMatchObject({ version: 3 });
  expect((await changed('4d', '*')).json).toMatchObject({ version: 4 });
});

test('a machine is added with its card and server, or an existing one gets its server', async () => {
  await apply(smallFleet);
  const body = { id: 'spare', gpu: 'RTX 3090:24', modelServer: 'http://10.0.0.9:8000/v1', kind: 'vllm' };
  const before = await api.rowCounts();
  const dry = await api.call('POST', '/v1/machines?dryRun=true', { body });
  expect(told(dry.json)).toContain('create machine spare');
  expect(await api.rowCounts()).toEqual(before);
  const added = await api.call('POST', '/v1/machines', { body });
  expect({ status: added.status, version: added.json['version'] }).toEqual({ status: 201, version: 2 });
  const { json } = await api.call('GET', '/v1/machines/spare');
  expect(json).toMatchObject({
    gpus: [{ name: 'RTX 3090', class: '24g', vramGiB: 24 }],
    modelServer: { kind: 'vllm', url: 'http://10.0.0.9:8000/v1', sequences: 4 },
  });
  const given = await api.call('POST', '/v1/machines', {
    body: { id: 'big', modelServer: 'http://10.0.0.7:11434/v1', kind: 'ollama' },
  });
  expect(told(given.json)).toEqual(['change machine big']);
  const down = await api.call('POST', '/v1/machines', { body: { id: 'big', modelServer: 'http://127.0.0.1:9/v1' } });
  expect(down.json['code']).toBe('MODEL_SERVER_DOWN');
});

test('what a machine has loaded is what its last heartbeat polls for, beside what the plan keeps there', async () => {
  await apply(smallFleet);
  const seen = async () => {
    const { json } = await api.call('GET', '/v1/machines/big');
    return { resident: json['resident'], idle: json['idle'], lacks: json['lacks'] };
  };
  expect(await seen()).toEqual({ resident: [], idle: [], lacks: [] });
  const machines = createMachineStore(api.db);
  const lease = await machines.register('big', { identity: 'big/worker/1', runsAs: 'local' });
  const polls = ['one', 'two'].flatMap((model) => {
    const queue = inferenceQueue('8g', model);
    return [queue, talkQueue(queue)];
  });
  await machines.renew(lease, { polls, planVersion: 1, missingModels: ['three'] });
  expect(await seen()).toEqual({ resident: ['one', 'two'], idle: [], lacks: ['three'] });
  const since = new Date().toISOString();
  const shown: Presence = { running: 0, sequences: 1, polls, idle: [{ modelId: 'two', since }], at: since };
  await api.deps.redis!.set(presenceKey('big'), JSON.stringify(shown));
  expect(await seen()).toEqual({ resident: ['one'], idle: [{ modelId: 'two', since }], lacks: ['three'] });
  await sql`update machines set lease_until = clock_timestamp() - interval '1 second' where id = 'big'`.execute(api.db);
  expect(await seen()).toMatchObject({ resident: [], idle: [] });
});

test('simulate tells what a loss would move, and changes nothing', async () => {
  await apply(smallFleet);
  const before = await api.rowCounts();
  const { status, json } = await api.call('POST', '/v1/fleet/simulate', {
    token: api.tokens.reader,
    body: { lose: ['big'], add: ['spare:rtx3090:24'] },
  });
  expect(status).toBe(200);
  const after = json['after'] as { machines: Array<{ machineId: string }> };
  expect(after.machines.map((machine) => machine.machineId).sort()).toEqual(['small', 'spare']);
  expect(await api.rowCounts()).toEqual(before);
});

test('an agent is paused and resumed; asking twice changes nothing more', async () => {
  await apply(smallFleet);
  const dry = await api.call('POST', '/v1/agents/rook-001/pause?dryRun=true');
  expect(dry.json).toEqual({ dryRun: true, would: 'pause rook-001' });
  expect((await api.call('POST', '/v1/agents/rook-001/pause')).json).toEqual({ id: 'rook-001', paused: true });
  const events = (await api.rowCounts())['events'];
  await api.call('POST', '/v1/agents/rook-001/pause');
  expect((await api.rowCounts())['events']).toBe(events);
  expect((await api.call('GET', '/v1/agents/rook-001')).json).toMatchObject({
    paused: true,
    why: 'paused by its operator',
  });
  await api.call('POST', '/v1/agents/rook-001/resume');
  expect((await api.call('GET', '/v1/agents/rook-001')).json).toMatchObject({ paused: false });
});

test('before the first apply there is no fleet to show or work on', async () => {
  for (const [method, url] of [
    ['GET', '/v1/fleet'],
    ['GET', '/v1/fleet/plan'],
    ['POST', '/v1/sweeps'],
    ['GET', '/v1/models/offers'],
  ] as const) {
    const { status, json } = await api.call(method, url);
    expect({ url, status, code: json['code'] }).toEqual({ url, status: 404, code: 'NOT_FOUND' });
  }
  expect((await api.call('GET', '/v1/machines')).json.items).toEqual([]);
});

/** They ask by POST, and write nothing. */
const questions = new Set([
  '/v1/licenses/{id}/check',
  '/v1/licenses/{id}/download',
  '/v1/invites/preview',
  '/v1/drops/preview',
  '/openai/v1/chat/completions',
  '/openai/v1/embeddings',
]);

test('every write takes dryRun, and with it writes nothing', async () => {
  await apply(smallFleet);
  const paths = api.app.swagger().paths as Record<string, Record<string, { parameters?: Array<{ name: string }> }>>;
  const writes = Object.entries(paths).flatMap(([url, methods]) =>
    Object.entries(methods)
      .filter(([method]) => method !== 'get' && !questions.has(url))
      .map(([method, { parameters = [] }]) => ({ method: method.toUpperCase(), url, parameters })),
  );
  expect(writes.length).toBeGreaterThan(15);
  const before = await api.rowCounts();
  for (const { method, url, parameters } of writes) {
    expect({ url, dryRun: parameters.some(({ name }) => name === 'dryRun') }).toEqual({ url, dryRun: true });
    const body = url.endsWith('/memories') ? { text: 'never' } : url.endsWith('/simulate') ? { lose: ['big'] } : {};
    const id = url.includes('machines') ? 'big' : url.includes('schedules') ? 'reflect-6h' : 'rook-001';
    const answer = await api.call(method, `${url.replace('{id}', id)}?dryRun=true`, { body });
    expect({ url, fault: answer.json['code'] === 'INTERNAL' }, answer.text).toEqual({ url, fault: false });
  }
  expect(await api.rowCounts()).toEqual(before);
  expect(await api.db.selectFrom('agents').select('id').where('paused', '=', true).execute()).toEqual([]);
});
