import type { Creators } from '../../domain/listings.ts';
import type { LoopManifest } from '../../domain/loop-manifest.ts';
import type { Money } from '../../domain/money.ts';
import type { ListingState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface ListingView {
  id: string;
  seller: string;
  state: ListingState;
  title: string;
  summary: string;
  price: Money;
  kinds: string[];
  termsVersion: string;
  creators: Creators;
  modelStatement: string;
  packageId: string;
  contentHash: string;
  /** Of the agent in the package. */
  agentName: string;
  memories: number;
  reflections: number;
  models: LoopManifest['models'];
  version: number;
  /** Why who runs the marketplace has taken it off; null: it is not. */
  takenDown: string | null;
  createdAt: string;
  changedAt: string;
}

/** Of everybody where they are on offer, else the caller's own alone. */
function listingQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('listings')
    .innerJoin('loopPackages', 'loopPackages.id', 'listings.packageId')
    .selectAll('listings')
    .select('loopPackages.manifest')
    .where((eb) => eb.or([eb('listings.state', '=', 'listed'), eb('listings.ownerId', '=', ownerId)]));
}
type Row = Awaited<ReturnType<ReturnType<typeof listingQuery>['execute']>>[number];

function listingView(row: Row): ListingView {
  // Both written by us from what was judged.
  const manifest = row.manifest as unknown as LoopManifest;
  const creators = row.creators as unknown as Creators;
  return {
    id: row.id,
    seller: row.ownerId,
    state: row.state as ListingState,
    title: row.title,
    summary: row.summary,
    price: { amount: row.amount, currency: row.currency },
    kinds: row.kinds,
    termsVersion: row.termsVersion,
    creators,
    modelStatement: row.modelStatement,
    packageId: row.packageId,
    contentHash: row.contentHash.toString('hex'),
    agentName: manifest.name,
    memories: manifest.memories,
    reflections: manifest.reflections,
    models: manifest.models,
    version: row.version,
    takenDown: row.takenDown,
    createdAt: iso(row.createdAt),
    changedAt: iso(row.changedAt),
  };
}

/** The last made first; `after` is an id. */
export async function listListings(
  db: Executor,
  page: PageRequest & {
    state?: ListingState | undefined;
    mine?: boolean | undefined;
    contentHash?: string | undefined;
  },
): Promise<ListingView[]> {
  let query = listingQuery(db, page.ownerId);
  if (page.state !== undefined) query = query.where('listings.state', '=', page.state);
  if (page.mine === true) query = query.where('listings.ownerId', '=', page.ownerId);
  if (page.contentHash !== undefined)
    query = query.where('listings.contentHash', '=', Buffer.from(page.contentHash, 'hex'));
  if (page.after !== undefined) query = query.where('listings.id', '<', page.after);
  return (await query.orderBy('listings.id', 'desc').limit(page.limit).execute()).map(listingView);
}

export async function findListing(db: Executor, ownerId: string, id: string): Promise<ListingView | undefined> {
  const row = await listingQuery(db, ownerId).where('listings.id', '=', id).executeTakeFirst();
  return row && listingView(row);
}
