import { sql } from 'kysely';
import { pollSourceWorkflowId } from '../domain/ids.ts';
import { failuresUntilNotice } from '../domain/sources.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { nameHash, notForgotten } from './source-items.ts';

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
  /** Absent: the source has no parts. */
  partHash?: string;
  contentHash: Buffer;
  title: string;
  text: string;
  url: string | null;
  /** ISO. */
  occurredAt: string;
  /** ISO: from when on a changed text holds. */
  changedAt: string;
  /** Absent: as its source says. */
  importance?: number;
}

export interface Intake {
  /** False where another poll was stored first: nothing of this one is. */
  stored: boolean;
  added: number;
  updated: number;
  /** New ones that are left for the next poll. */
  left: number;
}

/** Characters of a note or reason. */
const mostSaid = 1_000;

const noticeKey = (sourceId: string) => `source:${sourceId}`;

export function createSourceStore(db: Database) {
  return {
    /**
     * Takes up to `limit` sources that are due, so that nobody else takes them for `holdSeconds`; the same sweep gets the
     * same ones again. Sources seen for the first time are due at once; one that is not polled, where something of it has lain
     * for a minute. What fleet.yaml no longer names needs no person.
     */
    async claim(input: {
      ownerId: string;
      /** All of fleet.yaml. */
      sourceIds: readonly string[];
      polledIds: readonly string[];
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
          update notices set resolved_at = now() where owner_id = ${ownerId} and kind in ('source_failing', 'source_secret_unreadable')
            and resolved_at is null and subject <> all(${sourceIds})`.execute(tx);
        const { rows } = await sql<{ sourceId: string }>`
          update source_states s set claimed_by = ${claimedBy},
            next_poll_at = case when s.next_poll_at <= now() then now() + make_interval(secs => ${input.holdSeconds}) else s.next_poll_at end
          from (
            select source_id from source_states
            where owner_id = ${ownerId} and source_id = any(${[...input.polledIds]})
              and (next_poll_at <= now() or claimed_by = ${claimedBy})
            order by next_poll_at, source_id limit ${input.limit} for update skip locked
          ) due
          where s.owner_id = ${ownerId} and s.source_id = due.source_id returning s.source_id`.execute(tx);
        const { rows: lying } = await sql<{ sourceId: string }>`
          select distinct source_id from source_items where owner_id = ${ownerId} and text is not null
            and source_id = any(${sourceIds}) and source_id <> all(${[...input.polledIds]})
            and received_at < now() - interval '1 minute'`.execute(tx);
        return [...rows, ...lying].map((row) => row.sourceId).sort();
      });
    },

    /** Whether any is not stopped, also one that fleet.yaml no longer names. */
    async underWay(): Promise<boolean> {
      const { rows } = await sql`select from source_states where stopped_at is null limit 1`.execute(db);
      return rows.length > 0;
    },

    /** Of a source that was never polled: the beginning. */
    async state({ ownerId, sourceId }: SourceRef): Promise<SourceState> {
      await ensureState(db, { ownerId, sourceId });
      return db
        .selectFrom('sourceStates')
        .select(['cursor', 'polls', 'failures'])
        .where('ownerId', '=', ownerId)
        .where('sourceId', '=', sourceId)
        .executeTakeFirstOrThrow();
    },

    /**
     * Stores what a poll read and where the next one goes on, in one transaction: a crash before it reads the same again,
     * a crash after it has lost nothing. What is known already is not stored twice.
     */
    async intake(
      input: SourceRef & {
        polls: number;
        items: readonly NewSourceItem[];
        cursor: unknown;
        /** The cursor to keep where not all of these can be taken. */
        again: unknown;
        /** What was not even read. */
        left: number;
        /** With it the items are all that the source shows, beside what is known of these parts; absent: it was not told. */
        shownParts?: readonly string[];
        note: string;
        limit: number;
        /** Whether an item whose words or importance have changed is stored as its next version. */
        updates: boolean;
        /** Whether the same words under another id are the same item. */
        byContent: boolean;
        nextPollSeconds: (left: number) => number;
      },
    ): Promise<Intake> {
      return db.transaction().execute(async (tx) => {
        const state = await lockedState(tx, input);
        if (!state) return { stored: false, added: 0, updated: 0, left: 0 };
        const { added, updated, known, ...kept } = await storeItems(tx, input);
        await noteShown(tx, input, known, state.shownToday);
        const left = kept.left + input.left;
        await tx
          .updateTable('sourceStates')
          .set({
            cursor: JSON.stringify(kept.left > 0 ? input.again : input.cursor),
            polls: input.polls + 1,
            nextPollAt: sql<Date>`now() + make_interval(secs => ${input.nextPollSeconds(left)})`,
            failures: 0,
            lastOkAt: sql<Date>`now()`,
            note: input.note.slice(0, mostSaid),
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

    /**
     * Stores what was brought, and asks in the same transaction that the agents are given it.
     * @returns whether it came before
     */
    async receive({ ownerId, sourceId, item }: SourceRef & { item: NewSourceItem }): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        // Held until the end, as whoever forgets holds it.
        await sql`
          insert into source_states (owner_id, source_id, last_ok_at, shown_at) values (${ownerId}, ${sourceId}, now(), now())
          on conflict (owner_id, source_id) do update set last_ok_at = now(), shown_at = now()`.execute(tx);
        const come = await notForgotten(tx, { ownerId, sourceId }, [item]);
        const [row] = await insertItems(tx, { ownerId, sourceId }, come);
        if (row === undefined) return true;
        await insertIntent(tx, {
          workflowId: pollSourceWorkflowId(sourceId, `item-${row.id}`),
          type: 'pollSource',
          args: [{ sourceId, polled: { outcome: 'received' } }],
        });
        await appendEvents(tx, [{ ownerId, type: 'source.read', subject: sourceId, data: { added: 1, updated: 0 } }]);
        return false;
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
      const { ownerId, sourceId, gone } = input;
      // Parts of it may be a stranger's words.
      const reason = input.reason.slice(0, mostSaid);
      await db.transaction().execute(async (tx) => {
        await ensureState(tx, input);
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

async function ensureState(db: Executor, { ownerId, sourceId }: SourceRef): Promise<void> {
  await db
    .insertInto('sourceStates')
    .values({ ownerId, sourceId })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Under its lock; undefined where another poll was stored since `polls`. */
async function lockedState(
  tx: Executor,
  { ownerId, sourceId, polls }: SourceRef & { polls?: number },
): Promise<{ failures: number; shownToday: boolean } | undefined> {
  const state = await tx
    .selectFrom('sourceStates')
    .select(['polls', 'failures'])
    .select(sql<boolean>`coalesce(shown_at > now() - interval '1 day', false)`.as('shownToday'))
    .where('ownerId', '=', ownerId)
    .where('sourceId', '=', sourceId)
    .forUpdate()
    .executeTakeFirst();
  return state === undefined || (polls !== undefined && state.polls !== polls) ? undefined : state;
}

async function storeItems(
  tx: Executor,
  input: SourceRef & { items: readonly NewSourceItem[]; limit: number; updates: boolean; byContent: boolean },
): Promise<{ added: number; updated: number; left: number; known: ShownItem[] }> {
  const { ownerId, sourceId } = input;
  const items = onceEach(input.items);
  const known = await knownItems(tx, input, items);
  const fresh: NewSourceItem[] = [];
  const told = new Set<string>();
  const changed: Array<NewSourceItem & { id: number }> = [];
  const seen: ShownItem[] = [];
  for (const item of items) {
    const content = item.contentHash.toString('hex');
    const row = known.byItem.get(item.itemHash);
    const same = row ?? (input.byContent ? known.byContent.get(content) : undefined);
    if (same !== undefined) seen.push({ id: same.id, partHash: item.partHash ?? null });
    if (row !== undefined) {
      const stays = !input.updates || row.forgotten || isSame(row, item);
      if (!stays) changed.push({ ...item, id: row.id });
    } else if (same === undefined && !(input.byContent && told.has(content))) {
      told.add(content);
      fresh.push(item);
    }
  }
  const come = await notForgotten(tx, input, fresh);
  const news = come.slice(0, input.limit);
  const changes = changed.slice(0, input.limit - news.length);
  await insertItems(tx, { ownerId, sourceId }, news);
  for (const item of changes) {
    await sql`
      update source_items set version = version + 1, content_hash = ${item.contentHash}, title = ${item.title}, url = ${item.url},
        text = ${item.text}, importance = ${item.importance ?? null}, occurred_at = ${item.changedAt}, received_at = now(), seen_at = now(), delivered_to = '', delivered_at = null, agents = 0
      where id = ${item.id} and forgotten_at is null`.execute(tx);
  }
  return {
    known: seen,
    added: news.length,
    updated: changes.length,
    left: come.length - news.length + (changed.length - changes.length),
  };
}

/** A known item that the source still shows. */
interface ShownItem {
  id: number;
  partHash: string | null;
}
interface KnownItem {
  id: number;
  itemHash: string;
  contentHash: Buffer;
  importance: number | null;
  forgotten: boolean;
}

function isSame(known: KnownItem, item: NewSourceItem): boolean {
  return known.contentHash.equals(item.contentHash) && known.importance === (item.importance ?? null);
}

/**
 * Notes which known items the source still shows, so that they stay known. Once a day is enough; then `shown_at` says that
 * whatever was seen before it is not shown any more. Where a source does not tell, nothing moves.
 */
async function noteShown(
  tx: Executor,
  { ownerId, sourceId, shownParts }: SourceRef & { shownParts?: readonly string[] },
  known: readonly ShownItem[],
  shownToday: boolean,
): Promise<void> {
  const due = shownParts !== undefined && !shownToday;
  await sql`
    update source_items i set seen_at = now(), part_hash = coalesce(shown.part_hash, i.part_hash)
    from unnest(${known.map(({ id }) => id)}::bigint[], ${known.map(({ partHash }) => partHash)}::text[]) as shown (id, part_hash)
    where i.id = shown.id and (${due} or i.seen_at < now() - interval '1 day' or i.part_hash is distinct from shown.part_hash)`.execute(
    tx,
  );
  if (!due) return;
  await sql`
    update source_items set seen_at = now() where owner_id = ${ownerId} and source_id = ${sourceId}
      and part_hash = any(${shownParts.map(nameHash)}::text[]) and seen_at < now()`.execute(tx);
  await sql`
    update source_states set shown_at = now() where owner_id = ${ownerId} and source_id = ${sourceId}`.execute(tx);
}

/** An id that stands twice in one document is the later one. */
function onceEach(items: readonly NewSourceItem[]): NewSourceItem[] {
  return [...new Map(items.map((item) => [item.itemHash, item])).values()];
}

async function knownItems(tx: Executor, { ownerId, sourceId }: SourceRef, items: readonly NewSourceItem[]) {
  const { rows } = await sql<KnownItem>`
    select id, item_hash, content_hash, importance, forgotten_at is not null as forgotten from source_items
    where owner_id = ${ownerId} and source_id = ${sourceId}
      and (item_hash = any(${items.map((item) => item.itemHash)}) or content_hash = any(${items.map((item) => item.contentHash)}::bytea[]))`.execute(
    tx,
  );
  return {
    byItem: new Map(rows.map((row) => [row.itemHash, row])),
    byContent: new Map(rows.map((row) => [row.contentHash.toString('hex'), row])),
  };
}

async function insertItems(tx: Executor, { ownerId, sourceId }: SourceRef, items: readonly NewSourceItem[]) {
  if (items.length === 0) return [];
  return tx
    .insertInto('sourceItems')
    .values(
      items.map(({ itemHash, partHash = null, contentHash, title, text, url, occurredAt, importance = null }) => ({
        ownerId,
        sourceId,
        itemHash,
        partHash,
        contentHash,
        title,
        text,
        url,
        occurredAt,
        importance,
      })),
    )
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .execute();
}
