import type { MirrorTarget } from '../../domain/public-mirror.ts';
import type { BackupState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface MirrorRunView {
  id: string;
  target: MirrorTarget;
  state: BackupState;
  reason: string;
  startedAt: string;
  endedAt: string | null;
  entries: number | null;
  bytes: number | null;
  written: number | null;
  removed: number | null;
  sha256: string | null;
}

/** The last begun first; ids begin with times. */
export async function listMirrorRuns(
  db: Executor,
  { ownerId, limit, after, target }: PageRequest & { target?: MirrorTarget | undefined },
): Promise<MirrorRunView[]> {
  let query = db
    .selectFrom('mirrorRuns')
    .select([
      'id',
      'target',
      'state',
      'reason',
      'startedAt',
      'endedAt',
      'entries',
      'bytes',
      'written',
      'removed',
      'sha256',
    ])
    .where('ownerId', '=', ownerId);
  if (target !== undefined) query = query.where('target', '=', target);
  if (after !== undefined) query = query.where('id', '<', after);
  const rows = await query.orderBy('id', 'desc').limit(limit).execute();
  return rows.map((row) => ({
    ...row,
    target: row.target as MirrorTarget,
    state: row.state as BackupState,
    startedAt: iso(row.startedAt),
    endedAt: row.endedAt && iso(row.endedAt),
  }));
}
