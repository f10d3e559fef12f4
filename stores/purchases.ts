import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { refusedByFee } from '../domain/least-prices.ts';
import { accountOf } from '../domain/ledger.ts';
import { type Money, moneyText } from '../domain/money.ts';
import { sold } from '../domain/postings.ts';
import { creditsPayment, isEndedPurchase, isRefusal } from '../domain/purchases.ts';
import { type SaleSplit, type SaleTerms, splitSale } from '../domain/shares.ts';
import type { PurchaseState } from '../domain/states.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { postTransfers } from './ledger.ts';
import { refusalOfBuyer } from './buyers.ts';
import type { By } from './license-rows.ts';
import { issueLicense } from './licenses.ts';
import { readListing } from './listings.ts';
import { readMarket } from './market.ts';
import { tellSold } from './sold-purchases.ts';

export interface NewPurchase {
  /** Made before it, so that a repeated request means the same purchase. */
  purchaseId: string;
  /** Who buys. */
  ownerId: string;
  listingId: string;
  licenseKind: string;
  payment: string;
  /** Hex; another request under the same key is refused. */
  requestHash: string;
  /** Token that asked. */
  madeBy: string;
  buyerAgentId?: string;
  /** What the buyer saw; bought at no other price. @default whatever the price is by then */
  price?: Money;
}

export interface PurchaseEnd {
  purchaseId: string;
  state: PurchaseState;
  /** Of the license that stands behind it, where there is one. */
  licenseId: string | null;
}

/** The listing as it is sold now: frozen on the purchase. */
export interface Frozen {
  sellerId: string;
  booksId: string;
  listingVersion: number;
  termsVersion: string;
  title: string;
  packageId: string;
  contentHash: Buffer;
  price: Money;
  tax: number;
  terms: SaleTerms;
  split: SaleSplit;
  /** Why it is not for sale so, or not to this buyer; undefined: it is. */
  refused: DomainError | undefined;
}

/** The license of a purchase has the purchase's own id in another form, so that both can be written before either is read. */
export function licenseIdOf(purchaseId: string): string {
  return `lic_${purchaseId.slice('pur_'.length)}`;
}

/**
 * A whole sale by credits, in one transaction: price and split frozen, license issued and active, purchase completed, money
 * moved. What is refused (credits too low, not for sale) is written down as canceled, and nothing else of it.
 * Done again it answers with what it did.
 * @throws CONFLICT where the id came before with other content · NOT_FOUND for an unknown listing
 */
export async function settleByCredits(db: Database, input: NewPurchase): Promise<PurchaseEnd> {
  try {
    return await db.transaction().execute((tx) => sellForCredits(tx, input));
  } catch (err) {
    if (!isRefusal(err)) throw err;
    return db.transaction().execute(async (tx) => {
      const known = await findOwn(tx, input);
      if (known) return known;
      const standing = { state: 'canceled', code: err.code, reason: err.message } as const;
      return (await addPurchase(tx, input, await freezeSale(tx, input), standing)).end;
    });
  }
}

async function sellForCredits(tx: DatabaseTransaction, input: NewPurchase): Promise<PurchaseEnd> {
  const { purchaseId, ownerId: buyerId } = input;
  const known = await findOwn(tx, input);
  if (known) return known;
  const frozen = await freezeSale(tx, input);
  if (frozen.refused !== undefined) throw frozen.refused;
  const { end, added, endedAt } = await addPurchase(tx, input, frozen, { state: 'completed', code: '', reason: '' });
  if (!added) return end;
  await issuePurchased(tx, input, frozen, { actor: purchaseId, reason: 'its purchase is completed' });
  const { booksId, sellerId, split, price, title, tax } = frozen;
  const { listingId, licenseKind } = input;
  const licenseId = licenseIdOf(purchaseId);
  const of = { id: purchaseId, buyerId, sellerId, booksId, listingId, licenseId, licenseKind, title, price, tax };
  await tellSold(tx, { ...of, paidAt: endedAt! });
  const sale = sold({ purchaseId, currency: price.currency, from: accountOf.credits(buyerId), split });
  // Accounts of the platform are everybody's: taken last, they are held for no longer than the commit takes.
  await postTransfers(tx, { ownerId: booksId, madeBy: purchaseId }, sale === undefined ? [] : [sale]);
  return end;
}

/** The license as it was sold; pending, where it is not `activated` at once. */
export async function issuePurchased(
  tx: DatabaseTransaction,
  { purchaseId, ownerId, licenseKind }: Pick<NewPurchase, 'purchaseId' | 'ownerId' | 'licenseKind'>,
  { sellerId, contentHash }: Pick<Frozen, 'sellerId' | 'contentHash'>,
  activated?: By,
): Promise<void> {
  await issueLicense(tx, {
    id: licenseIdOf(purchaseId),
    holderId: ownerId,
    issuerId: sellerId,
    kind: licenseKind,
    packageHash: contentHash.toString('hex'),
    purchaseId,
    by: { actor: purchaseId, reason: 'it was bought' },
    ...(activated === undefined ? {} : { activated }),
  });
}

