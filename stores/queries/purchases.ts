import { sql } from 'kysely';
import type { Money } from '../../domain/money.ts';
import type { SaleSplit } from '../../domain/shares.ts';
import type { PurchaseState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface PurchaseView {
  id: string;
  buyer: string;
  buyerAgentId: string | null;
  seller: string;
  listingId: string;
  listingVersion: number;
  termsVersion: string;
  licenseKind: string;
  packageId: string;
  contentHash: string;
  payment: string;
  /** Where the buyer pays, while that is open; for the buyer's own eyes. */
  payUrl: string | null;
  state: PurchaseState;
  /** Why it came to nothing. */
  reasonCode: string;
  reason: string;
  price: Money;
  tax: number;
  split: SaleSplit;
  refunded: number;
  licenseId: string | null;
  createdAt: string;
  endedAt: string | null;
}

/** Buyer, seller, and who runs the marketplace. */
function purchaseQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('purchases')
    .selectAll()
    .select(
      sql<number>`(select coalesce(sum(r.posted), 0)::bigint from refunds r where r.purchase_id = purchases.id)`.as(
        'refunded',
      ),
    )
    .select(
      sql<
        string | null
      >`(select p.checkout_url from payments p where p.purchase_id = purchases.id and p.state = 'opened'
        and purchases.state = 'pending' and purchases.owner_id = ${ownerId})`.as('payUrl'),
    )
    .where((eb) => eb.or([eb('ownerId', '=', ownerId), eb('sellerId', '=', ownerId), eb('booksId', '=', ownerId)]));
}
type Row = Awaited<ReturnType<ReturnType<typeof purchaseQuery>['execute']>>[number];

function purchaseView(row: Row): PurchaseView {
  return {
    id: row.id,
    buyer: row.ownerId,
    buyerAgentId: row.buyerAgentId,
    seller: row.sellerId,
    listingId: row.listingId,
    listingVersion: row.listingVersion,
    termsVersion: row.termsVersion,
    licenseKind: row.licenseKind,
    packageId: row.packageId,
    contentHash: row.contentHash.toString('hex'),
    payment: row.payment,
    payUrl: row.payUrl,
    state: row.state as PurchaseState,
    reasonCode: row.reasonCode,
    reason: row.reason,
    price: { amount: row.amount, currency: row.currency },
    tax: row.tax,
    // Written by us from what was computed.
    split: row.split as unknown as SaleSplit,
    refunded: row.refunded,
    licenseId: row.licenseId,
    createdAt: iso(row.createdAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last begun first; `after` is an id. Ids are made of the caller's keys, and say nothing of time. */
export async function listPurchases(
  db: Executor,
  page: PageRequest & {
    state?: PurchaseState | undefined;
    listingId?: string | undefined;
    as?: 'buyer' | 'seller' | undefined;
  },
): Promise<PurchaseView[]> {
  let query = purchaseQuery(db, page.ownerId);
  if (page.as !== undefined) query = query.where(page.as === 'buyer' ? 'ownerId' : 'sellerId', '=', page.ownerId);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  if (page.listingId !== undefined) query = query.where('listingId', '=', page.listingId);
  if (page.after !== undefined)
    query = query.where(
      sql<boolean>`(created_at, id) < (select p.created_at, p.id from purchases p where p.id = ${page.after})`,
    );
  return (await query.orderBy('createdAt', 'desc').orderBy('id', 'desc').limit(page.limit).execute()).map(purchaseView);
}

export async function findPurchase(db: Executor, ownerId: string, id: string): Promise<PurchaseView | undefined> {
  const row = await purchaseQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && purchaseView(row);
}

/** Hash of the request that brought it, hex; undefined where there is none of the buyer's. */
export async function purchaseRequest(db: Executor, ownerId: string, id: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('purchases')
    .select('requestHash')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  return row?.requestHash.toString('hex');
}
