import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/** Keeps what must be read again from who only has the database: AES-256-GCM under a key that is not in it. */
export interface SecretBox {
  /** @param about what the secret is of: sealed for one thing it cannot be opened for another */
  seal(secret: string, about: string): Buffer;
  /** @throws Error where the key, or what it is of, is another */
  open(sealed: Uint8Array, about: string): string;
}

const ivBytes = 12;
const tagBytes = 16;

/** @param key 32 bytes */
export function createSecretBox(key: Uint8Array): SecretBox {
  return {
    seal(secret, about) {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(about));
      const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), sealed]);
    },
    open(sealed, about) {
      const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, ivBytes), { authTagLength: tagBytes })
        .setAAD(Buffer.from(about))
        .setAuthTag(sealed.subarray(ivBytes, ivBytes + tagBytes));
      return Buffer.concat([decipher.update(sealed.subarray(ivBytes + tagBytes)), decipher.final()]).toString('utf8');
    },
  };
}
