import { type EgoTransferKind, openingEgo } from '../domain/ego.ts';
import { sql } from 'kysely';
import type { Executor } from './database.ts';
import { newId } from './ids.ts';

/** Opens the accounts of first agents, in the transaction of their birth. */
export async function openEgo(tx: Executor, ownerId: string, agentIds: readonly string[]): Promise<void> {
  if (agentIds.length === 0) return;
  await tx
    .insertInto('egoEntries')
    .values(
      agentIds.map((agentId) => ({
        id: newId('ego'),
        ownerId,
        agentId,
        kind: 'opening',
        transferId: `opening:${agentId}`,
        side: 'credit',
        amount: openingEgo,
      })),
    )
    .execute();
}

export interface EgoTransfer {
  ownerId: string;
  kind: EgoTransferKind;
  /** Makes a repeated transfer the same one. */
  transferId: string;
  fromId: string;
  toId: string;
  /** Micro-ego; nothing is written for 0. */
  amount: number;
}

/**
 * Moves ego between two agents of a lineage in the caller's transaction, which holds the locks of both rows, taken in
 * the order of their ids. The database refuses what would overdraw, leave the lineage or have one side only.
 */
export async function transferEgo(tx: Executor, transfer: EgoTransfer): Promise<void> {
  const { ownerId, kind, transferId, fromId, toId, amount } = transfer;
  if (amount === 0) return;
  const shared = { ownerId, kind, transferId };
  await tx
    .insertInto('egoEntries')
    .values([
      { ...shared, id: newId('ego'), side: 'debit', agentId: fromId, counterAgentId: toId, amount: -amount },
      { ...shared, id: newId('ego'), side: 'credit', agentId: toId, counterAgentId: fromId, amount },
    ])
    .execute();
}

/** Micro-ego that an agent holds now. */
export async function egoOf(db: Executor, agentId: string): Promise<number> {
  const { rows } = await sql<{ balance: number }>`
    select coalesce(sum(amount), 0)::bigint as balance from ego_entries where agent_id = ${agentId}`.execute(db);
  return rows[0]!.balance;
}
