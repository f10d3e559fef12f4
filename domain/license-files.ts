import { canonicalJson, type CanonicalValue } from './canonical-json.ts';

/** Files hold offline for as long as this, whatever happens: so long is a revocation listed. */
export const fileSeconds = { least: 3_600, usual: 30 * 86_400, most: 90 * 86_400 } as const;
/**
 * Places and past holdings of one license that have files which still hold: each may come to be an entry of its issuer's list, which
 * verifiers take up to 16 MiB of, some 188,000 entries. Who changes machines without end stops here.
 */
export const mostListed = 200;
/** A revocation list is to be fetched anew within this. */
export const listSeconds = 86_400;

/** Named first in what is signed, so that one is never taken for the other. */
export const signedForms = { license: 'SLF1', revocations: 'SLR1' } as const;

/** Times in whole seconds since 1970. verifier/index.d.ts says what each field is. */
export interface LicenseFile {
  readonly license: string;
  readonly kind: string;
  readonly issuer: string;
  readonly holder: string;
  readonly package: string;
  readonly commercial: boolean;
  readonly uses: number | null;
  readonly activation: { readonly id: string; readonly place: string; readonly seat: string } | null;
  readonly issuedAt: number;
  readonly fileExpiresAt: number;
  readonly expiresAt: number | null;
  readonly graceUntil: number | null;
  readonly revocation: readonly string[];
}

export interface RevocationList {
  readonly issuer: string;
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly revoked: readonly string[];
  readonly suspended: readonly string[];
}

/** The content as it is signed: canonical JSON with the key's id inside. */
export function signedContent(content: LicenseFile | RevocationList, keyId: string): string {
  return canonicalJson({ ...(content as unknown as Record<string, CanonicalValue>), keyId });
}
