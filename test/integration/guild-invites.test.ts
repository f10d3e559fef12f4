import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inviteWorkflowId } from '../../domain/ids.ts';
import { newId } from '../../stores/ids.ts';
import { createMailStore } from '../../stores/mails.ts';
import { findMail } from '../../stores/queries/mails.ts';
import type { Answer } from '../support/api.ts';
import { testFleet } from '../support/fleets.ts';
import { addMember, type GuildHall, guildMemberId, openGuildHall } from '../support/guilds.ts';
import { until } from '../support/lab.ts';
import { addPerson, type Person } from '../support/market.ts';
import { applyFleet } from '../support/outbound.ts';

const usual = { invitesPerDay: 300, pendingInvites: 100, agentsAnswer: false };
let hall: GuildHall;
beforeAll(async () => {
  hall = await openGuildHall({ guilds: usual });
}, 60_000);
afterAll(() => hall?.close(), 60_000);

const code = ({ status, json }: Answer) => (status < 300 ? status : json['code']);
const tally = (answers: Answer[]) => {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[String(code(answer))] = (counts[String(code(answer))] ?? 0) + 1;
  return counts;
};
const people = (count: number, name: string): Promise<Person[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => addPerson(hall.db, `${name}-${i}`)));
const overdue = (id: string) =>
  sql`update guild_invites set created_at = now() - interval '2 days', expires_at = now() - interval '1 second'
    where id = ${id}`.execute(hall.db);
const settings = (guilds: Partial<typeof usual>) =>
  applyFleet(hall.db, hall.api.ownerId, {
    guilds: { ...testFleet().guilds, ...usual, ...guilds },
    limits: { ...testFleet().limits, requestsPerMinute: 50_000 },
  });
const operator = () => ({ ownerId: hall.api.ownerId, token: hall.api.tokens.operator });

test('an invited user sees it in the inbox, joins once, and a retried accept is answered the same', async () => {
  const guild = await hall.found();
  const ben = await addPerson(hall.db, 'ben');
  const { id } = await hall.sent(guild, { userId: ben.ownerId, message: 'Come and watch.' });
  expect(await hall.notices(ben.ownerId)).toEqual(['You are invited to the guild “The Night Watch”']);
  expect((await hall.api.call('GET', '/v1/invites?box=received', { token: ben.token })).json.items).toMatchObject([
    { id, state: 'pending', inviterName: 'founder', role: 'member', message: 'Come and watch.' },
  ]);
  expect((await hall.api.call('GET', `/v1/invites/${id}`, { token: ben.token })).json['links']).toEqual(
    hall.api.linksTo(inviteWorkflowId(id)),
  );
  const first = await hall.say('accept', id, ben);
  expect(first.json).toMatchObject({ inviteId: id, guildId: guild, role: 'member' });
  const again = await hall.say('accept', id, ben);
  expect(again.json).toEqual(first.json);
  expect([first, again].map(({ headers }) => headers['idempotent-replayed'])).toEqual([undefined, 'true']);
  expect(await hall.ended(id)).toEqual({ inviteId: id, state: 'accepted' });
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 2, members: 2, uses: 1 });
  expect(await hall.notices(ben.ownerId)).toEqual([]);
  // Gone again, the old invitation is no way back.
  expect((await hall.api.call('POST', `/v1/guilds/${guild}/leave`, { token: ben.token })).status).toBe(204);
  expect(code(await hall.say('accept', id, ben))).toBe('CONFLICT');
});

test('the same Idempotency-Key invites once; its link is shown to the first alone, and only its hash is kept', async () => {
  const guild = await hall.found();
  const body = { link: { uses: 3 } };
  const answers = await Promise.all(Array.from({ length: 10 }, () => hall.invite(guild, body, { key: 'same' })));
  expect(new Set(answers.map(({ json }) => json['id'])).size).toBe(1);
  const shown = answers.map(({ json }) => json['token']).filter((token) => token !== undefined);
  expect(shown).toHaveLength(1);
  expect(code(await hall.invite(guild, { link: { uses: 4 } }, { key: 'same' }))).toBe('CONFLICT');
  const kept = await hall.db
    .selectFrom('guildInviteTokens')
    .selectAll()
    .where('inviteId', '=', answers[0]!.json['id'] as string)
    .execute();
  expect(kept.map(({ hash }) => hash.toString('hex'))).toEqual([
    createHash('sha256')
      .update(shown[0] as string)
      .digest('hex'),
  ]);
});

