import { createHash, createHmac, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { cleanText } from '../domain/clean-text.ts';
import { cutText, joinText } from '../domain/source-text.ts';
import { happenedAt, type Source, type SourceItem, sourceItemOfKey } from '../domain/sources.ts';
import type { Spawning } from '../domain/spawn-policy.ts';
import { boundAgents } from './bound-agents.ts';
import type { Database, Executor } from './database.ts';
import { contentHash } from './embeddings.ts';
import { lockItemParent, whisperOfItem } from './source-whispers.ts';
import type { NewSourceItem, SourceRef } from './sources.ts';

/** One that not every agent has been given yet. */
export interface PendingItem {
  id: number;
  itemHash: string;
  version: number;
  /** 0: none. */
  deliveredVersion: number;
  text: string;
  /** null: as its source says. */
  importance: number | null;
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
        .select(['id', 'itemHash', 'version', 'deliveredVersion', 'text', 'importance', 'occurredAt', 'deliveredTo'])
        .where('ownerId', '=', ownerId)
        .where('sourceId', '=', sourceId)
        .where('text', 'is not', null)
        .orderBy('id')
        .limit(limit)
        .execute();
      return rows.map((row) => ({ ...row, text: row.text!, occurredAt: row.occurredAt.toISOString() }));
    },

    /** Ids of the agents that an item is for, in order, after those who have it. */
    async boundAgents(
      ownerId: string,
      source: Source,
      item: Pick<PendingItem, 'deliveredTo' | 'text' | 'occurredAt'>,
      limit: number,
    ): Promise<string[]> {
      const rows = await boundAgents(db, ownerId, source, item)
        .select('id')
        .where('id', '>', item.deliveredTo)
        .orderBy('id')
        .limit(limit)
        .execute();
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
     * now on. Nothing where somebody else was faster, or another version has followed meanwhile. A new item that all have
     * may whisper, in the same transaction: once, whatever runs twice.
     */
    async delivered(
      { ownerId, source, spawning }: GivenSource,
      item: PendingItem,
      progress: DeliveryProgress,
    ): Promise<boolean> {
      if (!progress.done || item.deliveredVersion > 0 || source.whispersPerDay === 0) return moveOn(db, item, progress);
      return db.transaction().execute(async (tx) => {
        const whisper = { ownerId, source, item };
        const parentId = await lockItemParent(tx, whisper);
        if (!(await moveOn(tx, item, progress))) return false;
        if (parentId !== undefined) await whisperOfItem(tx, { ...whisper, parentId }, spawning);
        return true;
      });
    },
  };
}
export type SourceItemStore = ReturnType<typeof createSourceItemStore>;

/** A source as fleet.yaml has it, and how whispers of its items are admitted. */
export interface GivenSource {
  ownerId: string;
  source: Source;
  spawning: Spawning;
}

interface DeliveryProgress {
  to: string;
  agents: number;
  done: boolean;
}

async function moveOn(
  db: Executor,
  item: Pick<PendingItem, 'id' | 'version' | 'deliveredTo'>,
  { to, agents, done }: DeliveryProgress,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update source_items set delivered_to = ${to}, agents = agents + ${agents},
      delivered_version = case when ${done} then version else delivered_version end,
      delivered_at = case when ${done} then now() end,
      text = case when ${done} then null else text end
    where id = ${item.id} and version = ${item.version} and delivered_to = ${item.deliveredTo} and text is not null`.execute(
    db,
  );
  return numAffectedRows === 1n;
}

/** As it is stored: cleaned, cut, dated; undefined for what holds no words then. */
export function newSourceItem(
  item: SourceItem,
  { charactersPerItem }: Pick<Source, 'charactersPerItem'>,
  now: Date,
): NewSourceItem | undefined {
  const title = cleanText(item.title);
  const text = joinText(title, cleanText(item.text));
  if (text === '') return undefined;
  return {
    itemHash: nameHash(item.key),
    ...(item.part === undefined ? {} : { partHash: nameHash(item.part) }),
    // Before it is cut, so that another limit does not make every item a changed one.
    contentHash: createHash('sha256')
      .update(`${item.url ?? ''}\0${title}\0${text}`)
      .digest(),
    title: cutText(title, 300),
    text: cutText(text, charactersPerItem),
    url: item.url,
    occurredAt: happenedAt(item.publishedAt, now),
    changedAt: happenedAt(item.changedAt, now),
    ...(item.importance === undefined ? {} : { importance: item.importance }),
  };
}

/** Of an item's or a part's own name, in hex: names may hold what a person wants forgotten. */
export function nameHash(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}

/**
 * A person asked to forget a memory that came from a source: its item says nothing any more and never comes again, nor do
 * the same words under another id. They are known by a hash under a key of the source's own, which is kept beside it: who
 * has the whole database can try out guesses of them, and nobody else.
 */
export async function forgetSourceItem(
  tx: Executor,
  ownerId: string,
  { externalKey, text }: { externalKey: string; text: string },
): Promise<void> {
  const item = sourceItemOfKey(externalKey);
  if (item === undefined) return;
  const { sourceId, itemHash } = item;
  // Whoever stores items holds this row.
  const { rows } = await sql<{ forgottenKey: Buffer }>`
    insert into source_states as s (owner_id, source_id, forgotten_key) values (${ownerId}, ${sourceId}, ${randomBytes(32)})
    on conflict (owner_id, source_id) do update set forgotten_key = coalesce(s.forgotten_key, excluded.forgotten_key)
    returning forgotten_key`.execute(tx);
  const hash = text === '' ? null : forgottenHash(rows[0]!.forgottenKey, text);
  const { rows: items } = await sql<{ id: number; itemHash: string }>`
    select id, item_hash from source_items where owner_id = ${ownerId} and source_id = ${sourceId}
      and (item_hash = ${itemHash} or text = ${text}) order by id for update`.execute(tx);
  await sql`
    update source_items i set forgotten_at = now(), text = null, title = '', url = null, content_hash = gone.content_hash,
      forgotten_hash = coalesce(${hash}::bytea, forgotten_hash)
    from unnest(${items.map(({ id }) => id)}::bigint[], ${items.map((row) => contentHash(row.itemHash))}::bytea[])
      as gone (id, content_hash) where i.id = gone.id`.execute(tx);
}

/** Of these items those whose words nobody has had forgotten. */
export async function notForgotten<Item extends { text: string }>(
  tx: Executor,
  { ownerId, sourceId }: SourceRef,
  items: readonly Item[],
): Promise<Item[]> {
  const state = await tx
    .selectFrom('sourceStates')
    .select('forgottenKey')
    .where('ownerId', '=', ownerId)
    .where('sourceId', '=', sourceId)
    .executeTakeFirst();
  const key = state?.forgottenKey;
  if (!key) return [...items];
  const { rows } = await sql<{ hash: Buffer }>`
    select forgotten_hash as hash from source_items where owner_id = ${ownerId} and source_id = ${sourceId}
      and forgotten_hash = any(${items.map(({ text }) => forgottenHash(key, text))}::bytea[])`.execute(tx);
  return items.filter(({ text }) => !rows.some(({ hash }) => hash.equals(forgottenHash(key, text))));
}

function forgottenHash(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
