import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountOf } from '../../domain/ledger.ts';
import { sold } from '../../domain/postings.ts';
import { defaultSaleWeights, splitSale } from '../../domain/shares.ts';
import { giveBlessing } from '../../stores/blessings.ts';
import { newId } from '../../stores/ids.ts';
import { balanceOf, postTransfers } from '../../stores/ledger.ts';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { testFleet } from '../support/fleets.ts';
import { addMember } from '../support/guilds.ts';
import { until } from '../support/lab.ts';
import { addPerson, type Person } from '../support/market.ts';
import { testOwner } from '../support/store-scope.ts';

/** What a ballot has decided of drops, guilds and the pool, and what comes between. */

const agents = ['light-001', 'light-002', 'light-003', 'light-004'];
let stage: BallotStage;
beforeAll(async () => {
  const fleet = testFleet({ heavy: 0, light: 4 });
  const quick = { discussion: '0s', vote: '1h', extension: '0s', askedAgents: 0 };
  stage = await openBallotStage({ ...fleet, ballots: { ...fleet.ballots, ...quick } });
});
afterAll(() => stage?.close());

const ended = async (id: string) => {
  const { state, reason, reasonCode, winner } = await stage.row(id);
  return { state, reason, reasonCode, winner };
};
async function decided(ballot: string, choice: number) {
  for (const agent of agents) await stage.vote(ballot, agent, choice);
  return stage.due(ballot);
}
const eventsOf = async (subject: string) => {
  const rows = await stage.db
    .selectFrom('events')
    .select('type')
    .where('subject', '=', subject)
    .orderBy('id')
    .execute();
  return rows.map(({ type }) => type);
};