test('200 accepts at once by targeted invitations on 3 seats: exactly 3 are in, and no use is burned', async () => {
  const guild = await hall.found({ seats: 4 });
  const crowd = await people(90, 'targeted');
  const sent: Array<{ id: string; person: Person }> = [];
  for (const person of crowd) sent.push({ id: (await hall.sent(guild, { userId: person.ownerId })).id, person });
  // Each asks twice, some thrice.
  const asks = [...sent, ...sent, ...sent.slice(0, 20)];
  const answers = await Promise.all(asks.map(({ id, person }) => hall.say('accept', id, person)));
  expect(answers).toHaveLength(200);
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 4, members: 4, uses: 3 });
  const let_in = new Set(answers.filter(({ status }) => status === 200).map(({ json }) => json['memberId']));
  expect(let_in.size).toBe(3);
  expect(Object.keys(tally(answers)).toSorted()).toEqual(['200', 'GUILD_FULL']);
}, 120_000);

test('200 accepts at once by a link on 3 seats: exactly 3 are in', async () => {
  const guild = await hall.found({ seats: 4 });
  const { token } = await hall.sent(guild, { link: {} });
  const crowd = await people(200, 'linked');
  const answers = await Promise.all(crowd.map((person) => hall.use(token, person)));
  expect(tally(answers)).toEqual({ 200: 3, GUILD_FULL: 197 });
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 4, members: 4, uses: 3 });
}, 120_000);

test('200 accepts at once by targeted invitations and by two links on 3 seats: exactly 3 are in', async () => {
  const guild = await hall.found({ seats: 4 });
  const links = [await hall.sent(guild, { link: { uses: 100 } }), await hall.sent(guild, { link: {} })];
  const targeted = await people(40, 'both');
  const sent: string[] = [];
  for (const person of targeted) sent.push((await hall.sent(guild, { userId: person.ownerId })).id);
  const others = await people(80, 'other');
  const answers = await Promise.all([
    ...targeted.flatMap((person, i) => [hall.say('accept', sent[i]!, person), hall.use(links[i % 2]!.token, person)]),
    ...others.flatMap((person, i) => [hall.use(links[i % 2]!.token, person)]),
    ...others.slice(0, 40).map((person, i) => hall.use(links[(i + 1) % 2]!.token, person)),
  ]);
  expect(answers).toHaveLength(200);
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 4, members: 4, uses: 3 });
  const members = new Set(answers.filter(({ status }) => status === 200).map(({ json }) => json['memberId']));
  expect(members.size).toBe(3);
}, 120_000);

test('a link of 5 uses lets 5 in, each once, and is used up; a retried accept burns no second use', async () => {
  const guild = await hall.found({ seats: 100 });
  const { id, token } = await hall.sent(guild, { link: { uses: 5 }, role: 'guest' });
  const crowd = await people(12, 'five');
  const answers = await Promise.all(crowd.flatMap((person) => [0, 1, 2].map(() => hall.use(token, person))));
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 6, members: 6, uses: 5 });
  expect(tally(answers)).toEqual({ 200: 15, INVITE_ENDED: 21 });
  expect(await hall.ended(id)).toEqual({ inviteId: id, state: 'used_up' });
  // Those who are in are still answered the same.
  const first = answers.find(({ status }) => status === 200)!;
  const who = crowd[Math.floor(answers.indexOf(first) / 3)]!;
  expect((await hall.use(token, who)).json).toEqual(first.json);
});

test('accept after expiry: refused by the database’s clock although the workflow is late, with nothing granted', async () => {
  const guild = await hall.found();
  const ben = await addPerson(hall.db, 'late');
  const { id } = await hall.sent(guild, { userId: ben.ownerId });
  await overdue(id);
  // Its workflow waits for another time: the row says pending.
  expect((await hall.row(id)).state).toBe('pending');
  expect((await hall.api.call('GET', `/v1/invites/${id}`, { token: ben.token })).json['state']).toBe('expired');
  for (const verb of ['accept', 'decline']) expect(code(await hall.say(verb, id, ben))).toBe('INVITE_ENDED');
  for (const verb of ['revoke', 'resend']) expect(code(await hall.say(verb, id, hall.founder))).toBe('INVITE_ENDED');
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 1, members: 1, uses: 0 });
  const link = await hall.sent(guild, { link: {}, expiresIn: '1h' });
  await overdue(link.id);
  expect(code(await hall.use(link.token, ben))).toBe('INVITE_ENDED');
  expect(code(await hall.api.call('POST', '/v1/invites/preview', { token: null, body: { token: link.token } }))).toBe(
    'INVITE_ENDED',
  );
});

