import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { createMailStore, queueMail } from '../../stores/mails.ts';
import { openNotice } from '../../stores/notices.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { findMail } from '../../stores/queries/mails.ts';
import { applyRetention } from '../support/retention.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { giveLicense } from '../support/licenses.ts';
import { addListing } from '../support/market.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { applyFleet, openOutbound } from '../support/outbound.ts';

let api: ApiFixture;
let server: MailServer;
let outbound: Awaited<ReturnType<typeof openOutbound>>;

beforeAll(async () => {
  api = await createApiFixture();
  await applyFleet(api.db, api.ownerId, { people: { signUp: 'closed' } });
  server = await startMailServer();
  outbound = await openOutbound(api, { smtpUrl: server.url });
});
afterAll(async () => {
  await outbound?.close();
  await server?.close();
  await api?.close();
});
beforeEach(() => api.deps.redis!.flushdb());

const signUp = (address: string) => api.call('POST', '/v1/sign-ups', { token: null, body: { address } });
const mailed = (address: string) => server.to(address).length;
const once = (address: string) => /#once=(sfr_[\w-]+)/.exec(server.to(address).at(-1)?.text ?? '')?.[1] ?? '';

async function invite(address: string, body: Record<string, unknown> = {}) {
  const made = await api.call('POST', '/v1/users', { body: { address, ...body } });
  expect(made.status).toBe(201);
  await until(`${address} was invited`, () => Promise.resolve(mailed(address.toLowerCase()) > 0));
  return made.json['id'] as string;
}

/** @returns a token of the one who was mailed */
async function signIn(address: string): Promise<string> {
  const { status, json } = await api.call('POST', '/v1/sessions', {
    token: null,
    body: { once: once(address), as: 'token' },
  });
  expect(status).toBe(200);
  return json['token'] as string;
}

/** Everything that was asked for has been sent or given up on. */
const settled = () =>
  until('no mail is under way', async () => {
    const { rows } = await sql<{ open: number }>`select count(*) as open from mails where ended_at is null`.execute(
      api.db,
    );
    return rows[0]?.open === 0;
  });

test('an invited user signs in as they were invited, and sees what is theirs', async () => {
  const id = await invite('Ada@Harbour.example', { role: 'creator', name: 'Ada' });
  const listed = async () => (await api.call('GET', '/v1/users')).json.items.find((user) => user['id'] === id);
  expect(await listed()).toMatchObject({
    address: 'ada@harbour.example',
    role: 'creator',
    state: 'invited',
    name: 'Ada',
  });
  const token = await signIn('ada@harbour.example');
  expect(await listed()).toMatchObject({ state: 'active' });
  expect((await api.call('GET', '/v1/me', { token })).json).toMatchObject({ userId: id, role: 'creator', name: 'Ada' });
  // Nothing of the installation is theirs.
  for (const path of ['/v1/agents', '/v1/licenses', '/v1/inbox', '/v1/ledger/transfers', '/v1/webhooks'])
    expect([path, (await api.call('GET', path, { token })).json.items]).toEqual([path, []]);
  for (const path of ['/v1/users', '/v1/mails', '/metrics'])
    expect([path, (await api.call('GET', path, { token })).status]).toEqual([path, 403]);
  expect((await api.call('GET', '/v1/fleet', { token })).status).toBe(404);
  const license = await giveLicense(api, 'personal', { holder: id });
  expect((await api.call('GET', '/v1/licenses', { token })).json.items.map((one) => one['id'])).toEqual([license]);

  expect((await api.call('POST', '/v1/users', { body: { address: 'ADA@harbour.example' } })).json['code']).toBe(
    'CONFLICT',
  );
  expect(
    (await api.call('POST', '/v1/sessions', { token: null, body: { once: once('ada@harbour.example') } })).status,
  ).toBe(401);
});

