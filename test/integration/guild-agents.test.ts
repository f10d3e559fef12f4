import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentState } from '../../domain/states.ts';
import type { Answer } from '../support/api.ts';
import { testFleet } from '../support/fleets.ts';
import { addMember, type GuildHall, guildMemberId, openGuildHall } from '../support/guilds.ts';
import { addPerson, type Person } from '../support/market.ts';
import { applyFleet } from '../support/outbound.ts';

/** What becomes of the seats and invitations of agents that are retired or dormant, and of those whose owner is deleted. */
let hall: GuildHall;
let operator: Person;
beforeAll(async () => {
  hall = await openGuildHall();
  await applyFleet(hall.db, hall.api.ownerId, testFleet({ heavy: 1, light: 6 }));
  operator = { ownerId: hall.api.ownerId, token: hall.api.tokens.operator };
}, 60_000);
afterAll(() => hall?.close(), 60_000);

const code = ({ status, json }: Answer) => (status < 300 ? 'ok' : json['code']);
const act = async (guild: string, verb: string, body: Record<string, unknown>) =>
  code(await hall.api.call('POST', `/v1/guilds/${guild}/${verb}`, { token: operator.token, body }));
const invite = async (guild: string, body: Record<string, unknown>) =>
  code(await hall.invite(guild, body, { by: operator }));
const retire = async (agentId: string) =>
  expect((await hall.api.call('POST', `/v1/agents/${agentId}/retire`, { token: operator.token })).status).toBe(200);
const setState = (agentId: string, state: AgentState) =>
  sql`update agents set state = ${state}, retired_by = null where id = ${agentId}`.execute(hall.db);
async function foundedBy(agentId: string): Promise<string> {
  const body = { name: 'The Night Watch', seats: 9, as: agentId };
  const made = await hall.api.call('POST', '/v1/guilds', { token: operator.token, body });
  expect(made.status).toBe(201);
  return made.json['id'] as string;
}
async function dormantOf(owner: Person, id: string): Promise<string> {
  await sql`update agents set owner_id = ${owner.ownerId}, state = 'dormant' where id = ${id}`.execute(hall.db);
  return id;
}
const memoriesOf = async (agentId: string) => {
  const { rows } = await sql`select from memories where agent_id = ${agentId} and source = 'guild'`.execute(hall.db);
  return rows.length;
};

test('a retired founder keeps its seat: its owner hands over, expels and leaves by it, and it invites nobody', async () => {
  const guild = await foundedBy('light-001');
  const { id } = await hall.sent(guild, { link: {}, as: 'light-001' }, { by: operator });
  const ben = await addPerson(hall.db, 'ben');
  const eve = await addPerson(hall.db, 'eve');
  const heir = await addMember(hall.db, guild, { ownerId: ben.ownerId });
  const out = await addMember(hall.db, guild, { ownerId: eve.ownerId });
  await retire('light-001');
  expect(await hall.counts(guild)).toMatchObject({ seatsUsed: 3 });

  const as = 'light-001';
  expect(await invite(guild, { link: {}, as })).toBe('AGENT_RETIRED');
  expect(code(await hall.say('resend', id, operator, { as }))).toBe('AGENT_RETIRED');
  expect(code(await hall.api.call('POST', '/v1/guilds', { body: { name: 'Other', seats: 2, as } }))).toBe(
    'AGENT_RETIRED',
  );
  expect(await act(guild, 'rename', { name: 'The Lamps', as })).toBe('ok');
  expect(await act(guild, 'expel', { memberId: out, as })).toBe('ok');
  expect(code(await hall.say('revoke', id, operator, { as }))).toBe('ok');
  expect(await act(guild, 'leave', { as })).toBe('CONFLICT');
  expect(await act(guild, 'transfer', { memberId: heir, as })).toBe('ok');
  expect(await act(guild, 'leave', { as })).toBe('ok');
  expect(await hall.counts(guild)).toMatchObject({ seatsUsed: 1 });
});

test('where a founder is retired who comes next takes over by themselves, and nobody else does', async () => {
  await setState('light-001', 'active');
  const guild = await foundedBy('light-001');
  const [ben, eve] = [await addPerson(hall.db, 'ben'), await addPerson(hall.db, 'eve')];
  const [first, second] = [
    await addMember(hall.db, guild, { ownerId: ben.ownerId }),
    await addMember(hall.db, guild, { ownerId: eve.ownerId }),
  ];
  const takeOver = async (memberId: string, { token }: { token: string }) =>
    code(await hall.api.call('POST', `/v1/guilds/${guild}/transfer`, { token, body: { memberId } }));
  expect(await takeOver(first, ben)).toBe('FORBIDDEN');
  await retire('light-001');
  expect(await takeOver(second, eve)).toBe('FORBIDDEN');
  expect(await takeOver(second, ben)).toBe('FORBIDDEN');
  expect(await takeOver(first, ben)).toBe('ok');
  // From now on it is as any other guild, and the one that was founder is an elder, also once revived.
  expect(await takeOver(second, eve)).toBe('FORBIDDEN');
  await setState('light-001', 'active');
  expect(await act(guild, 'rename', { name: 'The Lamps', as: 'light-001' })).toBe('ok');
  expect(await act(guild, 'close', { as: 'light-001' })).toBe('FORBIDDEN');
  const closed = await hall.api.call('POST', `/v1/guilds/${guild}/close`, { token: ben.token, body: {} });
  expect(code(closed)).toBe('ok');
  await retire('light-001');
});