test('a dead invitation never blocks a new one: declined, revoked, expired, and expired with a late workflow', async () => {
  const guild = await hall.found();
  const ben = await addPerson(hall.db, 'again');
  const to = { userId: ben.ownerId };
  const open = await hall.sent(guild, to);
  expect((await hall.invite(guild, to)).json).toMatchObject({ code: 'CONFLICT' });
  expect((await hall.say('decline', open.id, ben, { reason: 'no time' })).json).toEqual({
    inviteId: open.id,
    state: 'declined',
  });
  expect(await hall.ended(open.id)).toEqual({ inviteId: open.id, state: 'declined' });
  const second = await hall.sent(guild, to);
  expect((await hall.say('revoke', second.id, hall.founder, { reason: 'wrong one' })).json).toMatchObject({
    state: 'revoked',
    reason: 'wrong one',
  });
  const third = await hall.sent(guild, to);
  await overdue(third.id);
  const fourth = await hall.sent(guild, to);
  expect((await hall.row(third.id)).state).toBe('expired');
  expect((await hall.say('accept', fourth.id, ben)).status).toBe(200);
  expect(code(await hall.say('accept', open.id, ben))).toBe('INVITE_ENDED');
});

test('sent again it keeps its id, another secret opens it and the old one opens nothing', async () => {
  const guild = await hall.found();
  const [ben, eve] = await people(2, 'resent');
  const { id, token } = await hall.sent(guild, { link: {} });
  const again = await hall.say('resend', id, hall.founder);
  expect(again.json).toMatchObject({ id, state: 'pending', resends: 1 });
  const fresh = again.json['token'] as string;
  expect(fresh).not.toBe(token);
  expect(code(await hall.use(token, eve!))).toBe('NOT_FOUND');
  expect((await hall.use(fresh, ben!)).status).toBe(200);
  for (let i = 0; i < 4; i += 1) expect((await hall.say('resend', id, hall.founder)).status).toBe(200);
  expect(code(await hall.say('resend', id, hall.founder))).toBe('INVITE_LIMIT');
});

test('revoke racing accept has one winner, every time', async () => {
  const guild = await hall.found({ seats: 40 });
  const crowd = await people(30, 'race');
  const outcomes = { accepted: 0, revoked: 0 };
  for (const [i, person] of crowd.entries()) {
    const { id } = await hall.sent(guild, { userId: person.ownerId });
    const asks = [() => hall.say('accept', id, person), () => hall.say('revoke', id, hall.founder)];
    const answers = await Promise.all((i % 2 === 0 ? asks : asks.toReversed()).map((ask) => ask()));
    const { state } = await hall.row(id);
    expect(tally(answers)).toEqual({ 200: 1, INVITE_ENDED: 1 });
    const { rows } = await sql`select from guild_invite_uses where invite_id = ${id}`.execute(hall.db);
    expect([state, rows.length]).toEqual(state === 'accepted' ? ['accepted', 1] : ['revoked', 0]);
    outcomes[state as 'accepted'] += 1;
  }
  const { members } = await hall.counts(guild);
  expect(members).toBe(1 + outcomes.accepted);
}, 120_000);

