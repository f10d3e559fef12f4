import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openingEgo } from '../../domain/ego.ts';
import { birth, type NewAgent } from '../../stores/agents.ts';
import { egoOf, transferEgo } from '../../stores/ego.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { requestReplan } from '../../stores/plans.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeEach(async () => {
  api = await createApiFixture();
  expect((await apply(smallFleet)).status).toBe(200);
});
afterEach(() => api?.close());

const apply = (source: string) => api.call('POST', '/v1/fleet/apply', { body: { source } });
const act = (verb: string, id: string) => api.call('POST', `/v1/agents/${id}/${verb}`);
const ego = (id: string) => egoOf(api.db, id);

/** A child with its share of ego, as a birth gives it. */
async function bear(id: string, parentId: string, share: number): Promise<void> {
  const { version: fleetVersion } = (await currentFleet(api.db))!;
  const agent: NewAgent = {
    id,
    name: id,
    archetype: 'vesper',
    persona: `${id} keeps watch.`,
    traits: ['calm'],
    maskSeed: 7,
    cadence: '6h',
    modelId: 'llama8b_q4',
    leastClass: '8g',
    mayDegrade: false,
    priority: 1,
    tokensPerDay: 5000,
    expectedTokens: 300,
    importanceThreshold: 150,
  };
  const { ownerId } = api;
  await api.db.transaction().execute(async (tx) => {
    await requestReplan(tx, { ownerId, reason: `${id} was born` });
    await sql`select from agents where id = ${parentId} for update`.execute(tx);
    await birth(tx, { ownerId, origin: 'spawn', fleetVersion, parentId, agents: [agent] });
    await transferEgo(tx, {
      ownerId,
      kind: 'spawn',
      transferId: `spawn:${id}`,
      fromId: parentId,
      toId: id,
      amount: share,
    });
  });
}
async function lineage(): Promise<Record<string, number>> {
  const { json } = await api.call('GET', '/v1/lineages?agentId=vesper-001');
  return Object.fromEntries(json.items.map((member) => [member['id'], member['ego'] as number]));
}

test('ego goes to the nearest living ancestor and comes back as far as it is there', async () => {
  await bear('b', 'vesper-001', 400_000);
  await bear('c', 'b', 100_000);
  expect(await lineage()).toEqual({ 'vesper-001': 600_000, b: 300_000, c: 100_000 });

  expect((await act('retire', 'b')).json).toEqual({ id: 'b', ego: 300_000, egoTo: 'vesper-001' });
  // Its parent is gone, so the next one above inherits.
  expect((await act('retire', 'c')).json).toEqual({ id: 'c', ego: 100_000, egoTo: 'vesper-001' });
  expect(await lineage()).toEqual({ 'vesper-001': openingEgo, b: 0, c: 0 });

  expect((await act('revive', 'c')).json).toEqual({ id: 'c', ego: 100_000, egoFrom: 'vesper-001' });
  // What the holder has given on meanwhile is not there to be given back.
  await bear('d', 'vesper-001', 800_000);
  expect((await act('revive', 'b')).json).toEqual({ id: 'b', ego: 100_000, egoFrom: 'vesper-001' });
  expect(await lineage()).toEqual({ 'vesper-001': 0, b: 100_000, c: 100_000, d: 800_000 });

  // A second time, and with the first agent retired: its account is the lineage's.
  await act('retire', 'vesper-001');
  expect((await act('retire', 'b')).json).toEqual({ id: 'b', ego: 100_000, egoTo: 'vesper-001' });
  expect((await act('revive', 'b')).json).toEqual({ id: 'b', ego: 100_000, egoFrom: 'vesper-001' });
  expect(Object.values(await lineage()).reduce((sum, each) => sum + each, 0)).toBe(openingEgo);
});

test('asked twice or at once, an agent is retired once and revived once', async () => {
  await bear('b', 'vesper-001', 400_000);
  const all = await Promise.all([act('retire', 'b'), act('retire', 'b'), act('retire', 'b')]);
  expect(all.map(({ json }) => json['ego'] as number).sort((a, b) => a - b)).toEqual([0, 0, 400_000]);
  expect(await ego('b')).toBe(0);
  await Promise.all([act('revive', 'b'), act('revive', 'b')]);
  expect(await ego('b')).toBe(400_000);
  expect((await api.call('GET', '/v1/agents/b')).json).toMatchObject({ state: 'active', why: 'not planned yet' });
});

