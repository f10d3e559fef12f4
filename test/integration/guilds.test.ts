import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { type Answer, type ApiFixture, createApiFixture } from '../support/api.ts';
import { addMember, asked, guildMemberId } from '../support/guilds.ts';
import { addPerson, type Person } from '../support/market.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
let ada: Person;
let ben: Person;
let cleo: Person;
beforeAll(async () => {
  api = await createApiFixture();
  const limits = 'guilds: { perFounder: 40, seats: 50 }\n';
  expect((await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet + limits } })).status).toBe(200);
  [ada, ben, cleo] = [await addPerson(api.db, 'ada'), await addPerson(api.db, 'ben'), await addPerson(api.db, 'cleo')];
});
afterAll(() => api?.close());

let keys = 0;
function create(body: Record<string, unknown> = {}, { token = ada.token, key = `guild-${(keys += 1)}` } = {}) {
  return api.call('POST', '/v1/guilds', {
    token,
    body: { name: 'The Night Watch', seats: 4, ...body },
    headers: { 'idempotency-key': key },
  });
}
async function founded(body: Record<string, unknown> = {}): Promise<string> {
  const made = await create(body);
  expect(made.status).toBe(201);
  return made.json['id'] as string;
}
const act = (id: string, verb: string, body: Record<string, unknown> = {}, by: Person = ada): Promise<Answer> =>
  api.call('POST', `/v1/guilds/${id}/${verb}`, { token: by.token, body });
const get = (url: string, by: Person = ada) => api.call('GET', url, { token: by.token });
const member = (id: string, who: Person | string) => guildMemberId(api.db, id, who);
const roles = async (id: string): Promise<Record<string, string>> => {
  const { json } = await get(`/v1/guilds/${id}/members`);
  return Object.fromEntries(json.items.map(({ name, role }) => [name, role as string]));
};
const seatsUsed = async (id: string) => {
  const { rows } = await sql<{ used: number; living: number }>`select seats_used as used,
    (select count(*) from guild_members m where m.guild_id = g.id and m.ended_at is null) as living from guilds g where id = ${id}`.execute(
    api.db,
  );
  expect(rows[0]?.used).toBe(rows[0]?.living);
  return rows[0]?.used;
};

test('who founds a guild is its founder on the first seat; the same key founds one, another body is refused', async () => {
  const made = await create({ purpose: 'Keeps the lamps.' }, { key: 'once' });
  expect(made.status).toBe(201);
  expect(made.json).toMatchObject({
    name: 'The Night Watch',
    purpose: 'Keeps the lamps.',
    state: 'open',
    seats: 4,
    seatsUsed: 1,
    foundedBy: ada.ownerId,
    own: [{ agentId: null, role: 'founder' }],
  });
  const again = await create({ purpose: 'Keeps the lamps.' }, { key: 'once' });
  expect(again.json).toEqual(made.json);
  expect(again.headers['idempotent-replayed']).toBe('true');
  expect((await create({ seats: 5 }, { key: 'once' })).json).toMatchObject({ code: 'CONFLICT' });
  const id = made.json['id'] as string;
  expect(made.headers['location']).toBe(`/v1/guilds/${id}`);
  const { json } = await get(`/v1/guilds/${id}/events`);
  expect(json.items.map(({ seq, action, actorId }) => [seq, action, actorId])).toEqual([
    [2, 'joined', ada.ownerId],
    [1, 'founded', ada.ownerId],
  ]);
});

test('an agent founds a guild by its owner; nobody acts by the agent of another', async () => {
  const token = api.tokens.operator;
  const made = await create({ as: 'vesper-001' }, { token });
  expect(made.json).toMatchObject({ own: [{ agentId: 'vesper-001', role: 'founder' }] });
  const id = made.json['id'] as string;
  const rename = (body: Record<string, unknown>) => api.call('POST', `/v1/guilds/${id}/rename`, { token, body });
  // Its owner is no member, and the agent is one.
  expect((await rename({ name: 'Lamps' })).json).toMatchObject({ code: 'FORBIDDEN' });
  expect((await rename({ name: 'Lamps', as: 'vesper-001' })).json).toMatchObject({ name: 'Lamps' });
  expect((await create({ as: 'vesper-002' })).json).toMatchObject({ code: 'NOT_FOUND' });
  await addMember(api.db, id, { ownerId: ada.ownerId });
  expect((await act(id, 'rename', { name: 'Mine', as: 'vesper-001' })).json).toMatchObject({ code: 'FORBIDDEN' });
  await sql`update agents set state = 'retired', retired_by = 'operator' where id = 'rook-001'`.execute(api.db);
  expect((await create({ as: 'rook-001' }, { token })).json).toMatchObject({ code: 'AGENT_RETIRED' });
});

