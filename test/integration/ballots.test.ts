import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ballotWorkflowId } from '../../domain/ids.ts';
import { openingEgo } from '../../domain/ego.ts';
import { newId } from '../../stores/ids.ts';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { testFleet } from '../support/fleets.ts';
import { testOwner } from '../support/store-scope.ts';

let stage: BallotStage;
beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 12 });
  // Nobody is asked here: test/integration/ask-voter.test.ts asks.
  stage = await openBallotStage({
    ...fleet,
    ballots: { ...fleet.ballots, askedAgents: 0, votesPerHour: 5, lineageShare: 20 },
  });
});
afterAll(() => stage?.close());

const agent = (i: number) => `light-${String(i).padStart(3, '0')}`;
const read = async (id: string) => (await stage.call('GET', `/ballots/${id}`)).json;
const recount = async (id: string) => (await stage.call('GET', `/ballots/${id}/recount`)).json;
const standing = async (id: string) => (await stage.call('GET', `/ballots/${id}/tally`)).json;
const codes = (answers: Array<{ status: number }>) => answers.map(({ status }) => status).sort((a, b) => a - b);

test('a proposal is discussed, voted on, closed and recounted to the last bit', async () => {
  const answer = await stage.call(
    'POST',
    '/ballots',
    {
      title: 'A second ferry',
      text: 'The first one is full.',
      method: 'quadratic',
      options: ['Ferry', 'Bridge'],
      discussion: '1h',
    },
    { headers: { 'idempotency-key': 'ferry' } },
  );
  expect(answer.status).toBe(201);
  const id = answer.json['id'] as string;
  expect(answer.json).toMatchObject({ state: 'discussion', authorKind: 'user', tally: null, quorum: 20 });
  expect((await stage.vote(id, agent(1), { 1: 1 })).json).toMatchObject({ code: 'CONFLICT' });
  const remark = await stage.call('POST', `/ballots/${id}/remarks`, {
    as: agent(2),
    text: 'A bridge needs no captain.',
  });
  expect(remark.status).toBe(201);

  await sql`update ballots set opens_at = clock_timestamp() where id = ${id}`.execute(stage.db);
  await stage.client.workflow.getHandle(ballotWorkflowId(id)).signal('rowsChanged');
  await stage.reaches(id, 'open');
  expect(await read(id)).toMatchObject({ weight: 12 * openingEgo, present: 0 });
  await stage.vote(id, agent(1), { 1: 9, 2: 1 }, { reason: 'I like boats.' });
  await stage.vote(id, agent(2), { 2: 1 });
  await stage.vote(id, agent(3), { 1: 1 });
  await stage.vote(id, agent(4), null);
  expect(await stage.due(id)).toEqual({ state: 'passed' });

  const closed = await read(id);
  expect(closed).toMatchObject({ state: 'passed', winner: 1, present: 4 * openingEgo, reasonCode: '' });
  // (√0.9 + 1)² and (√0.1 + 1)², rescaled to the three that chose.
  const raw = [(Math.sqrt(0.9) + 1) ** 2, (Math.sqrt(0.1) + 1) ** 2];
  const { scores, base, abstained, voters } = closed['tally'] as Record<string, number> & { scores: number[] };
  expect({ base, abstained, voters }).toEqual({ base: 3 * openingEgo, abstained: openingEgo, voters: 4 });
  for (const [i, score] of raw.entries())
    expect(scores[i]).toBeCloseTo((score * 3 * openingEgo) / (raw[0]! + raw[1]!), 3);
  expect(await recount(id)).toMatchObject({ equal: true, counted: closed['tally'] });
  // An agent remembers how it voted.
  const memories = await stage.db.selectFrom('memories').select('text').where('kind', '=', 'vote').execute();
  expect(memories.map(({ text }) => text)).toContain(
    'Who keeps me gave 9 for “Ferry”, 1 for “Bridge” on “A second ferry”: I like boats.',
  );
});

