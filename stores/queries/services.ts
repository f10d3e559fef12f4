import { sql } from 'kysely';
import type { KnownService } from '../../domain/service-changes.ts';
import { type ServiceFile, type ServiceSpec, storedService } from '../../domain/services.ts';
import type { ServiceRunState, ServiceState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

/** The files of fleet.d/ as they were applied last, or with one version. */
export async function findServiceFiles(db: Executor, ownerId: string, version?: number): Promise<ServiceFile[]> {
  let query = db.selectFrom('fleetVersions').select('serviceFiles').where('ownerId', '=', ownerId);
  if (version !== undefined) query = query.where('version', '=', version);
  const row = await query.orderBy('version', 'desc').limit(1).executeTakeFirst();
  return (row?.serviceFiles as ServiceFile[] | undefined) ?? [];
}

/** All of the owner's, those that no file names any more, too. */
export async function knownServices(db: Executor, ownerId: string): Promise<KnownService[]> {
  const rows = await db
    .selectFrom('services')
    .select(['id', 'spec', 'retiredAt'])
    .where('ownerId', '=', ownerId)
    .orderBy('id')
    .execute();
  return rows.map(({ id, spec, retiredAt }) => ({ id, spec: storedService(spec), retired: retiredAt !== null }));
}

export interface ServiceView {
  id: string;
  spec: ServiceSpec;
  machineId: string | null;
  placedBecause: string;
  state: ServiceState;
  reason: string;
  changedAt: string;
  retiredAt: string | null;
  /** What starting and stopping it has come to; null: it was never asked for, and is only watched. */
  run: ServiceRunView | null;
}

export interface ServiceRunView {
  wanted: 'running' | 'stopped';
  state: ServiceRunState;
  reason: string;
  /** That runs it, or may. */
  machineId: string | null;
  requestId: string;
}

export interface ServiceFilter {
  state?: ServiceState | undefined;
  machineId?: string | undefined;
  /** Those that no file names any more, in place of those that live. */
  retired?: boolean | undefined;
}

const columns = ['id', 'spec', 'machineId', 'placedBecause', 'state', 'reason', 'changedAt', 'retiredAt'] as const;
const run = sql<ServiceRunView | null>`(
  select jsonb_build_object('wanted', r.wanted, 'state', r.state, 'reason', r.reason, 'machineId', r.machine_id, 'requestId', r.request_id)
  from service_runs r where r.service_id = services.id)`.as('run');

export async function listServices(db: Executor, page: PageRequest, filter: ServiceFilter): Promise<ServiceView[]> {
  let query = db
    .selectFrom('services')
    .select(columns)
    .select(run)
    .where('ownerId', '=', page.ownerId)
    .where('retiredAt', filter.retired === true ? 'is not' : 'is', null);
  if (filter.state !== undefined) query = query.where('state', '=', filter.state);
  if (filter.machineId !== undefined) query = query.where('machineId', '=', filter.machineId);
  if (page.after !== undefined) query = query.where('id', '>', page.after);
  const rows = await query.orderBy('id').limit(page.limit).execute();
  return rows.map(view);
}

/** Also one that no file names any more. */
export async function findService(db: Executor, ownerId: string, id: string): Promise<ServiceView | undefined> {
  const row = await db
    .selectFrom('services')
    .select(columns)
    .select(run)
    .where('ownerId', '=', ownerId)
    .where('id', '=', id)
    .executeTakeFirst();
  return row && view(row);
}

/** Names of living services that need this one. */
export async function dependantsOf(db: Executor, ownerId: string, id: string): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select id from services where owner_id = ${ownerId} and retired_at is null and spec -> 'dependsOn' ? ${id}
    order by id`.execute(db);
  return rows.map((row) => row.id);
}

interface Row {
  id: string;
  spec: unknown;
  machineId: string | null;
  placedBecause: string;
  state: string;
  reason: string;
  changedAt: Date;
  retiredAt: Date | null;
  run: ServiceRunView | null;
}

function view(row: Row): ServiceView {
  return {
    ...row,
    spec: storedService(row.spec),
    state: row.state as ServiceState,
    changedAt: iso(row.changedAt),
    retiredAt: iso(row.retiredAt),
  };
}
