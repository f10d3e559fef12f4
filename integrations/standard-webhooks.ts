import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Signatures by the Standard Webhooks specification 1.0.0, scheme v1: HMAC-SHA256 over `id.timestamp.body`. */

/** How far a sender's clock may stand from ours, in seconds. */
const toleranceSeconds = 300;

const prefix = 'whsec_';
/** A sender that changes its secret signs with two; more is somebody trying. */
const mostSignatures = 10;

export interface SignedRequest {
  id: string;
  /** Seconds since 1970, as it stands in the header. */
  timestamp: string;
  /** `v1,<base64>`, several apart by spaces. */
  signature: string;
  /** As it came, before anything was read of it. */
  body: Uint8Array;
}

export function newWebhookSecret(): string {
  return `${prefix}${randomBytes(32).toString('base64')}`;
}

export function signatureOf(secret: string, { id, timestamp, body }: Omit<SignedRequest, 'signature'>): string {
  return `v1,${mac(secret, id, timestamp, body).toString('base64')}`;
}

/** Whether one of these secrets signed it, within the tolerance; the time it takes says nothing of the secret. */
export function isSigned(secrets: readonly string[], request: SignedRequest, now: Date): boolean {
  const { id, timestamp, signature, body } = request;
  // Digits only: Number() and parseInt() take much else for a number.
  const inTime = /^\d{1,12}$/.test(timestamp) && Math.abs(Number(timestamp) - now.getTime() / 1000) <= toleranceSeconds;
  const given = signature
    .split(' ', mostSignatures)
    .filter((part) => part.startsWith('v1,'))
    .map((part) => Buffer.from(part.slice('v1,'.length), 'base64'));
  // Without a secret as much is done as with one.
  const known = secrets.length > 0 ? secrets : [prefix];
  let signed = false;
  for (const secret of known) {
    const expected = mac(secret, id, timestamp, body);
    for (const one of given) {
      if (one.length === expected.length && timingSafeEqual(one, expected)) signed = true;
    }
  }
  return signed && inTime && secrets.length > 0;
}

function mac(secret: string, id: string, timestamp: string, body: Uint8Array): Buffer {
  const key = Buffer.from(secret.slice(prefix.length), 'base64');
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest();
}
