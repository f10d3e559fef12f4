import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { sql } from 'kysely';
import { createContext } from '../../api/context.ts';
import { canonicalJson } from '../../domain/canonical-json.ts';
import { signedText } from '../../integrations/signing.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { type Ended, runSoulfra } from '../support/command.ts';
import { ownPackage, packageHash } from '../support/licenses.ts';

// A guard, not a claim: each command is a process of its own.
vi.setConfig({ testTimeout: 300_000 });

let api: ApiFixture;
let url: string;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-license-'));
  api = await createApiFixture();
  await ownPackage(api.db, api.ownerId);
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

function soulfra(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.operator, ...env } });
}
const json = (ended: Ended) => JSON.parse(ended.out) as Record<string, unknown>;
/** With nothing that it could ask. */
const offline = { SOULFRA_URL: 'http://127.0.0.1:9', SOULFRA_TOKEN: 'sfr_nothing-of-use' };
const verify = (...args: string[]) => soulfra(['license', 'verify', ...args], offline);
const wrong = async (ended: Promise<Ended>) => {
  const { code, err } = await ended;
  return { code, says: /\[(\w+)\]/.exec(err)?.[1] };
};

test('given, used, and proved offline by pinned keys alone; revoked, the list says so', async () => {
  const given = await soulfra(['--json', 'license', 'give', 'personal', packageHash, '--reason', 'a gift']);
  expect(given).toMatchObject({ code: 0 });
  const id = json(given)['id'] as string;
  expect((await soulfra(['license', 'list', '--kind', 'personal'])).out).toContain(id);
  expect((await soulfra(['license', 'redeem', id, 'r-1'])).out).toContain(`use 1 of ${id}`);
  expect((await soulfra(['license', 'activate', id, 'a-1', '--place', 'desk'])).out).toContain('is in use on desk');
  expect((await soulfra(['license', 'check', id, '--activation', 'a-1'])).out).toContain('VALID');
  expect((await soulfra(['license', 'check', id, '--commercial'])).out).toContain('SCOPE_MISSING');
  expect(await soulfra(['license', 'file', id, '--activation', 'a-1', '-o', 'my.license'])).toMatchObject({ code: 0 });
  expect((await soulfra(['license', 'usage', id, '--csv'])).out).toContain(',1,1,1\r\n');
  const shown = await soulfra(['license', 'show', id]);
  expect(shown.out).toContain('a gift');
  // Whoever has lost the id of an activation finds it here.
  expect(shown.out).toMatch(/a-1 +desk/);
  const fewer = await soulfra(['license', 'file', id, '--activation', 'a-1', '--ttl', '2h']);
  const { fileExpiresAt, issuedAt } = JSON.parse(
    Buffer.from(fewer.out.split('.')[1]!, 'base64url').toString(),
  ) as Record<string, number>;
  expect(fileExpiresAt! - issuedAt!).toBe(7200);
  expect((await soulfra(['license', 'file', id, '--activation', 'a-1', '--ttl', '7200'])).code).toBe(2);

  // Nothing is trusted until a person says so.
  const nothing = await verify('my.license', '--place', 'desk');
  expect({ code: nothing.code, err: nothing.err }).toMatchObject({
    code: 2,
    err: expect.stringContaining('no key is pinned'),
  });
  expect((await soulfra(['keys', 'pin'])).code).toBe(2);
  expect(await soulfra(['--yes', 'keys', 'pin'])).toMatchObject({ code: 0 });
  const holds = await verify('my.license', '--place', 'desk', '--package', packageHash);
  expect(holds).toMatchObject({ code: 0, out: expect.stringContaining('VALID') });
  expect(holds.out).toContain(id);
  expect(holds.out).toContain(`issuer   ${api.ownerId}`);
  expect(await wrong(verify('my.license'))).toEqual({ code: 1, says: 'SCOPE_MISSING' });
  expect(await wrong(verify('my.license', '--place', 'desk', '--commercial'))).toEqual({
    code: 1,
    says: 'SCOPE_MISSING',
  });
  expect(await wrong(verify('none.license'))).toEqual({ code: 2, says: 'INVALID_INPUT' });

  writeFileSync(
    join(folder, 'changed.license'),
    readFileSync(join(folder, 'my.license'), 'utf8').replace(/.\n$/, (last) => (last === 'A\n' ? 'Q\n' : 'A\n')),
  );
  const changed = await wrong(verify('changed.license', '--place', 'desk'));
  expect(changed.code).toBe(1);
  expect(['MALFORMED', 'SIGNATURE_INVALID']).toContain(changed.says);

  expect(await soulfra(['license', 'revocations', '-o', 'before.list'])).toMatchObject({ code: 0 });
  // What cannot be undone is asked about first.
  expect((await soulfra(['license', 'revoke', id, '--reason', 'taken back'])).code).toBe(2);
  expect(await soulfra(['--yes', 'license', 'revoke', id, '--reason', 'taken back'])).toMatchObject({ code: 0 });
  expect(await soulfra(['license', 'revocations', '-o', 'after.list'])).toMatchObject({ code: 0 });
  expect((await verify('my.license', '--place', 'desk', '--revocations', 'before.list')).code).toBe(0);
  expect(await wrong(verify('my.license', '--place', 'desk', '--revocations', 'after.list'))).toEqual({
    code: 1,
    says: 'REVOKED',
  });
  expect(await wrong(verify('my.license', '--place', 'desk', '--revocations', 'my.license'))).toEqual({
    code: 1,
    says: 'MALFORMED',
  });
});