test('limits hold for a crowd that sends at once: by inviter and day, and open in one guild', async () => {
  await settings({ invitesPerDay: 60, pendingInvites: 20 });
  const busy = await addPerson(hall.db, 'busy');
  const [one, two, three, four] = await Promise.all([1, 2, 3, 4].map(() => hall.found({ by: busy })));
  /** Some of a crowd are answered 202 while the worker has more to do, so that the rows and the workflows tell. */
  async function send(guild: string, count: number) {
    const answers = await Promise.all(
      Array.from({ length: count }, () => hall.invite(guild, { link: { uses: 1 } }, { by: busy })),
    );
    const ids = answers.flatMap(({ headers }) => (headers['location'] ?? '').toString().match(/inv_.*/) ?? []);
    const opened = async () =>
      new Set(
        (await hall.db.selectFrom('guildInvites').select('id').where('guildId', '=', guild).execute()).map(
          ({ id }) => id,
        ),
      );
    const refused: unknown[] = [];
    for (const id of ids) {
      if ((await opened()).has(id)) continue;
      const asked = await hall.client.workflow
        .getHandle(`invite:${id}`)
        .describe()
        .catch(() => undefined);
      // Without a workflow it was refused before there was one.
      if (asked === undefined) continue;
      await until(
        `${id} was sent or refused`,
        async () =>
          (await opened()).has(id) ||
          (await hall.client.workflow.getHandle(`invite:${id}`).describe()).status.name === 'COMPLETED',
      );
      if (!(await opened()).has(id)) refused.push(await hall.ended(id));
    }
    for (const end of refused) expect(end).toMatchObject({ state: 'refused', code: 'INVITE_LIMIT' });
    return (await opened()).size;
  }
  expect(await send(one!, 40)).toBe(20);
  expect([await send(two!, 20), await send(three!, 30)]).toEqual([20, 20]);
  expect(code(await hall.invite(four!, { link: {} }, { by: busy }))).toBe('INVITE_LIMIT');
  // To be sent again counts as being sent.
  const { json } = await hall.api.call('GET', `/v1/guilds/${one}/invites?limit=1`, { token: busy.token });
  expect(code(await hall.say('resend', json.items[0]!['id'] as string, busy))).toBe('INVITE_LIMIT');
  await settings(usual);
}, 120_000);

test('an agent is invited: its owner answers for it, it remembers that it joined, and nobody else may answer', async () => {
  const guild = await hall.found();
  await addMember(hall.db, guild, { ownerId: hall.api.ownerId, role: 'guest' });
  // Of an agent that the inviter shares no guild with nothing is known.
  expect(code(await hall.invite(guild, { agentId: 'light-001' }))).toBe('NOT_FOUND');
  const shared = await hall.found({ by: operator() });
  await addMember(hall.db, shared, { ownerId: hall.founder.ownerId, role: 'elder' });
  const { id } = await hall.sent(shared, { agentId: 'light-001' }, { by: operator() });
  expect(await hall.row(id)).toMatchObject({ waitsFor: 'owner', targetAgentId: 'light-001' });
  expect(await hall.notices(hall.api.ownerId)).toContain('light-001 is invited to the guild “The Night Watch”');
  expect(code(await hall.say('accept', id, hall.founder))).toBe('FORBIDDEN');
  expect((await hall.say('accept', id, operator())).json).toMatchObject({ inviteId: id });
  const memory = await hall.db
    .selectFrom('memories')
    .select(['text', 'kind', 'source'])
    .where('agentId', '=', 'light-001')
    .where('source', '=', 'guild')
    .execute();
  expect(memory).toEqual([
    {
      text: 'I joined the guild "The Night Watch" as member, invited by operator.',
      kind: 'observation',
      source: 'guild',
    },
  ]);
  // By now the other guild's founder shares a guild with it.
  expect((await hall.invite(guild, { agentId: 'light-001' })).status).toBe(201);
});

test('an agent joins by a link of its owner’s, and an agent of somebody else’s does not', async () => {
  const guild = await hall.found();
  const { token } = await hall.sent(guild, { link: {} });
  expect((await hall.use(token, operator(), 'light-002')).status).toBe(200);
  expect((await hall.use(token, operator())).status).toBe(200);
  const ben = await addPerson(hall.db, 'taker');
  expect(code(await hall.use(token, ben, 'light-003'))).toBe('NOT_FOUND');
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 3, members: 3, uses: 2 });
});

test('who joins by one invitation ends the others to them; who is a member uses no link', async () => {
  const guild = await hall.found();
  const ben = await addPerson(hall.db, 'twice');
  const { id } = await hall.sent(guild, { userId: ben.ownerId });
  const link = await hall.sent(guild, { link: { uses: 2 } });
  expect((await hall.use(link.token, ben)).status).toBe(200);
  expect(await hall.row(id)).toMatchObject({ state: 'revoked', reason: `joined by ${link.id}` });
  const other = await hall.sent(guild, { link: { uses: 2 } });
  expect(code(await hall.use(other.token, ben))).toBe('CONFLICT');
  expect((await hall.row(other.id)).uses).toBe(0);
});