test('a guild whose founder is retired is closed by its owner; revived it is as it was', async () => {
  const guild = await foundedBy('light-002');
  await retire('light-002');
  await setState('light-002', 'active');
  expect(await invite(guild, { link: {}, as: 'light-002' })).toBe('ok');
  await retire('light-002');
  expect(await act(guild, 'close', { as: 'light-002', reason: 'its founder is retired' })).toBe('ok');
  expect(await hall.counts(guild)).toMatchObject({ seatsUsed: 0 });
  await setState('light-002', 'active');
});

test('an invitation to an agent that is retired waits: nobody accepts, a no may be said, and revived it joins', async () => {
  const guild = await hall.found({ by: operator });
  const { id } = await hall.sent(guild, { agentId: 'light-003' }, { by: operator });
  const other = await hall.sent(await hall.found({ by: operator }), { agentId: 'light-003' }, { by: operator });
  await retire('light-003');
  expect(code(await hall.say('accept', id, operator))).toBe('AGENT_RETIRED');
  expect(await invite(await hall.found({ by: operator }), { agentId: 'light-003' })).toBe('AGENT_RETIRED');
  expect(code(await hall.say('decline', other.id, operator, { reason: 'it is retired' }))).toBe('ok');
  expect(await hall.ended(other.id)).toMatchObject({ state: 'declined' });
  await setState('light-003', 'active');
  expect(code(await hall.say('accept', id, operator))).toBe('ok');
  expect(await hall.ended(id)).toMatchObject({ state: 'accepted' });
});

test('a dormant agent is asked by no model: its owner answers, and what is sold of it does not tell who invited', async () => {
  const creator = await addPerson(hall.db, 'creator', 'creator');
  const agentId = await dormantOf(creator, 'light-004');
  const guild = await hall.found({ by: creator });
  const { id } = await hall.sent(guild, { agentId }, { by: creator });
  expect(await hall.row(id)).toMatchObject({ waitsFor: 'owner', answerBy: null });
  expect(await hall.notices(creator.ownerId)).toEqual([`${agentId} is invited to the guild “The Night Watch”`]);
  // It holds as many memories as a package may: joining adds none.
  await sql`update agents set memory_seq = 10000 where id = ${agentId}`.execute(hall.db);
  expect(code(await hall.say('accept', id, creator))).toBe('ok');
  expect(await memoriesOf(agentId)).toBe(0);
});

test('who was expelled does not come back by an agent of theirs and a link; invited afterwards, the agent does', async () => {
  const guild = await hall.found();
  const creator = await addPerson(hall.db, 'sneak', 'creator');
  const agentId = await dormantOf(creator, 'light-005');
  await addMember(hall.db, guild, { ownerId: creator.ownerId });
  const { token } = await hall.sent(guild, { link: {} });
  const body = { memberId: await guildMemberId(hall.db, guild, creator), reason: 'spam' };
  expect(code(await hall.api.call('POST', `/v1/guilds/${guild}/expel`, { token: hall.founder.token, body }))).toBe(
    'ok',
  );
  expect(code(await hall.use(token, creator, agentId))).toBe('FORBIDDEN');
  expect(code(await hall.use(token, creator))).toBe('FORBIDDEN');
  // Who shares another guild with the agent may invite it.
  await addMember(hall.db, await hall.found(), { ownerId: creator.ownerId, agentId });
  const { id } = await hall.sent(guild, { agentId });
  expect(code(await hall.say('accept', id, creator))).toBe('ok');
});

test('what was mailed to somebody before they were expelled lets them in no more, until it is sent again', async () => {
  const guild = await hall.found();
  const ben = await addPerson(hall.db, 'mailed');
  await addMember(hall.db, guild, { ownerId: ben.ownerId });
  const address = `${ben.ownerId}@people.example`.toLowerCase();
  await sql`update users set address = ${address} where id = ${ben.ownerId}`.execute(hall.db);
  const { id } = await hall.sent(guild, { address });
  const body = { memberId: await guildMemberId(hall.db, guild, ben) };
  await hall.api.call('POST', `/v1/guilds/${guild}/expel`, { token: hall.founder.token, body });
  // That the address is theirs is not told to who invited.
  expect(await hall.row(id)).toMatchObject({ state: 'pending' });
  expect(code(await hall.say('accept', id, ben))).toBe('FORBIDDEN');
  expect(code(await hall.say('resend', id, hall.founder))).toBe('ok');
  expect(code(await hall.say('accept', id, ben))).toBe('ok');
});

