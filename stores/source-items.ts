import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { type Source, sourceItemOfKey } from '../domain/sources.ts';
import type { Database, Executor } from './database.ts';
import type { SourceRef } from './sources.ts';

/** One that not every agent has been given yet. */
export interface PendingItem {
  id: number;
  itemHash: string;
  version: number;
  /** 0: none. */
  deliveredVersion: number;
  text: string;
  /** ISO. */
  occurredAt: string;
  /** Agents up to this id have it. */
  deliveredTo: string;
}

/** What an agent remembers of an earlier version. */
export interface EarlierMemory {
  id: string;
  agentId: string;
  /** ISO. */
  occurredAt: string;
}

export function createSourceItemStore(db: Database) {
  return {
    /** The oldest first. */
    async pending({ ownerId, sourceId }: SourceRef, limit: number): Promise<PendingItem[]> {
      const rows = await db
        .selectFrom('sourceItems')
        .select(['id', 'itemHash', 'version', 'deliveredVersion', 'text', 'occurredAt', 'deliveredTo'])
        .where('ownerId', '=', ownerId)
        .where('sourceId', '=', sourceId)
        .where('text', 'is not', null)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => ({ ...row, text: row.text!, occurredAt: row.occurredAt.toISOString() }));
    },

    /** Ids of living agents that a source is bound to, in order, after one. */
    async boundAgents(
      ownerId: string,
      { agents }: Pick<Source, 'agents'>,
      after: string,
      limit: number,
    ): Promise<string[]> {
      let query = db
        .selectFrom('agents')
        .select('id')
        .where('ownerId', '=', ownerId)
        .where('state', '<>', 'retired')
        .where('id', '>', after);
      if (agents !== 'all') {
        query = query.where((eb) => eb.or([eb('id', 'in', agents), eb('archetype', 'in', agents)]));
      }
      const rows = await query.orderBy('id').limit(limit).execute();
      return rows.map((row) => row.id);
    },

    /** Living memories under these keys of these agents. */
    async earlier(
      ownerId: string,
      agentIds: readonly string[],
      externalKeys: readonly string[],
    ): Promise<EarlierMemory[]> {
      if (agentIds.length === 0 || externalKeys.length === 0) return [];
      const rows = await db
        .selectFrom('memories')
        .select(['id', 'agentId', 'occurredAt'])
        .where('ownerId', '=', ownerId)
        .where('agentId', 'in', [...agentIds])
        .where('externalKey', 'in', [...externalKeys])
        .where('deletedAt', 'is', null)
        .where('supersededAt', 'is', null)
        .orderBy('agentId')
        .execute();
      return rows.map((row) => ({ ...row, occurredAt: row.occurredAt.toISOString() }));
    },

    /**
     * Agents from `item.deliveredTo` up to `to` have this version; with `done` all have, and the memories hold the text from
     * now on. Nothing where somebody else was faster, or another version has followed meanwhile.
     */
    async delivered(
      item: Pick<PendingItem, 'id' | 'version' | 'deliveredTo'>,
      progress: { to: string; agents: number; done: boolean },
    ): Promise<boolean> {
      const { done } = progress;
      const { numAffectedRows } = await sql`
        update source_items set delivered_to = ${progress.to}, agents = agents + ${progress.agents},
          delivered_version = case when ${done} then version else delivered_version end,
          delivered_at = case when ${done} then now() end,
          text = case when ${done} then null else text end
        where id = ${item.id} and version = ${item.version} and delivered_to = ${item.deliveredTo} and text is not null`.execute(
        db,
      );
      return numAffectedRows === 1n;
    },
  };
}
export type SourceItemStore = ReturnType<typeof createSourceItemStore>;

/** A person asked to forget a memory that came from a source: its item says nothing any more and never comes again. */
export async function forgetSourceItem(tx: Executor, ownerId: string, externalKey: string): Promise<void> {
  const item = sourceItemOfKey(externalKey);
  if (item === undefined) return;
  await sql`
    update source_items set forgotten_at = now(), text = null, title = '', url = null,
      content_hash = ${createHash('sha256').update(externalKey).digest()}
    where owner_id = ${ownerId} and source_id = ${item.sourceId} and item_hash = ${item.itemHash}`.execute(tx);
}
