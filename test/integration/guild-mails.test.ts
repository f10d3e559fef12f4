import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createFleetStore } from '../../stores/fleets.ts';
import { addMember, asked, type GuildHall, openGuildHall } from '../support/guilds.ts';
import { until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { addPerson, type Person } from '../support/market.ts';
import { applyFleet } from '../support/outbound.ts';

/** Invitations to mail addresses, by the shipped mail workflow and a real SMTP conversation. */
let hall: GuildHall;
let server: MailServer;
beforeAll(async () => {
  server = await startMailServer();
  hall = await openGuildHall({ smtpUrl: server.url, people: { signUp: 'open' } });
}, 60_000);
afterAll(async () => {
  await hall?.close();
  await server?.close();
}, 60_000);
beforeEach(() => hall.api.deps.redis!.flushdb());

const secretsTo = (address: string) =>
  server.to(address).map(({ text }) => /#invite=(sfi_[\w-]+)/.exec(text)?.[1] ?? '');
async function mailed(address: string, count = 1): Promise<string[]> {
  await until(`${address} has ${count} mails`, () => Promise.resolve(server.to(address).length >= count));
  return secretsTo(address);
}
const join = (token: string, dryRun = false) =>
  hall.api.call('POST', `/v1/invites/join${dryRun ? '?dryRun=true' : ''}`, {
    token: null,
    body: { token, session: 'token' },
  });
const userWith = async (address: string) =>
  hall.db.selectFrom('users').selectAll().where('address', '=', address).executeTakeFirst();
async function addUser(address: string, { verified = true } = {}): Promise<Person> {
  const person = await addPerson(hall.db, address.split('@')[0]!);
  await sql`update users set address = ${address}, operator_id = ${hall.api.ownerId},
    verified_at = ${verified ? sql`now()` : null} where id = ${person.ownerId}`.execute(hall.db);
  return person;
}

test('a stranger is mailed, sees who invites to what, joins, and is a user with a token from then on', async () => {
  const address = 'ada@harbour.example';
  const guild = await hall.found();
  const { id } = await hall.sent(guild, { address: 'Ada@Harbour.example', message: 'Come and watch.' });
  const [secret] = await mailed(address);
  expect(server.to(address)[0]!.text).toContain('“founder” invites you to the group “The Night Watch” as member.');
  expect(server.to(address)[0]!.text).toContain('Come and watch.');
  const look = await hall.api.call('POST', '/v1/invites/preview', { token: null, body: { token: secret } });
  expect(Object.keys(look.json).toSorted()).toEqual(['expiresAt', 'guild', 'inviter']);
  expect(await userWith(address)).toBeUndefined();
  expect((await join(secret!, true)).json).toMatchObject({ dryRun: true });
  expect(await userWith(address)).toBeUndefined();

  const joined = await join(secret!);
  expect(joined.json).toMatchObject({ inviteId: id, guildId: guild, isNewUser: true });
  const token = joined.json['token'] as string;
  expect(await userWith(address)).toMatchObject({ role: 'member', verifiedAt: expect.any(Date) });
  expect((await hall.api.call('GET', `/v1/guilds/${guild}`, { token })).status).toBe(200);
  expect(await hall.ended(id)).toEqual({ inviteId: id, state: 'accepted' });
  // The link again: the same membership, and no second way in.
  const again = await join(secret!);
  expect(again.json).toMatchObject({ memberId: joined.json['memberId'], isNewUser: false });
  expect(again.json['token']).toBeUndefined();
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 2, members: 2, uses: 1 });
});

test('the secret is made as the mail leaves: neither the database nor the history of the workflow has it', async () => {
  const address = 'kept@harbour.example';
  const { id } = await hall.sent(await hall.found(), { address });
  const [secret] = await mailed(address);
  const { rows } = await sql<{
    held: boolean;
  }>`select exists (select from mails where mails::text like ${`%${secret}%`})
    or exists (select from guild_invites i where i::text like ${`%${secret}%`}) or exists (select from guild_events e where e::text like ${'%harbour.example%'})
    or exists (select from events e where e::text like ${'%harbour.example%'}) as held`.execute(hall.db);
  expect(rows[0]?.held).toBe(false);
  const history = await hall.client.workflow.getHandle(`invite:${id}`).fetchHistory();
  expect(JSON.stringify(history)).not.toContain(secret);
});

test('fifty joins at once by one mail make one user and one member', async () => {
  const address = 'crowd@harbour.example';
  const guild = await hall.found();
  await hall.sent(guild, { address });
  const [secret] = await mailed(address);
  const answers = await Promise.all(Array.from({ length: 50 }, () => asked(() => join(secret!))));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(answers.map(({ json }) => json['memberId'])).size).toBe(1);
  expect(answers.filter(({ json }) => json['isNewUser'] === true)).toHaveLength(1);
  expect(await hall.counts(guild)).toEqual({ seatsUsed: 2, members: 2, uses: 1 });
}, 60_000);