/** What became of it. @throws CONFLICT where the id came before with other content */
export async function findOwn(
  tx: Executor,
  { purchaseId, requestHash }: NewPurchase,
): Promise<PurchaseEnd | undefined> {
  const row = await tx
    .selectFrom('purchases')
    .select(['state', 'licenseId', 'requestHash'])
    .where('id', '=', purchaseId)
    .executeTakeFirst();
  if (!row) return undefined;
  if (row.requestHash.toString('hex') !== requestHash)
    throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
  return { purchaseId, state: row.state as PurchaseState, licenseId: row.licenseId };
}

/** Reads the listing under a lock that holds its price until the transaction ends. @throws NOT_FOUND */
export async function freezeSale(tx: DatabaseTransaction, input: NewPurchase): Promise<Frozen> {
  const { listingId, licenseKind, payment, ownerId: buyerId, buyerAgentId: agentId } = input;
  const listing = await readListing(tx, listingId, 'for share');
  if (!listing) throw new DomainError('NOT_FOUND', `no listing ${listingId}`);
  const { booksId, rules } = await readMarket(tx);
  if (booksId === undefined) throw new DomainError('INTERNAL', 'nobody runs the marketplace: there is no operator');
  const { price } = listing;
  const terms: SaleTerms = { weights: rules.saleWeights, creators: listing.creators };
  const seen = input.price;
  const notForSale =
    listing.state !== 'listed'
      ? `${listingId} is ${listing.state}, not for sale`
      : (await isAnyDeleted(tx, [listing.ownerId, ...listing.creators.map(({ userId }) => userId)]))
        ? `${listingId} is not for sale: who sells it, or shares in it, is gone`
        : !listing.kinds.includes(licenseKind)
          ? `${listingId} is sold as ${listing.kinds.join(', ')}, not as ${licenseKind}`
          : seen !== undefined && (seen.amount !== price.amount || seen.currency !== price.currency)
            ? `${listingId} costs ${moneyText(price)} by now, not ${moneyText(seen)}`
            : payment === creditsPayment
              ? undefined
              : refusedByFee(price, rules);
  const refused =
    notForSale === undefined
      ? await refusalOfBuyer(tx, { buyerId, booksId, agentId, price })
      : new DomainError('CONFLICT', notForSale);
  return {
    sellerId: listing.ownerId,
    booksId,
    listingVersion: listing.version,
    termsVersion: listing.termsVersion,
    title: listing.title,
    packageId: listing.packageId,
    contentHash: listing.contentHash,
    price,
    tax: 0,
    terms,
    split: splitSale(price.amount, 0, terms),
    refused,
  };
}

async function isAnyDeleted(tx: DatabaseTransaction, ids: string[]): Promise<boolean> {
  const row = await tx
    .selectFrom('users')
    .select('id')
    .where('id', 'in', ids)
    .where('deletedAt', 'is not', null)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

interface Standing {
  state: PurchaseState;
  code: string;
  reason: string;
}

/** The row with all that was frozen, once. */
export async function addPurchase(
  tx: DatabaseTransaction,
  input: NewPurchase,
  { price, terms, split, refused: _refused, ...frozen }: Frozen,
  { state, code, reason }: Standing,
): Promise<{ end: PurchaseEnd; added: boolean; endedAt: Date | null }> {
  const { purchaseId, ownerId, listingId, licenseKind, payment, requestHash, madeBy, buyerAgentId = null } = input;
  const licenseId = state === 'completed' ? licenseIdOf(purchaseId) : null;
  const ended = isEndedPurchase({ state });
  const row = await tx
    .insertInto('purchases')
    .values({
      ...frozen,
      ...price,
      id: purchaseId,
      ownerId,
      listingId,
      licenseKind,
      payment,
      requestHash: Buffer.from(requestHash, 'hex'),
      madeBy,
      buyerAgentId,
      state,
      reasonCode: code,
      reason,
      terms: JSON.stringify(terms),
      split: JSON.stringify(split),
      licenseId,
      endedAt: ended ? sql<Date>`now()` : null,
    })
    // No index is named: license_id is unique too, and of two executions at once the second would fail there.
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .returning('endedAt')
    .executeTakeFirst();
  if (!row) {
    // Another execution of the same step was first.
    const known = await findOwn(tx, input);
    if (!known) throw new DomainError('INTERNAL', `${purchaseId} was added and is not there`);
    return { end: known, added: false, endedAt: null };
  }
  const told = { listingId, payment, ...(code === '' ? {} : { code, reason }) };
  await tellOfPurchase(tx, { id: purchaseId, ownerId, sellerId: frozen.sellerId }, state, told);
  return { end: { purchaseId, state, licenseId }, added: true, endedAt: row.endedAt };
}

/** Buyer and seller. */
export async function tellOfPurchase(
  tx: DatabaseTransaction,
  { id, ownerId, sellerId }: { id: string; ownerId: string; sellerId: string },
  what: string,
  data: Record<string, unknown>,
): Promise<void> {
  const owners = ownerId === sellerId ? [ownerId] : [ownerId, sellerId];
  await appendEvents(
    tx,
    owners.map((owner) => ({ ownerId: owner, type: `purchase.${what}`, subject: id, data })),
  );
}
