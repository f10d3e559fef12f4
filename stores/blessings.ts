import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import type { Posting } from '../domain/ledger.ts';
import { blessingsShared } from '../domain/postings.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { postTransfers } from './ledger.ts';

/** Who thanks: a user, or an agent of theirs. */
export type Giver = { userId: string } | { agentId: string };

/**
 * Thanks an agent for a drop, in the caller's transaction: one a day (UTC) per drop and giver, which is the user, whichever of their
 * agents says it.
 * @returns false where it was given already today
 * @throws NOT_FOUND for an unknown agent · CONFLICT for one's own: an agent of the giver's own, or of the giver's lineage
 */
export async function giveBlessing(
  tx: DatabaseTransaction,
  { dropId, agentId, giver }: { dropId: string; agentId: string; giver: Giver },
): Promise<boolean> {
  const agent = await agentOf(tx, agentId);
  const by = 'agentId' in giver ? await agentOf(tx, giver.agentId) : { ownerId: giver.userId, lineageId: undefined };
  if (by.ownerId === agent.ownerId) throw new DomainError('CONFLICT', `${agentId} is the giver's own`);
  if (by.lineageId === agent.lineageId) throw new DomainError('CONFLICT', `${agentId} is of the giver's own lineage`);
  const given = await tx
    .insertInto('blessings')
    .values({
      dropId,
      ownerId: agent.ownerId,
      agentId,
      giver: 'agentId' in giver ? giver.agentId : giver.userId,
      giverOwnerId: by.ownerId,
      day: sql<Date>`(now() at time zone 'UTC')::date`,
    })
    .onConflict((conflict) => conflict.columns(['dropId', 'giverOwnerId', 'day']).doNothing())
    .returning('dropId')
    .executeTakeFirst();
  return given !== undefined;
}

async function agentOf(tx: DatabaseTransaction, id: string): Promise<{ ownerId: string; lineageId: string }> {
  const row = await tx.selectFrom('agents').select(['ownerId', 'lineageId']).where('id', '=', id).executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no agent ${id}`);
  return row;
}

export interface BlessingShare {
  blessings: number;
  shared: Array<{ currency: string; pool: number; shared: number }>;
}

export function createBlessingStore(db: Database) {
  return {
    /** Whose books hold a pool. */
    async pools(): Promise<string[]> {
      const rows = await db
        .selectFrom('ledgerAccounts')
        .select('ownerId')
        .distinct()
        .where('kind', '=', 'blessings')
        .where('balance', '>', 0)
        .orderBy('ownerId')
        .execute();
      return rows.map(({ ownerId }) => ownerId);
    },

    /**
     * Shares the pools of these books out by the blessings of who belongs to them that no sharing has counted yet, in one
     * transaction and once a period. Blessings of another marketplace's people are left for its own pool. Where there is nothing to share, or nobody was blessed, both wait for the next one.
     * @throws BALANCE_TOO_LOW where a pool shrank meanwhile: try again
     */
    async share(ownerId: string, period: string): Promise<BlessingShare> {
      return db.transaction().execute((tx) => shareOutPools(tx, ownerId, period));
    },
  };
}
export type BlessingStore = ReturnType<typeof createBlessingStore>;

/** The same in the caller's transaction. */
export async function shareOutPools(tx: DatabaseTransaction, ownerId: string, period: string): Promise<BlessingShare> {
  const fresh = await tx
    .insertInto('blessingShares')
    .values({ ownerId, period, blessings: 0 })
    .onConflict((conflict) => conflict.columns(['ownerId', 'period']).doNothing())
    .returning('period')
    .executeTakeFirst();
  if (!fresh) {
    const known = await tx
      .selectFrom('blessingShares')
      .select(['blessings', 'shared'])
      .where('ownerId', '=', ownerId)
      .where('period', '=', period)
      .executeTakeFirstOrThrow();
    return { blessings: known.blessings, shared: known.shared as unknown as BlessingShare['shared'] };
  }
  const pools = await tx
    .selectFrom('ledgerAccounts')
    .select(['currency', 'balance'])
    .where('ownerId', '=', ownerId)
    .where('kind', '=', 'blessings')
    .where('balance', '>', 0)
    .orderBy('currency')
    .execute();
  if (pools.length === 0) return { blessings: 0, shared: [] };
  const { rows: received } = await sql<{ userId: string; blessings: number }>`
    with counted as (
      update blessings b set period = ${period} from users u
      where b.period is null and u.id = b.owner_id and coalesce(u.operator_id, u.id) = ${ownerId} returning b.owner_id
    )
    select owner_id as user_id, count(*)::bigint as blessings from counted group by owner_id order by owner_id`.execute(
    tx,
  );
  const blessings = received.reduce((sum, each) => sum + each.blessings, 0);
  const postings: Posting[] = [];
  const shared: BlessingShare['shared'] = [];
  for (const { currency, balance } of received.length === 0 ? [] : pools) {
    const posting = blessingsShared({ ownerId, period, pool: { amount: balance, currency }, received });
    if (!posting) continue;
    postings.push(posting);
    shared.push({ currency, pool: balance, shared: -posting.entries.find(({ amount }) => amount < 0)!.amount });
  }
  const row = { blessings, shared: JSON.stringify(shared) };
  await tx.updateTable('blessingShares').set(row).where('ownerId', '=', ownerId).where('period', '=', period).execute();
  await appendEvents(tx, [{ ownerId, type: 'blessings.shared', subject: period, data: { blessings, shared } }]);
  await postTransfers(tx, { ownerId, madeBy: 'shareBlessings' }, postings);
  return { blessings, shared };
}
