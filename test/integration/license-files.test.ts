import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { mostListed } from '../../domain/license-files.ts';
import { newId } from '../../stores/ids.ts';
import { createContext } from '../../api/context.ts';
import { createRevocationLists } from '../../api/revocation-lists.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { openVerifier } from '../../verifier/index.js';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { giveLicense, ownPackage, packageHash, pinnedVerifier, refusedCode } from '../support/licenses.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
});
afterAll(() => api?.close());

const reason = 'because';
const post = (id: string, verb: string, body: unknown = { reason }, token = api.tokens.operator) =>
  api.call('POST', `/v1/licenses/${id}/${verb}`, { token, body });
const fileOf = (id: string, query = '', token = api.tokens.member) =>
  api.call('GET', `/v1/licenses/${id}/file${query}`, { token });
async function listOf() {
  const { status, text } = await api.call('GET', '/v1/revocations', { token: null });
  expect(status).toBe(200);
  return text;
}
async function activated(kind = 'commercial', holder?: string): Promise<string> {
  const id = await giveLicense(api, kind, holder === undefined ? {} : { holder });
  const token = holder === undefined ? api.tokens.operator : api.stranger.token;
  expect((await post(id, 'activate', { activationId: 'a', place: 'desk', seat: 'ada' }, token)).status).toBe(200);
  return id;
}
const verdictOf = async (file: string, more: Record<string, unknown> = {}) => {
  const verifier = await pinnedVerifier(api);
  const revocations = await verifier.revocations(await listOf());
  return verifier.verify(file, { issuer: api.ownerId, place: 'desk', package: packageHash, revocations, ...more });
};

test('nobody has a list before they have signed anything, and asking makes no key', async () => {
  const before = await api.rowCounts();
  for (const query of ['', `?issuer=${api.ownerId}`, `?issuer=${newId('user')}`])
    expect((await api.call('GET', `/v1/revocations${query}`, { token: null })).status).toBe(404);
  expect(await api.rowCounts()).toEqual(before);
});

test('a file proves the license offline, and says until when', async () => {
  const id = await activated();
  const { status, headers, text } = await fileOf(id, '?activationId=a&ttlSeconds=3600');
  expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'text/plain; charset=utf-8' });
  const { code, license } = await verdictOf(text, { commercial: true });
  expect(code).toBe('VALID');
  expect(license).toMatchObject({
    license: id,
    kind: 'commercial',
    issuer: api.ownerId,
    holder: api.ownerId,
    package: packageHash,
    activation: { id: 'a', place: 'desk', seat: 'ada' },
    uses: null,
  });
  expect(license!.fileExpiresAt - license!.issuedAt).toBe(3600);
  expect(license!.graceUntil! - license!.expiresAt!).toBe(14 * 86_400);
  expect((await verdictOf(text, { place: 'another desk' })).code).toBe('SCOPE_MISSING');
  expect((await api.call('GET', `/v1/licenses/${id}/usage`)).json.items).toMatchObject([{ files: 1 }]);
});

test('the end of the license ends its files sooner', async () => {
  const id = await activated();
  await sql`update licenses set expires_at = now() + interval '2 hours', grace_seconds = 3600 where id = ${id}`.execute(
    api.db,
  );
  const { license } = await verdictOf((await fileOf(id, '?activationId=a')).text);
  expect(license!.fileExpiresAt).toBe(license!.graceUntil);
  await sql`update licenses set expires_at = now() - interval '30 minutes' where id = ${id}`.execute(api.db);
  expect((await verdictOf((await fileOf(id, '?activationId=a')).text)).code).toBe('IN_GRACE');
  await sql`update licenses set expires_at = now() - interval '2 hours' where id = ${id}`.execute(api.db);
  expect(refusedCode((await fileOf(id, '?activationId=a')).json)).toBe('EXPIRED');
});

