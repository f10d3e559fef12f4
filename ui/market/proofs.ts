import { openVerifier, type PinnedKey, type Verdict } from '../../verifier/index.js';
import { call } from '../client.ts';
import { keepOwn, keptOwn } from '../kept.ts';

/** What this browser keeps to verify a license without the network: the signed file, the signed list, and the seller's keys as they were pinned. */
export interface Proof {
  issuer: string;
  package: string;
  file: string;
  revocations: string;
  /** Where the file is of an activation: what it is for. */
  place: string | null;
  /** Milliseconds: when it was last fetched or verified, so that a clock set back is found. */
  knownTime: number;
}

const proofKey = (licenseId: string) => `proof-${licenseId}`;
const pinsKey = (issuer: string) => `pins-${issuer}`;

function read<Value>(key: string): Value | undefined {
  const kept = keptOwn(key);
  return kept === null ? undefined : (JSON.parse(kept) as Value);
}

export const keptProof = (licenseId: string) => read<Proof>(proofKey(licenseId));
export const pinnedKeys = (issuer: string) => read<PinnedKey[]>(pinsKey(issuer)) ?? [];

/** Ed25519 by WebCrypto, which pages have over https or on this host alone. */
export const canVerify = globalThis.crypto?.subtle !== undefined;

/** Trusts the keys that the seller signs with now. Done by a person: nothing that comes with a license is taken for a key. */
export async function pinKeys(issuer: string): Promise<PinnedKey[]> {
  const { items } = await call('GET /v1/signing-keys', { query: { issuer } });
  const keys = items
    .filter(({ state }) => state !== 'revoked')
    .map(({ keyId, issuer: of, publicKey }) => ({ keyId, issuer: of, publicKey }));
  keepOwn(pinsKey(issuer), JSON.stringify(keys));
  return keys;
}

interface Kept {
  licenseId: string;
  issuer: string;
  package: string;
  activation: { id: string; place: string } | null;
}

/** Fetches what proves the license offline and keeps it; keys are pinned the first time alone. */
export async function keepProof({ licenseId, issuer, package: hash, activation }: Kept): Promise<Proof> {
  const file = await call('GET /v1/licenses/{id}/file', {
    path: { id: licenseId },
    query: activation === null ? {} : { activationId: activation.id },
  });
  // After the file: who has signed nothing yet has neither a key nor a list.
  if (pinnedKeys(issuer).length === 0) await pinKeys(issuer);
  const revocations = await call('GET /v1/revocations', { query: { issuer } });
  const proof = { issuer, package: hash, file, revocations, place: activation?.place ?? null, knownTime: Date.now() };
  keepOwn(proofKey(licenseId), JSON.stringify(proof));
  return proof;
}

/** By the kept files and pinned keys alone: nothing is asked of anybody. */
export async function verifyProof(licenseId: string, proof: Proof): Promise<Verdict> {
  const { issuer, file, revocations, place, knownTime, package: hash } = proof;
  const verifier = await openVerifier({ keys: pinnedKeys(issuer) });
  const verdict = await verifier.verify(file, {
    issuer,
    revocations: await verifier.revocations(revocations),
    package: hash,
    knownTime,
    ...(place === null ? {} : { place }),
  });
  const now = Math.max(Date.now(), knownTime);
  keepOwn(proofKey(licenseId), JSON.stringify({ ...proof, knownTime: now }));
  return verdict;
}