test('whose license it must be is said where keys of several issuers are pinned', async () => {
  const home = { ...offline, SOULFRA_HOME: join(folder, 'of-several') };
  const online = { SOULFRA_HOME: join(folder, 'of-several') };
  const given = json(await soulfra(['--json', 'license', 'give', 'unlimited', packageHash, '--reason', 'a gift']));
  await soulfra(['license', 'file', given['id'] as string, '-o', 'whose.license']);
  await createContext(api.deps).signers.of(api.stranger.ownerId);
  const whose = (...args: string[]) => soulfra(['license', 'verify', 'whose.license', ...args], home);

  expect((await soulfra(['--yes', 'keys', 'pin', '--issuer', api.stranger.ownerId], online)).out).toContain(
    `of ${api.stranger.ownerId}: licenses, packages`,
  );
  expect(await wrong(whose())).toEqual({ code: 1, says: 'KEY_UNKNOWN' });
  // Who reads this has the file alone, and it says whose keys are lacking.
  expect((await whose()).err).toContain(`soulfra keys pin --issuer ${api.ownerId}`);
  // Trusted to make agents here is not trusted to license.
  expect((await soulfra(['--yes', 'keys', 'pin', '--for', 'packages'], online)).code).toBe(0);
  expect(await wrong(whose())).toEqual({ code: 1, says: 'KEY_UNKNOWN' });
  expect((await soulfra(['--yes', 'keys', 'pin', '--for', 'licenses'], online)).out).toContain(
    `of ${api.ownerId}: licenses, packages`,
  );
  const either = await whose();
  expect({ code: either.code, err: either.err }).toMatchObject({
    code: 2,
    err: expect.stringContaining('--issuer USER'),
  });
  expect((await whose('--issuer', api.ownerId)).code).toBe(0);
  expect(await wrong(whose('--issuer', api.stranger.ownerId))).toEqual({ code: 1, says: 'SCOPE_MISSING' });

  // A file of keys of several is not pinned as a whole unseen.
  const both = join(folder, 'of-several', 'pinned-keys.json');
  const third = { ...offline, SOULFRA_HOME: join(folder, 'of-one') };
  expect((await soulfra(['--yes', 'keys', 'pin', both], third)).code).toBe(2);
  expect((await soulfra(['--yes', 'keys', 'pin', both, '--issuer', api.ownerId], third)).out).not.toContain(
    api.stranger.ownerId,
  );
  expect((await soulfra(['license', 'verify', 'whose.license'], third)).code).toBe(0);
});