test('who is neither founder nor member sees nothing: 404 at every path', async () => {
  const id = await founded();
  for (const path of ['', '/members', '/events'])
    expect([path, (await get(`/v1/guilds/${id}${path}`, ben)).status]).toEqual([path, 404]);
  const memberId = await member(id, ada);
  const bodies: Record<string, Record<string, unknown>> = {
    rename: { name: 'Mine' },
    resize: { seats: 9 },
    leave: {},
    expel: { memberId },
    appoint: { memberId, role: 'guest' },
    transfer: { memberId },
    close: {},
  };
  for (const [verb, body] of Object.entries(bodies))
    expect([verb, (await act(id, verb, body, ben)).status]).toEqual([verb, 404]);
  expect((await get('/v1/guilds', ben)).json.items).toEqual([]);
  await addMember(api.db, id, { ownerId: ben.ownerId, role: 'guest' });
  expect((await get(`/v1/guilds/${id}/members`, ben)).json.items).toHaveLength(2);
  expect((await act(id, 'leave', {}, ben)).status).toBe(204);
  expect((await get(`/v1/guilds/${id}`, ben)).status).toBe(404);
});

test('each role may do what the table of rights says, to those who stand below', async () => {
  const id = await founded({ seats: 10 });
  const dora = await addPerson(api.db, 'dora');
  await addMember(api.db, id, { ownerId: ben.ownerId, role: 'elder' });
  await addMember(api.db, id, { ownerId: cleo.ownerId, role: 'member' });
  await addMember(api.db, id, { ownerId: dora.ownerId, role: 'guest' });
  const [adaId, benId, doraId] = await Promise.all([ada, ben, dora].map((who) => member(id, who)));
  const refused = async (by: Person, verb: string, body: Record<string, unknown>) =>
    expect([verb, (await act(id, verb, body, by)).json['code']]).toEqual([verb, 'FORBIDDEN']);
  for (const by of [ben, cleo, dora]) {
    await refused(by, 'close', {});
    await refused(by, 'resize', { seats: 12 });
    await refused(by, 'transfer', { memberId: doraId });
    await refused(by, 'appoint', { memberId: doraId, role: 'member' });
    await refused(by, 'expel', { memberId: adaId });
  }
  for (const by of [cleo, dora]) await refused(by, 'rename', { name: 'Ours' });
  await refused(cleo, 'expel', { memberId: doraId });
  expect((await act(id, 'rename', { name: '  The \n Lamps ' }, ben)).json).toMatchObject({ name: 'The Lamps' });
  expect((await act(id, 'expel', { memberId: doraId, reason: 'too loud' }, ben)).status).toBe(200);
  expect((await act(id, 'appoint', { memberId: benId, role: 'member' })).status).toBe(200);
  await refused(ben, 'expel', { memberId: await member(id, cleo) });
  expect(await roles(id)).toEqual({ ada: 'founder', ben: 'member', cleo: 'member' });
  const { json } = await get(`/v1/guilds/${id}/events?limit=2`);
  expect(json.items).toMatchObject([
    { action: 'appointed', actorId: ada.ownerId, subject: benId, data: { from: 'elder', to: 'member' } },
    { action: 'expelled', actorId: ben.ownerId, subject: doraId, reason: 'too loud' },
  ]);
  expect(await seatsUsed(id)).toBe(3);
});

test('the founder leaves only after another member was made founder', async () => {
  const id = await founded();
  expect((await act(id, 'leave')).json).toMatchObject({ code: 'CONFLICT' });
  expect((await act(id, 'transfer', { memberId: newId('guildMember') })).json).toMatchObject({ code: 'NOT_FOUND' });
  await addMember(api.db, id, { ownerId: ben.ownerId });
  const memberId = await member(id, ben);
  // Twice at once: one founder, whoever comes first.
  const both = await Promise.all([act(id, 'transfer', { memberId }), act(id, 'transfer', { memberId })]);
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 403]);
  expect(await roles(id)).toEqual({ ada: 'elder', ben: 'founder' });
  expect((await act(id, 'leave', { reason: 'moved' })).status).toBe(200);
  // Who founded it still sees it, and can do nothing in it.
  expect((await get(`/v1/guilds/${id}`)).json).toMatchObject({ seatsUsed: 1, own: [] });
  expect((await act(id, 'rename', { name: 'Back' })).json).toMatchObject({ code: 'FORBIDDEN' });
});

test('seats go no lower than those taken and no higher than fleet.yaml says', async () => {
  const id = await founded({ seats: 2 });
  await addMember(api.db, id, { ownerId: ben.ownerId });
  await expect(addMember(api.db, id, { ownerId: cleo.ownerId })).rejects.toMatchObject({ code: 'GUILD_FULL' });
  expect((await act(id, 'resize', { seats: 1 })).json).toMatchObject({ code: 'CONFLICT' });
  expect((await act(id, 'resize', { seats: 51 })).json).toMatchObject({
    code: 'INVALID_INPUT',
    errors: [{ path: 'seats' }],
  });
  expect((await create({ seats: 51 })).json).toMatchObject({ code: 'INVALID_INPUT' });
  expect((await act(id, 'resize', { seats: 3 })).json).toMatchObject({ seats: 3 });
  await addMember(api.db, id, { ownerId: cleo.ownerId });
  expect(await seatsUsed(id)).toBe(3);
  // The database itself refuses a seat too many, whoever writes.
  await expect(sql`update guilds set seats_used = 4 where id = ${id}`.execute(api.db)).rejects.toThrow('guilds_seats');
});

