import { sql } from 'kysely';
import type { EgoKind } from '../../domain/ego.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface EgoEntryView {
  id: string;
  agentId: string;
  counterAgentId: string | null;
  kind: EgoKind;
  transferId: string;
  /** Micro-ego, signed. */
  amount: number;
  /** Micro-ego that the agent held after it. */
  balance: number;
  at: string;
}

/** The latest first; `after` is the id of an entry. */
export async function listEgoEntries(db: Executor, page: PageRequest & { agentId: string }): Promise<EgoEntryView[]> {
  const { rows } = await sql<Omit<EgoEntryView, 'at'> & { at: Date }>`
    select * from (
      select id, agent_id, counter_agent_id, kind, transfer_id, amount, at,
        (sum(amount) over (order by id))::bigint as balance
      from ego_entries where agent_id = ${page.agentId} and owner_id = ${page.ownerId}
    ) entries
    where ${page.after ?? null}::text is null or id < ${page.after ?? null}
    order by id desc limit ${page.limit}`.execute(db);
  return rows.map((row) => ({ ...row, at: iso(row.at) }));
}