test('where places or seats are counted there is no file for everywhere', async () => {
  const id = await activated();
  expect(refusedCode((await fileOf(id)).json)).toBe('NOT_ACTIVATED');
  expect(refusedCode((await fileOf(id, '?activationId=b')).json)).toBe('NOT_ACTIVATED');
  const unlimited = await giveLicense(api, 'unlimited');
  expect((await verdictOf((await fileOf(unlimited)).text, { place: 'anywhere' })).code).toBe('VALID');
  const single = await giveLicense(api, 'single_use');
  expect((await verdictOf((await fileOf(single)).text)).code).toBe('REDEEM_ONLINE');
  await post(single, 'redeem', { redemptionId: 'r' });
  expect(refusedCode((await fileOf(single)).json)).toBe('USED_UP');
});

test('no file without right, within bounds, and none of what is not active', async () => {
  const id = await activated();
  for (const query of ['?ttlSeconds=60', '?ttlSeconds=7776001', '?ttlSeconds=x', '?activationId=%00', '?colour=red'])
    expect((await fileOf(id, query)).status).toBe(400);
  expect((await fileOf(id, '?activationId=a', api.tokens.reader)).status).toBe(403);
  expect((await fileOf(id, '?activationId=a', api.stranger.token)).status).toBe(404);
  await post(id, 'suspend');
  expect(refusedCode((await fileOf(id, '?activationId=a')).json)).toBe('SUSPENDED');
});

test('what is suspended or revoked later is in the list, as a hash, as long as a file may hold', async () => {
  const id = await activated();
  const { text } = await fileOf(id, '?activationId=a');
  const without = await activated();
  await post(without, 'revoke');
  expect((await verdictOf(text)).code).toBe('VALID');
  await post(id, 'suspend');
  expect((await verdictOf(text)).code).toBe('SUSPENDED');
  await post(id, 'reinstate');
  expect((await verdictOf(text)).code).toBe('VALID');
  await post(id, 'revoke');
  expect((await verdictOf(text)).code).toBe('REVOKED');
  const list = JSON.parse(Buffer.from((await listOf()).split('.')[1]!, 'base64url').toString()) as {
    revoked: string[];
  };
  expect(list.revoked).toHaveLength(1);
  expect(JSON.stringify(list)).not.toContain(id);
  await sql`update licenses set files_until = now() - interval '1 second' where id = ${id}`.execute(api.db);
  expect((await verdictOf(text)).code).toBe('VALID');
});

test('an activation that has ended takes its files along, and no others', async () => {
  const id = await activated();
  await post(id, 'activate', { activationId: 'b', place: 'desk', seat: 'bea' });
  const [first, second] = [await fileOf(id, '?activationId=a'), await fileOf(id, '?activationId=b')];
  await post(id, 'deactivate', { activationId: 'a' });
  expect((await verdictOf(first.text)).code).toBe('REVOKED');
  expect((await verdictOf(second.text)).code).toBe('VALID');
});

test('a transfer takes the old holder’s files along; the new one’s hold', async () => {
  const id = await activated('commercial', api.stranger.ownerId);
  const theirs = await fileOf(id, '?activationId=a', api.stranger.token);
  expect((await verdictOf(theirs.text)).code).toBe('VALID');
  expect((await post(id, 'transfer', { to: api.ownerId, reason }, api.stranger.token)).status).toBe(200);
  expect((await verdictOf(theirs.text)).code).toBe('REVOKED');
  await post(id, 'activate', { activationId: 'a', place: 'desk' });
  const mine = await fileOf(id, '?activationId=a');
  expect((await verdictOf(mine.text)).code).toBe('VALID');
  // Back to who had it first: the files of then stay revoked.
  await post(id, 'transfer', { to: api.stranger.ownerId, reason });
  await post(id, 'activate', { activationId: 'again', place: 'desk' }, api.stranger.token);
  const again = await fileOf(id, '?activationId=again', api.stranger.token);
  expect((await verdictOf(again.text)).code).toBe('VALID');
  for (const { text } of [theirs, mine]) expect((await verdictOf(text)).code).toBe('REVOKED');
});

