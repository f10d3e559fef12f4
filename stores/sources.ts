import { sql } from 'kysely';
import { failuresUntilNotice } from '../domain/sources.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';

export interface SourceRef {
  ownerId: string;
  sourceId: string;
}

/** How far a source has been read; `polls` is what the next poll must have begun from. */
export interface SourceState {
  cursor: unknown;
  polls: number;
  failures: number;
}

export interface NewSourceItem {
  itemHash: string;
  contentHash: Buffer;
  title: string;
  text: string;
  url: string | null;
  /** ISO. */
  occurredAt: string;
  /** ISO: from when on a changed text holds. */
  changedAt: string;
}

export interface Intake {
  /** False where another poll was stored first: nothing of this one is. */
  stored: boolean;
  added: number;
  updated: number;
  /** New ones that are left for the next poll. */
  left: number;
}

const noticeKey = (sourceId: string) => `source:${sourceId}`;

export function createSourceStore(db: Database) {
  return {
    /**
     * Takes up to `limit` sources that are due, so that nobody else takes them for `holdSeconds`; the same sweep gets the
     * same ones again. Sources seen for the first time are due at once; what fleet.yaml no longer names needs no person.
     */
    async claim(input: {
      ownerId: string;
      sourceIds: readonly string[];
      claimedBy: string;
      limit: number;
      holdSeconds: number;
    }): Promise<string[]> {
      const { ownerId, claimedBy } = input;
      const sourceIds = [...input.sourceIds];
      return db.transaction().execute(async (tx) => {
        await sql`
          insert into source_states (owner_id, source_id) select ${ownerId}, unnest(${sourceIds}::text[])
          on conflict do nothing`.execute(tx);
        await sql`
          update source_states set stopped_at = case when source_id = any(${sourceIds}) then null else now() end
          where owner_id = ${ownerId} and (stopped_at is null) <> (source_id = any(${sourceIds}))`.execute(tx);
        await sql`
          update notices set resolved_at = now() where owner_id = ${ownerId} and kind = 'source_failing'
            and resolved_at is null and subject <> all(${sourceIds})`.execute(tx);
        const { rows } = await sql<{ sourceId: string }>`
          update source_states s set claimed_by = ${claimedBy},
            next_poll_at = case when s.next_poll_at <= now() then now() + make_interval(secs => ${input.holdSeconds}) else s.next_poll_at end
          from (
            select source_id from source_states
            where owner_id = ${ownerId} and source_id = any(${sourceIds})
              and (next_poll_at <= now() or claimed_by = ${claimedBy})
            order by next_poll_at, source_id limit ${input.limit} for update skip locked
          ) due
          where s.owner_id = ${ownerId} and s.source_id = due.source_id returning s.source_id`.execute(tx);
        return rows.map((row) => row.sourceId).sort();
      });
    },

    /** Of a source that was never polled: the beginning. */
    async state({ ownerId, sourceId }: SourceRef): Promise<SourceState> {
      await db
        .insertInto('sourceStates')
        .values({ ownerId, sourceId })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return db
        .selectFrom('sourceStates')
        .select(['cursor', 'polls', 'failures'])
        .where('ownerId', '=', ownerId)
        .where('sourceId', '=', sourceId)
        .executeTakeFirstOrThrow();
    },

    /**
     * Stores what a poll read and where the next one goes on, in one transaction: a crash before it reads the same again,
     * a crash after it has lost nothing. What is known already is not stored twice, also not under another id.
     */
    async intake(
      input: SourceRef & {
        polls: number;
        items: readonly NewSourceItem[];
        cursor: unknown;
        note: string;
        limit: number;
        /** Whether an item whose words have changed is stored as its next version. */
        updates: boolean;
        nextPollSeconds: (left: number) => number;
      },
    ): Promise<Intake> {
      return db.transaction().execute(async (tx) => {
        if (!(await lockedState(tx, input))) return { stored: false, added: 0, updated: 0, left: 0 };
        const { added, updated, left } = await storeItems(tx, input);
        await tx
          .updateTable('sourceStates')
          .set({
            // With some left, the next poll must be told everything again.
            cursor: left > 0 ? null : JSON.stringify(input.cursor),
            polls: input.polls + 1,
            nextPollAt: sql<Date>`now() + make_interval(secs => ${input.nextPollSeconds(left)})`,
            failures: 0,
            lastOkAt: sql<Date>`now()`,
            note: input.note,
          })
          .where('ownerId', '=', input.ownerId)
          .where('sourceId', '=', input.sourceId)
          .execute();
        await resolveNotice(tx, noticeKey(input.sourceId));
        if (added + updated > 0) {
          await appendEvents(tx, [
            { ownerId: input.ownerId, type: 'source.read', subject: input.sourceId, data: { added, updated } },
          ]);
        }
        return { stored: true, added, updated, left };
      });
    },

    /** Counts a failure; after a few in a row, or for good, a person is told. */
    async fail(
      input: SourceRef & {
        /** Absent: whatever it stands at. */
        polls?: number;
        reason: string;
        gone: boolean;
        nextPollSeconds: (failures: number) => number;
      },
    ): Promise<void> {
      const { ownerId, sourceId, reason, gone } = input;
      await db.transaction().execute(async (tx) => {
        const state = await lockedState(tx, input);
        if (!state) return;
        const failures = state.failures + 1;
        await tx
          .updateTable('sourceStates')
          .set({
            polls: sql<number>`polls + 1`,
            failures,
            lastError: reason,
            lastErrorAt: sql<Date>`now()`,
            nextPollAt: sql<Date>`now() + make_interval(secs => ${input.nextPollSeconds(failures)})`,
          })
          .where('ownerId', '=', ownerId)
          .where('sourceId', '=', sourceId)
          .execute();
        if (failures < failuresUntilNotice && !gone) return;
        await openNotice(tx, {
          id: newId('notice'),
          ownerId,
          kind: 'source_failing',
          key: noticeKey(sourceId),
          subject: sourceId,
          title: `Source ${sourceId} cannot be read`,
          detail: `${failures} polls in a row failed: ${reason}`,
          action: `soulfra sources show ${sourceId}`,
        });
        if (failures === failuresUntilNotice || gone) {
          await appendEvents(tx, [{ ownerId, type: 'source.failing', subject: sourceId, data: { reason } }]);
        }
      });
    },
  };
}
export type SourceStore = ReturnType<typeof createSourceStore>;

