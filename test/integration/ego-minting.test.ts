import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { decayOf, egoSchema, openingEgo } from '../../domain/ego.ts';
import { egoOf, transferEgo } from '../../stores/ego.ts';
import { newId } from '../../stores/ids.ts';
import type { EgoOfDay } from '../../activities/ego.ts';
import { addPackage, addPerson } from '../support/market.ts';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { testFleet } from '../support/fleets.ts';
import { applyFleet } from '../support/outbound.ts';
import { testOwner } from '../support/store-scope.ts';

const earns = egoSchema.parse({});
let stage: BallotStage;
beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 6 });
  stage = await openBallotStage({ ...fleet, ballots: { ...fleet.ballots, askedAgents: 0 } });
});
afterAll(() => stage?.close());

const settle = (day: string): Promise<EgoOfDay> =>
  stage.client.workflow.execute('settleEgo', {
    workflowId: `ego:${day}:${newId('request')}`,
    taskQueue: 'coordination',
    args: [{ day }],
  }) as Promise<EgoOfDay>;
const entriesOf = async (agentId: string) =>
  stage.db
    .selectFrom('egoEntries')
    .select(['kind', 'transferId', 'amount'])
    .where('agentId', '=', agentId)
    .orderBy('id')
    .execute();
const mint = (agentId: string, amount: number, transferId = `blessed:${newId('request')}`) =>
  stage.db
    .insertInto('egoEntries')
    .values({ id: newId('ego'), ownerId: testOwner, agentId, kind: 'blessed', transferId, side: 'credit', amount })
    .execute();

const closedOn = async (ballot: string) => (await stage.row(ballot)).closedAt!.toISOString().slice(0, 10);

test('each fact earns once, however often and however many at once it is settled', async () => {
  const giver = await addPerson(stage.db, 'giver');
  // Yesterday's, and one of today.
  for (const [dropId, day] of [
    ['one', '2026-11-20'],
    ['one', '2026-11-21'],
    ['two', '2026-11-21'],
  ] as const)
    await stage.db
      .insertInto('blessings')
      .values({
        dropId,
        ownerId: testOwner,
        agentId: 'light-001',
        giver: giver.ownerId,
        giverOwnerId: giver.ownerId,
        day: sql<Date>`${day}::date`,
      })
      .execute();
  const ballot = await stage.open({ quorum: 0 });
  await stage.vote(ballot, 'light-002', 1);
  await stage.vote(ballot, 'light-002', 2);
  await stage.due(ballot);
  const withdrawn = await stage.open({ quorum: 0 });
  await stage.vote(withdrawn, 'light-003', 1);
  await stage.call('POST', `/ballots/${withdrawn}/withdraw`);
  await soldLongAgo(giver.ownerId, 'light-004', '20 days');
  await soldLongAgo(giver.ownerId, 'light-004', '1 day');
  // What was given back earns nothing; a refund that came to nothing takes nothing.
  for (const [days, state] of [
    ['21 days', 'done'],
    ['22 days', 'failed'],
  ] as const) {
    const purchaseId = await soldLongAgo(giver.ownerId, 'light-004', days);
    await stage.db
      .insertInto('refunds')
      .values({
        id: newId('refund'),
        ownerId: testOwner,
        purchaseId,
        amount: 100,
        currency: 'EUR',
        reason: 'no',
        state,
        madeBy: 'tok_test',
        endedAt: new Date(),
      })
      .execute();
  }

  stage.dying.add('settleEgoDay');
  const [first, ...others] = await Promise.all([settle('2026-11-22'), settle('2026-11-22'), settle('2026-11-22')]);
  expect(first).toMatchObject({ owners: 1, facts: 6, minted: 3 * earns.blessed + earns.voted + 2 * earns.sold });
  for (const other of others) expect(other).toEqual(first);
  expect(await entriesOf('light-002')).toEqual([
    { kind: 'opening', transferId: 'opening:light-002', amount: openingEgo },
    { kind: 'voted', transferId: `voted:light-002:${await closedOn(ballot)}`, amount: earns.voted },
  ]);
  expect(await entriesOf('light-003')).toHaveLength(1);
  expect(await egoOf(stage.db, 'light-001')).toBe(openingEgo + 3 * earns.blessed);
  expect(await egoOf(stage.db, 'light-004')).toBe(openingEgo + 2 * earns.sold);
  // The next day has its own and finds nothing new.
  expect(await settle('2026-11-23')).toMatchObject({ facts: 0, minted: 0 });
});

