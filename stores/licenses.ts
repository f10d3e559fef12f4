import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { licenseRefused, mayCome, permissionOf, runningState } from '../domain/licenses.ts';
import type { LicenseState } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import {
  type By,
  type Change,
  databaseNow,
  type LicenseRow,
  lockLicense,
  type Moment,
  readLicense,
  recordChange,
  type Viewer,
} from './license-rows.ts';
import { queueWebhookEvent } from './webhook-events.ts';

export interface NewLicense {
  /** Made before it, so that a repeated request means the same license. @default a new one */
  id?: string;
  /** Of what was asked for under the id, where a caller's key made it. */
  requestHash?: Buffer;
  holderId: string;
  issuerId: string;
  kind: string;
  /** SHA-256 of the package's content, hex. */
  packageHash: string;
  /** Has one license, however often it is asked for. */
  purchaseId?: string;
  by: By;
  /** Active at once, its term running from now on, and why. @default pending until `activateLicense` */
  activated?: By;
}

export interface Changed {
  license: LicenseRow;
  /** False: it was so already, or its state does not permit it; `license.state` says which. Nothing was written. */
  changed: boolean;
}

interface Target {
  id: string;
  /** Default: whoever’s, for who has the id from a row of their own. */
  viewer?: Viewer;
  by: By;
}

/**
 * What the same request gave before, as it is by now: it may have been passed on, or revoked.
 * @returns undefined where it gave none
 * @throws CONFLICT where the id came before with another request
 */
export async function givenBefore(
  tx: DatabaseTransaction,
  id: string,
  requestHash: Buffer,
  now: Moment = databaseNow,
): Promise<LicenseRow | undefined> {
  const known = await tx.selectFrom('licenses').select('requestHash').where('id', '=', id).executeTakeFirst();
  if (!known) return undefined;
  if (known.requestHash?.equals(requestHash)) return readLicense(tx, id, null, now);
  throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
}

/**
 * A license with the terms of its kind as they are now. The same id or purchase again is the same license.
 * @throws NOT_FOUND for an unknown kind or holder · CONFLICT where the id or purchase came before with other content
 */
export async function issueLicense(
  tx: DatabaseTransaction,
  given: NewLicense,
  now: Moment = databaseNow,
): Promise<LicenseRow> {
  const {
    id = newId('license'),
    requestHash,
    holderId,
    issuerId,
    kind,
    packageHash,
    purchaseId,
    by,
    activated,
  } = given;
  await refuseUnknown(tx, holderId, kind);
  const startsAt = activated ? now : sql<Date>`null::timestamptz`;
  const added = await sql<{ id: string }>`
    insert into licenses (id, owner_id, issuer_id, kind, package_hash, purchase_id, request_hash, uses_limit, activations_limit, seats_limit,
      term_seconds, grace_seconds, transferable, commercial, state, starts_at, expires_at)
    select ${id}, ${holderId}, ${issuerId}, k.id, ${packageHash}, ${purchaseId ?? null}, ${requestHash ?? null}::bytea, k.uses, k.activations, k.seats,
      k.term_seconds, k.grace_seconds, k.transferable, k.commercial, ${activated ? 'active' : 'pending'},
      ${startsAt}, ${startsAt} + k.term_seconds * interval '1 second'
    from license_kinds k where k.id = ${kind} on conflict do nothing returning id`.execute(tx);
  if (added.rows.length > 0) {
    const issued: Change = { change: 'issued', from: null, to: 'pending', by, data: { kind, purchaseId } };
    const changes: [Change, ...Change[]] = activated
      ? [issued, { change: 'activated', from: 'pending', to: 'active', by: activated }]
      : [issued];
    await recordChange(tx, { id, ownerId: holderId, issuerId }, ...changes);
    return readLicense(tx, id, null, now);
  }
  if (requestHash !== undefined) {
    const before = await givenBefore(tx, id, requestHash, now);
    if (before) return before;
  }
  const before = await tx
    .selectFrom('licenses')
    .select('id')
    .where((eb) => eb.or([eb('id', '=', id), ...(purchaseId === undefined ? [] : [eb('purchaseId', '=', purchaseId)])]))
    .executeTakeFirstOrThrow();
  const license = await readLicense(tx, before.id, null, now);
  const same =
    license.issuerId === issuerId &&
    license.kind === kind &&
    license.packageHash === packageHash &&
    license.purchaseId === (purchaseId ?? null) &&
    // It may have been passed on since.
    (license.ownerId === holderId || license.holding > 0);
  if (!same) throw new DomainError('CONFLICT', `${before.id} was issued before with other content`);
  return activated ? (await activateLicense(tx, { id: before.id, by: activated }, now)).license : license;
}

