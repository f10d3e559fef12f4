import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { DomainError } from '../domain/errors.ts';
import { type SigningKeySource, signingKeyIdOf } from '../domain/signing-keys.ts';
import type { SecretBox } from './secret-box.ts';

/** What others take to sign with: Ed25519, 64 bytes. What is signed names its own kind, so that it is never taken for another. */
export interface Signer {
  readonly keyId: string;
  sign(bytes: Uint8Array): Uint8Array;
}

/** A key with both halves, in memory only. */
export interface SigningKey extends Signer {
  /** 32 bytes. */
  readonly publicKey: Buffer;
}

/**
 * `FORM.<base64url of the content>.<base64url of the signature>`; the signature is over all before the last dot, so that what is
 * signed as one form is never taken for another. verifier/ reads it.
 */
export function signedText(form: string, content: string, signer: Signer): string {
  const text = `${form}.${Buffer.from(content, 'utf8').toString('base64url')}`;
  return `${text}.${Buffer.from(signer.sign(Buffer.from(text, 'ascii'))).toString('base64url')}`;
}

export interface KeptKey {
  id: string;
  ownerId: string;
  publicKey: Buffer;
  source: SigningKeySource;
  sealed: Buffer | null;
}

/** Where keys are kept: stores/signing-keys.ts. */
export interface KeyShelf {
  /** The owner's key that signs. */
  live(ownerId: string): Promise<KeptKey | undefined>;
  /** The one that is published ahead. */
  next(ownerId: string): Promise<KeptKey | undefined>;
  /** Adds the first; where there is one already it stays. */
  add(key: KeptKey): Promise<void>;
  /** The key signs, also where it was published ahead. @param retires the key that must be the live one; null: none is. @throws CONFLICT where another is, or the new one was there before */
  replace(key: KeptKey, retires: string | null): Promise<void>;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** @param privateKey PKCS8 PEM, not encrypted. @throws Error where it is no Ed25519 key */
export function openSigningKey(privateKey: string): SigningKey {
  const key = createPrivateKey(privateKey);
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`a ${key.asymmetricKeyType} key, not an Ed25519 one`);
  return signingKey(key);
}

function signingKey(privateKey: KeyObject): SigningKey {
  const publicKey = Buffer.from(createPublicKey(privateKey).export({ format: 'jwk' }).x!, 'base64url');
  return { keyId: signingKeyIdOf(publicKey, sha256), publicKey, sign: (bytes) => sign(null, bytes, privateKey) };
}

/**
 * Who signs for whom. The first operator signs with the file's key where there is one; everybody else, and without a file
 * everybody, with a key that is made when it is first asked for and kept sealed.
 */