test('many that retire and revive at once leave the lineage what it holds', async () => {
  for (const id of ['b', 'c', 'd', 'e']) await bear(id, 'vesper-001', 100_000);
  for (const id of ['f', 'g']) await bear(id, 'b', 10_000);
  const ids = ['b', 'c', 'd', 'e', 'f', 'g'];
  const answers = await Promise.all(
    Array.from({ length: 36 }, (_, i) => act(i % 2 === 0 ? 'retire' : 'revive', ids[(i * 7) % ids.length]!)),
  );
  expect(answers.filter(({ status }) => status !== 200).map(({ json }) => json)).toEqual([]);
  const held = await lineage();
  expect(Object.values(held).reduce((sum, each) => sum + each, 0)).toBe(openingEgo);
  expect(Math.min(...Object.values(held))).toBeGreaterThanOrEqual(0);
});

test('an agent of the file that a person retired stays so through an apply; one that the file retired needs the file', async () => {
  await act('retire', 'rook-001');
  expect((await apply(smallFleet)).json).toMatchObject({ changes: [], version: null });
  expect((await apply(`${smallFleet}limits: { parkedFor: 2h }\n`)).status).toBe(200);
  expect((await api.call('GET', '/v1/agents/rook-001')).json['state']).toBe('retired');
  expect(await ego('rook-001')).toBe(openingEgo);
  expect((await act('revive', 'rook-001')).status).toBe(200);
  await apply(smallFleet.replace(/.*id: rook.*\n/, ''));
  expect((await act('revive', 'rook-001')).json['code']).toBe('CONFLICT');
  await apply(smallFleet);
  expect((await api.call('GET', '/v1/agents/rook-001')).json['state']).toBe('active');
});

test('retiring cancels the open run; reviving asks whether the cards have room', async () => {
  await bear('b', 'vesper-001', 100_000);
  const run = newId('run');
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, wanted_model_id, model_id, queue, expected_tokens)
    values (${run}, ${api.ownerId}, 'b', 'reflect:b:x', 'call', 'x', 'llama8b_q4', 'llama8b_q4', 'q', 1)`.execute(
    api.db,
  );
  await act('retire', 'b');
  expect((await api.call('GET', `/v1/runs/${run}`)).json).toMatchObject({ state: 'canceled', reason: 'b is retired' });
  await sql`update agents set cadence = '1s', expected_tokens = 9000 where id = 'b'`.execute(api.db);
  const refused = await act('revive', 'b');
  expect(refused.json).toMatchObject({ code: 'CADENCE_TOO_FAST' });
  expect(refused.json['detail']).toMatch(/loaded .* %; the limit is 85 %/);
  expect(await ego('b')).toBe(0);
});

test('room that a whisper was given is no longer there for who revives or imports', async () => {
  await bear('b', 'vesper-001', 100_000);
  await bear('c', 'vesper-001', 100_000);
  await act('retire', 'b');
  await act('retire', 'c');
  // What the whisper will ask for is what its parent does.
  await sql`update agents set cadence = '1s', expected_tokens = 9000 where id = 'c'`.execute(api.db);
  await sql`insert into whispers (id, owner_id, source, parent_id, lineage_id, text, state, requested_by, request_id, body_hash,
      received_at, admitted_at, room_at)
    values ('whi_room', ${api.ownerId}, 'api', 'c', 'vesper-001', 'x', 'received', 't', 'room', '', now(), now(), now())`.execute(
    api.db,
  );
  const importing = () =>
    api.call('POST', '/v1/agents/import?dryRun=true', {
      body: { name: 'Ada Reed', bio: ['Ada Reed keeps the ferry book.'], topics: ['ferries'] },
    });
  expect((await act('revive', 'b')).json).toMatchObject({ code: 'CADENCE_TOO_FAST' });
  expect((await importing()).json).toMatchObject({ code: 'CADENCE_TOO_FAST' });
  await sql`delete from whispers where id = 'whi_room'`.execute(api.db);
  expect((await importing()).status).toBe(200);
  expect((await act('revive', 'b')).status).toBe(200);
});

test('lineages that have children are listed, page by page, and no stranger’s', async () => {
  await bear('b', 'vesper-001', 1);
  await bear('c', 'b', 1);
  const first = await api.call('GET', '/v1/lineages?limit=2');
  expect(first.json.items.map(({ id }) => id)).toEqual(['b', 'c']);
  const cursor = first.json['nextCursor'] as string;
  const next = await api.call('GET', `/v1/lineages?limit=2&cursor=${cursor}`);
  expect(next.json).toMatchObject({ items: [{ id: 'vesper-001', generation: 0 }], nextCursor: null });
  expect((await api.call('GET', '/v1/lineages?agentId=rook-001')).json.items).toMatchObject([{ id: 'rook-001' }]);
  const stranger = await api.call('GET', '/v1/lineages?agentId=vesper-001', { token: api.stranger.token });
  expect(stranger.json.items).toEqual([]);
});