async function refuseUnknown(tx: DatabaseTransaction, holderId: string, kind: string): Promise<void> {
  const { rows } = await sql<{ user: boolean; kind: boolean }>`
    select exists (select from users where id = ${holderId} and deleted_at is null) as user,
      exists (select from license_kinds where id = ${kind}) as kind`.execute(tx);
  const known = rows[0]!;
  if (!known.user) throw new DomainError('NOT_FOUND', `no user ${holderId}`);
  if (!known.kind) throw new DomainError('NOT_FOUND', `no license kind ${kind}`);
}

async function refuseUnknownUser(tx: DatabaseTransaction, id: string): Promise<void> {
  const known = await tx
    .selectFrom('users')
    .select('id')
    .where('id', '=', id)
    .where('deletedAt', 'is', null)
    .executeTakeFirst();
  if (!known) throw new DomainError('NOT_FOUND', `no user ${id}`);
}

/** From now on it permits, and its term runs. @throws NOT_FOUND */
export async function activateLicense(
  tx: DatabaseTransaction,
  { id, viewer = null, by }: Target,
  now: Moment = databaseNow,
): Promise<Changed> {
  const license = await lockLicense(tx, id, viewer, now);
  if (!mayCome('activated', license.state)) return { license, changed: false };
  await sql`update licenses set state = 'active', starts_at = ${now},
    expires_at = ${now} + term_seconds * interval '1 second' where id = ${id}`.execute(tx);
  await recordChange(tx, license, { change: 'activated', from: license.state, to: 'active', by });
  return { license: await readLicense(tx, id, null, now), changed: true };
}

/**
 * Each cause suspends once until it is gone, and may come back: who suspends knows that it holds now (domain/license-standing.ts
 * for money). A revoked or pending license is left as it is.
 * @throws NOT_FOUND
 */
export async function suspendLicense(
  tx: DatabaseTransaction,
  { id, viewer = null, cause, by }: Target & { cause: string },
  now: Moment = databaseNow,
): Promise<Changed> {
  const license = await lockLicense(tx, id, viewer, now);
  if (!mayCome('suspended', license.state) || license.suspendedBy.includes(cause)) return { license, changed: false };
  await setState(tx, id, 'suspended', [...license.suspendedBy, cause]);
  await recordChange(tx, license, { change: 'suspended', from: license.state, to: 'suspended', by, data: { cause } });
  return { license: await readLicense(tx, id, null, now), changed: true };
}

/** Takes one cause away; with the last one the license goes on where it was. @throws NOT_FOUND */
export async function reinstateLicense(
  tx: DatabaseTransaction,
  { id, viewer = null, cause, by }: Target & { cause: string },
  now: Moment = databaseNow,
): Promise<Changed> {
  const license = await lockLicense(tx, id, viewer, now);
  if (!license.suspendedBy.includes(cause)) return { license, changed: false };
  const left = license.suspendedBy.filter((other) => other !== cause);
  const to = left.length > 0 ? 'suspended' : runningState(license);
  await setState(tx, id, to, left);
  await recordChange(tx, license, { change: 'reinstated', from: 'suspended', to, by, data: { cause, left } });
  return { license: await readLicense(tx, id, null, now), changed: true };
}

/** For good: nothing brings it back. @throws NOT_FOUND */
export async function revokeLicense(
  tx: DatabaseTransaction,
  { id, viewer = null, by }: Target,
  now: Moment = databaseNow,
): Promise<Changed> {
  const license = await lockLicense(tx, id, viewer, now);
  if (!mayCome('revoked', license.state)) return { license, changed: false };
  await setState(tx, id, 'revoked', []);
  await recordChange(tx, license, { change: 'revoked', from: license.state, to: 'revoked', by });
  const revoked = await readLicense(tx, id, null, now);
  for (const told of new Set([license.issuerId, license.ownerId])) {
    await queueWebhookEvent(tx, told, 'license.revoked', {
      licenseId: id,
      holderId: license.ownerId,
      packageHash: license.packageHash,
      purchaseId: license.purchaseId,
      revokedAt: new Date(revoked.now).toISOString(),
    });
  }
  return { license: revoked, changed: true };
}

/**
 * More time, more uses, or both, told as what shall be, so that the same request again changes nothing.
 * @throws NOT_FOUND · CONFLICT where it would take something away, or there is no limit to be moved
 */