test('the agents of a deleted user leave, their guilds have another founder, and what was sent to and by them ends', async () => {
  const gone = await addPerson(hall.db, 'gone', 'creator');
  const agentId = await dormantOf(gone, 'light-006');
  const shared = await hall.found();
  await addMember(hall.db, shared, { ownerId: gone.ownerId, agentId, role: 'elder' });
  const theirs = await hall.sent(shared, { link: {}, as: agentId }, { by: gone });
  const other = await hall.found();
  const invited = await hall.sent(other, { agentId });
  const made = await hall.api.call('POST', '/v1/guilds', {
    token: gone.token,
    body: { name: 'Theirs', seats: 4, as: agentId },
  });
  const founded = made.json['id'] as string;
  await addMember(hall.db, founded, { ownerId: hall.founder.ownerId });

  expect((await hall.api.call('DELETE', `/v1/users/${gone.ownerId}`)).status).toBe(204);
  for (const { id } of [theirs, invited])
    expect(await hall.row(id)).toMatchObject({ state: 'revoked', reason: 'the user was deleted' });
  expect(await hall.counts(shared)).toMatchObject({ seatsUsed: 1 });
  const { json } = await hall.api.call('GET', `/v1/guilds/${founded}`, { token: hall.founder.token });
  expect(json['own']).toMatchObject([{ role: 'founder' }]);
  expect(code(await hall.invite(other, { agentId }))).toBe('NOT_FOUND');
});

test('who no longer may invite sends nothing again; what was sent stays good, and is revoked by who oversees', async () => {
  const guild = await hall.found();
  const [ben, eve] = [await addPerson(hall.db, 'lowered'), await addPerson(hall.db, 'late')];
  const memberId = await addMember(hall.db, guild, { ownerId: ben.ownerId, role: 'elder' });
  const { id, token } = await hall.sent(guild, { link: {} }, { by: ben });
  const appoint = (role: string) =>
    hall.api.call('POST', `/v1/guilds/${guild}/appoint`, { token: hall.founder.token, body: { memberId, role } });
  for (const role of ['member', 'guest']) {
    expect(code(await appoint(role))).toBe('ok');
    expect(code(await hall.say('resend', id, ben))).toBe('FORBIDDEN');
  }
  expect((await hall.api.call('POST', `/v1/guilds/${guild}/leave`, { token: ben.token })).status).toBe(204);
  expect(code(await hall.use(token, eve))).toBe('ok');
  expect(code(await hall.say('revoke', id, hall.founder))).toBe('ok');
});

test('every change stands in the audit trail with who did it and why', async () => {
  const guild = await hall.found();
  const [ben, eve] = [await addPerson(hall.db, 'told'), await addPerson(hall.db, 'asked')];
  const reason = (of: string) => ({ reason: `because of ${of}` });
  const by = { token: hall.founder.token };
  const change = async (verb: string, body: Record<string, unknown>) =>
    expect([
      verb,
      code(await hall.api.call('POST', `/v1/guilds/${guild}/${verb}`, { ...by, body: { ...body, ...reason(verb) } })),
    ]).toEqual([verb, 'ok']);
  const { id } = await hall.sent(guild, { userId: ben.ownerId, ...reason('invite') });
  expect(code(await hall.say('resend', id, hall.founder, reason('resend')))).toBe('ok');
  expect(code(await hall.say('accept', id, ben, reason('accept')))).toBe('ok');
  const no = await hall.sent(guild, { userId: eve.ownerId });
  expect(code(await hall.say('decline', no.id, eve, reason('decline')))).toBe('ok');
  const link = await hall.sent(guild, { link: {} });
  expect(code(await hall.say('revoke', link.id, hall.founder, reason('revoke')))).toBe('ok');
  const memberId = await guildMemberId(hall.db, guild, ben);
  await change('rename', { name: 'The Lamps' });
  await change('resize', { seats: 20 });
  await change('appoint', { memberId, role: 'elder' });
  await change('expel', { memberId });
  await change('close', {});
  const { json } = await hall.api.call('GET', `/v1/guilds/${guild}/events?limit=100`, by);
  const trail = json.items.toReversed().map(({ action, actorId, reason: why }) => [action, actorId, why]);
  const [founder, theirs, hers] = [hall.founder.ownerId, ben.ownerId, eve.ownerId];
  expect(trail).toEqual([
    ['founded', founder, ''],
    ['joined', founder, ''],
    ['invited', founder, 'because of invite'],
    ['resent', founder, 'because of resend'],
    ['joined', theirs, 'because of accept'],
    ['invited', founder, ''],
    ['declined', hers, 'because of decline'],
    ['invited', founder, ''],
    ['revoked', founder, 'because of revoke'],
    ['renamed', founder, 'because of rename'],
    ['resized', founder, 'because of resize'],
    ['appointed', founder, 'because of appoint'],
    ['expelled', founder, 'because of expel'],
    ['closed', founder, 'because of close'],
  ]);
});