test('changing machines and passing on take so many entries of the list and no more', async () => {
  const id = await activated();
  const use = async (activationId: string) => {
    const body = { activationId, place: 'desk', seat: 'ada' };
    expect((await post(id, 'activate', body)).status).toBe(200);
    return fileOf(id, `?activationId=${activationId}&ttlSeconds=3600`);
  };
  const past = mostListed - 2;
  await sql`insert into activations (license_id, id, owner_id, place, seat, actor, ended_at, files_until)
    select ${id}, 'past-' || n, ${api.ownerId}, 'desk', 'ada', 'test', now(), now() + interval '1 hour'
    from generate_series(1, ${past}) n`.execute(api.db);
  expect((await fileOf(id, '?activationId=a')).status).toBe(200);
  expect((await use('last')).status).toBe(200);
  const before = await api.rowCounts();
  expect(refusedCode((await use('beyond')).json)).toBe('TOO_MANY_FILES');
  expect((await api.rowCounts())['activations']).toBe(before['activations']! + 1);
  // Who has a file gets it anew, and nothing that ends later makes the list longer than that.
  expect((await fileOf(id, '?activationId=last')).status).toBe(200);
  for (const activationId of ['a', 'last', 'beyond']) await post(id, 'deactivate', { activationId });
  const listed = await sql<{ count: number }>`select count(*)::int as count from activations
    where license_id = ${id} and ended_at is not null and files_until > now()`.execute(api.db);
  expect(listed.rows[0]!.count).toBe(mostListed);
  expect(refusedCode((await use('still-beyond')).json)).toBe('TOO_MANY_FILES');
  await sql`update activations set files_until = now() where license_id = ${id} and id = 'past-1'`.execute(api.db);
  expect((await fileOf(id, '?activationId=still-beyond')).status).toBe(200);
  // Of a holding that was passed on the list has one entry: the new holder begins anew.
  expect((await post(id, 'transfer', { to: api.stranger.ownerId, reason })).status).toBe(200);
  await post(id, 'activate', { activationId: 'theirs', place: 'desk' }, api.stranger.token);
  expect((await fileOf(id, '?activationId=theirs', api.stranger.token)).status).toBe(200);

  const passedOn = await activated();
  await sql`insert into license_events (id, license_id, owner_id, change, to_state, actor, reason, holding, files_until)
    select 'lev_test_' || n, ${passedOn}, ${api.ownerId}, 'transferred', 'active', 'test', 'test', n, now() + interval '1 hour'
    from generate_series(1, ${mostListed}) n`.execute(api.db);
  expect(refusedCode((await fileOf(passedOn, '?activationId=a')).json)).toBe('TOO_MANY_FILES');
});

test('a list is kept for a while, and what failed is asked anew', async () => {
  const id = await giveLicense(api, 'unlimited');
  await fileOf(id);
  let gathered = 0;
  const { signingKeys } = createContext(api.deps);
  const counting = {
    ...createContext({ ...api.deps, revocationsKeptSeconds: 60 }),
    signingKeys: {
      ...signingKeys,
      live: async (issuer: string) => {
        gathered += 1;
        if (gathered === 1) throw new Error('away');
        return signingKeys.live(issuer);
      },
    },
  };
  const listed = createRevocationLists(counting);
  await expect(listed(api.ownerId)).rejects.toThrow('away');
  const lists = await Promise.all(Array.from({ length: 20 }, () => listed(api.ownerId)));
  await post(id, 'revoke');
  expect(new Set([...lists, await listed(api.ownerId)]).size).toBe(1);
  expect(gathered).toBe(2);
  expect(await listOf()).not.toBe(lists[0]);
});

test('files race a revocation: each that was given out is listed', async () => {
  for (let round = 0; round < 5; round += 1) {
    const id = await activated();
    const [files] = await Promise.all([
      Promise.all(Array.from({ length: 8 }, () => fileOf(id, '?activationId=a'))),
      post(id, 'revoke'),
    ]);
    for (const { status, text, json } of files) {
      if (status === 200) expect((await verdictOf(text)).code).toBe('REVOKED');
      else expect(refusedCode(json)).toBe('REVOKED');
    }
  }
});

