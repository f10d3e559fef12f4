import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createContext } from '../../api/context.ts';
import { openSigningKey, type Signer } from '../../integrations/signing.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';

let api: ApiFixture;
beforeAll(async () => {
  api = await createApiFixture();
});
afterAll(() => api?.close());

interface Key {
  keyId: string;
  issuer: string;
  publicKey: string;
  state: string;
  signsSince: string | null;
  retiredAt: string | null;
}
async function keysOf(issuer: string): Promise<Key[]> {
  const { status, json } = await api.call('GET', `/v1/signing-keys?issuer=${issuer}`, { token: null });
  expect(status).toBe(200);
  return json.items as unknown as Key[];
}
function verifies(signer: Signer, { publicKey }: Key): boolean {
  const bytes = Buffer.from('a text');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
  return verify(null, bytes, key, signer.sign(bytes));
}
const rotate = (retires: string | null, token = api.tokens.operator) =>
  api.call('POST', '/v1/signing-keys/rotate', { token, body: { retires } });

test('the first use makes one key, however many ask at once; its private half is sealed', async () => {
  const contexts = Array.from({ length: 4 }, () => createContext(api.deps));
  const signers = await Promise.all(Array.from({ length: 20 }, (_, i) => contexts[i % 4]!.signers.of(api.ownerId)));
  expect(new Set(signers.map(({ keyId }) => keyId)).size).toBe(1);
  const [key, ...more] = await keysOf(api.ownerId);
  expect(more).toEqual([]);
  expect(key).toMatchObject({ keyId: signers[0]!.keyId, issuer: api.ownerId, retiredAt: null });
  expect(verifies(signers[7]!, key!)).toBe(true);
  const { rows } = await sql<{ row: string }>`select k::text as row from signing_keys k`.execute(api.db);
  expect(rows[0]!.row).not.toMatch(/BEGIN|PRIVATE/);
  const made = await api.db.selectFrom('events').select('type').where('subject', '=', key!.keyId).execute();
  expect(made).toEqual([{ type: 'key.made' }]);
});

test('after a rotation the new key signs, the old one verifies, and its private half is gone', async () => {
  const { signers } = createContext(api.deps);
  const elsewhere = createContext(api.deps);
  const old = await signers.of(api.ownerId);
  await elsewhere.signers.of(api.ownerId);
  const dry = await api.call('POST', '/v1/signing-keys/rotate?dryRun=true', { body: { retires: old.keyId } });
  expect(dry.json).toEqual({ dryRun: true, would: `retire ${old.keyId}` });
  const answers = await Promise.all(Array.from({ length: 5 }, () => rotate(old.keyId)));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 409, 409, 409, 409]);
  const fresh = await signers.of(api.ownerId);
  expect(fresh.keyId).toBe(answers.find(({ status }) => status === 200)!.json['keyId']);
  // A process that had the old key open signs with the new one, too.
  expect((await elsewhere.signers.of(api.ownerId)).keyId).toBe(fresh.keyId);
  const keys = await keysOf(api.ownerId);
  const oldKey = keys.find(({ keyId }) => keyId === old.keyId)!;
  expect(oldKey.retiredAt).not.toBeNull();
  expect(verifies(old, oldKey)).toBe(true);
  expect(verifies(fresh, oldKey)).toBe(false);
  const row = await api.db
    .selectFrom('signingKeys')
    .select(['sealed'])
    .where('id', '=', old.keyId)
    .executeTakeFirstOrThrow();
  expect(row.sealed).toBeNull();
});

test('another owner’s key is another key, and nobody rotates it but them', async () => {
  const { signers } = createContext(api.deps);
  const mine = await signers.of(api.ownerId);
  const theirs = await signers.of(api.stranger.ownerId);
  expect(theirs.keyId).not.toBe(mine.keyId);
  const before = await api.rowCounts();
  expect((await rotate(mine.keyId, api.stranger.token)).status).toBe(409);
  expect(await api.rowCounts()).toEqual(before);
  expect((await rotate(theirs.keyId, api.stranger.token)).status).toBe(200);
  expect((await signers.of(api.ownerId)).keyId).toBe(mine.keyId);
});

const publish = (body: object = {}, token = api.tokens.operator) =>
  api.call('POST', '/v1/signing-keys/next', { token, body });
const revoke = (id: string, token = api.tokens.operator) =>
  api.call('POST', `/v1/signing-keys/${id}/revoke`, { token, body: { reason: 'it leaked' } });

