import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Keeps what must be read again from who only has the database: AES-256-GCM under a key that is not in it. */
export interface SecretBox {
  /** @param about what the secret is of: sealed for one thing it cannot be opened for another */
  seal(secret: string, about: string): Buffer;
  /** @throws Error where the key, or what it is of, is another */
  open(sealed: Uint8Array, about: string): string;
  /**
   * What was sealed under the key before, sealed under the one of now; undefined where it is already.
   * @throws Error where neither opens it
   */
  reseal(sealed: Uint8Array, about: string): Buffer | undefined;
  /** Whether it has a key before, by which it still opens. */
  readonly hasOld: boolean;
}

const ivBytes = 12;
const tagBytes = 16;

/**
 * @param key 32 bytes
 * @param old the key before, by which nothing is sealed any more; absent: there is none
 */
export function createSecretBox(key: Uint8Array, old?: Uint8Array): SecretBox {
  /** Which key it is under is told by the tag: what neither key made opens by neither. */
  function opened(sealed: Uint8Array, about: string): { secret: string; isOld: boolean } {
    try {
      return { secret: openBy(key, sealed, about), isOld: false };
    } catch (cause) {
      if (old === undefined) throw cause;
      return { secret: openBy(old, sealed, about), isOld: true };
    }
  }
  return {
    seal: (secret, about) => sealBy(key, secret, about),
    open: (sealed, about) => opened(sealed, about).secret,
    reseal(sealed, about) {
      const { secret, isOld } = opened(sealed, about);
      return isOld ? sealBy(key, secret, about) : undefined;
    },
    hasOld: old !== undefined,
  };
}

/** As the environment has them. @param key 32 bytes, base64url; undefined: no box. @param old the key before */
export function secretBoxOf(key: string | undefined, old?: string): SecretBox | undefined {
  if (key === undefined) return undefined;
  return createSecretBox(bytesOf(key), old === undefined ? undefined : bytesOf(old));
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
