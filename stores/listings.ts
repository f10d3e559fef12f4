import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import { refuseLowPrice } from '../domain/least-prices.ts';
import { type Creators, mayBecome, refuseBarredModels } from '../domain/listings.ts';
import type { LoopManifest } from '../domain/loop-manifest.ts';
import type { Money } from '../domain/money.ts';
import type { ListingState } from '../domain/states.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { readMarket } from './market.ts';

/** What a seller says of a listing; the package is pinned for good. */
export interface Offer {
  title: string;
  summary: string;
  price: Money;
  termsVersion: string;
  kinds: string[];
  creators: Creators;
  modelStatement: string;
}

export interface NewListing extends Offer {
  /** Made before it, so that a repeated request means the same listing. */
  id: string;
  ownerId: string;
  packageId: string;
  requestHash: Buffer;
}

interface Target {
  id: string;
  ownerId: string;
  /** The version that the change is made of; undefined: whichever is there. */
  version: number | undefined;
}

/**
 * A draft, once per id.
 * @returns whether it was made now
 * @throws INVALID_INPUT · NOT_FOUND for a package that is not the seller's · CONFLICT where the id came with other content
 */
export async function createListing(tx: DatabaseTransaction, listing: NewListing): Promise<boolean> {
  const { id, ownerId, packageId, requestHash, price, creators, ...rest } = listing;
  const known = await tx.selectFrom('listings').select('requestHash').where('id', '=', id).executeTakeFirst();
  if (known) return refuseOther(known.requestHash, requestHash);
  const pinned = await ownPackage(tx, ownerId, packageId);
  await refuseWrong(tx, listing);
  const row = await tx
    .insertInto('listings')
    .values({
      ...rest,
      ...price,
      id,
      ownerId,
      packageId,
      requestHash,
      contentHash: pinned.contentHash,
      creators: JSON.stringify(creators),
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')
    .executeTakeFirst();
  // Made by the same request, sent twice at once.
  if (!row) return createListing(tx, listing);
  await appendEvents(tx, [{ ownerId, type: 'listing.created', subject: id, data: { packageId } }]);
  return true;
}

function refuseOther(known: Buffer, asked: Buffer): false {
  if (known.equals(asked)) return false;
  throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
}

async function ownPackage(db: Executor, ownerId: string, id: string) {
  const row = await db
    .selectFrom('loopPackages')
    .select(['contentHash', 'manifest'])
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no loop package ${id}`);
  // Written by us from a manifest that was judged.
  return { contentHash: row.contentHash, manifest: row.manifest as unknown as LoopManifest };
}

/** @throws INVALID_INPUT naming the kind or creator that is none, or the price that is too low */
async function refuseWrong(tx: DatabaseTransaction, { price, kinds, creators }: Offer): Promise<void> {
  refuseLowPrice(price, (await readMarket(tx)).rules);
  const knownKinds = await tx.selectFrom('licenseKinds').select('id').where('id', 'in', kinds).execute();
  for (const [i, kind] of kinds.entries()) {
    if (!knownKinds.some(({ id }) => id === kind))
      throw fieldError(`kinds.${i}`, 'must be a kind of license', 'GET /v1/license-kinds lists them.');
  }
  const ids = creators.map(({ userId }) => userId);
  const users = await tx
    .selectFrom('users')
    .select('id')
    .where('id', 'in', ids)
    .where('deletedAt', 'is', null)
    .execute();
  for (const [i, userId] of ids.entries()) {
    if (!users.some(({ id }) => id === userId))
      throw fieldError(`creators.${i}.userId`, 'must be a user', 'Give the id of somebody who has signed up.');
  }
}

/**
 * Changes what is offered; what was sold before keeps what it was sold with.
 * @throws NOT_FOUND · PRECONDITION_FAILED · CONFLICT where it is retired · INVALID_INPUT · LISTING_REFUSED where it is on offer
 */
export async function changeListing(tx: DatabaseTransaction, target: Target, change: Partial<Offer>): Promise<void> {
  const listing = await lockListing(tx, target);
  if (listing.state === 'retired') throw new DomainError('CONFLICT', `${target.id} is retired`);
  const offer: Offer = { ...listing, ...change };
  await refuseWrong(tx, offer);
  if (listing.state === 'listed') await refuseUnsaleable(tx, { ...listing, ...offer });
  const { title, summary, price, termsVersion, kinds, creators, modelStatement } = offer;
  await tx
    .updateTable('listings')
    .set({ title, summary, ...price, termsVersion, kinds, creators: JSON.stringify(creators), modelStatement })
    .set({ version: sql<number>`version + 1`, changedAt: sql<Date>`now()` })
    .where('id', '=', target.id)
    .execute();
  await tellOf(tx, listing, 'changed');
}

/**
 * @returns false where it is so already
 * @throws NOT_FOUND · PRECONDITION_FAILED · CONFLICT where its state does not permit it · LISTING_REFUSED
 */
export async function moveListing(
  tx: DatabaseTransaction,
  target: Target,
  to: Exclude<ListingState, 'draft'>,
): Promise<boolean> {
  const listing = await lockListing(tx, target);
  if (!mayBecome(target.id, listing.state, to)) return false;
  if (to === 'listed') {
    if (listing.takenDown !== null)
      throw new DomainError(
        'CONFLICT',
        `${target.id} was taken down by who runs the marketplace: ${listing.takenDown}`,
      );
    await refuseWrong(tx, listing);
    await refuseUnsaleable(tx, listing);
  }
  await tx
    .updateTable('listings')
    .set({ state: to, version: sql<number>`version + 1`, changedAt: sql<Date>`now()` })
    .where('id', '=', target.id)
    .execute();
  await tellOf(tx, listing, to);
  return true;
}

async function refuseUnsaleable(
  tx: DatabaseTransaction,
  { ownerId, packageId, modelStatement }: { ownerId: string; packageId: string; modelStatement: string },
): Promise<void> {
  const { manifest } = await ownPackage(tx, ownerId, packageId);
  refuseBarredModels(manifest.models, modelStatement);
}

async function tellOf(tx: DatabaseTransaction, { id, ownerId }: { id: string; ownerId: string }, what: string) {
  await appendEvents(tx, [{ ownerId, type: `listing.${what}`, subject: id }]);
}

async function lockListing(tx: DatabaseTransaction, { id, ownerId, version }: Target): Promise<ListingRow> {
  const listing = await readListing(tx, id, 'for update');
  if (listing?.ownerId !== ownerId) throw new DomainError('NOT_FOUND', `no listing ${id}`);
  if (version !== undefined && version !== listing.version)
    throw new DomainError('PRECONDITION_FAILED', `${id} is at version ${listing.version}, not ${version}`);
  return listing;
}

export interface ListingRow extends Offer {
  id: string;
  ownerId: string;
  packageId: string;
  contentHash: Buffer;
  state: ListingState;
  version: number;
  /** Why who runs the marketplace has taken it off; null: it is not. */
  takenDown: string | null;
}

/** Whoever’s; `for share`: it stays as it is until the transaction ends, and others may buy meanwhile. */
export async function readListing(
  tx: DatabaseTransaction,
  id: string,
  lock: 'for update' | 'for share',
): Promise<ListingRow | undefined> {
  const query = tx
    .selectFrom('listings')
    .select(['id', 'ownerId', 'packageId', 'contentHash', 'title', 'summary', 'amount', 'currency', 'termsVersion'])
    .select(['kinds', 'creators', 'modelStatement', 'state', 'version', 'takenDown'])
    .where('id', '=', id);
  const row = await (lock === 'for share' ? query.forShare() : query.forUpdate()).executeTakeFirst();
  if (!row) return undefined;
  const { amount, currency, ...rest } = row;
  return {
    ...rest,
    price: { amount, currency },
    // Written by us from what was judged.
    creators: row.creators as unknown as Creators,
    state: row.state as ListingState,
  };
}