test('the next key is published before it signs: who pins then verifies what it signs after the rotation', async () => {
  const { signers } = createContext(api.deps);
  const old = await signers.of(api.ownerId);
  const rows = await api.rowCounts();
  const dry = await api.call('POST', '/v1/signing-keys/next?dryRun=true', { body: {} });
  expect(dry.json).toEqual({ dryRun: true, would: 'publish the next key' });
  expect(await api.rowCounts()).toEqual(rows);
  const answers = await Promise.all(Array.from({ length: 10 }, () => publish()));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  const [next, ...others] = new Set(answers.map(({ json }) => json['keyId'] as string));
  expect(others).toEqual([]);
  const pinned = (await keysOf(api.ownerId)).find(({ keyId }) => keyId === next)!;
  expect(pinned).toMatchObject({ state: 'next', signsSince: null, retiredAt: null });
  // It signs nothing yet, in no process.
  expect((await signers.of(api.ownerId)).keyId).toBe(old.keyId);
  expect((await createContext(api.deps).signers.of(api.ownerId)).keyId).toBe(old.keyId);
  const rotations = await Promise.all(Array.from({ length: 5 }, () => rotate(old.keyId)));
  // Who asked for the same before it was done is told the same: one rotation, told once below.
  const rotated = rotations.filter(({ status }) => status === 200);
  expect(new Set(rotated.map(({ json }) => json['keyId']))).toEqual(new Set([next]));
  const signer = await signers.of(api.ownerId);
  expect(verifies(signer, pinned)).toBe(true);
  const states = new Map((await keysOf(api.ownerId)).map(({ keyId, state }) => [keyId, state]));
  expect([states.get(next!), states.get(old.keyId)]).toEqual(['signing', 'retired']);
  const told = await api.db.selectFrom('events').select('type').where('subject', '=', next!).orderBy('id').execute();
  expect(told.map(({ type }) => type)).toEqual(['key.published', 'key.rotated']);
});

test('a key that leaked is revoked: once it signs no more, for good, by its owner alone', async () => {
  const { signers } = createContext(api.deps);
  const leaked = (await signers.of(api.ownerId)).keyId;
  expect((await revoke(leaked)).status).toBe(409);
  await rotate(leaked);
  expect((await revoke(leaked, api.stranger.token)).status).toBe(404);
  expect(
    (await api.call('POST', `/v1/signing-keys/${leaked}/revoke?dryRun=true`, { body: { reason: 'r' } })).json,
  ).toEqual({ dryRun: true, would: `revoke ${leaked}` });
  const stateOf = async () => (await keysOf(api.ownerId)).find(({ keyId }) => keyId === leaked)!;
  expect((await stateOf()).state).toBe('retired');
  const answers = await Promise.all(Array.from({ length: 5 }, () => revoke(leaked)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  const revoked = await stateOf();
  expect(revoked.state).toBe('revoked');
  await revoke(leaked);
  expect(await stateOf()).toEqual(revoked);
  const told = await api.db.selectFrom('events').select('data').where('type', '=', 'key.revoked').execute();
  expect(told).toEqual([{ data: { reason: 'it leaked' } }]);
  // What was published and leaked before its turn never signs.
  const next = (await publish()).json['keyId'] as string;
  expect((await revoke(next)).status).toBe(200);
  const sealed = await api.db.selectFrom('signingKeys').select('sealed').where('id', '=', next).executeTakeFirst();
  expect(sealed).toEqual({ sealed: null });
  const signing = (await signers.of(api.ownerId)).keyId;
  expect((await rotate(signing)).json['keyId']).not.toBe(next);
});

test('the next file of the operator is published by its public half, and signs once the API starts with it', async () => {
  const file = openSigningKey(
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  );
  const publicKey = file.publicKey.toString('base64url');
  expect((await publish({ publicKey }, api.stranger.token)).status).toBe(403);
  const answers = await Promise.all(Array.from({ length: 3 }, () => publish({ publicKey })));
  expect(answers.map(({ status, json }) => ({ status, keyId: json['keyId'] }))).toEqual(
    Array.from({ length: 3 }, () => ({ status: 200, keyId: file.keyId })),
  );
  const other = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x!;
  expect((await publish({ publicKey: other })).status).toBe(409);
  const signing = (await createContext(api.deps).signers.of(api.ownerId)).keyId;
  // Its private half is not here.
  expect((await rotate(signing)).status).toBe(409);
  const restarted = createContext({ ...api.deps, signingKey: file });
  expect((await restarted.signers.of(api.ownerId)).keyId).toBe(file.keyId);
  const states = (await keysOf(api.ownerId)).flatMap(({ keyId, state }) => (state === 'signing' ? [keyId] : []));
  expect(states).toEqual([file.keyId]);
});

test('a key out of a file takes over, once, and one that was retired does not come back', async () => {
  const fileOf = () =>
    openSigningKey(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  const first = fileOf();
  const processes = Array.from({ length: 4 }, () => createContext({ ...api.deps, signingKey: first }));
  const signers = await Promise.all(processes.map((process) => process.signers.of(api.ownerId)));
  expect(new Set(signers.map(({ keyId }) => keyId))).toEqual(new Set([first.keyId]));
  const live = (await keysOf(api.ownerId)).filter(({ retiredAt }) => retiredAt === null);
  expect(live.map(({ keyId }) => keyId)).toEqual([first.keyId]);
  const second = createContext({ ...api.deps, signingKey: fileOf() });
  await second.signers.of(api.ownerId);
  await expect(processes[0]!.signers.of(api.ownerId)).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('two keys never sign for one owner, also by hand', async () => {
  const [key] = await api.db
    .selectFrom('signingKeys')
    .selectAll()
    .where('ownerId', '=', api.ownerId)
    .where('retiredAt', 'is', null)
    .execute();
  const other = { ...key!, id: `key_${'1'.repeat(32)}`, publicKey: Buffer.alloc(32, 1) };
  await expect(api.db.insertInto('signingKeys').values(other).execute()).rejects.toThrow('signing_keys_live');
});
