import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { type Ended, runSoulfra } from '../support/command.ts';
import { addPerson, type Person } from '../support/market.ts';

// A guard, not a claim: each command is a process of its own.
vi.setConfig({ testTimeout: 300_000 });

let api: ApiFixture;
let url: string;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-people-'));
  api = await createApiFixture();
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

const soulfra = (token: string, ...args: string[]) =>
  runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: token } });
const json = (ended: Ended) => JSON.parse(ended.out) as Record<string, unknown>;
const meOf = async ({ token }: Person) => (await api.call('GET', '/v1/me', { token })).status;
const isGone = async ({ ownerId }: Person) =>
  (await api.db.selectFrom('users').select('deletedAt').where('id', '=', ownerId).executeTakeFirstOrThrow())
    .deletedAt !== null;

test('me says whom the token speaks for', async () => {
  const ada = await addPerson(api.db, 'Ada', 'creator');
  const { tokenId } = (await api.call('GET', '/v1/me', { token: ada.token })).json;
  expect(json(await soulfra(ada.token, 'me', '--json'))).toEqual({
    userId: ada.ownerId,
    name: 'Ada',
    role: 'creator',
    tokenId,
  });
  expect(await soulfra(ada.token, 'me')).toEqual({
    code: 0,
    out: `${ada.ownerId} Ada, as creator by ${String(tokenId)}\n`,
    err: '',
  });
  const nobody = await soulfra('sfr_of-nobody-at-all', 'me');
  expect(nobody).toMatchObject({ code: 1, out: '', err: expect.stringContaining('UNAUTHENTICATED') });
});

test('sign-out ends the token it was called with, once somebody has said yes, and no other', async () => {
  const bea = await addPerson(api.db, 'Bea');
  const other = await addPerson(api.db, 'Other');
  expect(await soulfra(bea.token, 'sign-out')).toMatchObject({ code: 2, err: expect.stringContaining('Add --yes') });
  expect(await meOf(bea)).toBe(200);
  expect(await soulfra(bea.token, 'sign-out', '--yes')).toMatchObject({ code: 0, out: '✔ signed out\n' });
  expect([await meOf(bea), await meOf(other)]).toEqual([401, 200]);
  expect(await soulfra(bea.token, 'sign-out', '--yes')).toMatchObject({ code: 1 });
  const tokenId = (await api.call('GET', '/v1/me', { token: other.token })).json['tokenId'];
  expect(json(await soulfra(other.token, 'sign-out', '--yes', '--json'))).toEqual({ id: tokenId, revoked: true });
  expect(await meOf(other)).toBe(401);
  // The installation's own token, which `npm start` keeps in a file, is not ended by accident.
  const unset = await runSoulfra(['sign-out', '--yes'], { cwd: folder, env: { SOULFRA_URL: url } });
  expect(unset).toMatchObject({ code: 2, err: expect.stringContaining('SOULFRA_TOKEN') });
});

test('me delete tells what goes, asks, and deletes who asks alone', async () => {
  const cyd = await addPerson(api.db, 'Cyd');
  const would = `delete ${cyd.ownerId}; 0 licenses and 0 accounts of the ledger stay under the id`;
  expect(await soulfra(cyd.token, 'me', 'delete', '--dry-run')).toEqual({ code: 0, out: `would ${would}\n`, err: '' });
  expect(json(await soulfra(cyd.token, 'me', 'delete', '--dry-run', '--json'))).toEqual({ dryRun: true, would });
  const unasked = await soulfra(cyd.token, 'me', 'delete');
  expect(unasked).toMatchObject({ code: 2, err: expect.stringContaining('Add --yes') });
  expect([await meOf(cyd), await isGone(cyd)]).toEqual([200, false]);
  const bystander = await addPerson(api.db, 'Bystander');
  expect(json(await soulfra(cyd.token, 'me', 'delete', '--yes', '--json'))).toEqual({ deleted: true });
  expect([await meOf(cyd), await isGone(cyd), await isGone(bystander)]).toEqual([401, true, false]);
  const operator = await soulfra(api.tokens.operator, 'me', 'delete', '--yes');
  expect(operator).toMatchObject({ code: 1, err: expect.stringContaining('CONFLICT') });
});

test('users role gives another role at once', async () => {
  const dan = await addPerson(api.db, 'Dan');
  const role = (...args: string[]) => soulfra(api.tokens.operator, 'users', 'role', ...args);
  expect((await role(dan.ownerId, 'creator', '--dry-run')).out).toBe(
    `would make ${dan.ownerId}, who is member, creator\n`,
  );
  expect(json(await soulfra(dan.token, 'me', '--json'))['role']).toBe('member');
  expect(await role(dan.ownerId, 'creator')).toEqual({ code: 0, out: `✔ ${dan.ownerId} is creator\n`, err: '' });
  expect(json(await soulfra(dan.token, 'me', '--json'))['role']).toBe('creator');
  expect(await role(dan.ownerId, 'operator')).toMatchObject({ code: 2, err: expect.stringContaining('role') });
  expect(await role(api.ownerId, 'reader')).toMatchObject({ code: 1, err: expect.stringContaining('CONFLICT') });
});
