/** A public key that was pinned before anything that it signed is trusted: `soulfra keys export`. */
export interface PinnedKey {
  /** `key_` and 32 hex digits, made from the key. */
  keyId: string;
  /** User whose key it is; it is believed for no other. */
  issuer: string;
  /** 32 bytes, base64url. */
  publicKey: string;
}

export type Code =
  | 'VALID'
  | 'IN_GRACE'
  | 'REDEEM_ONLINE'
  | 'MALFORMED'
  | 'KEY_UNKNOWN'
  | 'SIGNATURE_INVALID'
  | 'CLOCK_SET_BACK'
  | 'REVOCATIONS_INVALID'
  | 'REVOCATIONS_STALE'
  | 'REVOKED'
  | 'SUSPENDED'
  | 'EXPIRED'
  | 'FILE_EXPIRED'
  | 'SCOPE_MISSING';

/** All times are whole seconds since 1970. */
export interface License {
  /** Id of the license. */
  license: string;
  kind: string;
  issuer: string;
  holder: string;
  /** SHA-256 of the package's content, hex. */
  package: string;
  commercial: boolean;
  /** Uses in all where they are counted, which only the server can. */
  uses: number | null;
  /** Where it may be in use; null: anywhere. */
  activation: { id: string; place: string; seat: string } | null;
  issuedAt: number;
  fileExpiresAt: number;
  /** End of the license's term; null: it has none. */
  expiresAt: number | null;
  graceUntil: number | null;
  keyId: string;
  /** What a revocation list would name, any of them. */
  revocation: readonly string[];
}

export interface Verdict {
  code: Code;
  /** VALID and IN_GRACE. */
  holds: boolean;
  explanation: string;
  /** Only where the signature fits. */
  license: License | undefined;
}

/** Times in milliseconds, as Date.now() gives them; what is no finite number is a TypeError. */
export interface Asked {
  /** @default Date.now() */
  now?: number;
  /** A time that is known to have passed, such as the last run of the program. */
  knownTime?: number;
  /**
   * Whose license it must be: the user who sells the package. Everybody whose key is pinned can sign a license of any package.
   * @default the one issuer of the pinned keys; where they are of several, nothing holds
   */
  issuer?: string;
  /** As `revocations` gave it. */
  revocations?: Revocations;
  /** SHA-256 of the package that is to be used. */
  package?: string;
  /** Where it is to be used: what the activation was made for. */
  place?: string;
  /** Whether the use is commercial. @default false */
  commercial?: boolean;
}

/** A list that was verified. Only this very object counts, for any number of `verify` of the verifier that made it. */
export interface Revocations {
  readonly code: Code;
  readonly holds: boolean;
  readonly explanation: string;
  readonly issuer?: string;
  readonly issuedAt?: number;
  readonly expiresAt?: number;
}

export interface Verifier {
  verify(text: string, asked?: Asked): Promise<Verdict>;
  revocations(text: string, options?: { now?: number }): Promise<Revocations>;
}

export const codes: readonly Code[];

/** @param options.clockSkewSeconds how far clocks may be apart, 0 or more. @default 60 */
export function openVerifier(options: { keys: readonly PinnedKey[]; clockSkewSeconds?: number }): Promise<Verifier>;
