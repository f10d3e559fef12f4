import { sql } from 'kysely';
import { spentBy } from '../buyers.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface AgentBudgetView {
  agentId: string;
  currency: string;
  /** Minor units in a calendar month (UTC). */
  amount: number;
  spent: number;
  changedAt: string;
}

/** By currency; `after` is one. */
export async function listAgentBudgets(
  db: Executor,
  { ownerId, limit, after, agentId }: PageRequest & { agentId: string },
): Promise<AgentBudgetView[]> {
  let query = db
    .selectFrom('agentBudgets')
    .select(['agentId', 'currency', 'amount', 'changedAt'])
    .select(spentBy(sql.ref('agentBudgets.agentId'), sql.ref('agentBudgets.currency')).as('spent'))
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', agentId);
  if (after !== undefined) query = query.where('currency', '>', after);
  const rows = await query.orderBy('currency').limit(limit).execute();
  return rows.map((row) => ({ ...row, changedAt: iso(row.changedAt) }));
}