test('a sale that was held when the hold was made shorter earns all the same', async () => {
  const fleet = testFleet({ heavy: 0, light: 6 });
  const payouts = { ...fleet.market.payouts, hold: '1h' };
  await applyFleet(stage.db, testOwner, { ...fleet, market: { ...fleet.market, payouts } });
  expect(await settle('2026-11-24')).toMatchObject({ facts: 1, minted: earns.sold });
  const sold = (await entriesOf('light-004')).filter(({ kind }) => kind === 'sold');
  expect(sold.map(({ amount }) => amount)).toEqual([earns.sold, earns.sold, earns.sold]);
  await applyFleet(stage.db, testOwner, fleet);
});

async function soldLongAgo(buyer: string, agentId: string, ago: string): Promise<string> {
  const id = newId('purchase');
  const { packageId } = await addPackage(stage.db, { ownerId: testOwner, agentId, says: ago });
  const listingId = newId('listing');
  const common = { packageId, contentHash: Buffer.alloc(32), amount: 100, currency: 'EUR', termsVersion: '1' };
  await stage.db
    .insertInto('listings')
    .values({
      ...common,
      id: listingId,
      ownerId: testOwner,
      title: 'A loop',
      summary: '',
      kinds: ['personal'],
      creators: '[]',
      state: 'listed',
      requestHash: Buffer.from('x'),
    })
    .execute();
  // A sale of long ago, without the people and the license that it had.
  await stage.db.transaction().execute(async (tx) => {
    await sql`set local session_replication_role = replica`.execute(tx);
    await sql`
      insert into purchases (id, owner_id, seller_id, books_id, listing_id, request_hash, payment, state, listing_version, title,
        terms_version, license_kind, package_id, content_hash, amount, tax, currency, terms, split, license_id, made_by, ended_at)
      values (${id}, ${buyer}, ${testOwner}, ${testOwner}, ${listingId}, 'x', 'credits', 'completed', 1, 'A loop', '1',
        'personal', ${packageId}, ${Buffer.alloc(32)}, 100, 0, 'EUR', '{}', '{}', ${newId('license')}, 'tok_test',
        now() - ${ago}::interval)`.execute(tx);
  });
  return id;
}

test('what a lineage holds over its opening fades by days, split by what each holds; dividing it saves none', async () => {
  await mint('light-005', 4 * openingEgo);
  await mint('light-006', 4 * openingEgo);
  // light-006 has given most of it to a child.
  await sql`insert into agents (id, owner_id, name, archetype, persona, traits, mask_seed, cadence, model_id, least_class, may_degrade,
      priority, tokens_per_day, expected_tokens, fleet_version, origin, parent_id, lineage_id, generation)
    select 'child', owner_id, 'Child', archetype, persona, traits, mask_seed, cadence, model_id, least_class, may_degrade, priority,
      tokens_per_day, expected_tokens, fleet_version, 'spawn', id, lineage_id, 1 from agents where id = 'light-006'`.execute(
    stage.db,
  );
  await stage.db.transaction().execute((tx) =>
    transferEgo(tx, {
      ownerId: testOwner,
      kind: 'spawn',
      transferId: 'spawn:test',
      fromId: 'light-006',
      toId: 'child',
      amount: 4 * openingEgo,
    }),
  );
  const days = 30;
  const faded = decayOf(5 * openingEgo, days, earns);
  expect(faded).toBe(Math.floor(4 * openingEgo * (1 - 2 ** (-30 / 180))));
  // What was earned since the last day that was settled does not fade yet.
  await settle('2026-11-25');
  expect(await egoOf(stage.db, 'light-005')).toBe(5 * openingEgo);
  await Promise.all([settle('2026-12-25'), settle('2026-12-25')]);
  expect(await egoOf(stage.db, 'light-005')).toBe(5 * openingEgo - faded);
  const [parent, child] = [await egoOf(stage.db, 'light-006'), await egoOf(stage.db, 'child')];
  expect(parent + child).toBe(5 * openingEgo - faded);
  expect(child / parent).toBeCloseTo(4, 4);
  // What nobody earned does not fade.
  expect(await entriesOf('light-003')).toHaveLength(1);
});

