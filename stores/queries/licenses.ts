import { sql } from 'kysely';
import type { LicenseKind } from '../../domain/license-kinds.ts';
import { type LicenseChange, stateAt } from '../../domain/licenses.ts';
import type { LicenseState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { databaseNow, hashOf, type LicenseRow, licenseRow, seenBy, selectLicenses } from '../license-rows.ts';
import { iso, type PageRequest } from './page.ts';

export interface LicenseView {
  id: string;
  kind: string;
  /** By time, also before anybody has written it down. */
  state: LicenseState;
  holder: string;
  issuer: string;
  packageHash: string;
  purchaseId: string | null;
  suspendedBy: string[];
  uses: number;
  usesLimit: number | null;
  activations: number;
  activationsLimit: number | null;
  seats: number;
  seatsLimit: number | null;
  transferable: boolean;
  commercial: boolean;
  transfers: number;
  issuedAt: string;
  startsAt: string | null;
  expiresAt: string | null;
  graceSeconds: number;
}

export function licenseView(license: LicenseRow): LicenseView {
  const at = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  return {
    id: license.id,
    kind: license.kind,
    state: stateAt(license, license.now),
    holder: license.ownerId,
    issuer: license.issuerId,
    packageHash: license.packageHash,
    purchaseId: license.purchaseId,
    suspendedBy: license.suspendedBy,
    uses: license.uses,
    usesLimit: license.usesLimit,
    activations: license.activations,
    activationsLimit: license.activationsLimit,
    seats: license.seats,
    seatsLimit: license.seatsLimit,
    transferable: license.transferable,
    commercial: license.commercial,
    transfers: license.holding,
    issuedAt: new Date(license.issuedAt).toISOString(),
    startsAt: at(license.startsAt),
    expiresAt: at(license.expiresAt),
    graceSeconds: license.graceSeconds,
  };
}

export interface LicenseFilters {
  state?: LicenseState | undefined;
  kind?: string | undefined;
  packageHash?: string | undefined;
  /** held: as holder. issued: as issuer. Default: both. */
  as?: 'holder' | 'issuer' | undefined;
}

/** The last issued first. */
export async function listLicenses(db: Executor, page: PageRequest & LicenseFilters): Promise<LicenseView[]> {
  const { ownerId } = page;
  const state = sql`case when l.state = 'active' and l.expires_at + l.grace_seconds * interval '1 second' <= ${databaseNow}
    then 'expired' else l.state end`;
  const conditions = [
    page.as === 'holder'
      ? sql`l.owner_id = ${ownerId}`
      : page.as === 'issuer'
        ? sql`l.issuer_id = ${ownerId}`
        : seenBy({ ownerId }),
    ...(page.after === undefined ? [] : [sql`l.id < ${page.after}`]),
    ...(page.state === undefined ? [] : [sql`${state} = ${page.state}`]),
    ...(page.kind === undefined ? [] : [sql`l.kind = ${page.kind}`]),
    ...(page.packageHash === undefined ? [] : [sql`l.package_hash = ${page.packageHash}`]),
  ];
  const tail = sql`order by l.id desc limit ${page.limit}`;
  const { rows } = await selectLicenses(db, sql.join(conditions, sql` and `), tail, databaseNow);
  return rows.map((row) => licenseView(licenseRow(row)));
}

export async function listLicenseKinds(
  db: Executor,
  page: { after?: string | undefined; limit: number },
): Promise<LicenseKind[]> {
  let query = db.selectFrom('licenseKinds').selectAll();
  if (page.after !== undefined) query = query.where('id', '>', page.after);
  return query.orderBy('id').limit(page.limit).execute();
}

export interface LicenseEventView {
  id: string;
  change: LicenseChange;
  from: string | null;
  to: string;
  holder: string;
  actor: string;
  reason: string;
  data: Record<string, unknown>;
  at: string;
}

/** The last one first. A holder sees what came since it is theirs, the issuer all. */
export async function listLicenseEvents(
  db: Executor,
  { licenseId, ...page }: PageRequest & { licenseId: string },
): Promise<LicenseEventView[]> {
  const { rows } = await sql<{
    id: string;
    change: string;
    fromState: string | null;
    toState: string;
    ownerId: string;
    actor: string;
    reason: string;
    data: Record<string, unknown>;
    at: Date;
  }>`select e.* from license_events e join licenses l on l.id = e.license_id
    where l.id = ${licenseId} and (l.issuer_id = ${page.ownerId} or (l.owner_id = ${page.ownerId}
      and (e.owner_id = ${page.ownerId} or e.data ->> 'holder' = ${page.ownerId})))
    and (${page.after ?? null}::text is null or e.id < ${page.after ?? null}) order by e.id desc limit ${page.limit}`.execute(
    db,
  );
  return rows.map(({ id, change, fromState, toState, ownerId, actor, reason, data, at }) => ({
    id,
    change: change as LicenseChange,
    from: fromState,
    to: toState,
    holder: ownerId,
    actor,
    reason,
    data,
    at: iso(at),
  }));
}

export interface ActivationView {
  activationId: string;
  place: string;
  seat: string;
  activatedAt: string;
}

/** Where it is in use now, by the ids of the holder. */
export async function listActivations(
  db: Executor,
  { licenseId, ownerId, after, limit }: PageRequest & { licenseId: string },
): Promise<ActivationView[]> {
  const { rows } = await sql<{ id: string; place: string; seat: string; activatedAt: Date }>`
    select a.id, a.place, a.seat, a.activated_at from activations a join licenses l on l.id = a.license_id
    where l.id = ${licenseId} and ${seenBy({ ownerId })} and a.ended_at is null
    and (${after ?? null}::text is null or a.id > ${after ?? null}) order by a.id limit ${limit}`.execute(db);
  return rows.map(({ id, activatedAt, ...row }) => ({ activationId: id, ...row, activatedAt: iso(activatedAt) }));
}

export interface UsageView {
  day: string;
  holder: string;
  redemptions: number;
  activations: number;
  files: number;
}

/** What was used of it on each day (UTC), the last one first. A holder sees their own days, the issuer all. */
export async function listUsage(
  db: Executor,
  { licenseId, ownerId, after, limit }: PageRequest & { licenseId: string },
): Promise<UsageView[]> {
  const { rows } = await sql<{ day: string; ownerId: string; redemptions: number; activations: number; files: number }>`
    select u.day::text, u.owner_id, u.redemptions, u.activations, u.files from license_usage u join licenses l on l.id = u.license_id
    where l.id = ${licenseId} and (l.issuer_id = ${ownerId} or (l.owner_id = ${ownerId} and u.owner_id = ${ownerId}))
    and (${after ?? null}::text is null or u.day::text || ' ' || u.owner_id < ${after ?? null})
    order by u.day::text || ' ' || u.owner_id desc limit ${limit}`.execute(db);
  return rows.map(({ ownerId: holder, ...row }) => ({ ...row, holder }));
}

/** What of an issuer’s files that may still hold is not to be honoured, sorted; the time is the database’s. */
export async function revocationsOf(
  db: Executor,
  issuerId: string,
): Promise<{ now: number; revoked: string[]; suspended: string[] }> {
  const { rows } = await sql<{ now: Date; revoked: string[]; suspended: string[] }>`
    with barred as (
      select state, ${hashOf(sql`id || ':' || holding`)} as hash from licenses
      where issuer_id = ${issuerId} and state in ('revoked', 'suspended') and files_until > ${databaseNow}
      union
      select 'revoked', ${hashOf(sql`l.id || ':' || e.holding`)} from license_events e join licenses l on l.id = e.license_id
      where l.issuer_id = ${issuerId} and e.files_until > ${databaseNow}
      union
      select 'revoked', ${hashOf(sql`l.id || ':' || l.holding || ':' || a.id`)} from activations a join licenses l on l.id = a.license_id
      where l.issuer_id = ${issuerId} and a.ended_at is not null and a.files_until > ${databaseNow} and a.owner_id = l.owner_id
    )
    select ${databaseNow} as now,
      coalesce(array_agg(hash order by hash collate "C") filter (where state = 'revoked'), '{}') as revoked,
      coalesce(array_agg(hash order by hash collate "C") filter (where state = 'suspended'), '{}') as suspended
    from barred`.execute(db);
  const { now, revoked, suspended } = rows[0]!;
  return { now: now.getTime(), revoked, suspended };
}