test('the answer to who asks for a link tells nothing of who has the address', async () => {
  await invite('known@harbour.example');
  const before = await api.rowCounts();
  const answers = [await signUp('known@harbour.example'), await signUp('stranger@harbour.example')];
  const seen = answers.map(({ status, text, headers }) => ({
    status,
    text,
    headers: Object.keys(headers).sort(),
  }));
  expect(seen[0]).toEqual(seen[1]);
  expect(seen[0]).toMatchObject({ status: 202, text: '{"accepted":true}' });
  // Nor does what is done until the answer: both write the same rows.
  expect((await api.rowCounts())['mails']).toBe(before['mails']! + 2);
  await settled();
  expect([mailed('known@harbour.example'), mailed('stranger@harbour.example')]).toEqual([2, 0]);
  const left = await sql<{ held: boolean }>`select exists (select from mails where mails::text like '%stranger@%')
    or exists (select from users where users::text like '%stranger@%') as held`.execute(api.db);
  expect(left.rows[0]?.held).toBe(false);
});

/** Asks for links to an address from elsewhere. @returns how many are to be mailed of it */
async function signUpFrom(remoteAddress: string, address: string, times = 1): Promise<number> {
  const mails = async () => (await api.rowCounts())['mails']!;
  const before = await mails();
  for (let i = 0; i < times; i += 1) {
    const { statusCode, body } = await api.app.inject({
      method: 'POST',
      url: '/v1/sign-ups',
      payload: { address },
      remoteAddress,
    });
    expect([statusCode, body]).toEqual([202, '{"accepted":true}']);
  }
  return (await mails()) - before;
}

test('who asks for links to somebody’s address does not use up theirs; over every limit the answer is the same', async () => {
  const address = 'victim@harbour.example';
  await invite(address);
  // One caller has three, and however often they go on asking leaves the rest to others.
  expect(await signUpFrom('192.0.2.66', address, 9)).toBe(3);
  expect(await signUpFrom('::ffff:192.0.2.66', address)).toBe(0);
  expect(await signUpFrom('198.51.100.7', address, 4)).toBe(3);
  // Whoever has one address of a /64 has all of them.
  expect(await signUpFrom('2001:db8:1:2::1', address, 2)).toBe(2);
  expect(await signUpFrom('2001:db8:1:2:aaaa:bbbb:cccc:dddd', address, 2)).toBe(1);
  // Nine by now: ten an address, by whomever.
  expect(await signUpFrom('203.0.113.1', address, 2)).toBe(1);
  expect(await signUpFrom('203.0.113.2', address)).toBe(0);
  await settled();
  expect(mailed(address)).toBe(1 + 10);
  // Redis holds no address.
  expect((await api.deps.redis!.keys('*')).join()).not.toContain('harbour');
});

test('a caller has ten links, to whomever, known or not', async () => {
  const mails: number[] = [];
  for (let i = 0; i < 12; i += 1) mails.push(await signUpFrom('192.0.2.99', `nobody-${i}@harbour.example`));
  expect(mails).toEqual([...Array.from({ length: 10 }, () => 1), 0, 0]);
  expect(await signUpFrom('192.0.2.100', 'nobody-11@harbour.example')).toBe(1);
  await settled();
});

test('an open sign-up makes a member of who brings the link back', async () => {
  await applyFleet(api.db, api.ownerId, { people: { signUp: 'open' } });
  const address = 'grace@harbour.example';
  expect((await signUp(address)).status).toBe(202);
  await until('the link is there', () => Promise.resolve(mailed(address) > 0));
  const { json, headers } = await api.call('POST', '/v1/sessions', { token: null, body: { once: once(address) } });
  expect(json).toEqual({ role: 'member' });
  expect(String(headers['set-cookie'])).toMatch(/^soulfra_session=sfr_.*HttpOnly; SameSite=Strict/);
  await applyFleet(api.db, api.ownerId, { people: { signUp: 'closed' } });
});