export function createSigners({
  keys,
  secretBox,
  file,
  operatorId,
}: {
  keys: KeyShelf;
  /** Absent: no SOULFRA_SECRET_KEY. */
  secretBox: SecretBox | undefined;
  /** Absent: no SOULFRA_SIGNING_KEY_FILE. */
  file: SigningKey | undefined;
  operatorId: () => Promise<string | undefined>;
}) {
  const opened = new Map<string, SigningKey>();

  async function ofFile(ownerId: string): Promise<SigningKey | undefined> {
    return file !== undefined && ownerId === (await operatorId()) ? file : undefined;
  }

  function box(): SecretBox {
    if (secretBox !== undefined) return secretBox;
    throw new DomainError(
      'SIGNING_KEY_MISSING',
      'there is no key to sign with: neither SOULFRA_SIGNING_KEY_FILE nor SOULFRA_SECRET_KEY is set',
    );
  }

  function made(ownerId: string): KeptKey {
    const { privateKey } = generateKeyPairSync('ed25519');
    const { keyId, publicKey } = signingKey(privateKey);
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { id: keyId, ownerId, publicKey, source: 'sealed', sealed: box().seal(pem, signingKeyAbout(keyId)) };
  }

  function open(key: KeptKey): SigningKey {
    const known = opened.get(key.id);
    if (known !== undefined) return known;
    if (key.sealed === null) {
      throw new DomainError(
        'SIGNING_KEY_MISSING',
        `${key.id} is in the file of SOULFRA_SIGNING_KEY_FILE, which is not set`,
      );
    }
    const sealedIn = box();
    let found: SigningKey;
    try {
      found = openSigningKey(sealedIn.open(key.sealed, signingKeyAbout(key.id)));
    } catch (cause) {
      throw new DomainError('SIGNING_KEY_MISSING', `${key.id} was sealed under another SOULFRA_SECRET_KEY`, { cause });
    }
    opened.set(key.id, found);
    return found;
  }

  /** The key that a rotation would make sign. @throws CONFLICT · SIGNING_KEY_MISSING */
  async function successor(ownerId: string, retires: string | null): Promise<KeptKey> {
    if ((await ofFile(ownerId)) !== undefined) {
      throw new DomainError(
        'CONFLICT',
        'the key comes from SOULFRA_SIGNING_KEY_FILE: replace it and start the API anew',
      );
    }
    const live = (await keys.live(ownerId))?.id ?? null;
    if (live !== retires) throw new DomainError('CONFLICT', `${live ?? 'no key'} signs, not ${retires ?? 'none'}`);
    const next = await keys.next(ownerId);
    if (next === undefined) return made(ownerId);
    if (next.source === 'file') {
      throw new DomainError(
        'CONFLICT',
        `${next.id} was published ahead: start the API with it as SOULFRA_SIGNING_KEY_FILE, or revoke it`,
      );
    }
    // One that cannot be opened must not come to sign.
    open(next);
    return next;
  }

  return {
    /**
     * A key to be published before it signs.
     * @param publicKey of the next SOULFRA_SIGNING_KEY_FILE. Default: a key is made, and kept sealed
     * @throws INVALID_INPUT · FORBIDDEN · SIGNING_KEY_MISSING
     */
    async ahead(ownerId: string, publicKey?: Buffer): Promise<KeptKey> {
      if (publicKey !== undefined) {
        if (ownerId !== (await operatorId()))
          throw new DomainError('FORBIDDEN', 'only who runs the installation signs with a key out of a file');
        const id = signingKeyIdOf(publicKey, sha256);
        return { id, ownerId, publicKey, source: 'file', sealed: null };
      }
      if ((await ofFile(ownerId)) === undefined) return made(ownerId);
      const rule = 'is needed while the key comes from SOULFRA_SIGNING_KEY_FILE, as the next one will';
      const mend = 'Make the next file and give its public half: 32 bytes as base64url.';
      throw new DomainError('INVALID_INPUT', `publicKey ${rule}`, { fields: [{ path: 'body.publicKey', rule, mend }] });
    },

    /** @throws as `rotate` does */
    async mayRotate(ownerId: string, retires: string | null): Promise<void> {
      await successor(ownerId, retires);
    },

    /** The owner's key, asked for anew each time: another process may have rotated it. @throws SIGNING_KEY_MISSING */
    async of(ownerId: string): Promise<SigningKey> {
      const given = await ofFile(ownerId);
      const live = await keys.live(ownerId);
      if (given !== undefined) {
        if (live?.id !== given.keyId) {
          const { keyId: id, publicKey } = given;
          await keys.replace({ id, ownerId, publicKey, source: 'file', sealed: null }, live?.id ?? null);
        }
        return given;
      }
      if (live !== undefined) return open(live);
      await keys.add(made(ownerId));
      return open((await keys.live(ownerId))!);
    },

    /**
     * The old key verifies from now on; the next one signs, or a new one where none was published.
     * @param retires the key that the caller saw, so that a repeated request rotates once
     * @throws CONFLICT where another key signs, or the key comes from a file · SIGNING_KEY_MISSING
     */
    async rotate(ownerId: string, retires: string | null): Promise<{ keyId: string }> {
      const key = await successor(ownerId, retires);
      await keys.replace(key, retires);
      return { keyId: key.id };
    },
  };
}

/** What a sealed key is of: it cannot be opened as another one. */
export function signingKeyAbout(keyId: string): string {
  return `signing key ${keyId}`;
}