test.each([
  // Agents 9 and 10 are of one lineage, and hold 2 of the 5 ego that chose.
  ['single', [1, 1, 2, 2, 2], [2, 3], 2],
  ['approval', [[1, 2], [1], [2], [2], [3, 1]], [3, 3], null],
  ['weighted', [{ 1: 3, 2: 1 }, { 1: 1 }, { 2: 1 }, { 2: 1 }, { 1: 1 }], [2.75, 2.25], 1],
  // Two of a lineage come to √2, and three strangers who are for the second to 3: 2 and 9 of 11, of 5.
  ['quadratic', [{ 1: 1 }, { 1: 1 }, { 2: 1 }, { 2: 1 }, { 2: 1 }], [10 / 11, 45 / 11], 2],
  // The third goes first, and its vote is for the first.
  ['ranked', [[1], [1], [2], [2], [3, 1]], [3, 2], 1],
] as const)(
  '%s: what is voted through the API is what is counted from its rows',
  async (method, choices, scores, winner) => {
    const lineage = (parent: string | null) =>
      sql`update agents set parent_id = ${parent}, lineage_id = coalesce(${parent}, id), generation = ${parent === null ? 0 : 1},
        origin = ${parent === null ? 'fleet' : 'spawn'} where id = ${agent(10)}`.execute(stage.db);
    await lineage(agent(9));
    const id = await stage.open({ method, options: ['Ferry', 'Bridge', 'Tunnel'], threshold: 1 });
    await lineage(null);
    for (const [i, voter] of [9, 10, 1, 2, 3].entries())
      expect((await stage.vote(id, agent(voter), choices[i])).status).toBe(200);
    await stage.vote(id, agent(4), null);
    // Of those who look at it at once each is answered by what was counted after they asked.
    const seen = await Promise.all(Array.from({ length: 6 }, () => standing(id)));
    await stage.due(id);
    const { tally, winner: won } = (await read(id)) as unknown as {
      tally: { scores: number[]; abstained: number };
      winner: number | null;
    };
    expect({ won, abstained: tally.abstained }).toEqual({ won: winner, abstained: openingEgo });
    for (const [i, score] of scores.entries()) expect(tally.scores[i]! / openingEgo).toBeCloseTo(score, 9);
    for (const one of seen) expect(one).toEqual({ ballotId: id, isFinal: false, tally });
    expect(await standing(id)).toEqual({ ballotId: id, isFinal: true, tally });
    expect(await recount(id)).toMatchObject({ equal: true });
  },
);

test('a recount tells a tally that somebody has changed, and nobody changes a vote that was counted', async () => {
  const id = await stage.open();
  for (const i of [1, 2, 3]) await stage.vote(id, agent(i), i === 3 ? 2 : 1);
  await stage.due(id);
  expect(await recount(id)).toMatchObject({ equal: true });
  const change = sql`update votes set choice = '2' where ballot_id = ${id} and voter_id = ${agent(1)}`.execute(
    stage.db,
  );
  await expect(change).rejects.toThrow(/takes no vote now/);
  await sql`update ballots set tally = jsonb_set(tally, '{scores,0}', '2000001') where id = ${id}`.execute(stage.db);
  expect(await recount(id)).toMatchObject({ equal: false });
});

test('the same key proposes once; other content under it is refused, and so is a second open proposal', async () => {
  const by = { headers: { 'idempotency-key': 'once' } };
  const body = { title: 'Once', as: agent(5) };
  const answers = await Promise.all(Array.from({ length: 12 }, () => stage.call('POST', '/ballots', body, by)));
  expect(new Set(codes(answers))).toEqual(new Set([201]));
  expect(new Set(answers.map(({ json }) => json['id'])).size).toBe(1);
  expect((await stage.call('POST', '/ballots', { ...body, title: 'Twice' }, by)).json).toMatchObject({
    code: 'CONFLICT',
  });
  // What was proposed stays proposed, whatever became of its author since.
  await sql`update agents set state = 'retired', retired_by = 'operator' where id = ${agent(5)}`.execute(stage.db);
  const again = await stage.call('POST', '/ballots', body, by);
  expect([again.status, again.headers['idempotent-replayed']]).toEqual([201, 'true']);
  await sql`update agents set state = 'active', retired_by = null where id = ${agent(5)}`.execute(stage.db);
  const second = await stage.call('POST', '/ballots', { title: 'Another', as: agent(5) });
  expect(second.json).toMatchObject({ status: 409, detail: expect.stringContaining('one at a time') as string });
  // Of many at once by one author one is taken, whoever comes first.
  const crowd = await Promise.all(
    Array.from({ length: 12 }, (_, i) => stage.call('POST', '/ballots', { title: `No ${i}`, as: agent(6) })),
  );
  expect(codes(crowd)).toEqual([201, ...Array.from({ length: 11 }, () => 409)]);
  const id = answers[0]!.json['id'] as string;
  expect((await stage.call('POST', `/ballots/${id}/withdraw`)).json).toMatchObject({
    state: 'rejected',
    reasonCode: 'WITHDRAWN',
  });
  expect(await stage.client.workflow.getHandle(ballotWorkflowId(id)).result()).toEqual({ state: 'rejected' });
  expect((await stage.call('POST', '/ballots', { title: 'Another', as: agent(5) })).status).toBe(201);
});

