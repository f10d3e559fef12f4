import { type RawBuilder, sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { fileSeconds, type LicenseFile, mostListed } from '../domain/license-files.ts';
import { endOf, isPermitted, licenseRefused, permissionOf, type Permitted } from '../domain/licenses.ts';
import type { DatabaseTransaction } from './database.ts';
import {
  databaseNow,
  hashOf,
  type LicenseRow,
  lockLicense,
  mayBegin,
  type Moment,
  notFound,
  readLicense,
  readUse,
  recordChange,
  seenBy,
  tellOf,
} from './license-rows.ts';

interface Use {
  licenseId: string;
  /** Who asks: holder or issuer. */
  ownerId: string;
  actor: string;
}

/** The same again for the same id. */
export interface Redemption {
  redemptionId: string;
  /** The how-manieth use it was. */
  use: number;
  redeemedAt: string;
}

export interface Activation {
  activationId: string;
  place: string;
  seat: string;
  activatedAt: string;
}

/**
 * Uses the license once. The statement locks the row, then inserts and counts by what the row is by then: two with one id, and two
 * who want the last use, come one after the other, and a use is counted exactly where its redemption is stored. It also says
 * whether it found the row: who comes to hold the license only after it had no license then, and did not lock it.
 * @throws NOT_FOUND · LICENSE_REFUSED
 */
export async function redeemLicense(
  tx: DatabaseTransaction,
  { licenseId, ownerId, redemptionId, actor }: Use & { redemptionId: string },
  now: Moment = databaseNow,
): Promise<Redemption> {
  const { rows } = await sql<{ found: boolean; isNew: boolean }>`
    with l as materialized (
      select * from licenses l where l.id = ${licenseId} and ${seenBy({ ownerId })} for update
    ), put as (
      insert into redemptions (license_id, id, caller_id, owner_id, use_number, actor, redeemed_at)
      select l.id, ${redemptionId}, ${ownerId}, l.owner_id, l.uses + 1, ${actor}, ${now} from l
      where ${mayBegin(now)} and (l.uses_limit is null or l.uses < l.uses_limit)
      on conflict (license_id, caller_id, id) do nothing returning license_id, owner_id
    ), counted as (${countUse(now, 'redemptions')}
    ), used as (
      update licenses set uses = uses + 1,
        state = case when uses + 1 >= uses_limit then 'used_up' else state end
      from put where licenses.id = put.license_id returning licenses.id
    ) select exists (select from l) as found, exists (select from used) as is_new`.execute(tx);
  const { found, isNew } = rows[0]!;
  if (!found) throw notFound(licenseId);
  const license = await readLicense(tx, licenseId, null, now);
  const known = await tx
    .selectFrom('redemptions')
    .select(['useNumber', 'redeemedAt'])
    .where('licenseId', '=', licenseId)
    .where('callerId', '=', ownerId)
    .where('id', '=', redemptionId)
    .executeTakeFirst();
  if (known === undefined) throw refusal(license, 'redeem');
  const use = known.useNumber;
  if (isNew) {
    await tellOf(tx, license, 'license.redeemed', { redemptionId, use, left: left(license) });
    if (license.state === 'used_up') {
      const by = { actor, reason: `redemption ${redemptionId} was the last` };
      await recordChange(tx, license, { change: 'used_up', from: 'active', to: 'used_up', by });
    }
  }
  return { redemptionId, use, redeemedAt: known.redeemedAt.toISOString() };
}

function left({ usesLimit, uses }: LicenseRow): number | null {
  return usesLimit === null ? null : usesLimit - uses;
}

/**
 * Puts the license to use in a place. The row is locked before the statement begins, so that it counts every activation there is.
 * Only its holder does: files and revocations name an activation by the id that the holder gave it. A known id counts nothing
 * anew, and is answered by what the license permits now.
 * @throws NOT_FOUND · FORBIDDEN · LICENSE_REFUSED · CONFLICT where the id was used for another place, or has ended
 */
export async function startActivation(
  tx: DatabaseTransaction,
  { licenseId, ownerId, activationId, place, seat, actor }: Use & { activationId: string; place: string; seat: string },
  now: Moment = databaseNow,
): Promise<Activation & { code: Permitted }> {
  const license = await lockLicense(tx, licenseId, { ownerId }, now);
  if (license.ownerId !== ownerId) throw new DomainError('FORBIDDEN', `only the holder of ${licenseId} puts it to use`);
  const stored = await sql`
    with live as (
      select count(*) as activations, count(distinct seat) as seats, coalesce(bool_or(seat = ${seat}), false) as taken
      from activations where license_id = ${licenseId} and ended_at is null
    ), put as (
      insert into activations (license_id, id, owner_id, place, seat, actor, activated_at)
      select l.id, ${activationId}, l.owner_id, ${place}, ${seat}, ${actor}, ${now} from licenses l, live
      where l.id = ${licenseId} and ${mayBegin(now)}
        and (l.activations_limit is null or live.activations < l.activations_limit)
        and (l.seats_limit is null or live.taken or live.seats < l.seats_limit)
      on conflict (license_id, owner_id, id) do nothing returning license_id, owner_id
    ) ${countUse(now, 'activations')}`.execute(tx);
  const known = await findActivation(tx, license, activationId);
  if (known === undefined) {
    const { use } = await readUse(tx, licenseId, null, { seat }, now);
    throw refusal(license, 'activate', use.seatTaken);
  }
  if (known.endedAt !== null) throw new DomainError('CONFLICT', `${activationId} has ended; activate under a new id`);
  if (known.place !== place || known.seat !== seat)
    throw new DomainError('CONFLICT', `${activationId} came before for another place or seat`);
  const code = permissionOf(license, license.now, { purpose: 'use', inUse: true });
  if (!isPermitted(code)) throw licenseRefused(licenseId, code);
  if (Number(stored.numAffectedRows) > 0) await tellOf(tx, license, 'license.place_added', { activationId, seat });
  return { code, activationId, place, seat, activatedAt: known.activatedAt.toISOString() };
}

/** Its place is free again, in whatever state the license is. @throws NOT_FOUND */
export async function endActivation(
  tx: DatabaseTransaction,
  { licenseId, ownerId, activationId }: Omit<Use, 'actor'> & { activationId: string },
  now: Moment = databaseNow,
): Promise<Activation & { endedAt: string }> {
  const license = await lockLicense(tx, licenseId, { ownerId }, now);
  const known = await findActivation(tx, license, activationId);
  if (known === undefined) throw new DomainError('NOT_FOUND', `no activation ${activationId} of ${licenseId}`);
  const ended = await sql<{ endedAt: Date }>`update activations set ended_at = coalesce(ended_at, ${now})
    where license_id = ${licenseId} and owner_id = ${license.ownerId} and id = ${activationId}
    returning ended_at`.execute(tx);
  if (known.endedAt === null) await tellOf(tx, license, 'license.place_ended', { activationId, seat: known.seat });
  return {
    activationId,
    place: known.place,
    seat: known.seat,
    activatedAt: known.activatedAt.toISOString(),
    endedAt: ended.rows[0]!.endedAt.toISOString(),
  };
}

/**
 * What a file of the license says, not yet signed. Until when it holds is noted in the same transaction: so long a revocation that
 * comes later is listed.
 * @throws NOT_FOUND · LICENSE_REFUSED
 */
export async function openFile(
  tx: DatabaseTransaction,
  {
    licenseId,
    ownerId,
    activationId,
    ttlSeconds = fileSeconds.usual,
  }: Omit<Use, 'actor'> & {
    activationId?: string | undefined;
    ttlSeconds?: number | undefined;
  },
  now: Moment = databaseNow,
): Promise<LicenseFile> {
  const license = await lockLicense(tx, licenseId, { ownerId }, now);
  const found = activationId === undefined ? undefined : await findActivation(tx, license, activationId);
  const inUse = activationId === undefined ? undefined : found !== undefined && found.endedAt === null;
  const mayHaveFile = await hasRoomInList(tx, license, activationId, now);
  const code = permissionOf(license, license.now, { purpose: 'use', inUse, mayHaveFile });
  if (!isPermitted(code)) throw licenseRefused(licenseId, code);
  const end = endOf(license);
  const until = Math.min(license.now + ttlSeconds * 1000, end ?? Number.POSITIVE_INFINITY);
  await noteFile(tx, license, activationId, new Date(until), now);
  return {
    license: licenseId,
    kind: license.kind,
    issuer: license.issuerId,
    holder: license.ownerId,
    package: license.packageHash,
    commercial: license.commercial,
    uses: license.usesLimit,
    activation: activationId === undefined ? null : { id: activationId, place: found!.place, seat: found!.seat },
    issuedAt: seconds(license.now),
    fileExpiresAt: seconds(until),
    expiresAt: license.expiresAt === null ? null : seconds(license.expiresAt),
    graceUntil: end === null || license.graceSeconds === 0 ? null : seconds(end),
    revocation: await revocationHashes(tx, license, activationId),
  };
}

/** Whether its files take no more entries of a revocation list than they may, whatever ends later; a transfer makes those of a holding one. */
async function hasRoomInList(
  tx: DatabaseTransaction,
  { id, ownerId, filesUntil, now: readAt }: LicenseRow,
  activationId: string | undefined,
  now: Moment,
): Promise<boolean> {
  const { rows } = await sql<{ entries: number; known: boolean }>`
    select count(*)::int as entries, coalesce(bool_or(known), false) as known from (
      select id = ${activationId ?? null} as known
      from activations where license_id = ${id} and owner_id = ${ownerId} and files_until > ${now}
      union all select false from license_events where license_id = ${id} and files_until > ${now}) listable`.execute(
    tx,
  );
  const { entries, known } = rows[0]!;
  const isKnown = activationId === undefined ? filesUntil !== null && filesUntil > readAt : known;
  return isKnown || entries < mostListed;
}

async function noteFile(
  tx: DatabaseTransaction,
  { id, ownerId }: LicenseRow,
  activationId: string | undefined,
  until: Date,
  now: Moment,
): Promise<void> {
  await sql`with put as (
      update licenses set files_until = greatest(files_until, ${until}) where id = ${id} returning id as license_id, owner_id
    ) ${countUse(now, 'files')}`.execute(tx);
  if (activationId === undefined) return;
  await sql`update activations set files_until = greatest(files_until, ${until})
    where license_id = ${id} and owner_id = ${ownerId} and id = ${activationId}`.execute(tx);
}

/** What revocation lists name a file by: its holding of the license and, where it is of one, its activation. */
async function revocationHashes(
  tx: DatabaseTransaction,
  { id, holding }: LicenseRow,
  activationId: string | undefined,
): Promise<string[]> {
  const names =
    activationId === undefined ? [`${id}:${holding}`] : [`${id}:${holding}`, `${id}:${holding}:${activationId}`];
  const { rows } = await sql<{ hash: string }>`select ${hashOf(sql`name`)} as hash
    from unnest(${names}::text[]) with ordinality as n (name, place) order by place`.execute(tx);
  return rows.map(({ hash }) => hash);
}

/** One more of that day, for what the part `put` of the statement has stored. */
function countUse(now: Moment, column: 'redemptions' | 'activations' | 'files'): RawBuilder<unknown> {
  const name = sql.ref(column);
  return sql`insert into license_usage (license_id, owner_id, day, ${name})
    select license_id, owner_id, ((${now}) at time zone 'UTC')::date, 1 from put
    on conflict (license_id, owner_id, day) do update set ${name} = license_usage.${name} + 1`;
}

function findActivation(tx: DatabaseTransaction, { id, ownerId }: LicenseRow, activationId: string) {
  return tx
    .selectFrom('activations')
    .select(['place', 'seat', 'activatedAt', 'endedAt'])
    .where('licenseId', '=', id)
    .where('ownerId', '=', ownerId)
    .where('id', '=', activationId)
    .executeTakeFirst();
}

/** Why the statement stored nothing; the row is locked since, so the rule sees what the statement saw. */
function refusal(license: LicenseRow, purpose: 'redeem' | 'activate', seatTaken?: boolean): Error {
  const code = permissionOf(license, license.now, { purpose, seatTaken });
  if (code === 'VALID') return new Error(`${license.id}: the statement refused what the rule permits`);
  return licenseRefused(license.id, code);
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