test('a clock that is set back is found, and a list says itself what is wrong with it', async () => {
  const home = { ...offline, SOULFRA_HOME: join(folder, 'clock') };
  const seen = join(folder, 'clock', 'last-verified.json');
  expect((await soulfra(['--yes', 'keys', 'pin'], { SOULFRA_HOME: join(folder, 'clock') })).code).toBe(0);
  const given = json(await soulfra(['--json', 'license', 'give', 'unlimited', packageHash, '--reason', 'a gift']));
  await soulfra(['license', 'file', given['id'] as string, '-o', 'clock.license']);
  const check = (...args: string[]) => soulfra(['license', 'verify', 'clock.license', ...args], home);
  expect((await check()).code).toBe(0);
  const { at } = JSON.parse(readFileSync(seen, 'utf8')) as { at: string };
  expect(Math.abs(Date.now() - Date.parse(at))).toBeLessThan(600_000);
  writeFileSync(seen, JSON.stringify({ at: new Date(Date.now() + 3_600_000).toISOString() }));
  const back = await check();
  expect({ code: back.code, err: back.err }).toMatchObject({
    code: 1,
    err: expect.stringContaining('[CLOCK_SET_BACK]'),
  });
  expect(back.err).toContain(seen);
  // What says nothing is not taken for a first time.
  writeFileSync(seen, '{}');
  expect(await wrong(check())).toEqual({ code: 2, says: 'INVALID_INPUT' });
  rmSync(seen);

  const signer = await createContext(api.deps).signers.of(api.ownerId);
  const hour = Math.floor(Date.now() / 1000) - 3600;
  const listOf = (change: object) => {
    const content = {
      expiresAt: hour + 60,
      issuedAt: hour,
      issuer: api.ownerId,
      keyId: signer.keyId,
      revoked: [],
      suspended: [],
    };
    return signedText('SLR1', canonicalJson({ ...content, ...change }), signer);
  };
  writeFileSync(join(folder, 'stale.list'), listOf({}));
  expect(await wrong(check('--revocations', 'stale.list'))).toEqual({ code: 1, says: 'REVOCATIONS_STALE' });
  writeFileSync(join(folder, 'broken.list'), listOf({ revoked: 'all' }));
  expect(await wrong(check('--revocations', 'broken.list'))).toEqual({ code: 1, says: 'MALFORMED' });
  writeFileSync(join(folder, 'forged.list'), listOf({ issuer: api.stranger.ownerId }));
  expect(await wrong(check('--revocations', 'forged.list'))).toEqual({ code: 1, says: 'SIGNATURE_INVALID' });
});

test('usage as CSV is all of it, numbers are numbers, and every key is found', async () => {
  const given = json(await soulfra(['--json', 'license', 'give', 'personal', packageHash, '--reason', 'a gift']));
  const id = given['id'] as string;
  await sql`insert into license_usage (license_id, owner_id, day, redemptions)
    select ${id}, ${api.ownerId}, date '2020-01-01' + n, 1 from generate_series(0, 449) n`.execute(api.db);
  const rows = (await soulfra(['license', 'usage', id, '--csv'])).out.trimEnd().split('\r\n');
  expect(rows).toHaveLength(451);
  expect(new Set(rows).size).toBe(451);
  expect((await soulfra(['license', 'extend', id, '--reason', 'x', '--uses', '5x'])).code).toBe(2);

  // The one that signs is the last of more than a thousand.
  const { keyId } = await createContext(api.deps).signers.of(api.ownerId);
  await sql`insert into signing_keys (id, owner_id, public_key, source, signs_since, retired_at)
    select 'key_' || repeat('0', 28) || lpad(n::text, 4, '0'), ${api.ownerId}, sha256(n::text::bytea), 'file', now(), now()
    from generate_series(1, 1100) n`.execute(api.db);
  expect((await soulfra(['keys', 'rotate', '--dry-run'])).out).toContain(`retire ${keyId}`);
  await sql`delete from signing_keys where id like 'key_0000%'`.execute(api.db);
});