test('the database refuses ego that is no fact’s: unknown kinds, a minted debit, a second entry for one fact', async () => {
  await mint('light-001', 5, 'blessed:again');
  await expect(mint('light-002', 5, 'blessed:again')).rejects.toThrow(/ego_entries_transfer_id_side_key/);
  const entry = (kind: string, side: string, amount: number, agentId = 'light-001') =>
    stage.db
      .insertInto('egoEntries')
      .values({ id: newId('ego'), ownerId: testOwner, agentId, kind, transferId: newId('request'), side, amount })
      .execute();
  await expect(entry('gift', 'credit', 5)).rejects.toThrow(/ego_entries_kind_check/);
  await expect(entry('voted', 'debit', -5)).rejects.toThrow(/side_of_kind/);
  await expect(entry('decay', 'credit', 5)).rejects.toThrow(/side_of_kind/);
  await expect(entry('spawn', 'credit', 5)).rejects.toThrow(/counter_check/);
  await expect(entry('decay', 'debit', -100 * openingEgo)).rejects.toThrow(/ego of light-001/);
  const stranger = await addPerson(stage.db, 'other');
  const theirs = stage.db
    .insertInto('egoEntries')
    .values({
      id: newId('ego'),
      ownerId: stranger.ownerId,
      agentId: 'light-001',
      kind: 'voted',
      transferId: newId('request'),
      side: 'credit',
      amount: 5,
    })
    .execute();
  await expect(theirs).rejects.toThrow(/no matching side/);
});

test('votes earn an agent once a day, however many ballots it is asked on', async () => {
  for (const at of ['2026-12-31 23:30+00', '2027-01-01 00:30+00', '2027-01-01 23:30+00']) {
    const ballot = await stage.open({ quorum: 0 });
    await stage.vote(ballot, 'light-003', 1);
    await stage.due(ballot);
    await sql`update ballots set closed_at = ${at} where id = ${ballot}`.execute(stage.db);
  }
  await settle('2027-01-02');
  const voted = (await entriesOf('light-003')).filter(({ kind }) => kind === 'voted');
  expect(voted).toEqual(
    ['2026-12-31', '2027-01-01'].map((day) => ({
      kind: 'voted',
      transferId: `voted:light-003:${day}`,
      amount: earns.voted,
    })),
  );
});

test('a reflection that was drawn here earns once it is cited; what was told of another fleet, or posted, earns and lends nothing', async () => {
  const agentId = 'light-002';
  const told = (externalKey: string, evidence: string[]) => ({
    agentId,
    externalKey,
    kind: 'reflection' as const,
    text: `What ${externalKey} says.`,
    importance: 5,
    source: 'test',
    occurredAt: '2026-01-01T00:00:00.000Z',
    ...(evidence.length === 0 ? {} : { reflection: { evidence, modelId: 'other', promptVersion: '' } }),
  });
  const lived = { ...told('lived', []), kind: 'observation' as const };
  await stage.remember([
    lived,
    told('posted', []),
    // A file in which each rests on the one before.
    told('told 1', ['lived']),
    told('told 2', ['told 1']),
    told('made 1', ['lived']),
    told('made 2', ['made 1', 'told 2', 'posted']),
    told('told 3', ['told 2', 'made 2']),
    told('made 3', ['made 1', 'lived']),
  ]);
  // Three of them were drawn by a run here.
  await sql`insert into runs (id, owner_id, agent_id, trigger, period, queue, model_id, wanted_model_id, expected_tokens, workflow_id)
    values ('run_cited', ${testOwner}, ${agentId}, 'call', 'now', 'inference_12g_small', 'small', 'small', 1, 'reflect:cited')`.execute(
    stage.db,
  );
  await sql`update reflections r set run_id = 'run_cited', source = 'model', ordinal = right(m.external_key, 1)::int
    from memories m where m.id = r.memory_id and m.external_key like 'made %'`.execute(stage.db);
  const { rows } = await sql<{ id: string; externalKey: string }>`select id, external_key from memories
    where agent_id = ${agentId} and kind = 'reflection'`.execute(stage.db);
  const idOf = (key: string) => rows.find(({ externalKey }) => externalKey === key)!.id;
  const ballot = await stage.open();
  await stage.vote(ballot, agentId, 1);
  await sql`update votes set evidence = ${[idOf('made 3'), idOf('told 1'), idOf('posted')]}, changed_at = '2027-01-09'
    where ballot_id = ${ballot}`.execute(stage.db);
  await stage.call('POST', `/ballots/${ballot}/withdraw`);
  await sql`update reflections set created_at = '2027-01-09' where agent_id = ${agentId}`.execute(stage.db);
  for (const day of ['2027-01-10', '2027-01-11']) await settle(day);
  const cited = (await entriesOf(agentId)).filter(({ kind }) => kind === 'cited');
  // `made 2` is cited by what was told alone.
  expect(new Map(cited.map(({ transferId, amount }) => [transferId, amount]))).toEqual(
    new Map(['made 1', 'made 3'].map((key) => [`cited:${idOf(key)}`, earns.cited])),
  );
  expect(cited).toHaveLength(2);
});
