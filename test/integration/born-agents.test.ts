import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openingEgo } from '../../domain/ego.ts';
import { birth, livingCadences, type NewAgent } from '../../stores/agents.ts';
import { egoOf, transferEgo } from '../../stores/ego.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { requestReplan } from '../../stores/plans.ts';
import { placementAgents } from '../../stores/placement.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
beforeEach(async () => {
  api = await createApiFixture();
  expect((await apply(smallFleet)).status).toBe(200);
});
afterEach(() => api?.close());

const apply = (source: string) => api.call('POST', '/v1/fleet/apply', { body: { source } });

const maren: NewAgent = {
  id: 'vesper-maren',
  name: 'Maren Vesper',
  archetype: 'vesper',
  persona: 'Maren keeps the evening watch.',
  traits: ['calm'],
  maskSeed: 7,
  cadence: '9h',
  modelId: 'llama8b_q4',
  leastClass: '8g',
  mayDegrade: false,
  priority: 1,
  tokensPerDay: 5000,
  expectedTokens: 300,
  importanceThreshold: 150,
};

async function bear(agent: NewAgent, parentId?: string): Promise<void> {
  const { version } = (await currentFleet(api.db))!;
  await api.db.transaction().execute(async (tx) => {
    await requestReplan(tx, { ownerId: api.ownerId, reason: `${agent.id} was born` });
    const origin = parentId === undefined ? 'import' : 'spawn';
    await birth(tx, {
      ownerId: api.ownerId,
      origin,
      fleetVersion: version,
      agents: [agent],
      ...(parentId === undefined ? {} : { parentId }),
    });
  });
}
const give = (fromId: string, toId: string, amount: number, transferId = `spawn:${toId}`) =>
  api.db
    .transaction()
    .execute((tx) => transferEgo(tx, { ownerId: api.ownerId, kind: 'spawn', transferId, fromId, toId, amount }));

