import { sql } from 'kysely';
import type { MachineState, RunsAs } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import type { PageRequest } from './page.ts';

export interface MachineView {
  id: string;
  runsAs: RunsAs;
  state: MachineState;
  reason: string;
  alive: boolean;
  epoch: number;
  /** Null before its first lease. */
  leaseUntil: string | null;
  polls: string[];
  /** Models of the plan whose loading failed the last time. */
  lacks: string[];
  planVersion: number | null;
  identity: string | null;
  /** Why it gives its GPUs to their owner now; null: it does not. */
  yields: string | null;
  /** Of fleet.yaml, that its worker goes by; null: it has not said so. */
  fleetVersion: number | null;
}

/** Machines of the applied fleet, by id; `after` is an id. */
export async function listOwnMachines(db: Executor, page: PageRequest & { id?: string }): Promise<MachineView[]> {
  let query = db
    .selectFrom('machines')
    .select(['id', 'runsAs', 'state', 'reason', 'epoch', 'polls', 'planVersion', 'identity', 'yields'])
    .select('missingModels as lacks')
    .select(sql<boolean>`lease_until > clock_timestamp() and state <> 'lost'`.as('alive'))
    .select(
      sql<
        number | null
      >`(select (report->>'fleetVersion')::int from machine_reports r where r.machine_id = machines.id)`.as(
        'fleetVersion',
      ),
    )
    .select(sql<Date | null>`nullif(lease_until, '-infinity')`.as('leaseUntil'))
    .where('ownerId', '=', page.ownerId)
    .where('removedAt', 'is', null);
  if (page.after !== undefined) query = query.where('id', '>', page.after);
  if (page.id !== undefined) query = query.where('id', '=', page.id);
  const rows = await query.orderBy('id').limit(page.limit).execute();
  return rows.map((row) => ({
    ...row,
    runsAs: row.runsAs as RunsAs,
    state: row.state as MachineState,
    leaseUntil: row.leaseUntil === null ? null : row.leaseUntil.toISOString(),
  }));
}
