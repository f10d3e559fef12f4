import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { createPasswordStore } from '../../stores/passwords.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { runSoulfra } from '../support/command.ts';
import { until } from '../support/lab.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
});
afterAll(() => api?.close());

const password = 'harbour lamp seven';

/** Somebody who signed in by a mailed link just now. */
async function addUser(address: string, { verified = true } = {}) {
  const id = newId('user');
  await sql`insert into users (id, name, role, operator_id, address, verified_at)
    values (${id}, 'ada', 'member', ${api.ownerId}, ${address}, ${verified ? new Date() : null})`.execute(api.db);
  const issue = (signedIn: boolean) =>
    createPrincipalStore(api.db).issue({ ownerId: id, kind: 'bearer', role: 'member', name: '', signedIn });
  return { id, address, signedIn: (await issue(true)).secret, program: (await issue(false)).secret };
}

const setPassword = (token: string, body: object) => api.call('PUT', '/v1/me/password', { token, body });
const signIn = (address: string, typed = password, as = 'token') =>
  api.call('POST', '/v1/sign-ins', { token: null, body: { address, password: typed, as } });
const meStatus = async (token: string) => (await api.call('GET', '/v1/me', { token })).status;

test('whoever signed in by a link sets a password and signs in by it; a browser gets a cookie that no script reads and no other site sends', async () => {
  const ada = await addUser('ada@harbour.example');
  expect((await setPassword(ada.signedIn, { password })).status).toBe(200);
  const { rows } = await sql<{ hash: string }>`select hash from passwords where user_id = ${ada.id}`.execute(api.db);
  expect(rows[0]!.hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  const signedIn = await signIn(ada.address);
  expect(signedIn.json).toMatchObject({ role: 'member' });
  expect(await meStatus(signedIn.json['token'] as string)).toBe(200);
  const browser = await signIn('ADA@harbour.example', password, 'cookie');
  expect(String(browser.headers['set-cookie'])).toMatch(/^soulfra_session=sfr_.*Path=\/; HttpOnly; SameSite=Strict$/);
});

test('an unknown address, a user without a password and a wrong one are answered alike', async () => {
  const grace = await addUser('grace@harbour.example');
  const mary = await addUser('mary@harbour.example');
  await setPassword(mary.signedIn, { password });
  const answers = await Promise.all([
    signIn('nobody@harbour.example'),
    signIn(grace.address),
    signIn(mary.address, 'something else'),
  ]);
  const told = answers.map(({ status, json }) => ({
    status,
    code: json['code'],
    detail: json['detail'],
    errors: json['errors'],
  }));
  expect(new Set(told.map((answer) => JSON.stringify(answer))).size).toBe(1);
  expect(told[0]).toMatchObject({ status: 401, code: 'UNAUTHENTICATED', errors: [{ path: 'password' }] });
});

test('wrong passwords cost waits, also where nobody has the address, also all at once; a right one ends the count', async () => {
  const joan = await addUser('joan@harbour.example');
  const joanKey = createHash('sha256').update('account joan@harbour.example').digest();
  await setPassword(joan.signedIn, { password });
  for (const address of [joan.address, 'no-joan@harbour.example']) {
    const tries = await Promise.all(Array.from({ length: 9 }, () => signIn(address, 'wrong password')));
    const statuses = tries.map(({ status }) => status).toSorted((a, b) => a - b);
    // The sixth is judged and locks.
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429, 429, 429]);
    const refused = await signIn(address);
    expect(refused.status).toBe(429);
    expect(refused.json['detail']).toContain(`wait ${String(refused.headers['retry-after'])} s`);
  }
  await sql`update password_tries set locked_until = now() - interval '1 second'`.execute(api.db);
  expect((await signIn(joan.address)).status).toBe(200);
  expect((await signIn(joan.address, 'wrong password')).status).toBe(401);
  expect((await signIn(joan.address)).status).toBe(200);
  // Three and a half hours later three are forgotten, and this one counts.
  await Promise.all(Array.from({ length: 4 }, () => signIn(joan.address, 'wrong password')));
  const failures = async () =>
    (
      await sql<{ most: number }>`select max(failures) as most from password_tries where key = ${joanKey}`.execute(
        api.db,
      )
    ).rows[0]!.most;
  expect(await failures()).toBe(4);
  await sql`update password_tries set tried_at = tried_at - interval '210 minutes'`.execute(api.db);
  expect((await signIn(joan.address, 'wrong password')).status).toBe(401);
  expect(await failures()).toBe(2);
  const { rows } = await sql<{ text: string }>`select to_jsonb(t)::text as text from password_tries t`.execute(api.db);
  expect(JSON.stringify(rows)).not.toContain('joan');
});

