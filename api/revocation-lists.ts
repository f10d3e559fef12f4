import { DomainError } from '../domain/errors.ts';
import { listSeconds, signedContent, signedForms } from '../domain/license-files.ts';
import { signedText } from '../integrations/signing.ts';
import { revocationsOf } from '../stores/queries/licenses.ts';
import type { ApiContext } from './context.ts';

type Needs = Pick<ApiContext, 'db' | 'signers' | 'signingKeys' | 'revocationsKeptSeconds'>;

/**
 * Signed lists by issuer, each kept for a few seconds: anybody may ask for them, and a long one is costly to gather and to sign.
 * @returns what answers with an issuer's list; it throws NOT_FOUND for who has never signed anything
 */
export function createRevocationLists(needs: Needs): (issuer: string) => Promise<string> {
  const keptMs = (needs.revocationsKeptSeconds ?? 10) * 1000;
  const kept = new Map<string, { until: number; list: Promise<string> }>();
  return (issuer) => {
    const now = Date.now();
    for (const [id, { until }] of kept) if (until <= now) kept.delete(id);
    const known = kept.get(issuer);
    if (known) return known.list;
    const list = signedList(needs, issuer);
    const entry = { until: now + keptMs, list };
    kept.set(issuer, entry);
    // A failure is told to those who waited for it, and to no one after.
    list.catch(() => kept.get(issuer) === entry && kept.delete(issuer));
    return list;
  };
}

async function signedList({ db, signers, signingKeys }: Needs, issuer: string): Promise<string> {
  // Who has never signed anything has nothing to revoke, and gets no key because a stranger asks.
  if ((await signingKeys.live(issuer)) === undefined)
    throw new DomainError('NOT_FOUND', `${issuer} has issued no files`);
  const signer = await signers.of(issuer);
  const { now, revoked, suspended } = await revocationsOf(db, issuer);
  const issuedAt = Math.floor(now / 1000);
  const list = { issuer, issuedAt, expiresAt: issuedAt + listSeconds, revoked, suspended };
  return `${signedText(signedForms.revocations, signedContent(list, signer.keyId), signer)}\n`;
}
