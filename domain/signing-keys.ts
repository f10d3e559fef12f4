import { z } from 'zod';

/** `key_` and the first 16 bytes of the SHA-256 of the public key, in hex: made from the key, so it cannot name another. */
export const signingKeyIdSchema = z
  .string()
  .regex(/^key_[0-9a-f]{32}$/, 'must be key_ followed by 32 lower-case hex digits');

/** file: the private half is in SOULFRA_SIGNING_KEY_FILE of the API. sealed: it is in the database, sealed. */
export const signingKeySources = ['sealed', 'file'] as const;
export type SigningKeySource = (typeof signingKeySources)[number];

/** The public half, as it is pinned by who verifies. */
export interface PublicSigningKey {
  keyId: string;
  /** User whose key it is. */
  issuer: string;
  algorithm: 'Ed25519';
  /** 32 bytes, base64url. */
  publicKey: string;
  madeAt: string;
  /** From then on it only verifies. */
  retiredAt: string | null;
}