export async function extendLicense(
  tx: DatabaseTransaction,
  { id, viewer = null, expiresAt, uses, by }: Target & { expiresAt?: Date | undefined; uses?: number | undefined },
  now: Moment = databaseNow,
): Promise<Changed> {
  const license = await lockLicense(tx, id, viewer, now);
  if (!mayCome('extended', license.state)) return { license, changed: false };
  const until = expiresAt?.getTime() ?? license.expiresAt;
  const usesLimit = uses ?? license.usesLimit;
  if (until === license.expiresAt && usesLimit === license.usesLimit) return { license, changed: false };
  if (expiresAt !== undefined && (license.expiresAt === null || until! < Math.max(license.expiresAt, license.now)))
    throw new DomainError('CONFLICT', `${id} would not last longer: ${told(license.expiresAt)}`);
  if (uses !== undefined && (license.usesLimit === null || uses < license.usesLimit))
    throw new DomainError('CONFLICT', `${id} would not have more uses: ${license.usesLimit ?? 'they are not counted'}`);
  const to = license.state === 'suspended' ? 'suspended' : runningState({ uses: license.uses, usesLimit });
  await tx
    .updateTable('licenses')
    .set({ state: to, expiresAt: until === null ? null : new Date(until), usesLimit })
    .where('id', '=', id)
    .execute();
  const data = { expiresAt: until === null ? null : new Date(until).toISOString(), uses: usesLimit };
  await recordChange(tx, license, { change: 'extended', from: license.state, to, by, data });
  return { license: await readLicense(tx, id, null, now), changed: true };
}

function told(expiresAt: number | null): string {
  return expiresAt === null ? 'it has no term' : `its term ends ${new Date(expiresAt).toISOString()}`;
}

/**
 * Its holder passes it on: activations end, uses stay used, and files of the old holding are listed as revoked.
 * @throws NOT_FOUND where it is not the holder's (any more), or nobody has the id `to` · LICENSE_REFUSED · CONFLICT to oneself
 */
export async function transferLicense(
  tx: DatabaseTransaction,
  { id, holderId, to, by }: { id: string; holderId: string; to: string; by: By },
  now: Moment = databaseNow,
): Promise<LicenseRow> {
  const license = await lockLicense(tx, id, { ownerId: holderId }, now);
  if (license.ownerId !== holderId) throw new DomainError('FORBIDDEN', `only the holder of ${id} passes it on`);
  if (to === holderId) throw new DomainError('CONFLICT', `${id} is yours already`);
  await refuseUnknownUser(tx, to);
  const code = permissionOf(license, license.now, { purpose: 'transfer' });
  if (code !== 'VALID') throw licenseRefused(id, code);
  await sql`update activations set ended_at = ${now} where license_id = ${id} and ended_at is null`.execute(tx);
  await tx
    .updateTable('licenses')
    .set({ ownerId: to, holding: license.holding + 1, filesUntil: null })
    .where('id', '=', id)
    .execute();
  const change = { change: 'transferred', from: license.state, to: license.state, by, data: { holder: to } } as const;
  await recordChange(tx, license, {
    ...change,
    ended: { holding: license.holding, filesUntil: license.filesUntil },
  });
  await appendEvents(tx, [{ ownerId: to, type: 'license.received', subject: id, data: { from: holderId } }]);
  return readLicense(tx, id, null, now);
}

export function createLicenseStore(db: Database) {
  return {
    /** Writes down what time has ended, one batch; nothing waits for it, since `permissionOf` goes by time. @returns how many */
    async expireDue(limit: number, now: Moment = databaseNow): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const due = await sql<{ id: string }>`select id from licenses where state = 'active' and expires_at <= ${now}
          and expires_at + grace_seconds * interval '1 second' <= ${now} order by expires_at limit ${limit}
          for update skip locked`.execute(tx);
        for (const { id } of due.rows) {
          const license = await readLicense(tx, id, null, now);
          await setState(tx, id, 'expired', []);
          const by = { actor: 'expireLicenses', reason: 'term and grace are over' };
          await recordChange(tx, license, { change: 'expired', from: 'active', to: 'expired', by });
        }
        return due.rows.length;
      });
    },
  };
}
export type LicenseStore = ReturnType<typeof createLicenseStore>;

async function setState(
  tx: DatabaseTransaction,
  id: string,
  state: LicenseState,
  suspendedBy: string[],
): Promise<void> {
  await tx.updateTable('licenses').set({ state, suspendedBy }).where('id', '=', id).execute();
}