test('after a rotation old files verify and new ones are of the new key; who has pinned the old one alone knows only that', async () => {
  const id = await activated();
  const old = await fileOf(id, '?activationId=a');
  const { json } = await api.call('GET', `/v1/signing-keys?issuer=${api.ownerId}`, { token: null });
  const before = json.items as unknown as Array<{ keyId: string; issuer: string; publicKey: string; state: string }>;
  const signing = before.find(({ state }) => state === 'signing')!.keyId;
  const rotated = await api.call('POST', '/v1/signing-keys/rotate', { body: { retires: signing } });
  expect(rotated.status).toBe(200);
  const fresh = await fileOf(id, '?activationId=a');
  expect((await verdictOf(old.text)).code).toBe('VALID');
  const { code, license } = await verdictOf(fresh.text);
  expect({ code, keyId: license!.keyId }).toEqual({ code: 'VALID', keyId: rotated.json['keyId'] });
  const pinnedBefore = await openVerifier({ keys: before });
  expect((await pinnedBefore.verify(old.text, { place: 'desk' })).code).toBe('VALID');
  expect((await pinnedBefore.verify(fresh.text, { place: 'desk' })).code).toBe('KEY_UNKNOWN');
});

test('who pins the next key beforehand verifies files and lists through the rotation', async () => {
  const id = await activated();
  const prepared = await api.call('POST', '/v1/signing-keys/next', { body: {} });
  const shipped = await pinnedVerifier(api);
  const old = await fileOf(id, '?activationId=a');
  const { json } = await api.call('GET', `/v1/signing-keys?issuer=${api.ownerId}`, { token: null });
  const signing = json.items.find(({ state }) => state === 'signing')!['keyId'];
  const rotated = await api.call('POST', '/v1/signing-keys/rotate', { body: { retires: signing } });
  expect(rotated.json['keyId']).toBe(prepared.json['keyId']);
  const fresh = await fileOf(id, '?activationId=a');
  const list = await api.call('GET', '/v1/revocations', { token: null });
  const revocations = await shipped.revocations(list.text);
  expect(revocations.code).toBe('VALID');
  for (const [{ text }, keyId] of [
    [old, signing],
    [fresh, prepared.json['keyId']],
  ] as const) {
    const { code, license } = await shipped.verify(text, { place: 'desk', revocations });
    expect({ code, keyId: license!.keyId }).toEqual({ code: 'VALID', keyId });
  }
});

test('each issuer signs for themselves', async () => {
  await ownPackage(api.db, api.stranger.ownerId);
  const { json } = await api.call('POST', '/v1/licenses', {
    token: api.stranger.token,
    body: { kind: 'unlimited', packageHash, holder: api.ownerId, reason },
  });
  const { text } = await fileOf(json['id'] as string);
  const { code, license } = await (await pinnedVerifier(api)).verify(text, {
    issuer: api.stranger.ownerId,
  });
  expect({ code, issuer: license!.issuer }).toEqual({ code: 'VALID', issuer: api.stranger.ownerId });
  // My list says nothing of theirs.
  expect((await verdictOf(text, { issuer: api.stranger.ownerId })).code).toBe('REVOCATIONS_INVALID');
  expect((await verdictOf(text)).code).toBe('SCOPE_MISSING');
});

test('without a key to sign with there is no file, a code that says why, and nothing noted', async () => {
  for (const secretBox of [undefined, createSecretBox(Buffer.alloc(32, 9))]) {
    const other = await createApiFixture({ secretBox });
    try {
      const id = await giveLicense(other, 'unlimited');
      if (secretBox !== undefined) {
        const { json } = await api.call('GET', '/v1/signing-keys', { token: null });
        expect(json.items.length).toBeGreaterThan(0);
        // As after a restore of the database alone: the key was sealed under another SOULFRA_SECRET_KEY.
        const row = await api.db
          .selectFrom('signingKeys')
          .selectAll()
          .where('retiredAt', 'is', null)
          .executeTakeFirstOrThrow();
        await other.db
          .insertInto('signingKeys')
          .values({ ...row, ownerId: other.ownerId })
          .execute();
      }
      const before = await other.rowCounts();
      const answer = await other.call('GET', `/v1/licenses/${id}/file`);
      expect({ status: answer.status, code: answer.json['code'] }).toEqual({
        status: 503,
        code: 'SIGNING_KEY_MISSING',
      });
      expect(answer.json['mend']).toContain('SOULFRA_SECRET_KEY');
      expect(await other.rowCounts()).toEqual(before);
    } finally {
      await other.close();
    }
  }
});
