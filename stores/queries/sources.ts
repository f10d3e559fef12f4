import { sql } from 'kysely';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface SourceProgress {
  sourceId: string;
  failures: number;
  lastOkAt: string | null;
  nextPollAt: string;
  lastError: string;
  lastErrorAt: string | null;
  note: string;
  items: number;
  /** Of these, not yet given to every agent. */
  pending: number;
}

/** How far sources have been read, by id; one that was never polled is not among them. */
export async function sourceProgress(
  db: Executor,
  ownerId: string,
  sourceIds: readonly string[],
): Promise<Map<string, SourceProgress>> {
  const { rows } = await sql<
    Omit<SourceProgress, 'lastOkAt' | 'nextPollAt' | 'lastErrorAt'> & {
      lastOkAt: Date | null;
      nextPollAt: Date;
      lastErrorAt: Date | null;
    }
  >`
    select s.source_id, s.failures, s.last_ok_at, s.next_poll_at, s.last_error, s.last_error_at, s.note, i.items, i.pending
    from source_states s, lateral (
      select count(*) as items, count(*) filter (where text is not null) as pending
      from source_items where owner_id = s.owner_id and source_id = s.source_id) i
    where s.owner_id = ${ownerId} and s.source_id = any(${[...sourceIds]})`.execute(db);
  return new Map(
    rows.map((row) => [
      row.sourceId,
      { ...row, lastOkAt: iso(row.lastOkAt), nextPollAt: iso(row.nextPollAt), lastErrorAt: iso(row.lastErrorAt) },
    ]),
  );
}

export interface SourceItemView {
  id: string;
  title: string;
  url: string | null;
  version: number;
  occurredAt: string;
  receivedAt: string;
  deliveredAt: string | null;
  agents: number;
  forgotten: boolean;
}

/** What came from a source, the last received first. */
export async function listSourceItems(
  db: Executor,
  page: PageRequest & { sourceId: string },
): Promise<SourceItemView[]> {
  let query = db
    .selectFrom('sourceItems')
    .select(['id', 'title', 'url', 'version', 'occurredAt', 'receivedAt', 'deliveredAt', 'agents', 'forgottenAt'])
    .where('ownerId', '=', page.ownerId)
    .where('sourceId', '=', page.sourceId);
  if (page.after !== undefined) query = query.where('id', '<', Number(page.after));
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map(({ forgottenAt, ...row }) => ({
    ...row,
    id: String(row.id),
    occurredAt: iso(row.occurredAt),
    receivedAt: iso(row.receivedAt),
    deliveredAt: iso(row.deliveredAt),
    forgotten: forgottenAt !== null,
  }));
}
