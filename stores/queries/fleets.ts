import type { Fleet } from '../../domain/fleet.ts';
import type { Executor } from '../database.ts';
import { storedFleet } from '../fleets.ts';
import { iso, type PageRequest } from './page.ts';

export interface FleetVersionView {
  version: number;
  changes: number;
  undoOf: number | null;
  appliedAt: string;
}

export interface OwnFleet {
  version: number;
  source: string;
  fleet: Fleet;
  undoOf: number | null;
  appliedAt: string;
}

/** The last applied first; `after` is a version. */
export async function listFleetVersions(db: Executor, page: PageRequest): Promise<FleetVersionView[]> {
  let query = db
    .selectFrom('fleetVersions')
    .select(['version', 'changes', 'undoOf', 'appliedAt'])
    .where('ownerId', '=', page.ownerId);
  if (page.after !== undefined) query = query.where('version', '<', Number(page.after));
  const rows = await query.orderBy('version', 'desc').limit(page.limit).execute();
  return rows.map((row) => ({
    ...row,
    changes: Array.isArray(row.changes) ? row.changes.length : 0,
    appliedAt: iso(row.appliedAt),
  }));
}

/** The owner's fleet as applied last, or the last one up to a version. */
export async function findFleet(db: Executor, ownerId: string, upTo?: number): Promise<OwnFleet | undefined> {
  let query = db
    .selectFrom('fleetVersions')
    .select(['version', 'source', 'fleet', 'undoOf', 'appliedAt'])
    .where('ownerId', '=', ownerId);
  if (upTo !== undefined) query = query.where('version', '<=', upTo);
  const row = await query.orderBy('version', 'desc').limit(1).executeTakeFirst();
  return row && { ...row, fleet: storedFleet(row.fleet), appliedAt: iso(row.appliedAt) };
}
