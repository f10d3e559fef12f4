import { type RawBuilder, sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { clockSkewMs, type LicenseChange, type LicenseFacts } from '../domain/licenses.ts';
import type { LicenseState } from '../domain/states.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { appendEvents, type NewEvent } from './events.ts';
import { newId } from './ids.ts';

/** A moment as Postgres tells it, for all who write; in whole milliseconds, so that rules and SQL compare the same time. */
export type Moment = RawBuilder<Date>;
export const databaseNow: Moment = sql<Date>`date_trunc('milliseconds', now())`;

/** Who changed a license, and why. */
export interface By {
  /** Id of the token, the purchase, or the part of Soulfra. */
  actor: string;
  reason: string;
}

export interface LicenseRow extends LicenseFacts {
  id: string;
  ownerId: string;
  issuerId: string;
  kind: string;
  purchaseId: string | null;
  suspendedBy: string[];
  termSeconds: number | null;
  issuedAt: number;
  /** How often it was transferred. */
  holding: number;
  filesUntil: number | null;
  /** When it was read, by the database's clock. */
  now: number;
}

/** Rows that a caller may see: what they hold and what they issued. Null: of whoever, for who has the id from a row of theirs. */
export type Viewer = { ownerId: string } | null;

export function seenBy(viewer: Viewer): RawBuilder<boolean> {
  if (viewer === null) return sql<boolean>`true`;
  return sql<boolean>`(l.owner_id = ${viewer.ownerId} or l.issuer_id = ${viewer.ownerId})`;
}

/** What permits something new, in SQL as `permissionOf` says it; a test holds them together. */
export function mayBegin(now: Moment): RawBuilder<boolean> {
  return sql<boolean>`l.state = 'active' and l.starts_at <= ${now} + ${clockSkewMs} * interval '1 millisecond'
    and (l.expires_at is null or ${now} < l.expires_at)`;
}

/** The row with its live activations counted. @throws NOT_FOUND */
export async function readLicense(tx: Executor, id: string, viewer: Viewer, now: Moment): Promise<LicenseRow> {
  return (await readUse(tx, id, viewer, {}, now)).license;
}

/** An activation and a seat that are asked for. */
export interface Named {
  activationId?: string | undefined;
  seat?: string | undefined;
}

/**
 * The row, and what of a named activation and seat is in use, for `permissionOf`: one statement, so that a transfer is in both of
 * them or in neither.
 * @throws NOT_FOUND
 */
export async function readUse(
  tx: Executor,
  id: string,
  viewer: Viewer,
  named: Named,
  now: Moment,
): Promise<{ license: LicenseRow; use: { inUse?: boolean; seatTaken?: boolean } }> {
  const { rows } = await selectLicenses(tx, sql`l.id = ${id} and ${seenBy(viewer)}`, sql``, now, named);
  if (rows[0] === undefined) throw notFound(id);
  const { inUse, seatTaken } = rows[0];
  const use = {
    ...(named.activationId === undefined ? {} : { inUse: inUse ?? false }),
    ...(named.seat === undefined ? {} : { seatTaken: seatTaken ?? false }),
  };
  return { license: licenseRow(rows[0]), use };
}

/**
 * Waits for the row and holds it until the transaction ends, then reads it: what is counted was committed before. Who may see it
 * is asked once, as it is locked: asked again, whoever comes to hold it in between would read it without holding the lock.
 * @throws NOT_FOUND
 */
export async function lockLicense(
  tx: DatabaseTransaction,
  id: string,
  viewer: Viewer,
  now: Moment,
): Promise<LicenseRow> {
  const locked = await sql`select l.id from licenses l where l.id = ${id} and ${seenBy(viewer)} for update`.execute(tx);
  if (locked.rows.length === 0) throw notFound(id);
  return readLicense(tx, id, null, now);
}

export function notFound(id: string): DomainError {
  return new DomainError('NOT_FOUND', `no license ${id}`);
}

export function selectLicenses(
  db: Executor,
  where: RawBuilder<unknown>,
  tail: RawBuilder<unknown>,
  now: Moment,
  { activationId, seat }: Named = {},
) {
  return sql<SelectedLicense>`select l.*, live.*, ${now} as now from licenses l, lateral (
    select count(*)::int as activations, count(distinct a.seat)::int as seats,
      bool_or(a.id = ${activationId ?? null} and a.owner_id = l.owner_id) as in_use,
      bool_or(a.seat = ${seat ?? null}) as seat_taken
    from activations a where a.license_id = l.id and a.ended_at is null) live where ${where} ${tail}`.execute(db);
}

interface SelectedLicense
  extends Omit<LicenseRow, 'startsAt' | 'expiresAt' | 'issuedAt' | 'filesUntil' | 'now' | 'state'> {
  state: string;
  startsAt: Date | null;
  expiresAt: Date | null;
  issuedAt: Date;
  filesUntil: Date | null;
  now: Date;
  inUse: boolean | null;
  seatTaken: boolean | null;
}

export function licenseRow({ inUse: _inUse, seatTaken: _seatTaken, ...row }: SelectedLicense): LicenseRow {
  return {
    ...row,
    state: row.state as LicenseState,
    startsAt: row.startsAt?.getTime() ?? null,
    expiresAt: row.expiresAt?.getTime() ?? null,
    issuedAt: row.issuedAt.getTime(),
    filesUntil: row.filesUntil?.getTime() ?? null,
    now: row.now.getTime(),
  };
}

/** As revocation lists name what they bar. */
export function hashOf(text: RawBuilder<unknown>): RawBuilder<string> {
  return sql<string>`encode(sha256(convert_to(${text}, 'UTF8')), 'hex')`;
}

export interface Change {
  change: LicenseChange;
  from: LicenseState | null;
  to: LicenseState;
  by: By;
  data?: Record<string, unknown>;
  /** Of a transfer: what ended, and until when its files may hold. */
  ended?: { holding: number; filesUntil: number | null };
}

/** Writes down what became of a license, in this order and for good, and tells its holder and its issuer. */
export async function recordChange(
  tx: DatabaseTransaction,
  license: Pick<LicenseRow, 'id' | 'ownerId' | 'issuerId'>,
  ...changes: [Change, ...Change[]]
): Promise<void> {
  const { id, ownerId } = license;
  await tx
    .insertInto('licenseEvents')
    .values(
      changes.map(({ change, from, to, by, data = {}, ended }) => ({
        id: newId('licenseEvent'),
        licenseId: id,
        ownerId,
        change,
        fromState: from,
        toState: to,
        ...by,
        data: JSON.stringify(data),
        holding: ended?.holding ?? null,
        filesUntil: dateOf(ended?.filesUntil ?? null),
      })),
    )
    .execute();
  const events = changes.flatMap(({ change, from, to, by, data }) =>
    eventsOf(license, `license.${change}`, { ...data, from, to, reason: by.reason }),
  );
  await appendEvents(tx, events);
}

function dateOf(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms);
}

export async function tellOf(
  tx: DatabaseTransaction,
  license: Pick<LicenseRow, 'id' | 'ownerId' | 'issuerId'>,
  type: string,
  data: Record<string, unknown>,
): Promise<void> {
  await appendEvents(tx, eventsOf(license, type, data));
}

function eventsOf(
  { id, ownerId, issuerId }: Pick<LicenseRow, 'id' | 'ownerId' | 'issuerId'>,
  type: string,
  data: Record<string, unknown>,
): NewEvent[] {
  return [...new Set([ownerId, issuerId])].map((owner) => ({ ownerId: owner, type, subject: id, data }));
}