test('expelling revokes what they sent and ends the way back by links; an invitation to them opens it again', async () => {
  const guild = await hall.found();
  const [ben, eve] = await people(2, 'out');
  await addMember(hall.db, guild, { ownerId: ben!.ownerId, role: 'elder' });
  const theirs = await hall.sent(guild, { link: {} }, { by: ben! });
  const ours = await hall.sent(guild, { link: {} });
  const memberId = await guildMemberId(hall.db, guild, ben!);
  const body = { memberId, reason: 'spam' };
  expect((await hall.api.call('POST', `/v1/guilds/${guild}/expel`, { token: hall.founder.token, body })).status).toBe(
    200,
  );
  expect(code(await hall.use(theirs.token, eve!))).toBe('INVITE_ENDED');
  expect(await hall.ended(theirs.id)).toEqual({ inviteId: theirs.id, state: 'revoked' });
  expect(code(await hall.use(ours.token, ben!))).toBe('FORBIDDEN');
  const back = await hall.sent(guild, { userId: ben!.ownerId });
  expect((await hall.say('accept', back.id, ben!)).status).toBe(200);
});

test('closing a guild ends its open invitations, and each of their workflows', async () => {
  const guild = await hall.found();
  const [ben, eve] = await people(2, 'closing');
  const targeted = await hall.sent(guild, { userId: ben!.ownerId });
  const link = await hall.sent(guild, { link: {}, expiresIn: 'never' });
  expect((await hall.api.call('POST', `/v1/guilds/${guild}/close`, { token: hall.founder.token })).status).toBe(200);
  for (const { id } of [targeted, link]) expect(await hall.ended(id)).toEqual({ inviteId: id, state: 'revoked' });
  expect(code(await hall.say('accept', targeted.id, ben!))).toBe('INVITE_ENDED');
  expect(code(await hall.use(link.token, eve!))).toBe('INVITE_ENDED');
  expect(await hall.notices(ben!.ownerId)).toEqual([]);
  expect(code(await hall.invite(guild, { link: {} }))).toBe('CONFLICT');
  const { json } = await hall.api.call('GET', `/v1/guilds/${guild}/events`, { token: hall.founder.token });
  expect(json.items.map(({ seq }) => seq)).toEqual([7, 6, 5, 4, 3, 2, 1]);
});

test('an invitation that ended before its mail left is not mailed', async () => {
  // Nobody relays mails here: it is taken up by hand.
  const { id } = await hall.sent(await hall.found(), { address: 'early@harbour.example' });
  const mail = await hall.db
    .selectFrom('mails')
    .select('id')
    .where('key', 'like', `guild_invite:${id}:%`)
    .executeTakeFirstOrThrow();
  const mails = createMailStore(hall.db);
  const turn = await mails.turn(mail.id, { signUpOpen: true });
  if (!('send' in turn)) throw new Error('it was to be sent');
  expect((await hall.say('revoke', id, hall.founder)).status).toBe(200);
  expect(await mails.begin(turn.send)).toBeUndefined();
  expect(await findMail(hall.db, hall.api.ownerId, mail.id)).toMatchObject({
    state: 'failed',
    reason: 'the invitation has ended',
    attempts: [],
  });
});