/** Under its lock; undefined where another poll was stored since `polls`. */
async function lockedState(
  tx: Executor,
  { ownerId, sourceId, polls }: SourceRef & { polls?: number },
): Promise<{ failures: number } | undefined> {
  const state = await tx
    .selectFrom('sourceStates')
    .select(['polls', 'failures'])
    .where('ownerId', '=', ownerId)
    .where('sourceId', '=', sourceId)
    .forUpdate()
    .executeTakeFirst();
  return state === undefined || (polls !== undefined && state.polls !== polls) ? undefined : state;
}

async function storeItems(
  tx: Executor,
  input: SourceRef & { items: readonly NewSourceItem[]; limit: number; updates: boolean },
): Promise<{ added: number; updated: number; left: number }> {
  const { ownerId, sourceId } = input;
  const items = onceEach(input.items);
  const known = await knownItems(tx, input, items);
  const fresh: NewSourceItem[] = [];
  const changed: Array<NewSourceItem & { id: number }> = [];
  const seen: number[] = [];
  for (const item of items) {
    const row = known.byItem.get(item.itemHash);
    if (row === undefined) {
      const content = item.contentHash.toString('hex');
      if (known.contents.has(content)) continue;
      known.contents.add(content);
      fresh.push(item);
    } else if (!input.updates || row.forgotten || row.contentHash.equals(item.contentHash)) seen.push(row.id);
    else changed.push({ ...item, id: row.id });
  }
  const news = fresh.slice(0, input.limit);
  const changes = changed.slice(0, input.limit - news.length);
  await insertItems(tx, { ownerId, sourceId }, news);
  for (const item of changes) {
    await sql`
      update source_items set version = version + 1, content_hash = ${item.contentHash}, title = ${item.title}, url = ${item.url},
        text = ${item.text}, occurred_at = ${item.changedAt}, received_at = now(), seen_at = now(), delivered_to = '', delivered_at = null, agents = 0
      where id = ${item.id} and forgotten_at is null`.execute(tx);
  }
  // Once a day is enough to know that it is still there.
  await sql`update source_items set seen_at = now() where id = any(${seen}::bigint[]) and seen_at < now() - interval '1 day'`.execute(
    tx,
  );
  return {
    added: news.length,
    updated: changes.length,
    left: fresh.length - news.length + (changed.length - changes.length),
  };
}

/** An id that stands twice in one document is the later one. */
function onceEach(items: readonly NewSourceItem[]): NewSourceItem[] {
  return [...new Map(items.map((item) => [item.itemHash, item])).values()];
}

async function knownItems(tx: Executor, { ownerId, sourceId }: SourceRef, items: readonly NewSourceItem[]) {
  const { rows } = await sql<{ id: number; itemHash: string; contentHash: Buffer; forgotten: boolean }>`
    select id, item_hash, content_hash, forgotten_at is not null as forgotten from source_items
    where owner_id = ${ownerId} and source_id = ${sourceId}
      and (item_hash = any(${items.map((item) => item.itemHash)}) or content_hash = any(${items.map((item) => item.contentHash)}::bytea[]))`.execute(
    tx,
  );
  return {
    byItem: new Map(rows.map((row) => [row.itemHash, row])),
    contents: new Set(rows.map((row) => row.contentHash.toString('hex'))),
  };
}

async function insertItems(tx: Executor, { ownerId, sourceId }: SourceRef, items: readonly NewSourceItem[]) {
  if (items.length === 0) return;
  await tx
    .insertInto('sourceItems')
    .values(
      items.map(({ itemHash, contentHash, title, text, url, occurredAt }) => ({
        ownerId,
        sourceId,
        itemHash,
        contentHash,
        title,
        text,
        url,
        occurredAt,
      })),
    )
    .execute();
}
