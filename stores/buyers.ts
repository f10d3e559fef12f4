import { sql } from 'kysely';
import { type Buyer, buyerRefusal, type Spending } from '../domain/buyers.ts';
import { DomainError } from '../domain/errors.ts';
import type { Money } from '../domain/money.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';

export interface Buying {
  buyerId: string;
  /** Who runs the marketplace; undefined: nobody yet. */
  booksId: string | undefined;
  agentId?: string | undefined;
  price: Money;
}

/**
 * Whether somebody may buy, for who writes the purchase in the same transaction: the user is not deleted meanwhile, and the
 * agent's budget is locked, so that purchases at once never spend more than it.
 * @returns why not; undefined where they may
 */
export function refusalOfBuyer(tx: DatabaseTransaction, buying: Buying): Promise<DomainError | undefined> {
  return judge(tx, buying, true);
}

/** As it stands now: what is bought later is judged again. */
export function refusalOfBuyerNow(db: Database, buying: Buying): Promise<DomainError | undefined> {
  return judge(db, buying, false);
}

async function judge(db: Executor, { buyerId, booksId, agentId, price }: Buying, locked: boolean) {
  const user = await db
    .selectFrom('users')
    .select('verifiedAt')
    .where('id', '=', buyerId)
    .where('deletedAt', 'is', null)
    .$if(locked, (query) => query.forShare())
    .executeTakeFirst();
  const buyer: Buyer = {
    userId: buyerId,
    user: user && { verified: user.verifiedAt !== null },
    runsMarketplace: buyerId === booksId,
    ...(agentId === undefined
      ? {}
      : { agent: { id: agentId, budget: await spendingOf(db, { buyerId, agentId, price }, locked) } }),
  };
  return buyerRefusal(buyer, price);
}

/** What has become of it counts once the lock is held: the second statement sees what was committed before. */
async function spendingOf(
  db: Executor,
  { buyerId, agentId, price: { currency } }: Pick<Buying, 'buyerId' | 'price'> & { agentId: string },
  locked: boolean,
): Promise<Spending | null> {
  const budget = await db
    .selectFrom('agentBudgets')
    .select('amount')
    .where('agentId', '=', agentId)
    .where('currency', '=', currency)
    .where('ownerId', '=', buyerId)
    .$if(locked, (query) => query.forUpdate())
    .executeTakeFirst();
  if (!budget) return null;
  const { rows } = await sql<{ spent: number }>`
    select ${spentBy(agentId, currency)} as spent`.execute(db);
  return { most: budget.amount, spent: rows[0]!.spent };
}

/** What an agent has spent this month (UTC), and what it is about to. */
export function spentBy(agentId: unknown, currency: unknown) {
  return sql<number>`(select coalesce(sum(p.amount), 0)::bigint from purchases p
    where p.buyer_agent_id = ${agentId} and p.currency = ${currency} and p.state not in ('canceled', 'failed')
      and p.created_at >= date_trunc('month', now() at time zone 'UTC') at time zone 'UTC')`;
}

export interface NewBudget {
  ownerId: string;
  agentId: string;
  money: Money;
  /** Token that set it. */
  madeBy: string;
}

/** What an agent may spend a month from now on; what it has spent this month counts. @throws NOT_FOUND for an agent of others */
export async function setBudget(db: Executor, { ownerId, agentId, money, madeBy }: NewBudget): Promise<void> {
  const agent = await db
    .selectFrom('agents')
    .select('id')
    .where('id', '=', agentId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!agent) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
  const values = { ownerId, amount: money.amount, madeBy, changedAt: sql<Date>`now()` };
  await db
    .insertInto('agentBudgets')
    .values({ agentId, currency: money.currency, ...values })
    .onConflict((conflict) => conflict.columns(['agentId', 'currency']).doUpdateSet(values))
    .execute();
}
