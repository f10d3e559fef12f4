import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { keyRingOf } from '../domain/key-ring.ts';

/** Keeps what must be read again from who only has the database: AES-256-GCM under a key that is not in it. */
export interface SecretBox {
  /** @param about what the secret is of: sealed for one thing it cannot be opened for another */
  seal(secret: string, about: string): Buffer;
  /** @throws Error where the key, or what it is of, is another */
  open(sealed: Uint8Array, about: string): string;
  /**
   * What was sealed under a key before, sealed under the one of now; undefined where it is already.
   * @throws Error where none opens it
   */
  reseal(sealed: Uint8Array, about: string): Buffer | undefined;
  /** Whether it has other keys than that of now, by which it opens. */
  readonly hasOld: boolean;
}

const ivBytes = 12;
const tagBytes = 16;

/**
 * @param key 32 bytes
 * @param others by which nothing is sealed, and which open: those before, and one that is to come
 */
export function createSecretBox(key: Uint8Array, ...others: readonly Uint8Array[]): SecretBox {
  /** Which key it is under is told by the tag: what no key made opens by none. */
  function opened(sealed: Uint8Array, about: string): { secret: string; isOld: boolean } {
    let first: unknown;
    for (const each of [key, ...others]) {
      try {
        return { secret: openBy(each, sealed, about), isOld: each !== key };
      } catch (err) {
        first ??= err;
      }
    }
    throw first;
  }
  return {
    seal: (secret, about) => sealBy(key, secret, about),
    open: (sealed, about) => opened(sealed, about).secret,
    reseal(sealed, about) {
      const { secret, isOld } = opened(sealed, about);
      return isOld ? sealBy(key, secret, about) : undefined;
    },
    hasOld: others.length > 0,
  };
}

/**
 * As the environment has them.
 * @param ring keys of 32 bytes, base64url, the first of which seals; undefined: no box
 * @param old one more that opens
 */
export function secretBoxOf(ring: string | undefined, old?: string): SecretBox | undefined {
  if (ring === undefined) return undefined;
  const [key, ...others] = [...(keyRingOf(ring) ?? []), ...(old === undefined ? [] : [old])].map(bytesOf);
  if (key === undefined) throw new TypeError('no ring of keys');
  return createSecretBox(key, ...others);
}

const bytesOf = (key: string) => Buffer.from(key, 'base64url');

function sealBy(key: Uint8Array, secret: string, about: string): Buffer {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(about));
  const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), sealed]);
}

function openBy(key: Uint8Array, sealed: Uint8Array, about: string): string {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, ivBytes), { authTagLength: tagBytes })
    .setAAD(Buffer.from(about))
    .setAuthTag(sealed.subarray(ivBytes, ivBytes + tagBytes));
  return Buffer.concat([decipher.update(sealed.subarray(ivBytes + tagBytes)), decipher.final()]).toString('utf8');
}
