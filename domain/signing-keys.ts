import { z } from 'zod';

/** `key_` and the first 16 bytes of the SHA-256 of the public key, in hex: made from the key, so it cannot name another. */
export const signingKeyIdSchema = z
  .string()
  .regex(/^key_[0-9a-f]{32}$/, 'must be key_ followed by 32 lower-case hex digits');

/** @param publicKey 32 bytes. @param sha256 in hex; crypto is the caller's, since the domain has none */
export function signingKeyIdOf(publicKey: Uint8Array, sha256: (bytes: Uint8Array) => string): string {
  return `key_${sha256(publicKey).slice(0, 32)}`;
}

/** file: the private half is in SOULFRA_SIGNING_KEY_FILE of the API. sealed: it is in the database, sealed. */
export const signingKeySources = ['sealed', 'file'] as const;
export type SigningKeySource = (typeof signingKeySources)[number];

/**
 * next: published ahead, to be pinned before it signs. signing: one an owner. retired: it only verifies. revoked: it leaked, and
 * nothing that it signed is to be trusted.
 */
export const signingKeyStates = ['next', 'signing', 'retired', 'revoked'] as const;
export type SigningKeyState = (typeof signingKeyStates)[number];

export function signingKeyState<Time>(key: {
  signsSince: Time | null;
  retiredAt: Time | null;
  revokedAt: Time | null;
}): SigningKeyState {
  if (key.revokedAt !== null) return 'revoked';
  if (key.retiredAt !== null) return 'retired';
  return key.signsSince === null ? 'next' : 'signing';
}

/** The public half, as it is pinned by who verifies. */
export interface PublicSigningKey {
  keyId: string;
  /** User whose key it is. */
  issuer: string;
  algorithm: 'Ed25519';
  /** 32 bytes, base64url. */
  publicKey: string;
  state: SigningKeyState;
  madeAt: string;
  /** Null: it has not signed yet. */
  signsSince: string | null;
  /** From then on it only verifies, and not even that once it is revoked. */
  retiredAt: string | null;
  revokedAt: string | null;
}