test('whoever is locked out and sets another password by a link signs in by it at once', async () => {
  const lotte = await addUser('lotte@harbour.example');
  await setPassword(lotte.signedIn, { password });
  await Promise.all(Array.from({ length: 6 }, () => signIn(lotte.address, 'wrong password')));
  expect((await signIn(lotte.address)).status).toBe(429);
  const next = 'another harbour lamp';
  const would = await api.call('PUT', '/v1/me/password?dryRun=true', {
    token: lotte.signedIn,
    body: { password: next },
  });
  expect([would.status, (await signIn(lotte.address)).status]).toEqual([200, 429]);
  expect((await setPassword(lotte.signedIn, { password: next })).status).toBe(200);
  expect((await signIn(lotte.address, next)).status).toBe(200);
});

test('a password that is taken away twice, or was never there, ends nothing and is told to nobody', async () => {
  const nelly = await addUser('nelly@harbour.example');
  await setPassword(nelly.signedIn, { password });
  const elsewhere = async () =>
    (
      await createPrincipalStore(api.db).issue({
        ownerId: nelly.id,
        kind: 'bearer',
        role: 'member',
        name: '',
        signedIn: true,
      })
    ).secret;
  const ended = await elsewhere();
  const remove = () => api.call('DELETE', '/v1/me/password', { token: nelly.signedIn });
  expect((await remove()).json).toEqual({ ended: 1 });
  const after = await elsewhere();
  expect((await remove()).json).toEqual({ ended: 0 });
  expect([await meStatus(ended), await meStatus(after)]).toEqual([401, 200]);
  const told = await sql`select data ->> 'act' as act from mails
    where template = 'password_notice' and user_id = ${nelly.id} order by act desc`.execute(api.db);
  expect(told.rows).toEqual([{ act: 'set' }, { act: 'removed' }]);
});

test('a change ends what the user signed in by elsewhere, and links that are out; tokens of programs stay', async () => {
  const hedy = await addUser('hedy@harbour.example');
  await setPassword(hedy.signedIn, { password });
  const elsewhere = (await signIn(hedy.address)).json['token'] as string;
  const link = await createPrincipalStore(api.db).issue({
    ownerId: hedy.id,
    kind: 'once',
    role: 'member',
    name: '',
    expiresInSeconds: 900,
  });
  const changed = await setPassword(hedy.signedIn, { password: 'another harbour lamp', current: password });
  expect(changed.json).toEqual({ ended: 2 });
  const told = await sql`select address, data ->> 'act' as act from mails
    where template = 'password_notice' and user_id = ${hedy.id}`.execute(api.db);
  expect(told.rows).toEqual(Array.from({ length: 2 }, () => ({ address: hedy.address, act: 'set' })));
  expect([await meStatus(elsewhere), await meStatus(hedy.signedIn), await meStatus(hedy.program)]).toEqual([
    401, 200, 200,
  ]);
  const swapped = await api.call('POST', '/v1/sessions', { token: null, body: { once: link.secret, as: 'token' } });
  expect(swapped.status).toBe(401);
  expect([(await signIn(hedy.address)).status, (await signIn(hedy.address, 'another harbour lamp')).status]).toEqual([
    401, 200,
  ]);
});

test('without the one before it takes a sign-in of just now: no walked-away session, no program, no scoped token', async () => {
  const rosa = await addUser('rosa@harbour.example');
  expect((await setPassword(rosa.program, { password })).status).toBe(403);
  await setPassword(rosa.signedIn, { password });
  await sql`update tokens set created_at = now() - interval '16 minutes' where owner_id = ${rosa.id}`.execute(api.db);
  for (const lacking of [{}, { current: 'wrong' }]) {
    const refused = await setPassword(rosa.signedIn, { password: 'another harbour lamp', ...lacking });
    expect(refused.status).toBe(403);
    expect(refused.json['errors']).toMatchObject([{ path: 'current' }]);
  }
  expect((await setPassword(rosa.signedIn, { password: 'another harbour lamp', current: password })).status).toBe(200);
  const unverified = await addUser('lise@harbour.example', { verified: false });
  expect((await setPassword(unverified.signedIn, { password })).json['code']).toBe('CONFLICT');
  const short = await setPassword(rosa.signedIn, { password: 'short', current: password });
  expect(short.json['errors']).toMatchObject([{ path: 'password' }]);
  expect((await api.call('DELETE', `/v1/users/${rosa.id}`)).status).toBe(204);
  const { rows } = await sql`select from passwords where user_id = ${rosa.id}`.execute(api.db);
  expect(rows).toHaveLength(0);
});

test('whoever is signed out, or has the password changed, at the moment of their own change comes second', async () => {
  const eva = await addUser('eva@quay.example');
  await setPassword(eva.signedIn, { password });
  const body = { password: 'a harbour of theirs', current: password };
  const change = async (token: string, first: ReturnType<typeof sql>) => {
    const answer = await api.db.transaction().execute(async (tx) => {
      await sql`select from users where id = ${eva.id} for no key update`.execute(tx);
      const pending = setPassword(token, body);
      await until('their own change waits', async () => {
        const { rows } = await sql`select from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`.execute(api.db);
        return rows.length > 0;
      });
      await first.execute(tx);
      return { pending };
    });
    return (await answer.pending).status;
  };
  const { rows } = await sql<{ hash: string }>`select hash from passwords where user_id = ${eva.id}`.execute(api.db);
  const stolen = (await signIn(eva.address)).json['token'] as string;
  expect(
    await change(stolen, sql`update tokens set revoked_at = now() where name = 'password' and owner_id = ${eva.id}`),
  ).toBe(401);
  const other = `${rows[0]!.hash.slice(0, -4)}AAAA`;
  expect(await change(eva.program, sql`update passwords set hash = ${other} where user_id = ${eva.id}`)).toBe(403);
  const now = await sql<{ hash: string }>`select hash from passwords where user_id = ${eva.id}`.execute(api.db);
  expect(now.rows).toEqual([{ hash: other }]);
});

