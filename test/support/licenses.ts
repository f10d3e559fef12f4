import { createHash } from 'node:crypto';
import { openVerifier, type Verifier } from '../../verifier/index.js';
import type { ApiFixture } from './api.ts';

export const packageHash = createHash('sha256').update('a package').digest('hex');

/** A license by hand, of the operator unless a holder is named. */
export async function giveLicense(
  api: ApiFixture,
  kind: string,
  { holder, key }: { holder?: string; key?: string } = {},
): Promise<string> {
  const { status, json, text } = await api.call('POST', '/v1/licenses', {
    body: { kind, packageHash, holder, reason: 'a gift' },
    ...(key === undefined ? {} : { headers: { 'idempotency-key': key } }),
  });
  if (status !== 201) throw new Error(text);
  return json['id'] as string;
}

/** The code of a refused use: what its `errors` say. */
export function refusedCode(json: Record<string, unknown>): string | undefined {
  const [error] = (json['errors'] ?? []) as Array<{ code?: string }>;
  return json['code'] === 'LICENSE_REFUSED' ? error?.code : undefined;
}

/** A verifier that has pinned what the API shows by now. */
export async function pinnedVerifier(api: ApiFixture): Promise<Verifier> {
  const { json } = await api.call('GET', '/v1/signing-keys', { token: null });
  return openVerifier({ keys: json.items as never });
}