test('a vote may change until the end, and the same again changes nothing; there are so many an hour', async () => {
  const id = await stage.open();
  const first = await stage.vote(id, agent(1), 1);
  expect(await stage.vote(id, agent(1), 1)).toMatchObject({ status: 200, text: first.text });
  for (const choice of [2, 1, 2, 1]) expect((await stage.vote(id, agent(1), choice)).status).toBe(200);
  expect(await stage.vote(id, agent(1), 2)).toMatchObject({ status: 429, json: { code: 'RATE_LIMITED' } });
  // What stands may be said again all the same, and another voter is not kept from it.
  expect((await stage.vote(id, agent(1), 1)).json).toMatchObject({ given: 5 });
  expect((await stage.vote(id, agent(2), 1)).status).toBe(200);
  expect((await read(id))['present']).toBe(2 * openingEgo);
  expect(await stage.due(id)).toMatchObject({ state: 'no_quorum' });
});

test('after its end no vote is taken by the database’s clock, even while the workflow sleeps', async () => {
  const id = await stage.open();
  await stage.vote(id, agent(1), 1);
  await sql`update ballots set closes_at = clock_timestamp() where id = ${id}`.execute(stage.db);
  expect((await read(id))['state']).toBe('open');
  expect(await stage.vote(id, agent(2), 1)).toMatchObject({ status: 409, json: { code: 'CONFLICT' } });
  expect(await stage.vote(id, agent(1), 2)).toMatchObject({ status: 409 });
  // What it came to is not to be taken back, nor talked about.
  expect(await stage.call('POST', `/ballots/${id}/withdraw`)).toMatchObject({ status: 409 });
  expect(await stage.call('POST', `/ballots/${id}/remarks`, { text: 'Wait.' })).toMatchObject({ status: 409 });
  await stage.ended(id);
  expect((await recount(id))['stored']).toMatchObject({ voters: 1, scores: [openingEgo, 0] });
});

test('while a vote closes every vote that was answered is counted, and none that was refused', async () => {
  for (let round = 0; round < 3; round += 1) {
    const id = await stage.open({ quorum: 0, extension: '0s' });
    await sql`update ballots set closes_at = clock_timestamp() + interval '60 milliseconds' where id = ${id}`.execute(
      stage.db,
    );
    const handle = stage.client.workflow.getHandle(ballotWorkflowId(id));
    const closing = handle.signal('rowsChanged');
    const answers = await Promise.all(
      Array.from({ length: 36 }, (_, i) => stage.vote(id, agent(1 + (i % 12)), 1 + (i % 2))),
    );
    await closing;
    await handle.result();
    const { stored, equal } = (await recount(id)) as unknown as { stored: { voters: number }; equal: boolean };
    const taken = new Set(answers.flatMap(({ status, json }) => (status === 200 ? [json['voterId']] : [])));
    expect(answers.filter(({ status }) => status !== 200 && status !== 409).map(({ text }) => text)).toEqual([]);
    expect({ voters: stored.voters, equal }).toEqual({ voters: taken.size, equal: true });
  }
});

