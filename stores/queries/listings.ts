import { sql } from 'kysely';
import type { LicenseKind } from '../../domain/license-kinds.ts';
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

/** What everybody may read of a listing that is on offer, without being signed in: nobody's id, name or statement is in it. */
export interface PublicListing {
  id: string;
  title: string;
  summary: string;
  price: Money;
  kinds: LicenseKind[];
  termsVersion: string;
  /** Of the agent in the package. */
  agentName: string;
  maskSeed: number;
  memories: number;
  reflections: number;
  models: LoopManifest['models'];
  contentHash: string;
  bytes: number;
  changedAt: string;
}

interface PublicRow {
  id: string;
  title: string;
  summary: string;
  amount: number;
  currency: string;
  kinds: LicenseKind[];
  termsVersion: string;
  manifest: LoopManifest;
  maskSeed: number;
  contentHash: Buffer;
  bytes: number;
  changedAt: Date;
}

/** The last made first; `after` is an id, `words` stand in title, summary or the name of the agent. */
export async function listPublicListings(
  db: Executor,
  { id, words, after, limit }: { id?: string; words?: string | undefined; after?: string | undefined; limit: number },
): Promise<PublicListing[]> {
  const { rows } = await sql<PublicRow>`
    select l.id, l.title, l.summary, l.amount, l.currency, l.terms_version, p.manifest, a.mask_seed, l.content_hash, p.bytes, l.changed_at,
      coalesce((select jsonb_agg(jsonb_build_object('id', k.id, 'summary', k.summary, 'uses', k.uses, 'activations', k.activations,
          'seats', k.seats, 'termSeconds', k.term_seconds, 'graceSeconds', k.grace_seconds, 'transferable', k.transferable,
          'commercial', k.commercial) order by array_position(l.kinds, k.id))
        from license_kinds k where k.id = any (l.kinds)), '[]') as kinds
    from listings l join loop_packages p on p.id = l.package_id join agents a on a.id = p.agent_id
    where l.state = 'listed' ${id === undefined ? sql`` : sql`and l.id = ${id}`} ${after === undefined ? sql`` : sql`and l.id < ${after}`}
      ${words === undefined ? sql`` : sql`and position(lower(${words}) in lower(l.title || ' ' || l.summary || ' ' || (p.manifest ->> 'name'))) > 0`}
    order by l.id desc limit ${limit}`.execute(db);
  return rows.map(({ amount, currency, manifest, contentHash, changedAt, ...row }) => ({
    ...row,
    price: { amount, currency },
    agentName: manifest.name,
    memories: manifest.memories,
    reflections: manifest.reflections,
    models: manifest.models,
    contentHash: contentHash.toString('hex'),
    changedAt: iso(changedAt),
  }));
}

export async function findPublicListing(db: Executor, id: string): Promise<PublicListing | undefined> {
  return (await listPublicListings(db, { id, limit: 1 }))[0];
}
