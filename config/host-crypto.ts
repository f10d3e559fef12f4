import { createHash, createPublicKey, verify } from 'node:crypto';

/** What the reading of a `.loop` file asks of its host (domain/loop-packages.ts); Node's own crypto and nothing else. */
export const hostCrypto = {
  sha256: (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex'),

  /** Ed25519 (RFC 8032); false for a key of another length, too. */
  isSignedBy(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
    if (publicKey.length !== 32 || signature.length !== 64) return false;
    const key = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(publicKey).toString('base64url') },
      format: 'jwk',
    });
    return verify(null, bytes, key, signature);
  },
};