describe('a drop', () => {
  const waiting = async () => {
    const channel = await keptChannel(stage.db, testOwner, {
      kind: 'feed',
      settings: { title: 'The harbour', siteUrl: 'https://harbour.example' },
      stage: 'approval',
    });
    // In years: here it is looked at, not sent.
    return publishedDrop(stage.db, testOwner, {
      channels: [channel],
      agentId: 'light-001',
      publishAt: new Date(Date.now() + 9e10).toISOString(),
    });
  };
  const dropOf = (id: string) =>
    stage.db
      .selectFrom('drops')
      .select(['state', 'reason', 'approvedBy'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
  const onDrop = (dropId: string) => stage.open({ effect: { kind: 'drop_approval', dropId } });

  test('that waits goes by a yes, once, though the step that did it died', async () => {
    const id = await waiting();
    stage.dying.add('carryOut');
    const ballot = await onDrop(id);
    expect(await decided(ballot, 1)).toEqual({ state: 'carried_out' });
    expect(stage.dying.size).toBe(0);
    expect(await ended(ballot)).toMatchObject({ reason: `${id} is scheduled`, winner: 1 });
    expect(await dropOf(id)).toEqual({ state: 'scheduled', reason: '', approvedBy: ballot });
    expect(await eventsOf(id)).toEqual(['drop.drafted', 'drop.awaiting_approval', 'drop.scheduled']);
    expect((await eventsOf(ballot)).filter((type) => type === 'ballot.carried_out')).toHaveLength(1);
    const notices = await stage.db.selectFrom('notices').select('resolvedAt').where('subject', '=', id).execute();
    expect(notices.map(({ resolvedAt }) => resolvedAt === null)).toEqual([false]);
  });

  test('is taken back by a no, and waits on where nothing was decided', async () => {
    const id = await waiting();
    const few = await onDrop(id);
    expect(await stage.due(few)).toEqual({ state: 'no_quorum' });
    const level = await onDrop(id);
    for (const [i, agent] of agents.entries()) await stage.vote(level, agent, 1 + (i % 2));
    expect(await stage.due(level)).toEqual({ state: 'rejected' });
    expect(await ended(level)).toMatchObject({ reasonCode: 'TIED' });
    expect((await dropOf(id)).state).toBe('awaiting_approval');
    const ballot = await onDrop(id);
    expect(await decided(ballot, 2)).toEqual({ state: 'carried_out' });
    expect(await ended(ballot)).toMatchObject({ reason: `${id} is canceled`, winner: 2 });
    expect(await dropOf(id)).toMatchObject({ state: 'canceled', reason: `rejected by ${ballot}` });
  });

  test('that was changed, or decided by a person, since it was proposed is not decided by the ballot', async () => {
    const changed = await waiting();
    const ballot = await onDrop(changed);
    const edit = await stage.call(
      'PATCH',
      `/drops/${changed}`,
      { body: 'Buy my boat.' },
      { headers: { 'if-match': '"1"' } },
    );
    expect(edit.status).toBe(200);
    expect(await decided(ballot, 1)).toEqual({ state: 'effect_failed' });
    expect((await ended(ballot)).reason).toContain('changed since it was proposed');
    expect(await dropOf(changed)).toMatchObject({ state: 'awaiting_approval', approvedBy: null });

    const approved = await waiting();
    const late = await onDrop(approved);
    expect((await stage.call('POST', `/drops/${approved}/approve`)).status).toBe(200);
    expect(await decided(late, 2)).toEqual({ state: 'effect_failed' });
    expect((await ended(late)).reason).toContain('is scheduled');
    expect((await dropOf(approved)).state).toBe('scheduled');
  });

  test('is decided once where the process dies between the effect and its record', async () => {
    const id = await waiting();
    const ballot = await onDrop(id);
    for (const agent of agents) await stage.vote(ballot, agent, 1);
    const killed = await killedWhileWaiting(
      () => stage.due(ballot),
      sql`select from drops where id = ${id} for update`,
    );
    expect(killed).toEqual({ state: 'carried_out' });
    expect(await eventsOf(id)).toEqual(['drop.drafted', 'drop.awaiting_approval', 'drop.scheduled']);
    expect((await eventsOf(ballot)).filter((type) => type === 'ballot.carried_out')).toHaveLength(1);
  });

  test('is proposed while it waits, with a yes and a no, by an operator, and by nobody whose it is not', async () => {
    const id = await waiting();
    const asked = (body: object, by = stage.token) =>
      stage.call(
        'POST',
        '/ballots',
        { title: 'The tide', effect: { kind: 'drop_approval', dropId: id }, ...body },
        { by },
      );
    expect((await asked({ options: ['Yes', 'No', 'Later'] })).json).toMatchObject({
      code: 'INVALID_INPUT',
      errors: [{ path: 'options' }],
    });
    expect((await asked({}, stage.strangerToken)).status).toBe(404);
    expect((await asked({}, await stage.tokenOf(testOwner, 'creator'))).status).toBe(403);
    expect((await stage.call('POST', `/drops/${id}/reject`, { reason: 'No.' })).status).toBe(200);
    expect((await asked({})).json).toMatchObject({ code: 'CONFLICT' });
  });
});

/** The effect's transaction waits for a lock that is held here, and its process is gone before it has it. */
async function killedWhileWaiting<Result>(go: () => Promise<Result>, lock: ReturnType<typeof sql>): Promise<Result> {
  const held = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const holding = stage.db.transaction().execute(async (tx) => {
    await lock.execute(tx);
    held.resolve();
    await letGo.promise;
  });
  await held.promise;
  const going = go();
  await until('the effect waits, and is killed', async () => {
    const { rows } = await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock'`.execute(stage.db);
    return rows.length > 0;
  });
  letGo.resolve();
  await holding;
  return going;
}

describe('a guild', () => {
  let friend: Person;
  const as = (person: Person) => ({ by: person.token });
  beforeAll(async () => {
    friend = await addPerson(stage.db, 'friend');
  });
  async function founded(): Promise<string> {
    const made = await stage.call('POST', '/guilds', { name: 'The Night Watch', seats: 4 });
    const id = made.json['id'] as string;
    await addMember(stage.db, id, { ownerId: friend.ownerId });
    await addMember(stage.db, id, { ownerId: testOwner, agentId: 'light-001' });
    return id;
  }
  /** Proposed by a member, and carried by all. */
  async function ruled(guildId: string, effect: Record<string, unknown>): Promise<string> {
    const ballot = await stage.open({ guildId, effect }, friend.token);
    await allVote(ballot);
    await stage.due(ballot);
    return ballot;
  }
  async function allVote(ballot: string): Promise<void> {
    for (const by of [stage.token, friend.token])
      expect((await stage.call('PUT', `/ballots/${ballot}/vote`, { choice: 1 }, { by })).status).toBe(200);
  }
  const rule = (name: string, value: string | number) => ({ kind: 'guild_rule', rule: { name, value } });
  const read = async (id: string) => (await stage.call('GET', `/guilds/${id}`)).json;

  test('keeps a rule on who may invite, which its table of rights no longer says', async () => {
    const guildId = await founded();
    const invite = (by: { by: string }) =>
      stage.call(
        'POST',
        `/guilds/${guildId}/invites?dryRun=true`,
        { link: {}, role: 'guest' },
        { ...by, headers: { 'idempotency-key': newId('request') } },
      );
    expect((await invite(as(friend))).status).toBe(200);
    stage.dying.add('carryOut');
    const ballot = await ruled(guildId, rule('invite', 'elder'));
    expect(stage.dying.size).toBe(0);
    expect(await ended(ballot)).toMatchObject({ state: 'carried_out', reason: `${guildId} has ruled invite elder` });
    expect(await read(guildId)).toMatchObject({ rules: [{ name: 'invite', value: 'elder', ballotId: ballot }] });
    const refused = await invite(as(friend));
    expect(refused.json).toMatchObject({ code: 'FORBIDDEN', detail: expect.stringContaining(ballot) as string });
    expect((await invite({ by: stage.token })).status).toBe(200);
    const trail = (await stage.call('GET', `/guilds/${guildId}/events`)).json.items as unknown as object[];
    const data = { rule: 'invite', value: 'elder', ballotId: ballot };
    expect(trail.filter((event) => 'action' in event && event.action === 'ruled')).toMatchObject([
      { actorId: null, data },
    ]);
  });

  test('that has ruled its seats has them changed by another ballot alone, and never to fewer than are taken', async () => {
    const guildId = await founded();
    await ruled(guildId, rule('seats', 3));
    expect(await read(guildId)).toMatchObject({ seats: 3, seatsUsed: 3 });
    expect((await stage.call('POST', `/guilds/${guildId}/resize`, { seats: 9 })).status).toBe(403);
    const fewer = await ruled(guildId, rule('seats', 2));
    expect(await ended(fewer)).toMatchObject({ state: 'effect_failed' });
    expect((await ended(fewer)).reason).toContain('3 seats');
    const more = await ruled(guildId, rule('seats', 5));
    expect(await read(guildId)).toMatchObject({ seats: 5, rules: [{ name: 'seats', value: 5, ballotId: more }] });
  });

  test('is closed by a ballot where its founder may close it no more, and a rule comes too late for it then', async () => {
    const guildId = await founded();
    await ruled(guildId, rule('close', 'ballot'));
    expect((await stage.call('POST', `/guilds/${guildId}/close`, {})).status).toBe(403);
    const closing = await stage.open({ guildId, effect: { kind: 'guild_close' } }, friend.token);
    const ruling = await stage.open({ guildId, effect: rule('seats', 9) });
    await allVote(ruling);
    await allVote(closing);
    stage.dying.add('carryOut');
    expect(await stage.due(closing)).toEqual({ state: 'carried_out' });
    expect(await read(guildId)).toMatchObject({ state: 'closed', seatsUsed: 0 });
    expect(await stage.due(ruling)).toEqual({ state: 'effect_failed' });
    expect((await ended(ruling)).reason).toContain('is closed');
  });

  test('binds itself by no laxer terms than the fleet’s, and only itself', async () => {
    const guildId = await founded();
    const asked = (body: object) =>
      stage.call('POST', '/ballots', { title: 'Mine', guildId, effect: { kind: 'guild_close' }, ...body }, as(friend));
    for (const [field, value] of [
      ['quorum', 19],
      ['threshold', 49],
      ['vote', '59m'],
    ] as const)
      expect((await asked({ [field]: value })).json).toMatchObject({
        code: 'INVALID_INPUT',
        errors: [{ path: field }],
      });
    expect((await asked({ guildId: undefined })).json).toMatchObject({ errors: [{ path: 'guildId' }] });
    expect((await asked({ guildId: newId('guild') })).status).toBe(404);
    expect((await asked({ effect: rule('seats', 10_000) })).json).toMatchObject({
      errors: [{ path: 'effect.rule.value' }],
    });
  });
});

describe('the blessing pool', () => {
  test('is shared out once, by the ballot that says so, though its step died and another came', async () => {
    const [maker, giver] = [await addPerson(stage.db, 'maker', 'creator'), await addPerson(stage.db, 'giver')];
    await stage.db.updateTable('agents').set({ ownerId: maker.ownerId }).where('id', '=', 'light-004').execute();
    const split = splitSale(1_000, 0, {
      weights: defaultSaleWeights,
      creators: [{ userId: maker.ownerId, weight: 1 }],
    });
    const sale = sold({ purchaseId: 'pur_sold', currency: 'EUR', from: accountOf.outside('stripe'), split })!;
    await stage.db.transaction().execute(async (tx) => {
      await postTransfers(tx, { ownerId: testOwner, madeBy: 'test' }, [sale]);
      await giveBlessing(tx, { dropId: 'drop-1', agentId: 'light-004', giver: { userId: giver.ownerId } });
    });
    stage.dying.add('carryOut');
    const ballot = await stage.open({ effect: { kind: 'blessing_share' } });
    for (const agent of agents.slice(0, 3)) await stage.vote(ballot, agent, 1);
    expect(await stage.due(ballot)).toEqual({ state: 'carried_out' });
    expect((await ended(ballot)).reason).toBe('100 of 100 EUR for 1 blessings');
    expect(await balanceOf(stage.db, testOwner, accountOf.creator(maker.ownerId), 'EUR')).toBe(700 + 100);
    expect(await balanceOf(stage.db, testOwner, accountOf.blessings(), 'EUR')).toBe(0);
  });
});