test('a closed guild ends for everybody at once, and nothing happens in it any more', async () => {
  const id = await founded();
  await addMember(api.db, id, { ownerId: ben.ownerId });
  const memberId = await member(id, ben);
  expect((await act(id, 'close', { reason: 'done' })).json).toMatchObject({ state: 'closed', seatsUsed: 0, own: [] });
  // Those whom it closed on see what became of it.
  expect((await get(`/v1/guilds/${id}`, ben)).json).toMatchObject({ state: 'closed' });
  for (const [verb, body] of [
    ['close', {}],
    ['rename', { name: 'Again' }],
    ['leave', {}],
    ['expel', { memberId }],
  ] as const)
    expect([verb, (await act(id, verb, body)).json['code']]).toEqual([verb, 'CONFLICT']);
  const { json } = await get(`/v1/guilds/${id}/members?past=true`);
  expect(json.items.map(({ endedBy }) => endedBy)).toEqual(['closed', 'closed']);
});

test('a dry run says what would be and writes nothing', async () => {
  const id = await founded();
  const before = await api.rowCounts();
  const tried = await api.call('POST', '/v1/guilds?dryRun=true', {
    token: ada.token,
    body: { name: 'Shadow', seats: 3 },
  });
  expect(tried.json).toEqual({ dryRun: true, would: 'found Shadow with 3 seats' });
  expect((await api.call('POST', `/v1/guilds/${id}/close?dryRun=true`, { token: ada.token })).json).toMatchObject({
    would: `close ${id}`,
  });
  const refused = await api.call('POST', `/v1/guilds/${id}/leave?dryRun=true`, { token: ada.token });
  expect(refused.json).toMatchObject({ code: 'CONFLICT' });
  expect(await api.rowCounts()).toEqual(before);
});

test('the audit trail is never changed, has no gap, and tells whom it concerns', async () => {
  const id = await founded({ seats: 50 });
  const crowd = await Promise.all(Array.from({ length: 20 }, (_, i) => addPerson(api.db, `one-${i}`)));
  await Promise.all(crowd.map(({ ownerId }) => addMember(api.db, id, { ownerId })));
  const { rows } = await sql<{ seqs: number[] }>`select array_agg(seq order by seq) as seqs from guild_events
    where guild_id = ${id}`.execute(api.db);
  expect(rows[0]?.seqs).toEqual(Array.from({ length: 22 }, (_, i) => i + 1));
  for (const change of [
    sql`update guild_events set reason = 'other' where guild_id = ${id}`,
    sql`delete from guild_events where guild_id = ${id}`,
    sql`truncate guild_events`,
  ])
    await expect(change.execute(api.db)).rejects.toThrow('append-only');
  const told = await api.db
    .selectFrom('events')
    .select('ownerId')
    .where('subject', '=', id)
    .where('type', '=', 'guild.joined')
    .where('ownerId', '=', crowd[3]!.ownerId)
    .execute();
  expect(told).toHaveLength(1);
  expect(await seatsUsed(id)).toBe(21);
});

test('a user who is deleted leaves every guild: the highest who has been there longest is founder, the last one closes it', async () => {
  const gone = await addPerson(api.db, 'gone');
  await sql`update users set operator_id = ${api.ownerId} where id = ${gone.ownerId}`.execute(api.db);
  const [alone, shared] = await Promise.all(
    [1, 2].map(async () => (await create({}, { token: gone.token })).json['id'] as string),
  );
  await addMember(api.db, shared!, { ownerId: ada.ownerId });
  await addMember(api.db, shared!, { ownerId: ben.ownerId, role: 'elder' });
  await addMember(api.db, shared!, { ownerId: cleo.ownerId, role: 'elder' });
  expect((await api.call('DELETE', `/v1/users/${gone.ownerId}`)).status).toBe(204);
  const { rows } = await sql<{ state: string }>`select state from guilds where id = ${alone}`.execute(api.db);
  expect(rows[0]?.state).toBe('closed');
  expect(await roles(shared!)).toEqual({ ada: 'member', ben: 'founder', cleo: 'elder' });
  expect((await get(`/v1/guilds/${shared}/events?limit=2`)).json.items).toMatchObject([
    { action: 'left', actorId: null, reason: 'the user was deleted' },
    { action: 'transferred', actorId: null },
  ]);
  expect(await seatsUsed(shared!)).toBe(3);
});

test('guilds of one founder are counted, also when many are founded at once', async () => {
  const eve = await addPerson(api.db, 'eve');
  const made = await Promise.all(
    Array.from({ length: 45 }, (_, i) => asked(() => create({}, { token: eve.token, key: `crowd-${i}` }))),
  );
  expect(made.filter(({ status }) => status === 201)).toHaveLength(40);
  expect(made.find(({ status }) => status !== 201)?.json).toMatchObject({ code: 'CONFLICT' });
});