test('who has the address joins by it signed in, by its id or by the mail; nobody else does', async () => {
  const guild = await hall.found();
  const ben = await addUser('ben@harbour.example');
  const eve = await addUser('eve@harbour.example');
  const { id } = await hall.sent(guild, { address: 'ben@harbour.example' });
  const [secret] = await mailed('ben@harbour.example');
  const { json } = await hall.use(secret!, eve);
  expect(json).toMatchObject({
    code: 'FORBIDDEN',
    detail: 'this invitation was mailed to an address that is not yours',
  });
  expect((await hall.say('accept', id, eve)).status).toBe(404);
  expect((await hall.api.call('GET', '/v1/invites?box=received', { token: ben.token })).json.items).toHaveLength(1);
  expect((await hall.say('accept', id, ben)).status).toBe(200);

  // Who oversees sees that somebody was invited, and not by what address.
  const elder = await addPerson(hall.db, 'elder');
  await addMember(hall.db, guild, { ownerId: elder.ownerId, role: 'elder' });
  const shown = async (by: Person) =>
    (await hall.api.call('GET', `/v1/invites/${id}`, { token: by.token })).json['address'];
  expect([await shown(hall.founder), await shown(ben), await shown(elder)]).toEqual([
    'ben@harbour.example',
    'ben@harbour.example',
    null,
  ]);

  const cleo = await addUser('cleo@harbour.example', { verified: false });
  const second = await hall.sent(guild, { address: 'cleo@harbour.example' });
  const [hers] = await mailed('cleo@harbour.example');
  // Her address was never shown to be hers: by its id alone she sees nothing.
  expect((await hall.say('accept', second.id, cleo)).status).toBe(404);
  expect((await hall.use(hers!, cleo)).status).toBe(200);
  expect(await userWith('cleo@harbour.example')).toMatchObject({ verifiedAt: expect.any(Date) });
});

test('who was a user before joins by the mail and is not signed in by it', async () => {
  const dora = await addUser('dora@harbour.example');
  const guild = await hall.found();
  await hall.sent(guild, { address: 'dora@harbour.example' });
  const [secret] = await mailed('dora@harbour.example');
  const joined = await join(secret!);
  expect(joined.json).toMatchObject({ isNewUser: false, guildId: guild });
  expect(joined.json['token']).toBeUndefined();
  expect((await hall.api.call('GET', `/v1/guilds/${guild}`, { token: dora.token })).status).toBe(200);
});

test('sent again by a person, the earlier mail opens nothing; of a revoked one none does', async () => {
  const address = 'again@harbour.example';
  const { id } = await hall.sent(await hall.found(), { address });
  const [first] = await mailed(address);
  expect((await hall.say('resend', id, hall.founder)).json['token']).toBeUndefined();
  const [, second] = await mailed(address, 2);
  expect(second).not.toBe(first);
  expect((await join(first!)).json['code']).toBe('NOT_FOUND');
  expect((await hall.say('revoke', id, hall.founder)).status).toBe(200);
  expect((await join(second!)).json['code']).toBe('INVITE_ENDED');
  expect(await userWith(address)).toBeUndefined();
});

test('one address is mailed so often in a day and no more, whoever invites', async () => {
  const address = 'flood@harbour.example';
  const sent = [];
  for (let i = 0; i < 8; i += 1) {
    const by = await addPerson(hall.db, `flooder-${i}`);
    sent.push(await hall.invite(await hall.found({ by }), { address }, { by }));
  }
  expect(sent.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201, 201, 429, 429]);
  expect(sent[6]!.json).toMatchObject({ code: 'INVITE_LIMIT' });
});

test('a deleted user’s address leaves the invitations, and what was sent to it ends', async () => {
  const gone = await addUser('gone@harbour.example');
  const { id } = await hall.sent(await hall.found(), { address: 'gone@harbour.example' });
  await mailed('gone@harbour.example');
  expect((await hall.api.call('DELETE', `/v1/users/${gone.ownerId}`)).status).toBe(204);
  expect(await hall.row(id)).toMatchObject({ state: 'revoked', address: null });
  const { rows } = await sql`select from guild_invites i where i::text like '%gone@%'`.execute(hall.db);
  expect(rows).toHaveLength(0);
});

test('where sign-up is closed a stranger is mailed only what an operator sends, and nobody is told who is known', async () => {
  await applyFleet(hall.db, hall.api.ownerId, { people: { signUp: 'closed' } });
  expect((await createFleetStore(hall.db).current())?.fleet.people.signUp).toBe('closed');
  const guild = await hall.found();
  const strange = await hall.invite(guild, { address: 'closed@harbour.example' });
  const known = await addUser('known@harbour.example');
  const both = [strange, await hall.invite(guild, { address: 'known@harbour.example' })];
  // What the inviter sees is the same for both.
  expect(both.map(({ status, json }) => [status, json['state'], json['userId']])).toEqual([
    [201, 'pending', null],
    [201, 'pending', null],
  ]);
  await mailed('known@harbour.example');
  await until('no mail is under way', async () => {
    const { rows } = await sql`select from mails where ended_at is null`.execute(hall.db);
    return rows.length === 0;
  });
  expect(server.to('closed@harbour.example')).toHaveLength(0);
  const operator = { ownerId: hall.api.ownerId, token: hall.api.tokens.operator };
  await hall.sent(await hall.found({ by: operator }), { address: 'guest@harbour.example' }, { by: operator });
  const [secret] = await mailed('guest@harbour.example');
  expect((await join(secret!)).json).toMatchObject({ isNewUser: true });
  expect(known.ownerId).not.toBe('');
});