test('weights are frozen as the vote opens, and held to a share by lineage', async () => {
  await stage.db
    .insertInto('egoEntries')
    .values({
      id: newId('ego'),
      ownerId: testOwner,
      agentId: agent(12),
      kind: 'blessed',
      transferId: 'blessed:test:frozen',
      side: 'credit',
      amount: 9 * openingEgo,
    })
    .execute();
  const id = await stage.open();
  const weights = (await stage.call('GET', `/ballots/${id}/votes?limit=200`)).json.items as unknown as Array<{
    voterId: string;
    ego: number;
    weight: number;
  }>;
  expect(weights).toHaveLength(12);
  // A fifth of what all have then: eleven with one each, so 11/4.
  expect(weights.find(({ voterId }) => voterId === agent(12))).toMatchObject({
    ego: 10 * openingEgo,
    weight: 2_750_000,
  });
  await stage.db
    .insertInto('egoEntries')
    .values({
      id: newId('ego'),
      ownerId: testOwner,
      agentId: agent(1),
      kind: 'blessed',
      transferId: 'blessed:test:late',
      side: 'credit',
      amount: 5 * openingEgo,
    })
    .execute();
  expect((await stage.vote(id, agent(1), 1)).json).toMatchObject({ weight: openingEgo });
  await stage.due(id);
});

test('a quorum that comes late leaves time for an answer, once', async () => {
  const id = await stage.open({ quorum: 20, extension: '1h' });
  const soon = sql`clock_timestamp() + interval '1 minute'`;
  await sql`update ballots set closes_at = date_trunc('milliseconds', ${soon}) where id = ${id}`.execute(stage.db);
  await stage.vote(id, agent(1), 1);
  const before = (await stage.row(id)).closesAt!;
  expect((await stage.row(id)).extendedAt).toBeNull();
  await stage.vote(id, agent(2), 2);
  await stage.vote(id, agent(3), 1);
  const { closesAt, extendedAt } = await stage.row(id);
  expect(closesAt!.getTime() - extendedAt!.getTime()).toBe(3_600_000);
  expect(closesAt!.getTime()).toBeGreaterThan(before.getTime());
  await stage.vote(id, agent(4), 1);
  await stage.vote(id, agent(1), 2);
  expect((await stage.row(id)).closesAt).toEqual(closesAt);
  expect(await stage.due(id)).toEqual({ state: 'passed' });
  expect((await read(id))['winner']).toBe(2);
});

test('each step may be done twice: the process dies after it, and nothing is done double', async () => {
  stage.dying.add('openVote').add('closeVote').add('carryOut').add('endEffect');
  const id = await stage.open({ effect: { kind: 'blessing_share' } });
  for (const i of [1, 2, 3]) await stage.vote(id, agent(i), 1);
  expect(await stage.due(id)).toEqual({ state: 'carried_out' });
  expect(stage.dying.size).toBe(0);
  const events = await stage.db.selectFrom('events').select('type').where('subject', '=', id).orderBy('id').execute();
  expect(events.map(({ type }) => type)).toEqual([
    'ballot.proposed',
    'ballot.opened',
    'ballot.quorum_reached',
    'ballot.closed',
    'ballot.carried_out',
  ]);
  expect(await stage.db.selectFrom('blessingShares').select('period').execute()).toEqual([{ period: `ballot:${id}` }]);
  expect(await stage.row(id)).toMatchObject({ state: 'carried_out', reason: 'there was nothing to share' });
  expect(await recount(id)).toMatchObject({ equal: true });
});

test('an effect is carried out where its own option wins, not where another does', async () => {
  const id = await stage.open({ effect: { kind: 'blessing_share' } });
  for (const i of [1, 2, 3]) await stage.vote(id, agent(i), 2);
  expect(await stage.due(id)).toEqual({ state: 'rejected' });
  expect(await read(id)).toMatchObject({ reasonCode: 'AGAINST', winner: 2 });
});

test('an effect needs an operator: to propose it, and to vote on it for agents', async () => {
  const member = await stage.tokenOf(testOwner, 'member');
  const effect = { kind: 'blessing_share' };
  expect((await stage.call('POST', '/ballots', { title: 'Mine', effect }, { by: member })).status).toBe(403);
  const id = await stage.open({ effect });
  const vote = { as: agent(1), choice: 1 };
  expect((await stage.call('PUT', `/ballots/${id}/vote`, vote, { by: member })).status).toBe(403);
  await stage.call('POST', `/ballots/${id}/withdraw`);
  const free = await stage.open();
  expect((await stage.call('PUT', `/ballots/${free}/vote`, vote, { by: member })).status).toBe(200);
  await stage.call('POST', `/ballots/${free}/withdraw`);
});

