import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { expect, test } from 'vitest';
import { apiEnvironment } from '../../config/environment.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { isDomainError } from '../../domain/errors.ts';
import { signingKeyIdOf } from '../../domain/signing-keys.ts';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { createSigners, type KeptKey, type KeyShelf, openSigningKey } from '../../integrations/signing.ts';

function pemOf(type: 'ed25519' | 'x25519' = 'ed25519'): string {
  const { privateKey } = type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('x25519');
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

test('what a signer signs is Ed25519 that others verify, under an id made from the key', () => {
  const pem = pemOf();
  const signer = openSigningKey(pem);
  const bytes = Buffer.from('what is signed');
  const signature = signer.sign(bytes);
  expect(signature).toHaveLength(64);
  expect(verify(null, bytes, createPublicKey(pem), signature)).toBe(true);
  expect(signer.keyId).toBe(signingKeyIdOf(signer.publicKey, hostCrypto.sha256));
  expect(openSigningKey(pem).keyId).toBe(signer.keyId);
  expect(openSigningKey(pemOf()).keyId).not.toBe(signer.keyId);
});

test('a key of another kind is refused, at start and without repeating it', () => {
  const other = pemOf('x25519');
  expect(() => openSigningKey(other)).toThrow('a x25519 key, not an Ed25519 one');
  const servers = {
    DATABASE_URL: 'postgres://127.0.0.1/x',
    REDIS_URL: 'redis://127.0.0.1',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
  };
  const encrypted = generateKeyPairSync('ed25519')
    .privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
    .toString();
  for (const pem of [other, encrypted, 'quiet-secret']) {
    expect(() => apiEnvironment({ ...servers, SOULFRA_SIGNING_KEY: pem })).toThrow(
      /SOULFRA_SIGNING_KEY must be an Ed25519 private key as PKCS8 PEM(?![\s\S]*(BEGIN|quiet-secret))/,
    );
  }
  const pem = pemOf();
  expect(apiEnvironment({ ...servers, SOULFRA_SIGNING_KEY: pem }).signingKey).toBe(pem);
});

type Shelved = KeptKey & { state: 'next' | 'signing' | 'retired' };

function shelf(): KeyShelf & { rows: Shelved[] } {
  const rows: Shelved[] = [];
  const find = (ownerId: string, state: Shelved['state']) =>
    rows.find((row) => row.ownerId === ownerId && row.state === state);
  return {
    rows,
    live: async (ownerId) => find(ownerId, 'signing'),
    next: async (ownerId) => find(ownerId, 'next'),
    async add(key) {
      if (!find(key.ownerId, 'signing')) rows.push({ ...key, state: 'signing' });
    },
    async replace(key) {
      const before = find(key.ownerId, 'signing');
      if (before) before.state = 'retired';
      const next = rows.find(({ id }) => id === key.id);
      if (next) next.state = 'signing';
      else rows.push({ ...key, state: 'signing' });
    },
  };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (err) {
    if (isDomainError(err)) return err.code;
    throw err;
  }
  return 'none';
}

test('without a file and without a key to seal with, signing is refused with a code', async () => {
  const none = createSigners({ keys: shelf(), secretBox: undefined, file: undefined, operatorId: async () => 'usr_a' });
  expect(await codeOf(none.of('usr_a'))).toBe('SIGNING_KEY_MISSING');
  expect(await codeOf(none.rotate('usr_a', null))).toBe('SIGNING_KEY_MISSING');
});

test('a sealed key opens under its own SOULFRA_SECRET_KEY alone, and as no other key', async () => {
  const keys = shelf();
  const signers = (byte: number) =>
    createSigners({
      keys,
      secretBox: createSecretBox(Buffer.alloc(32, byte)),
      file: undefined,
      operatorId: async () => 'usr_a',
    });
  const first = await signers(7).of('usr_a');
  expect((await signers(7).of('usr_a')).keyId).toBe(first.keyId);
  expect(await codeOf(signers(8).of('usr_a'))).toBe('SIGNING_KEY_MISSING');
  // A row swapped in the database for another owner's.
  const theirs = await signers(7).of('usr_b');
  keys.rows.find(({ id }) => id === first.keyId)!.sealed = keys.rows.find(({ id }) => id === theirs.keyId)!.sealed;
  expect(await codeOf(signers(7).of('usr_a'))).toBe('SIGNING_KEY_MISSING');
});

test('the file is the operator’s; without it again the key that came from it is missed, not replaced', async () => {
  const keys = shelf();
  const file = openSigningKey(pemOf());
  const secretBox = createSecretBox(Buffer.alloc(32, 7));
  const operatorId = async () => 'usr_a';
  const withFile = createSigners({ keys, secretBox, file, operatorId });
  expect((await withFile.of('usr_a')).keyId).toBe(file.keyId);
  expect((await withFile.of('usr_b')).keyId).not.toBe(file.keyId);
  expect(await codeOf(withFile.rotate('usr_a', file.keyId))).toBe('CONFLICT');
  expect(keys.rows.find(({ id }) => id === file.keyId)?.sealed).toBeNull();
  const without = createSigners({ keys, secretBox, file: undefined, operatorId });
  expect(await codeOf(without.of('usr_a'))).toBe('SIGNING_KEY_MISSING');
  expect((await without.rotate('usr_a', file.keyId)).keyId).not.toBe(file.keyId);
  expect((await without.of('usr_a')).keyId).not.toBe(file.keyId);
});

test('a key that was published ahead and cannot be opened does not come to sign', async () => {
  const keys = shelf();
  const signers = (byte: number) =>
    createSigners({
      keys,
      secretBox: createSecretBox(Buffer.alloc(32, byte)),
      file: undefined,
      operatorId: async () => 'usr_a',
    });
  const first = await signers(7).of('usr_a');
  const next = await signers(8).ahead('usr_a');
  keys.rows.push({ ...next, state: 'next' });
  expect(await codeOf(signers(7).rotate('usr_a', first.keyId))).toBe('SIGNING_KEY_MISSING');
  expect((await signers(7).of('usr_a')).keyId).toBe(first.keyId);
  expect(keys.rows.find(({ id }) => id === next.id)?.state).toBe('next');
});

test('the next file is published by its public half, and signs once the API starts with it', async () => {
  const keys = shelf();
  const [file, nextFile] = [openSigningKey(pemOf()), openSigningKey(pemOf())];
  const secretBox = createSecretBox(Buffer.alloc(32, 7));
  const operatorId = async () => 'usr_a';
  const today = createSigners({ keys, secretBox, file, operatorId });
  await today.of('usr_a');
  // Without it a sealed key would be made, which the file keeps from ever signing.
  expect(await codeOf(today.ahead('usr_a'))).toBe('INVALID_INPUT');
  const next = await today.ahead('usr_a', nextFile.publicKey);
  expect(next).toMatchObject({ id: nextFile.keyId, source: 'file', sealed: null });
  keys.rows.push({ ...next, state: 'next' });
  expect((await today.of('usr_a')).keyId).toBe(file.keyId);
  // What is in a file that is not there cannot be made to sign by a rotation.
  const without = createSigners({ keys, secretBox, file: undefined, operatorId });
  expect(await codeOf(without.rotate('usr_a', file.keyId))).toBe('CONFLICT');
  const tomorrow = createSigners({ keys, secretBox, file: nextFile, operatorId });
  expect((await tomorrow.of('usr_a')).keyId).toBe(nextFile.keyId);
  expect(keys.rows.map(({ id, state }) => [id, state])).toEqual([
    [file.keyId, 'retired'],
    [nextFile.keyId, 'signing'],
  ]);
});
