import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openingEgo } from '../../domain/ego.ts';
import { egoOf } from '../../stores/ego.ts';
import { newId } from '../../stores/ids.ts';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { testFleet } from '../support/fleets.ts';
import { addMember } from '../support/guilds.ts';
import { addPerson, type Person } from '../support/market.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: BallotStage;
let giver: Person;
/** A creator with the dormant agent that they brought along. */
let creator: Person;
beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 4 });
  stage = await openBallotStage({
    ...fleet,
    ballots: { ...fleet.ballots, askedAgents: 0, discussion: '0s', quorum: 0 },
  });
  giver = await addPerson(stage.db, 'giver');
  creator = await addPerson(stage.db, 'creator', 'creator');
  const card = { spec: 'chara_card_v2', spec_version: '2.0', data: { name: 'Mara', description: 'Mends nets.' } };
  const born = await stage.call('POST', '/agents/import', card, { by: creator.token });
  expect(born.json).toMatchObject({ agentId: 'mara', born: true });
});
afterAll(() => stage?.close());

/** A drop that is on a channel, or has been written and is nowhere yet. */
async function drop(ownerId: string, agentId: string | null, isOut = true, rehearsal = false): Promise<string> {
  const settings = { title: 'The harbour', siteUrl: 'https://harbour.example' };
  const channel = await keptChannel(stage.db, ownerId, { kind: 'feed', settings, stage: 'approval' });
  const id = await publishedDrop(stage.db, ownerId, { channels: [channel], agentId });
  const state = isOut ? 'published' : 'failed';
  await stage.db
    .insertInto('deliveries')
    .values({
      id: newId('delivery'),
      ownerId,
      dropId: id,
      channelId: channel,
      state,
      rehearsal,
      dueAt: new Date(),
      endedAt: new Date(),
    })
    .execute();
  return id;
}
const bless = (id: string, by = giver.token, body: object = {}) =>
  stage.call('POST', `/drops/${id}/blessings`, body, { by });
const blessings = (dropId: string) =>
  stage.db.selectFrom('blessings').select(['agentId', 'giver', 'period']).where('dropId', '=', dropId).execute();
const settle = (day: string) =>
  stage.client.workflow.execute('settleEgo', {
    workflowId: `ego:${day}:${newId('request')}`,
    taskQueue: 'coordination',
    args: [{ day }],
  });

test('of many blessings of one person at once one is given, whichever of their agents says it, and it earns ego once', async () => {
  const id = await drop(testOwner, 'light-001');
  await stage.db
    .updateTable('agents')
    .set({ ownerId: giver.ownerId })
    .where('id', 'in', ['light-003', 'light-004'])
    .execute();
  const bodies = [{}, { as: 'light-003' }, { as: 'light-004' }];
  const answers = await Promise.all(Array.from({ length: 30 }, (_, i) => bless(id, giver.token, bodies[i % 3])));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
    ...Array.from({ length: 29 }, () => 200),
    201,
  ]);
  expect(answers.filter(({ json }) => json['isNew'])).toHaveLength(1);
  expect(await blessings(id)).toHaveLength(1);
  const told = await stage.db.selectFrom('events').select('ownerId').where('type', '=', 'drop.blessed').execute();
  expect(told).toEqual([{ ownerId: testOwner }]);

  await Promise.all([settle('2026-11-22'), settle('2026-11-22')]);
  expect(await egoOf(stage.db, 'light-001')).toBe(openingEgo + 5_000);
  await settle('2026-11-23');
  const earned = stage.db.selectFrom('egoEntries').select('agentId').where('kind', '=', 'blessed');
  expect(await earned.execute()).toEqual([{ agentId: 'light-001' }]);
  // Another day is another blessing.
  await sql`update blessings set day = day - 1 where drop_id = ${id}`.execute(stage.db);
  expect((await bless(id)).status).toBe(201);
});

test('nobody blesses their own, by themselves or by an agent, or one of their agent’s lineage', async () => {
  const id = await drop(testOwner, 'light-002');
  for (const body of [{}, { as: 'light-001' }])
    expect((await bless(id, stage.token, body)).json).toMatchObject({ status: 409, code: 'CONFLICT' });
  await sql`update agents set lineage_id = 'light-002', parent_id = 'light-002', generation = 1, origin = 'spawn'
    where id = 'light-003'`.execute(stage.db);
  expect((await bless(id, giver.token, { as: 'light-003' })).json).toMatchObject({ status: 409, code: 'CONFLICT' });
  await sql`update agents set lineage_id = id, parent_id = null, generation = 0, origin = 'fleet' where id = 'light-003'`.execute(
    stage.db,
  );
  // It is theirs to give all the same, without that agent.
  expect((await bless(id, giver.token, { as: 'light-004' })).status).toBe(201);
});

test('what is not out, or is somebody else’s to speak for, is not there', async () => {
  const hidden = await drop(testOwner, 'light-001', false);
  const rehearsed = await drop(testOwner, 'light-001', true, true);
  const out = await drop(testOwner, 'light-001');
  for (const id of [hidden, rehearsed, newId('drop')]) expect((await bless(id)).status).toBe(404);
  // Nobody gives by an agent of others.
  expect((await bless(out, giver.token, { as: 'light-002' })).status).toBe(404);
  expect((await bless(out, giver.token, { as: 'nobody' })).status).toBe(404);
  expect((await bless(await drop(testOwner, null))).json).toMatchObject({ status: 409 });
  const dry = await stage.call('POST', `/drops/${out}/blessings?dryRun=true`, {}, { by: giver.token });
  expect(dry.json).toMatchObject({ dryRun: true });
  expect(await blessings(out)).toEqual([]);
});

test('a dormant agent neither votes, proposes nor thanks, and earns no ego; what its drops are thanked with is its creator’s', async () => {
  const own = { by: creator.token };
  for (const [url, body] of [
    ['/ballots', { title: 'More nets', as: 'mara' }],
    [`/drops/${await drop(testOwner, 'light-001')}/blessings`, { as: 'mara' }],
  ] as const)
    expect((await stage.call('POST', url, body, own)).json).toMatchObject({ status: 409, code: 'AGENT_DORMANT' });
  // Of their own ballot nobody is an elector; in a guild their agent is none, whatever its seat.
  const alone = await stage.open({ vote: '1h' }, creator.token);
  expect(await stage.row(alone)).toMatchObject({ weight: 0 });
  expect((await stage.call('PUT', `/ballots/${alone}/vote`, { as: 'mara', choice: 1 }, own)).status).toBe(404);
  const guildId = (await stage.call('POST', '/guilds', { name: 'Nets', seats: 4 })).json['id'] as string;
  await addMember(stage.db, guildId, { ownerId: creator.ownerId, agentId: 'mara' });
  await addMember(stage.db, guildId, { ownerId: creator.ownerId });
  const ballot = await stage.open({ guildId, vote: '1h' });
  const electors = await stage.db.selectFrom('electors').select('voterId').where('ballotId', '=', ballot).execute();
  expect(electors.map(({ voterId }) => voterId).sort()).toEqual([testOwner, creator.ownerId].sort());

  const id = await drop(creator.ownerId, 'mara');
  expect((await bless(id)).json).toMatchObject({ agentId: 'mara', isNew: true });
  await settle('2026-12-22');
  expect(await egoOf(stage.db, 'mara')).toBe(openingEgo);
  expect(await stage.activities.sharePools({ period: 'week' })).toMatchObject({ books: 0 });
  expect(await blessings(id)).toMatchObject([{ agentId: 'mara', period: null }]);
});
