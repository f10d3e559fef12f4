import { NativeConnection } from '@temporalio/worker';
import { createPurchaseActivities } from '../../activities/purchases.ts';
import type { LoopModel } from '../../domain/loop-manifest.ts';
import { wholeCreatorPart } from '../../domain/listings.ts';
import type { Money } from '../../domain/money.ts';
import { signLoop } from '../../domain/loop-packages.ts';
import type { PaymentProvider } from '../../domain/purchases.ts';
import type { Role } from '../../domain/states.ts';
import { createLogger } from '../../observability/logger.ts';
import type { Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { createListing, moveListing } from '../../stores/listings.ts';
import { createLoopPackageStore } from '../../stores/loop-packages.ts';
import { createPrincipalStore, firstOperator } from '../../stores/principals.ts';
import { createPurchaseStore } from '../../stores/purchase-steps.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { type ApiFixture, createApiFixture } from './api.ts';
import type { TestScope } from './isolation.ts';
import { newSigner, packed, unsignedLoop } from './loops.ts';
import { smallFleet } from './small-fleet.ts';

export interface Person {
  ownerId: string;
  token: string;
}

/** Somebody who may buy: of the first operator's installation, with an address that is verified. */
export async function addPerson(db: Database, name: string, role: Role = 'member'): Promise<Person> {
  const ownerId = newId('user');
  const operatorId = (await firstOperator(db)) ?? null;
  await db
    .insertInto('users')
    .values({ id: ownerId, name, role, operatorId, address: `${ownerId}@people.example`, verifiedAt: new Date() })
    .execute();
  const { secret } = await createPrincipalStore(db).issue({ ownerId, kind: 'bearer', role, name });
  return { ownerId, token: secret };
}

/** A signed package of somebody's, of an agent that is there; `says` makes its content another. */
export async function addPackage(
  db: Database,
  { ownerId, agentId, says = 'one', models }: { ownerId: string; agentId: string; says?: string; models?: LoopModel[] },
): Promise<{ packageId: string; contentHash: string; archive: Buffer }> {
  const signer = newSigner();
  // Retired, so that the owner signs with a key whose private half is here.
  const key = { id: signer.keyId, ownerId, publicKey: Buffer.from(signer.publicKey), source: 'file' };
  await db
    .insertInto('signingKeys')
    .values({ ...key, signsSince: new Date(), retiredAt: new Date() })
    .execute();
  const { manifest, archive } = signLoop(unsignedLoop([packed(says)], models), signer);
  const { id } = await createLoopPackageStore(db).keep({
    requestId: newId('request'),
    id: newId('loopPackage'),
    ownerId,
    agentId,
    bodyHash: Buffer.from('test'),
    manifest,
    archive,
  });
  return { packageId: id, contentHash: manifest.contentHash, archive: Buffer.from(archive) };
}

/** A package on offer, by the stores alone. */
export async function addListing(
  db: Database,
  {
    ownerId,
    agentId,
    price = { amount: 1000, currency: 'EUR' },
    says = 'one',
  }: { ownerId: string; agentId: string; price?: Money; says?: string },
): Promise<string> {
  const { packageId } = await addPackage(db, { ownerId, agentId, says });
  const id = newId('listing');
  await db.transaction().execute(async (tx) => {
    const creators = [{ userId: ownerId, weight: wholeCreatorPart }];
    const said = {
      title: 'A loop',
      summary: '',
      price,
      termsVersion: '1',
      kinds: ['personal'],
      creators,
      modelStatement: '',
    };
    await createListing(tx, { ...said, id, ownerId, packageId, requestHash: Buffer.from(id) });
    await moveListing(tx, { id, ownerId, version: undefined }, 'listed');
  });
  return id;
}

export type Shop = Awaited<ReturnType<typeof openShop>>;
type Activities = ReturnType<typeof createPurchaseActivities>;

/** The API, a worker with the shipped steps of purchases, a seller with a package, and people who buy. */
export async function openShop({
  providers = {},
  change = (shipped) => shipped,
  given,
}: {
  providers?: Record<string, PaymentProvider>;
  /** What the worker runs in place of the shipped steps. */
  change?: (shipped: Activities) => Activities;
  /** Servers of a bench. */
  given?: TestScope;
} = {}) {
  const api: ApiFixture = await createApiFixture({}, given);
  const { db, scope, deps } = api;
  const applied = await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
  if (applied.status !== 200) throw new Error(applied.text);
  const seller = await addPerson(db, 'seller', 'creator');
  const buyer = await addPerson(db, 'buyer');
  const pinned = await addPackage(db, { ownerId: seller.ownerId, agentId: 'vesper-001' });
  installRuntime(createLogger({ part: 'worker', level: 'silent' }));
  const connection = await NativeConnection.connect({ address: scope.temporalAddress });
  const activities = createPurchaseActivities({ purchases: createPurchaseStore(db), providers });
  const worker = await createCoordinationWorker({
    connection,
    namespace: scope.namespace,
    identity: 'shop/coordination/0',
    bundlePath: scope.workflowBundlePath(),
    weight: { pollers: 4, workflowSlots: 40, activitySlots: 8 },
    activities: change(activities),
  });
  const running = worker.run();
  let keys = 0;

  const shop = {
    api,
    db,
    client: deps.temporal,
    activities,
    seller,
    buyer,
    ...pinned,

    async grant(userId: string, amount: number, currency = 'EUR'): Promise<void> {
      keys += 1;
      const { status, text } = await api.call('POST', '/v1/credits/grants', {
        body: { userId, amount, currency, reason: 'to buy' },
        headers: { 'idempotency-key': `grant-${keys}` },
      });
      if (status !== 201) throw new Error(text);
    },

    draft(body: Record<string, unknown> = {}, headers: Record<string, string> = {}, token = seller.token) {
      const offer = {
        packageId: pinned.packageId,
        price: { amount: 1000, currency: 'EUR' },
        termsVersion: '1',
        kinds: ['personal'],
      };
      return api.call('POST', '/v1/listings', { body: { ...offer, ...body }, headers, token });
    },

    /** A listing on offer. */
    async list(body: Record<string, unknown> = {}): Promise<string> {
      const drafted = await shop.draft(body);
      const id = drafted.json['id'] as string;
      const listed = await api.call('POST', `/v1/listings/${id}/list`, { token: seller.token });
      if (listed.status !== 200) throw new Error(drafted.text + listed.text);
      return id;
    },

    buy(listingId: string, { key, by = buyer, ...body }: { key?: string; by?: Person } & Record<string, unknown> = {}) {
      keys += 1;
      return api.call('POST', '/v1/purchases', {
        body: { listingId, kind: 'personal', ...body },
        headers: { 'idempotency-key': key ?? `buy-${keys}` },
        token: by.token,
      });
    },

    /** By holder: what is on the accounts of a kind, without those that hold nothing. */
    async balances(kind: string, currency = 'EUR'): Promise<Record<string, number>> {
      const rows = await db
        .selectFrom('ledgerAccounts')
        .select(['holder', 'balance'])
        .where('kind', '=', kind)
        .where('currency', '=', currency)
        .execute();
      return Object.fromEntries(rows.filter(({ balance }) => balance !== 0).map((row) => [row.holder, row.balance]));
    },

    async close(): Promise<void> {
      worker.shutdown();
      await running;
      await connection.close();
      await api.close();
    },
  };
  return shop;
}