test('keys are exported, rotated, pinned from a file, and unpinned; a key file that lies is refused', async () => {
  expect(await soulfra(['keys', 'export', '-o', 'old.json'])).toMatchObject({ code: 0 });
  const prepared = json(await soulfra(['--json', 'keys', 'prepare']));
  expect((await soulfra(['keys', 'prepare'])).out).toContain(prepared['keyId']);
  expect((await soulfra(['keys', 'list'])).out).toMatch(new RegExp(`${String(prepared['keyId'])}.* next `));
  expect(await soulfra(['keys', 'export', '-o', 'ahead.json'])).toMatchObject({ code: 0 });
  const rotated = json(await soulfra(['--json', '--yes', 'keys', 'rotate']));
  expect(rotated['keyId']).toBe(prepared['keyId']);
  expect((await soulfra(['keys', 'list'])).out).toContain(rotated['keyId']);
  expect(await soulfra(['keys', 'export', '-o', 'new.json'])).toMatchObject({ code: 0 });
  const given = json(await soulfra(['--json', 'license', 'give', 'unlimited', packageHash, '--reason', 'a gift']));
  await soulfra(['license', 'file', given['id'] as string, '-o', 'fresh.license']);
  expect(await wrong(verify('fresh.license', '--keys', 'old.json'))).toEqual({ code: 1, says: 'KEY_UNKNOWN' });
  for (const keys of ['ahead.json', 'new.json']) expect((await verify('fresh.license', '--keys', keys)).code).toBe(0);
  const home = { ...offline, SOULFRA_HOME: join(folder, 'elsewhere') };
  expect((await soulfra(['--yes', 'keys', 'pin', 'new.json'], home)).code).toBe(0);
  expect((await soulfra(['license', 'verify', 'fresh.license'], home)).code).toBe(0);
  expect((await soulfra(['keys', 'unpin', rotated['keyId'] as string], home)).code).toBe(0);
  expect(await wrong(soulfra(['license', 'verify', 'fresh.license'], home))).toEqual({ code: 1, says: 'KEY_UNKNOWN' });

  // It leaked: another one signs, it is not exported or pinned any more, and who has pinned it is told.
  expect((await soulfra(['--yes', 'keys', 'pin', 'new.json'])).code).toBe(0);
  const leaked = rotated['keyId'] as string;
  const revoke = ['--yes', 'keys', 'revoke', leaked, '--reason', 'it leaked'];
  expect(await wrong(soulfra(revoke))).toEqual({ code: 1, says: 'CONFLICT' });
  expect((await soulfra(['--yes', 'keys', 'rotate'])).code).toBe(0);
  expect((await soulfra(revoke)).out).toContain(`${leaked} is revoked`);
  expect((await soulfra(['keys', 'export'])).out).not.toContain(leaked);
  expect((await soulfra(['--yes', 'keys', 'pin'])).err).toContain(`soulfra keys unpin ${leaked}`);
  expect((await soulfra(['--yes', 'keys', 'pin'], { SOULFRA_HOME: join(folder, 'third') })).code).toBe(0);
  expect(readFileSync(join(folder, 'third', 'pinned-keys.json'), 'utf8')).not.toContain(leaked);

  const file = JSON.parse(readFileSync(join(folder, 'new.json'), 'utf8')) as { keys: Array<Record<string, unknown>> };
  const [first, second] = file.keys;
  writeFileSync(join(folder, 'lie.json'), JSON.stringify({ keys: [{ ...first, publicKey: second!['publicKey'] }] }));
  const lie = await verify('fresh.license', '--keys', 'lie.json');
  expect({ code: lie.code, err: lie.err }).toMatchObject({
    code: 2,
    err: expect.stringContaining('is not the id of its key'),
  });
  writeFileSync(join(folder, 'empty.json'), '{}');
  expect(await wrong(verify('fresh.license', '--keys', 'empty.json'))).toEqual({ code: 2, says: 'INVALID_INPUT' });
});
