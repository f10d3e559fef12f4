import { sql } from 'kysely';
import type { ChannelKindName } from '../domain/channel-kinds.ts';
import { mayStep } from '../domain/drops.ts';
import { DomainError } from '../domain/errors.ts';
import type { ChannelStage } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { takeLock } from './locks.ts';
import { resolveNotice } from './notices.ts';

export interface ChannelRef {
  ownerId: string;
  id: string;
}

/** Of one owner. */
const mostChannels = 100;

export const channelNotice = (id: string) => `channel:${id}`;
export const repliesNotice = (id: string) => `replies:${id}`;

export interface NewChannel extends ChannelRef {
  kind: ChannelKindName;
  name: string;
  settings: Record<string, unknown>;
  sealed: Buffer | null;
  /** Hash of what the limits of its server are counted on. */
  destination: string;
  allowExtractive: boolean;
  allowDegraded: boolean;
}

/** It begins in dry run. @throws CONFLICT where the name is taken, or the owner has as many as one may */
export async function addChannel(tx: DatabaseTransaction, channel: NewChannel): Promise<void> {
  const { ownerId, name } = channel;
  await takeLock(tx, 'channels', ownerId);
  const known = await tx
    .selectFrom('channels')
    .select('name')
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .execute();
  if (known.some((other) => other.name === name))
    throw new DomainError('CONFLICT', `you have a channel ${name} already`);
  if (known.length >= mostChannels)
    throw new DomainError('CONFLICT', `you have ${known.length} channels already; remove one first`);
  await ensureDestination(tx, ownerId, channel.destination);
  await sql`insert into drop_stops (owner_id) values (${ownerId}) on conflict do nothing`.execute(tx);
  await tx
    .insertInto('channels')
    .values({ ...channel, settings: JSON.stringify(channel.settings) })
    .execute();
}

async function ensureDestination(tx: DatabaseTransaction, ownerId: string, key: string): Promise<void> {
  await sql`insert into destinations (owner_id, key) values (${ownerId}, ${key}) on conflict do nothing`.execute(tx);
}

/** Waits for attempts that are being opened: what is changed here holds for every later one. @throws NOT_FOUND */
async function lockChannel(tx: DatabaseTransaction, { ownerId, id }: ChannelRef) {
  await takeLock(tx, 'channel', id);
  const row = await tx
    .selectFrom('channels')
    .select(['kind', 'name', 'stage', 'destination'])
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no channel ${id}`);
  return { ...row, kind: row.kind as ChannelKindName, stage: row.stage as ChannelStage };
}

/** @throws NOT_FOUND · CONFLICT for a stage that is not the next one */
export async function setChannelStage(tx: DatabaseTransaction, ref: ChannelRef, stage: ChannelStage): Promise<void> {
  const channel = await lockChannel(tx, ref);
  if (!mayStep(channel.stage, stage))
    throw new DomainError('CONFLICT', `${ref.id} is in ${channel.stage}: it goes to approval first`);
  await tx.updateTable('channels').set({ stage }).where('id', '=', ref.id).execute();
  await appendEvents(tx, [{ ownerId: ref.ownerId, type: 'channel.staged', subject: ref.id, data: { stage } }]);
}

/** Which texts it takes besides those of a person and of the agent's own model. @throws NOT_FOUND */
export async function allowTexts(
  tx: DatabaseTransaction,
  ref: ChannelRef,
  allowed: { allowExtractive?: boolean | undefined; allowDegraded?: boolean | undefined },
): Promise<void> {
  await lockChannel(tx, ref);
  const { allowExtractive = null, allowDegraded = null } = allowed;
  await sql`update channels set allow_extractive = coalesce(${allowExtractive}, allow_extractive),
    allow_degraded = coalesce(${allowDegraded}, allow_degraded) where id = ${ref.id}`.execute(tx);
}

/** Posts wait while it is stopped. @throws NOT_FOUND */
export async function stopChannel(tx: DatabaseTransaction, ref: ChannelRef, reason: string): Promise<void> {
  await lockChannel(tx, ref);
  await sql`update channels set stopped_at = coalesce(stopped_at, now()), stop_reason = ${reason} where id = ${ref.id}`.execute(
    tx,
  );
}

/** @throws NOT_FOUND */
export async function resumeChannel(tx: DatabaseTransaction, ref: ChannelRef): Promise<void> {
  await lockChannel(tx, ref);
  await sql`update channels set stopped_at = null, stop_reason = '', replies_stopped_at = null, replies_stop_reason = ''
    where id = ${ref.id}`.execute(tx);
  await resolveNotice(tx, channelNotice(ref.id));
  await resolveNotice(tx, repliesNotice(ref.id));
}

/** Other secrets, and with them perhaps another account; the session of the old ones is gone. @throws NOT_FOUND */
export async function setChannelSecrets(
  tx: DatabaseTransaction,
  ref: ChannelRef,
  { sealed, destination }: { sealed: Buffer; destination: string },
): Promise<void> {
  await lockChannel(tx, ref);
  await ensureDestination(tx, ref.ownerId, destination);
  // The lock is held: attempts that were opened with the old ones are older than this.
  await tx
    .updateTable('channels')
    .set({
      sealed,
      destination,
      session: null,
      secretsAt: sql<Date>`clock_timestamp()`,
      repliesStoppedAt: null,
      repliesStopReason: '',
    })
    .where('id', '=', ref.id)
    .execute();
  await resolveNotice(tx, repliesNotice(ref.id));
}

/** Its secrets are gone at once; what was to be posted there fails, and what was posted stays known. @throws NOT_FOUND */
export async function removeChannel(tx: DatabaseTransaction, ref: ChannelRef): Promise<void> {
  await lockChannel(tx, ref);
  await sql`update channels set removed_at = now(), sealed = null, session = null where id = ${ref.id}`.execute(tx);
  await resolveNotice(tx, channelNotice(ref.id));
  await resolveNotice(tx, repliesNotice(ref.id));
}

/** From the commit on no attempt of the owner's begins, and none that was begun looks once more and leaves. */
export async function stopDrops(tx: DatabaseTransaction, ownerId: string, reason: string): Promise<void> {
  await takeLock(tx, 'dropStop', ownerId);
  await sql`insert into drop_stops (owner_id, stopped_at, reason) values (${ownerId}, now(), ${reason})
    on conflict (owner_id) do update set stopped_at = coalesce(drop_stops.stopped_at, now()), reason = ${reason}`.execute(
    tx,
  );
  await appendEvents(tx, [{ ownerId, type: 'drops.stopped', subject: ownerId, data: { reason } }]);
}

/** @returns whether they were stopped */
export async function resumeDrops(tx: DatabaseTransaction, ownerId: string): Promise<boolean> {
  const { numAffectedRows } = await sql`update drop_stops set stopped_at = null, reason = ''
    where owner_id = ${ownerId} and stopped_at is not null`.execute(tx);
  if ((numAffectedRows ?? 0n) === 0n) return false;
  await appendEvents(tx, [{ ownerId, type: 'drops.resumed', subject: ownerId }]);
  return true;
}

export function createChannelStore(db: Database) {
  return {
    /** Keeps what a server gave us to go on with, unless the secrets were changed meanwhile. */
    async keepSession(id: string, { sealed, session }: { sealed: Buffer | null; session: Buffer }): Promise<void> {
      await db
        .updateTable('channels')
        .set({ session })
        .where('id', '=', id)
        .where('removedAt', 'is', null)
        .where(sql<boolean>`sealed is not distinct from ${sealed}`)
        .execute();
    },
  };
}
export type ChannelStore = ReturnType<typeof createChannelStore>;
