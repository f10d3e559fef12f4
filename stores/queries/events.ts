import { sql } from 'kysely';
import type { Executor } from '../database.ts';
import { iso } from './page.ts';

/** Place in the events: those after it in the order of (xid, id). */
export interface EventCursor {
  xid: string;
  id: number;
}

export interface EventView {
  cursor: EventCursor;
  type: string;
  subject: string;
  data: Record<string, unknown>;
  at: string;
}

type Row = { xid: string; id: number; type: string; subject: string; data: unknown; at: Date };
const eventView = ({ xid, id, data, at, ...row }: Row): EventView => ({
  ...row,
  cursor: { xid, id },
  data: data as Record<string, unknown>,
  at: iso(at),
});

/**
 * Events after the cursor that no running transaction can still come before: only transactions under the snapshot's
 * xmin are told, so what commits out of order is never missed.
 * @property more whether rows wait behind that horizon
 */
export async function eventsAfter(
  db: Executor,
  ownerId: string,
  after: EventCursor,
  limit: number,
): Promise<{ events: EventView[]; more: boolean }> {
  const { rows } = await sql<Row>`
    select xid::text as xid, id, type, subject, data, at from events
    where owner_id = ${ownerId} and events.xid < pg_snapshot_xmin(pg_current_snapshot())
      and (events.xid, events.id) > (${after.xid}::xid8, ${after.id}::bigint)
    order by events.xid, events.id limit ${limit}`.execute(db);
  if (rows.length === limit) return { events: rows.map(eventView), more: true };
  const waiting = await sql<{ waiting: boolean }>`
    select exists (select from events where xid >= pg_snapshot_xmin(pg_current_snapshot())) as waiting`.execute(db);
  return { events: rows.map(eventView), more: waiting.rows[0]?.waiting ?? false };
}

/** Where a reader starts that wants only what comes from now on. */
export async function eventHorizon(db: Executor): Promise<EventCursor> {
  const { rows } = await sql<{ xid: string }>`select pg_snapshot_xmin(pg_current_snapshot())::text as xid`.execute(db);
  return { xid: rows[0]!.xid, id: 0 };
}

/** The cursor before the owner's last `count` events. */
export async function cursorBeforeLast(db: Executor, ownerId: string, count: number): Promise<EventCursor> {
  const { rows } = await sql<{ xid: string; id: number }>`
    select xid::text as xid, id from events
    where owner_id = ${ownerId} and events.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by events.xid desc, events.id desc limit 1 offset ${count}`.execute(db);
  return rows[0] ?? { xid: '0', id: 0 };
}

/**
 * Where a reader goes on whose cursor is of before a restore: restored events have no transaction number and keep their order,
 * and what was lost with the restore had numbers that were given again.
 */
export async function cursorSinceRestore(db: Executor, generation: number, id: number): Promise<EventCursor> {
  const { rows } = await sql<{ id: number }>`
    select least(${id}::bigint, min(last_event_id)) as id from restores where generation > ${generation}`.execute(db);
  return { xid: '0', id: rows[0]!.id };
}