test('who is not concerned sees no invitation: 404; members without oversight see their own alone', async () => {
  const guild = await hall.found();
  const [ben, eve, cleo] = await people(3, 'seen');
  await addMember(hall.db, guild, { ownerId: cleo!.ownerId });
  const { id } = await hall.sent(guild, { userId: ben!.ownerId });
  const as = (by: Person) => ({ token: by.token });
  expect((await hall.api.call('GET', `/v1/invites/${id}`, as(eve!))).status).toBe(404);
  for (const verb of ['accept', 'decline', 'revoke', 'resend'])
    expect([verb, (await hall.say(verb, id, eve!)).status]).toEqual([verb, 404]);
  expect((await hall.api.call('GET', `/v1/guilds/${guild}/invites`, as(eve!))).status).toBe(404);
  expect((await hall.invite(guild, { link: {} }, { by: eve! })).status).toBe(404);
  expect((await hall.api.call('GET', `/v1/guilds/${guild}/invites`, as(cleo!))).json.items).toEqual([]);
  expect((await hall.say('revoke', id, cleo!)).status).toBe(404);
  // Who is invited sees it and may not take it back.
  expect((await hall.say('revoke', id, ben!)).status).toBe(404);
  expect(code(await hall.invite(guild, { link: {}, role: 'member' }, { by: cleo! }))).toBe('FORBIDDEN');
  expect((await hall.invite(guild, { link: {}, role: 'guest' }, { by: cleo! })).status).toBe(201);
  expect((await hall.api.call('GET', `/v1/guilds/${guild}/invites`, as(cleo!))).json.items).toHaveLength(1);
  expect((await hall.api.call('GET', `/v1/guilds/${guild}/invites`, as(hall.founder))).json.items).toHaveLength(2);
});

test('what never can be is refused at once and leaves nothing', async () => {
  const guild = await hall.found();
  const ben = await addPerson(hall.db, 'refused');
  await addMember(hall.db, guild, { ownerId: ben.ownerId });
  const before = await hall.api.rowCounts();
  const refusals: Array<[Record<string, unknown>, string]> = [
    [{}, 'INVALID_INPUT'],
    [{ link: {}, userId: ben.ownerId }, 'INVALID_INPUT'],
    [{ link: { uses: 101 } }, 'INVALID_INPUT'],
    [{ link: { uses: 0 } }, 'INVALID_INPUT'],
    [{ link: {}, expiresIn: '31d' }, 'INVALID_INPUT'],
    [{ link: {}, expiresIn: '10s' }, 'INVALID_INPUT'],
    [{ link: {}, expiresIn: 'soon' }, 'INVALID_INPUT'],
    [{ link: {}, role: 'founder' }, 'INVALID_INPUT'],
    [{ link: {}, message: ' ' }, 'INVALID_INPUT'],
    [{ userId: ben.ownerId, expiresIn: 'never' }, 'INVALID_INPUT'],
    [{ address: 'not an address' }, 'INVALID_INPUT'],
    [{ userId: newId('user') }, 'NOT_FOUND'],
    [{ agentId: 'nobody-001' }, 'NOT_FOUND'],
    [{ userId: ben.ownerId }, 'CONFLICT'],
    [{ userId: hall.founder.ownerId }, 'CONFLICT'],
  ];
  for (const [body, refusal] of refusals) expect([body, code(await hall.invite(guild, body))]).toEqual([body, refusal]);
  expect(code(await hall.use(`sfi_${'a'.repeat(43)}`, ben))).toBe('NOT_FOUND');
  expect(code(await hall.use('sfi_short', ben))).toBe('INVALID_INPUT');
  expect(code(await hall.say('accept', newId('invite'), ben))).toBe('NOT_FOUND');
  const dry = await hall.api.call('POST', `/v1/guilds/${guild}/invites?dryRun=true`, {
    token: hall.founder.token,
    headers: { 'idempotency-key': 'dry' },
    body: { link: {} },
  });
  expect(dry.json).toMatchObject({ dryRun: true });
  expect(await hall.api.rowCounts()).toEqual(before);
});

test('looks without being signed in are counted by address', async () => {
  const guild = await hall.found();
  const { token } = await hall.sent(guild, { link: {}, expiresIn: '1d' });
  const look = (secret: string) =>
    hall.api.call('POST', '/v1/invites/preview', { token: null, body: { token: secret } });
  const seen = await look(token);
  expect(seen.json).toEqual({ guild: 'The Night Watch', inviter: 'founder', expiresAt: expect.any(String) });
  expect(code(await hall.api.call('POST', '/v1/invites/join', { token: null, body: { token } }))).toBe(
    'UNAUTHENTICATED',
  );
  const guesses: Answer[] = [];
  for (let i = 0; i < 70; i += 1) guesses.push(await look(`sfi_${String(i).padStart(43, '0')}`));
  expect(Object.keys(tally(guesses))).toEqual(['NOT_FOUND', 'RATE_LIMITED']);
  // A right one is not told from a wrong one either.
  expect(code(await look(token))).toBe('RATE_LIMITED');
});
