import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { type ListingRow, readListing } from './listings.ts';
import { openNotice, resolveNotice } from './notices.ts';

const noticeKey = (id: string) => `listing_taken_down:${id}`;

/**
 * Takes a listing off, whoever's it is; its seller is told why, and cannot put it on offer again. What was sold stays sold.
 * @param by who runs the marketplace
 * @returns false where it was taken down for this reason already
 * @throws NOT_FOUND · CONFLICT where it is retired, and so off for good
 */
export async function takeDown(
  tx: DatabaseTransaction,
  { id, reason, by }: { id: string; reason: string; by: string },
): Promise<boolean> {
  const listing = await lockAny(tx, id);
  if (listing.state === 'retired') throw new DomainError('CONFLICT', `${id} is retired: it is off for good`);
  if (listing.takenDown === reason) return false;
  const state = listing.state === 'listed' ? 'paused' : listing.state;
  await change(tx, listing, { state, takenDown: reason });
  await tell(tx, listing, 'taken_down', by, { reason });
  await openNotice(tx, {
    id: newId('notice'),
    ownerId: listing.ownerId,
    kind: 'listing_taken_down',
    key: noticeKey(id),
    subject: id,
    title: `${listing.title} was taken off the market`,
    detail: reason.slice(0, 1_000),
    action: 'Ask who runs the marketplace what must change; they put it back.',
  });
  return true;
}

/** Its seller may put it on offer again. @returns false where it was not taken down. @throws NOT_FOUND */
export async function putBack(tx: DatabaseTransaction, { id, by }: { id: string; by: string }): Promise<boolean> {
  const listing = await lockAny(tx, id);
  if (listing.takenDown === null) return false;
  await change(tx, listing, { state: listing.state, takenDown: null });
  await tell(tx, listing, 'put_back', by, {});
  await resolveNotice(tx, noticeKey(id));
  return true;
}

async function lockAny(tx: DatabaseTransaction, id: string): Promise<ListingRow> {
  const listing = await readListing(tx, id, 'for update');
  if (!listing) throw new DomainError('NOT_FOUND', `no listing ${id}`);
  return listing;
}

async function change(
  tx: DatabaseTransaction,
  { id }: ListingRow,
  to: Pick<ListingRow, 'state' | 'takenDown'>,
): Promise<void> {
  await tx
    .updateTable('listings')
    .set({ ...to, version: sql<number>`version + 1`, changedAt: sql<Date>`now()` })
    .where('id', '=', id)
    .execute();
}

/** Seller, and who did it. */
async function tell(
  tx: DatabaseTransaction,
  { id, ownerId }: ListingRow,
  what: string,
  by: string,
  data: Record<string, unknown>,
): Promise<void> {
  const owners = [...new Set([ownerId, by])];
  await appendEvents(
    tx,
    owners.map((owner) => ({ ownerId: owner, type: `listing.${what}`, subject: id, data })),
  );
}