describe('an agent born outside fleet.yaml', () => {
  test('is shown with its parent, counted by the planner, and has its Schedule', async () => {
    await bear(maren, 'vesper-001');
    await bear({ ...maren, id: 'vesper-tal', name: 'Tal Vesper' }, 'vesper-maren');
    const { json } = await api.call('GET', '/v1/agents?origin=spawn');
    expect(json.items).toMatchObject([
      { id: 'vesper-maren', parentId: 'vesper-001', lineageId: 'vesper-001', generation: 1 },
      { id: 'vesper-tal', parentId: 'vesper-maren', lineageId: 'vesper-001', generation: 2 },
    ]);
    const lineage = await api.call('GET', '/v1/agents?lineageId=vesper-001');
    expect(lineage.json.items.map(({ id }) => id)).toEqual(['vesper-001', 'vesper-maren', 'vesper-tal']);
    expect((await placementAgents(api.db)).map(({ id }) => id)).toContain('vesper-maren');
    expect(await livingCadences(api.db)).toContain('9h');
  });

  test('is left alone by an apply, which counts what it asks for and keeps its model', async () => {
    await bear(maren, 'vesper-001');
    expect((await apply(`${smallFleet}limits: { parkedFor: 2h }\n`)).json['changes']).toMatchObject([
      { kind: 'setting', action: 'change' },
    ]);
    expect((await api.call('GET', '/v1/agents/vesper-maren')).json).toMatchObject({ state: 'active', cadence: '9h' });
    await sql`update agents set cadence = '1s' where id = 'vesper-maren'`.execute(api.db);
    expect((await apply(smallFleet)).json['code']).toBe('CADENCE_TOO_FAST');
    await sql`update agents set cadence = '9h', model_id = 'gone_q4' where id = 'vesper-maren'`.execute(api.db);
    const refused = await apply(smallFleet);
    expect(refused.json).toMatchObject({ code: 'CONFIG_INVALID', errors: [{ path: 'models' }] });
    const { text } = await api.call('GET', '/v1/fleet/export');
    expect(text).toContain('#   vesper-maren (spawn): Maren Vesper');
  });

  test('takes neither an id nor a name that another has, nor a retired parent', async () => {
    await bear(maren, 'vesper-001');
    const rows = await api.rowCounts();
    await expect(bear({ ...maren, name: 'Another' })).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(bear({ ...maren, id: 'another' })).rejects.toMatchObject({ code: 'CONFLICT' });
    await expect(bear({ ...maren, id: 'a', name: 'A' }, 'nobody')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await sql`update agents set state = 'retired', retired_by = 'file' where id = 'vesper-001'`.execute(api.db);
    await expect(bear({ ...maren, id: 'b', name: 'B' }, 'vesper-001')).rejects.toMatchObject({ code: 'AGENT_RETIRED' });
    expect(await api.rowCounts()).toEqual(rows);
  });

  test('born in the same moment as another of its name, one of the two is not', async () => {
    const births = await Promise.allSettled([bear(maren), bear({ ...maren, id: 'other-maren' }), bear(maren)]);
    expect(births.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const { items } = (await api.call('GET', '/v1/agents?origin=import')).json;
    expect(items).toHaveLength(1);
  });
});

describe('ego', () => {
  test('is opened once for each first agent and shown entry by entry', async () => {
    await bear(maren, 'vesper-001');
    await give('vesper-001', 'vesper-maren', 100_000);
    const { json } = await api.call('GET', '/v1/agents/vesper-001/ego');
    expect(json.items).toMatchObject([
      { kind: 'spawn', amount: -100_000, balance: 900_000, counterAgentId: 'vesper-maren' },
      { kind: 'opening', amount: openingEgo, balance: openingEgo, counterAgentId: null },
    ]);
    expect((await api.call('GET', '/v1/agents/vesper-maren')).json['ego']).toBe(100_000);
    const page = await api.call('GET', '/v1/agents/vesper-001/ego?limit=1');
    const next = await api.call('GET', `/v1/agents/vesper-001/ego?limit=1&cursor=${page.json['nextCursor'] as string}`);
    expect(next.json.items).toMatchObject([{ kind: 'opening', balance: openingEgo }]);
    expect((await api.call('GET', '/v1/agents/vesper-001/ego', { token: api.stranger.token })).status).toBe(404);
    await apply(`${smallFleet}limits: { parkedFor: 2h }\n`);
    expect(await egoOf(api.db, 'vesper-002')).toBe(openingEgo);
  });

  test('moves once a transfer, only inside its lineage, and never out of nothing', async () => {
    await bear(maren, 'vesper-001');
    await give('vesper-001', 'vesper-maren', 100_000);
    await expect(give('vesper-001', 'vesper-maren', 100_000)).rejects.toThrow('ego_entries_transfer_id_side_key');
    await expect(give('vesper-001', 'rook-001', 5, 'spawn:x')).rejects.toThrow('no matching side in the lineage');
    await expect(give('vesper-maren', 'vesper-001', 100_001, 'spawn:y')).rejects.toThrow('less than');
    const half = sql`insert into ego_entries (id, owner_id, agent_id, counter_agent_id, kind, transfer_id, side, amount)
      values ('ego_x', ${api.ownerId}, 'vesper-maren', 'vesper-001', 'retire', 'half', 'debit', -5)`;
    await expect(half.execute(api.db)).rejects.toThrow('no matching side');
    const again = sql`insert into ego_entries (id, owner_id, agent_id, kind, transfer_id, side, amount)
      values ('ego_x', ${api.ownerId}, 'vesper-maren', 'opening', 'opening:vesper-maren', 'credit', 1000000)`;
    await expect(again.execute(api.db)).rejects.toThrow('no matching side');
    for (const change of [
      sql`update ego_entries set amount = 2 * amount`,
      sql`delete from ego_entries`,
      sql`truncate ego_entries`,
    ]) {
      await expect(change.execute(api.db)).rejects.toThrow('append-only');
    }
    expect(await egoOf(api.db, 'vesper-001')).toBe(900_000);
  });

  test('spent by many at once is never overdrawn, and the lineage holds what it opened with', async () => {
    await bear(maren, 'vesper-001');
    const spent = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => give('vesper-001', 'vesper-maren', 150_000, `spawn:${n}`)),
    );
    expect(spent.filter(({ status }) => status === 'fulfilled')).toHaveLength(6);
    expect(await egoOf(api.db, 'vesper-001')).toBe(100_000);
    expect(await egoOf(api.db, 'vesper-maren')).toBe(900_000);
  });
});