test('a right password takes back the wait that it made itself, not that of a wrong one meanwhile', async () => {
  const passwords = createPasswordStore(api.db);
  const network = '198.51.100.7';
  const key = createHash('sha256').update(`network ${network}`).digest();
  const afterWrong = async (failures: number) => {
    await sql`insert into password_tries values (${key}, ${failures}, now())
      on conflict (key) do update set failures = excluded.failures, tried_at = now(), locked_until = null`.execute(
      api.db,
    );
    return passwords.begin({ address: 'right@quay.example', network });
  };
  const wrong = () => passwords.begin({ address: 'wrong@quay.example', network });
  await passwords.forgive(await afterWrong(20));
  await expect(wrong()).resolves.toMatchObject({ hash: undefined });
  const right = await afterWrong(19);
  await wrong();
  await passwords.forgive(right);
  await expect(wrong()).rejects.toMatchObject({ code: 'RATE_LIMITED' });
});

test('a link or token of a lesser role than its user’s sets no password: by it whoever holds it would get all of the user’s', async () => {
  const lise = await addUser('lise@quay.example');
  const principals = createPrincipalStore(api.db);
  const { secret: once } = await principals.issue({
    ownerId: lise.id,
    kind: 'once',
    role: 'reader',
    name: '',
    expiresInSeconds: 900,
  });
  const given = await api.call('POST', '/v1/sessions', { token: null, body: { once, as: 'token' } });
  const refused = await setPassword(given.json['token'] as string, { password });
  expect([refused.status, refused.json['code']]).toEqual([403, 'FORBIDDEN']);
  expect((await api.call('DELETE', '/v1/me/sessions', { token: given.json['token'] as string })).status).toBe(403);
  const { rows } = await sql`select from passwords where user_id = ${lise.id}`.execute(api.db);
  expect(rows).toHaveLength(0);
});

test('whoever is signed in sees where else, and ends it all but this; tokens of programs stay', async () => {
  const emmy = await addUser('emmy@quay.example');
  await setPassword(emmy.signedIn, { password });
  const here = (await signIn(emmy.address)).json['token'] as string;
  const list = async (query: string) => (await api.call('GET', `/v1/tokens?${query}`, { token: here })).json.items;
  expect(await list('signedIn=true&live=true')).toHaveLength(2);
  expect(await list('signedIn=false&live=true')).toMatchObject([{ kind: 'bearer', signedIn: false }]);
  const would = await api.call('DELETE', '/v1/me/sessions?dryRun=true', { token: here });
  expect(would.json).toEqual({ dryRun: true, would: 'end 1 sessions and links' });
  expect((await api.call('DELETE', '/v1/me/sessions', { token: here })).json).toEqual({ ended: 1 });
  expect([await meStatus(emmy.signedIn), await meStatus(here), await meStatus(emmy.program)]).toEqual([401, 200, 200]);
  expect(await list('signedIn=true&live=true')).toMatchObject([{ name: 'password', revokedAt: null }]);
});

test('the command asks for passwords on stdin, never on its command line, and tells neither', async () => {
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  const ruth = await addUser('ruth@quay.example');
  const soulfra = (args: string[], lines: string[], token?: string) =>
    runSoulfra(args, {
      cwd: tmpdir(),
      env: { SOULFRA_URL: url, ...(token === undefined ? {} : { SOULFRA_TOKEN: token }) },
      lines,
    });
  const set = await soulfra(['me', 'password'], [password], ruth.signedIn);
  expect(set).toEqual({ code: 0, out: expect.stringContaining('your password is set') as string, err: '' });
  const changed = await soulfra(['me', 'password'], ['another harbour lamp', password], ruth.program);
  expect([changed.code, changed.out.includes('1 other sessions')]).toEqual([0, true]);
  const signedIn = await soulfra(['sign-in', '--address', ruth.address], ['another harbour lamp']);
  expect(await meStatus(signedIn.out.trim())).toBe(200);
  const both = await soulfra(['sign-in', 'sfr_link', '--address', ruth.address], ['another harbour lamp']);
  expect([both.code, both.err]).toEqual([2, expect.stringContaining('Both a link and --address were given')]);
  const wrong = await soulfra(['sign-in', '--address', ruth.address], [password]);
  expect(wrong.code).not.toBe(0);
  expect(wrong.err).toContain('the address or the password is wrong');
  for (const { out, err } of [set, changed, wrong]) expect(out + err).not.toContain('harbour lamp');
}, 60_000);
