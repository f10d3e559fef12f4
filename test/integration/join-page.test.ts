import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { issueToken } from '../../stores/principals.ts';
import type { Answer } from '../support/api.ts';
import { type GuildHall, openGuildHall } from '../support/guilds.ts';
import { until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { addPerson, type Person } from '../support/market.ts';
import { hostileText } from '../support/markup.ts';

/** The page of an invitation, by forms alone: what a browser without scripts does. */
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

const origin = 'http://souls.example';
function send(form: Record<string, string>, { cookie, from = origin }: { cookie?: string; from?: string | null } = {}) {
  return hall.api.call('POST', '/join', {
    token: null,
    raw: new URLSearchParams(form).toString(),
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      host: 'souls.example',
      ...(from === null ? {} : { origin: from }),
      ...(cookie === undefined ? {} : { cookie }),
    },
  });
}
/** What a browser keeps of an answer. */
const cookieOf = ({ headers }: Answer, name: string) =>
  [headers['set-cookie'] ?? []]
    .flat()
    .map(String)
    .find((cookie) => cookie.startsWith(`${name}=`))
    ?.split(';')[0];
async function mailedLink(address: string, of: 'invite' | 'once'): Promise<string> {
  const find = () =>
    server
      .to(address)
      .map(({ text }) => new RegExp(`https?:\\S+#${of}=\\S+`).exec(text)?.[0])
      .find((link) => link !== undefined);
  await until(`${address} has its link`, () => Promise.resolve(find() !== undefined));
  return find()!;
}
async function signedIn(person: Person): Promise<string> {
  const session = { ownerId: person.ownerId, kind: 'session', role: 'member', name: 'test' } as const;
  const { secret } = await issueToken(hall.db, session);
  return `soulfra_session=${secret}`;
}
async function sharedLink(body: Record<string, unknown> = {}) {
  const guildId = await hall.found();
  const { id, token } = await hall.sent(guildId, { link: {}, ...body });
  return { guildId, id, link: `${origin}/join#invite=${token}` };
}

test('a stranger who was mailed joins by one press, is signed in, and the link makes no second way in', async () => {
  const guildId = await hall.found();
  await hall.sent(guildId, { address: 'ada@pages.example' });
  const link = await mailedLink('ada@pages.example', 'invite');
  expect(link).toContain('/join#invite=sfi_');
  const asked = await hall.api.call('GET', '/join', { token: null });
  expect(asked.text).toContain('Paste the whole link');
  expect(asked.headers['referrer-policy']).toBe('same-origin');
  expect(asked.headers['content-security-policy']).toMatch(/default-src 'none'.*script-src 'self'/);
  expect(asked.headers['cache-control']).toBe('no-store');

  const shown = await send({ link, act: 'look' });
  expect(shown.text).toContain('“founder” invites you to “The Night Watch”');
  expect(await hall.counts(guildId)).toEqual({ seatsUsed: 1, members: 1, uses: 0 });
  const joined = await send({ link, act: 'join' });
  expect(joined.text).toContain('You have joined');
  expect(joined.text).toContain(`href="/guilds/${guildId}"`);
  const session = cookieOf(joined, 'soulfra_session')!;
  expect(
    (await hall.api.call('GET', `/v1/guilds/${guildId}`, { token: null, headers: { cookie: session } })).status,
  ).toBe(200);
  const again = await send({ link, act: 'join' });
  expect([again.status, cookieOf(again, 'soulfra_session')]).toEqual([200, undefined]);
  expect(await hall.counts(guildId)).toEqual({ seatsUsed: 2, members: 2, uses: 1 });
});

test('a stranger with a link that was passed on says who they are, signs in by mail, comes back and joins', async () => {
  const { guildId, link } = await sharedLink();
  const shown = await send({ link });
  expect(shown.text).toContain('name="address"');
  expect(shown.text).not.toContain('value="join"');
  expect((await send({ link, act: 'join' })).status).toBe(401);
  const mailed = await send({ link, act: 'sign-up', address: 'Bea@Pages.example' });
  expect(mailed.text).toContain('Look into your mail');
  const kept = cookieOf(mailed, 'soulfra_invite')!;
  expect([mailed.headers['set-cookie']].flat().join()).toMatch(/Path=\/join; HttpOnly; SameSite=Lax/);

  const once = new URL(await mailedLink('bea@pages.example', 'once')).hash.slice('#once='.length);
  const session = cookieOf(
    await hall.api.call('POST', '/v1/sessions', { token: null, body: { once } }),
    'soulfra_session',
  )!;
  const back = await hall.api.call('GET', '/join', { token: null, headers: { cookie: `${kept}; ${session}` } });
  expect(back.text).toContain('value="join"');
  const joined = await send({ link, act: 'join' }, { cookie: session });
  expect(joined.text).toContain('You are a member now.');
  expect([joined.headers['set-cookie']].flat().join()).toContain('soulfra_invite=;');
  expect(await hall.counts(guildId)).toEqual({ seatsUsed: 2, members: 2, uses: 1 });
});

test('no page of somebody else joins in the name of who is signed in, and nothing is used', async () => {
  const { guildId, link } = await sharedLink();
  const cookie = await signedIn(await addPerson(hall.db, 'carl'));
  for (const from of ['https://evil.example', 'null', null]) {
    const refused = await send({ link, act: 'join' }, { cookie, from });
    expect(refused.status).toBe(403);
    expect(refused.headers['content-type']).toContain('text/html');
  }
  expect(await hall.counts(guildId)).toEqual({ seatsUsed: 1, members: 1, uses: 0 });
});

test('what is wrong is said in words, on a page', async () => {
  const { id, link } = await sharedLink();
  expect((await hall.say('revoke', id, hall.founder)).status).toBe(200);
  expect(await send({ link })).toMatchObject({ status: 409, text: expect.stringContaining('This invitation is over') });
  const unknown = `sfi_${'a'.repeat(43)}`;
  expect(await send({ link: unknown })).toMatchObject({
    status: 404,
    text: expect.stringContaining('opens nothing any more'),
  });
  for (const wrong of ['', 'hello', link.slice(0, -1), `${link}x`, hostileText(500)]) {
    const refused = await send({ link: wrong });
    expect(refused.status).toBe(400);
    expect(refused.text).toContain('copy all of it');
  }
  expect((await hall.api.call('POST', '/join', { token: null, body: { link } })).status).toBe(415);
  const noAddress = await sharedLink();
  expect((await send({ link: noAddress.link, act: 'sign-up', address: 'nobody' })).status).toBe(400);
});

test('names in an invitation stay text', async () => {
  const guildId = await hall.found();
  await sql`update guilds set name = ${hostileText(60)} where id = ${guildId}`.execute(hall.db);
  const { token } = await hall.sent(guildId, { link: {} });
  const { text, status } = await send({ link: token });
  expect(status).toBe(200);
  expect(text).toContain('&lt;img src=x');
  expect(text).not.toMatch(/<script>|<img/);
});
