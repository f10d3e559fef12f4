import type { Database } from '../../stores/database.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { openVerifier, type Verifier } from '../../verifier/index.js';
import type { ApiFixture } from './api.ts';
import { bornAgents } from './born-agents.ts';
import { testFleet } from './fleets.ts';
import { packed, unsignedLoop } from './loops.ts';
import { addPackage } from './market.ts';

const says = 'what is licensed';
/** Of the package that `ownPackage` makes: its content is the same whoever signs it. */
export const packageHash = unsignedLoop([packed(says)]).content.contentHash;
const made = new Map<string, Promise<void>>();

/** The package that licenses are given of is the issuer's own. */
export function ownPackage(db: Database, ownerId: string): Promise<void> {
  const known = made.get(ownerId);
  if (known !== undefined) return known;
  const making = makePackage(db, ownerId);
  made.set(ownerId, making);
  return making;
}

async function makePackage(db: Database, ownerId: string): Promise<void> {
  const agent = () => db.selectFrom('agents').select('id').orderBy('id').limit(1).executeTakeFirst();
  if ((await agent()) === undefined) {
    const fleet = testFleet({ heavy: 0, light: 1 });
    await createFleetStore(db).apply({ ownerId, source: '', fleet, agents: bornAgents(fleet), changes: [] });
  }
  await addPackage(db, { ownerId, agentId: (await agent())!.id, says });
}

/** A license by hand, of the operator unless a holder is named. */
export async function giveLicense(
  api: ApiFixture,
  kind: string,
  { holder, key }: { holder?: string; key?: string } = {},
): Promise<string> {
  await ownPackage(api.db, api.ownerId);
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