test('what is no choice of the ballot is refused by its rule, and a dry run writes nothing', async () => {
  const id = await stage.open({ method: 'weighted' });
  for (const choice of [1, [1], { 3: 1 }, { 1: 0 }, { 1: -2 }, 'yes'])
    expect((await stage.vote(id, agent(1), choice)).json).toMatchObject({ code: 'INVALID_INPUT' });
  expect((await stage.vote(id, 'nobody', { 1: 1 })).status).toBe(404);
  // A user votes in a guild alone.
  expect((await stage.call('PUT', `/ballots/${id}/vote`, { choice: { 1: 1 } })).status).toBe(404);
  const dry = await stage.call('PUT', `/ballots/${id}/vote?dryRun=true`, { as: agent(1), choice: { 1: 1 } });
  expect(dry.json).toMatchObject({ dryRun: true });
  expect(await stage.db.selectFrom('votes').select('voterId').where('ballotId', '=', id).execute()).toEqual([]);
  await stage.call('POST', `/ballots/${id}/withdraw`);
  expect((await stage.vote(id, agent(1), { 1: 1 })).json).toMatchObject({ code: 'CONFLICT' });
});

test('a ballot of another owner is not there', async () => {
  const id = await stage.open();
  const by = { by: stage.strangerToken };
  for (const path of ['', '/votes', '/remarks', '/tally', '/recount'])
    expect((await stage.call('GET', `/ballots/${id}${path}`, undefined, by)).status).toBe(404);
  expect((await stage.call('POST', `/ballots/${id}/withdraw`, undefined, by)).status).toBe(404);
  expect((await stage.call('POST', `/ballots/${id}/remarks`, { text: 'Hello' }, by)).status).toBe(404);
  expect((await stage.call('PUT', `/ballots/${id}/vote`, { as: agent(1), choice: 1 }, by)).status).toBe(404);
  expect((await stage.call('GET', '/ballots', undefined, by)).json.items).toEqual([]);
  await stage.call('POST', `/ballots/${id}/withdraw`);
});

test('in a guild its members vote, agents of different owners and users, but no guest', async () => {
  const friend = newId('user');
  await stage.db.insertInto('users').values({ id: friend, name: 'friend', role: 'member' }).execute();
  const guildId = newId('guild');
  const seats = { seatLimit: 9, seatsUsed: 4, requestHash: Buffer.from('x') };
  await stage.db
    .insertInto('guilds')
    .values({ id: guildId, ownerId: testOwner, name: 'Harbour', ...seats })
    .execute();
  const join = (ownerId: string, agentId: string | null, role: string) =>
    stage.db
      .insertInto('guildMembers')
      .values({ id: newId('guildMember'), guildId, ownerId, agentId, role })
      .execute();
  await join(testOwner, null, 'founder');
  await join(testOwner, agent(2), 'member');
  await join(testOwner, agent(3), 'guest');
  await join(friend, null, 'member');
  const id = await stage.open({ guildId, quorum: 60 });
  const by = { by: await stage.tokenOf(friend, 'member') };
  expect(await read(id)).toMatchObject({ guildId, weight: 3 * openingEgo });
  expect((await stage.call('GET', `/ballots/${id}`, undefined, by)).status).toBe(200);
  expect((await stage.call('PUT', `/ballots/${id}/vote`, { choice: 1 }, by)).json).toMatchObject({ voterId: friend });
  expect((await stage.call('PUT', `/ballots/${id}/vote`, { as: agent(2), choice: 1 }, by)).status).toBe(404);
  expect((await stage.vote(id, agent(3), 1)).status).toBe(404);
  expect((await stage.call('PUT', `/ballots/${id}/vote`, { choice: 2 })).status).toBe(200);
  expect((await stage.vote(id, agent(2), 1)).status).toBe(200);
  expect(await stage.due(id)).toEqual({ state: 'passed' });
  expect((await stage.call('POST', '/ballots', { title: 'By a guest', guildId, as: agent(3) })).status).toBe(403);
  expect((await stage.call('POST', '/ballots', { title: 'From outside', guildId, as: agent(4) })).status).toBe(403);
});