test('a link of the operator’s own making shows nobody’s address', async () => {
  const id = await invite('linus@harbour.example');
  await sql`update tokens set mail_id = null where owner_id = ${id}`.execute(api.db);
  await signIn('linus@harbour.example');
  const user = await api.db.selectFrom('users').select('verifiedAt').where('id', '=', id).executeTakeFirstOrThrow();
  expect(user.verifiedAt).toBeNull();
});

test('a deletion takes the person and leaves the books', async () => {
  const address = 'joan@harbour.example';
  const id = await invite(address, { name: 'Joan Clarke' });
  const token = await signIn(address);
  const license = await giveLicense(api, 'personal', { holder: id });
  const credits = { userId: id, amount: 500, currency: 'EUR', reason: 'welcome' };
  await api.call('POST', '/v1/credits/grants', { body: credits, headers: { 'idempotency-key': 'joan' } });

  // As servers answer that name whom they refuse: in tries of before, in the reason, and in the notice that is made of it.
  const answer = `550 5.1.1 <${address}>: no such mailbox`;
  await sql`update mail_attempts set answer = ${answer} where mail_id in (select id from mails where user_id = ${id})`.execute(
    api.db,
  );
  const [mail] = (
    await sql<{ id: string }>`update mails set reason = ${answer} where user_id = ${id} returning id`.execute(api.db)
  ).rows;
  await openNotice(api.db, {
    id: newId('notice'),
    ownerId: api.ownerId,
    kind: 'mail_failing',
    key: `mail:${mail!.id}`,
    subject: mail!.id,
    title: 'An invite could not be sent',
    detail: answer,
    action: `soulfra mail resend ${mail!.id}`,
  });

  const dry = await api.call('DELETE', `/v1/users/${id}?dryRun=true`);
  expect(dry.json['would']).toContain('1 licenses and 1 accounts of the ledger stay');
  expect((await api.call('GET', '/v1/me', { token })).status).toBe(200);
  expect((await api.call('DELETE', `/v1/users/${id}`, { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('DELETE', `/v1/users/${api.ownerId}`)).status).toBe(404);

  expect((await api.call('DELETE', `/v1/users/${id}`)).status).toBe(204);
  expect((await api.call('DELETE', `/v1/users/${id}`)).status).toBe(404);
  expect((await api.call('GET', '/v1/me', { token })).status).toBe(401);
  const rows = await api.db.introspection.getTables();
  for (const { name } of rows) {
    const { rows: held } = await sql<{ text: string }>`select t::text as text from ${sql.table(name)} t
      where t::text ilike '%joan@%' or t::text ilike '%Joan Clarke%'`.execute(api.db);
    expect([name, held]).toEqual([name, []]);
  }
  expect((await api.call('GET', `/v1/licenses/${license}`)).json).toMatchObject({ holder: id });
  const accounts = await api.call('GET', '/v1/ledger/accounts?kind=credits');
  expect(accounts.json.items).toContainEqual(expect.objectContaining({ holder: id, balance: 500 }));
  // Nothing more is given to who is gone, and the address is free.
  const again = await api.call('POST', '/v1/credits/grants', {
    body: credits,
    headers: { 'idempotency-key': 'joan-2' },
  });
  expect(again.status).toBe(404);
  expect((await api.call('POST', '/v1/users', { body: { address } })).status).toBe(201);
  await settled();
});

test('a member sees and ends their own sessions and tokens, and nobody else’s', async () => {
  const address = 'mary@harbour.example';
  await invite(address);
  const token = await signIn(address);
  await signUp(address);
  await settled();
  const opened = await api.call('POST', '/v1/sessions', { token: null, body: { once: once(address) } });
  const cookie = String(opened.headers['set-cookie']).split(';')[0]!;
  const own = async () => (await api.call('GET', '/v1/tokens', { token })).json.items;
  const sessions = (await own()).filter(({ kind }) => kind === 'session');
  expect(sessions).toHaveLength(1);
  const session = sessions[0]!['id'] as string;
  const { tokenId } = (await api.call('GET', '/v1/me', { token })).json as unknown as { tokenId: string };
  const all = (await own()).map(({ id }) => id);
  expect(all).toContain(tokenId);
  const mine = (await api.call('GET', '/v1/tokens')).json.items.map(({ id }) => id as string);
  expect(mine.filter((id) => all.includes(id))).toEqual([]);

  // Nobody else's: neither the operator's by a member nor a member's by the operator.
  for (const [id, by] of [
    [mine[0]!, token],
    [session, api.tokens.operator],
  ] as const)
    expect((await api.call('DELETE', `/v1/tokens/${id}`, { token: by })).status).toBe(404);
  const withSession = () => api.call('GET', '/v1/me', { token: null, headers: { cookie } });
  expect((await withSession()).status).toBe(200);
  expect((await api.call('DELETE', `/v1/tokens/${session}?dryRun=true`, { token })).json).toMatchObject({
    dryRun: true,
  });
  expect((await withSession()).status).toBe(200);
  expect((await api.call('DELETE', `/v1/tokens/${session}`, { token })).status).toBe(204);
  expect((await withSession()).status).toBe(401);
  // The one that asks ends itself: signing out.
  expect((await api.call('DELETE', `/v1/tokens/${tokenId}`, { token })).status).toBe(204);
  expect((await api.call('GET', '/v1/me', { token })).status).toBe(401);
});

test('a token of a lesser role than its user’s sees and ends itself alone', async () => {
  const made = await api.call('POST', '/v1/tokens', { body: { role: 'member', name: 'a program' } });
  const { id, token } = made.json as unknown as { id: string; token: string };
  const other = (await api.call('POST', '/v1/tokens', { body: { role: 'reader', name: 'another' } })).json['id'];
  const seen = await api.call('GET', '/v1/tokens', { token });
  expect(seen.json.items.map((one) => one['id'])).toEqual([id]);
  expect((await api.call('DELETE', `/v1/tokens/${other as string}`, { token })).status).toBe(404);
  expect((await api.call('DELETE', `/v1/tokens/${id}`, { token })).status).toBe(204);
  expect((await api.call('GET', '/v1/me', { token })).status).toBe(401);
});

/** Somebody who has signed in by a browser and by a program. */
async function signedIn(address: string, role: string) {
  const id = await invite(address, { role });
  const token = await signIn(address);
  await signUp(address);
  await settled();
  const opened = await api.call('POST', '/v1/sessions', { token: null, body: { once: once(address) } });
  const cookie = String(opened.headers['set-cookie']).split(';')[0]!;
  const headers = { cookie, origin: 'http://localhost', host: 'localhost' };
  /** By the browser and by the program: what a route for creators answers before it looks at anything else. */
  const asCreator = async () => [
    (await api.call('POST', '/v1/listings', { token: null, headers, body: {} })).json['code'],
    (await api.call('POST', '/v1/listings', { token, body: {} })).json['code'],
  ];
  return { id, token, asCreator };
}
const setRole = (id: string, role: string, more: { query?: string; token?: string } = {}) =>
  api.call('PATCH', `/v1/users/${id}${more.query ?? ''}`, {
    body: { role },
    ...(more.token === undefined ? {} : { token: more.token }),
  });

test('another role holds at once in open sessions and tokens, and is told with who gave it', async () => {
  const { id, token, asCreator } = await signedIn('barbara@harbour.example', 'member');
  expect(await asCreator()).toEqual(['FORBIDDEN', 'FORBIDDEN']);
  const before = await api.rowCounts();
  expect((await setRole(id, 'creator', { query: '?dryRun=true' })).json).toEqual({
    dryRun: true,
    would: `make ${id}, who is member, creator`,
  });
  expect(await api.rowCounts()).toEqual(before);
  expect(await setRole(id, 'creator')).toMatchObject({ status: 200, json: { id, role: 'creator', state: 'active' } });
  expect(await asCreator()).toEqual(['INVALID_INPUT', 'INVALID_INPUT']);
  // So already: nothing is written.
  const after = await api.rowCounts();
  expect((await setRole(id, 'creator')).status).toBe(200);
  expect(await api.rowCounts()).toEqual(after);

  const lent = await createPrincipalStore(api.db).issue({ ownerId: id, kind: 'bearer', role: 'reader', name: 'lent' });
  expect((await setRole(id, 'member')).status).toBe(200);
  expect(await asCreator()).toEqual(['FORBIDDEN', 'FORBIDDEN']);
  const roleOf = async (secret: string) => (await api.call('GET', '/v1/me', { token: secret })).json['role'];
  expect([await roleOf(token), await roleOf(lent.secret)]).toEqual(['member', 'reader']);
  const { tokenId } = (await api.call('GET', '/v1/me')).json;
  const told = await api.db
    .selectFrom('events')
    .select(['ownerId', 'data'])
    .where('subject', '=', id)
    .where('type', '=', 'user.role_changed')
    .orderBy('id')
    .execute();
  expect(told).toEqual([
    { ownerId: api.ownerId, data: { from: 'member', to: 'creator', by: tokenId } },
    { ownerId: api.ownerId, data: { from: 'creator', to: 'member', by: tokenId } },
  ]);
});

test('a link that is out, or about to leave, has the role of the moment it is swapped', async () => {
  const address = 'hedy@harbour.example';
  const id = await invite(address, { role: 'creator' });
  await setRole(id, 'reader');
  expect((await api.call('GET', '/v1/me', { token: await signIn(address) })).json['role']).toBe('reader');

  const mails = createMailStore(api.db);
  await setRole(id, 'creator');
  await api.db.transaction().execute(async (tx) => {
    await queueMail(tx, { ownerId: api.ownerId, userId: null, key: 'hedy', template: 'sign_in', address });
    // Only the test takes its turns.
    await sql`delete from intents`.execute(tx);
  });
  const mail = await api.db.selectFrom('mails').select('id').where('key', '=', 'hedy').executeTakeFirstOrThrow();
  const turn = await mails.turn(mail.id, { signUpOpen: false });
  if (!('send' in turn)) throw new Error('it was not its turn');
  await setRole(id, 'reader');
  const begun = await mails.begin(turn.send);
  const swapped = await api.call('POST', '/v1/sessions', { token: null, body: { once: begun!.secret, as: 'token' } });
  expect(swapped.json['role']).toBe('reader');
  await mails.end(turn.send, begun!.attempt, 'accepted', '');
});

test('whoever runs an installation keeps their role, and nobody gives roles in another one', async () => {
  const before = await api.rowCounts();
  for (const role of ['creator', 'reader'])
    expect(await setRole(api.ownerId, role)).toMatchObject({ status: 409, json: { code: 'CONFLICT' } });
  expect((await setRole(api.stranger.ownerId, 'reader')).status).toBe(404);
  expect((await setRole(api.ownerId, 'reader', { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('GET', '/v1/me')).json['role']).toBe('operator');
  expect(await api.rowCounts()).toEqual(before);
});

test('a member deletes themselves; their offers go with them, and not by a token that was lent', async () => {
  const address = 'katherine@harbour.example';
  const id = await invite(address, { role: 'creator', name: 'Katherine Johnson' });
  const token = await signIn(address);
  const lent = await createPrincipalStore(api.db).issue({ ownerId: id, kind: 'bearer', role: 'member', name: 'lent' });
  const agent = await api.db.selectFrom('agents').select('id').limit(1).executeTakeFirstOrThrow();
  const listing = await addListing(api.db, { ownerId: id, agentId: agent.id });
  const before = await api.rowCounts();
  expect((await api.call('DELETE', '/v1/me', { token: lent.secret })).json['code']).toBe('FORBIDDEN');
  expect((await api.call('DELETE', '/v1/me')).json['code']).toBe('CONFLICT');
  const dry = await api.call('DELETE', '/v1/me?dryRun=true', { token });
  expect(dry.json['would']).toContain(
    `delete ${id}; 0 licenses and 0 accounts of the ledger stay under the id, 1 listings`,
  );
  expect(await api.rowCounts()).toEqual(before);
  expect((await api.call('GET', `/v1/listings/${listing}`)).status).toBe(200);

  // Twice at once, as a double click: once done, once nobody's any more.
  const answers = await Promise.all([0, 1].map(() => api.call('DELETE', '/v1/me', { token })));
  expect(answers.map(({ status }) => status)).toContain(204);
  for (const { status } of answers) expect([204, 401, 404]).toContain(status);
  for (const secret of [token, lent.secret])
    expect((await api.call('GET', '/v1/me', { token: secret })).status).toBe(401);
  expect((await api.call('GET', `/v1/listings/${listing}`)).status).toBe(404);
  const told = await api.db.selectFrom('events').select('type').where('subject', '=', id).execute();
  expect(told.filter(({ type }) => type === 'user.deleted')).toHaveLength(1);
  const rows = await api.db.introspection.getTables();
  for (const { name } of rows) {
    const { rows: held } = await sql<{ text: string }>`select t::text as text from ${sql.table(name)} t
      where t::text ilike '%katherine%'`.execute(api.db);
    expect([name, held]).toEqual([name, []]);
  }
});

test('an address that never brought a link back leaves with the mail to it', async () => {
  const id = await invite('late@harbour.example');
  await settled();
  await sql`update users set created_at = now() - interval '100 days' where id = ${id}`.execute(api.db);
  await applyRetention(api.db);
  const user = () =>
    api.db.selectFrom('users').select(['address', 'deletedAt']).where('id', '=', id).executeTakeFirst();
  expect((await user())?.address).toBe('late@harbour.example');
  await sql`update mails set ended_at = now() - interval '100 days' where user_id = ${id}`.execute(api.db);
  await applyRetention(api.db);
  expect(await user()).toMatchObject({ address: null, deletedAt: expect.any(Date) });
});

test('mails are listed with their tries, and only a receipt or an invitation is sent again', async () => {
  server.script('tim@harbour.example', { recipient: { code: 550, say: 'no such mailbox' } });
  await api.call('POST', '/v1/users', { body: { address: 'tim@harbour.example' } });
  await settled();
  const { json } = await api.call('GET', '/v1/mails?state=failed');
  const mail = json.items.find((one) => one['address'] === 'tim@harbour.example')!;
  expect(mail).toMatchObject({ template: 'invite', reason: expect.stringContaining('no such mailbox') });
  const path = `/v1/mails/${mail['id'] as string}`;
  expect((await api.call('GET', path)).json['attempts']).toMatchObject([{ attempt: 1, outcome: 'refused' }]);
  expect((await api.call('GET', path, { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('POST', `${path}/resend`, { token: api.stranger.token })).status).toBe(404);
  expect((await api.call('POST', `${path}/resend?dryRun=true`)).json).toMatchObject({ dryRun: true });
  expect(mailed('tim@harbour.example')).toBe(0);
  expect((await api.call('POST', `${path}/resend`)).status).toBe(202);
  await settled();
  expect(mailed('tim@harbour.example')).toBe(1);
  expect((await api.call('POST', `${path}/resend`)).json['code']).toBe('CONFLICT');
  expect((await api.call('POST', `/v1/mails/${newId('mail')}/resend`)).status).toBe(404);
  expect(await findMail(api.db, api.stranger.ownerId, mail['id'] as string)).toBeUndefined();
});
