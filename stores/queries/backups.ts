import { sql } from 'kysely';
import type { BackupState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface BackupView {
  id: string;
  state: BackupState;
  reason: string;
  startedAt: string;
  endedAt: string | null;
  folder: string;
  bytes: number | null;
  rows: number | null;
  copyReason: string;
}

/** The last begun first; ids are times. */
export async function listBackups(
  db: Executor,
  { ownerId, limit, after, state }: PageRequest & { state?: BackupState | undefined },
): Promise<BackupView[]> {
  let query = db
    .selectFrom('backups')
    .select(['id', 'state', 'reason', 'startedAt', 'endedAt', 'folder', 'bytes', 'rowCount as rows', 'copyReason'])
    .where('ownerId', '=', ownerId);
  if (state !== undefined) query = query.where('state', '=', state);
  if (after !== undefined) query = query.where('id', '<', after);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map(told);
}

/** How often this fleet was restored: cursors of events that name an earlier time begin where it was restored to. */
export async function currentGeneration(db: Executor): Promise<number> {
  const { rows } = await sql<{ generation: number }>`
    select coalesce(max(generation), 0) as generation from restores`.execute(db);
  return rows[0]!.generation;
}

export interface DrillView {
  id: string;
  backupId: string;
  state: BackupState;
  reason: string;
  startedAt: string;
  endedAt: string | null;
  rpoSeconds: number | null;
  rtoSeconds: number | null;
}

export async function listDrills(db: Executor, { ownerId, limit, after }: PageRequest): Promise<DrillView[]> {
  let query = db
    .selectFrom('restoreDrills')
    .select(['id', 'backupId', 'state', 'reason', 'startedAt', 'endedAt', 'rpoSeconds', 'rtoSeconds'])
    .where('ownerId', '=', ownerId);
  if (after !== undefined) query = query.where('id', '<', after);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map(told);
}

function told<Row extends { state: string; startedAt: Date; endedAt: Date | null }>(row: Row) {
  const { state, startedAt, endedAt } = row;
  return { ...row, state: state as BackupState, startedAt: iso(startedAt), endedAt: endedAt && iso(endedAt) };
}
