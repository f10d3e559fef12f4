import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import { guildsSchema, type GuildSettings } from '../domain/guilds.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { currentFleet } from './fleets.ts';
import { endMembership, joinGuild } from './guild-members.ts';
import {
  type GuildActor,
  type GuildRow,
  livingMembers,
  lockActor,
  lockGuildFor,
  recordGuildEvent,
} from './guild-rows.ts';
import { endInvites } from './invite-rows.ts';
import { takeLock } from './locks.ts';

/** `guilds` of the fleet in force; before the first apply its defaults. */
export async function guildSettings(db: Executor): Promise<GuildSettings> {
  return (await currentFleet(db))?.fleet.guilds ?? guildsSchema.parse({});
}

export interface NewGuild {
  /** Made before it, so that a repeated request means the same guild. */
  id: string;
  founder: GuildActor;
  name: string;
  purpose: string;
  seats: number;
  requestHash: Buffer;
}

/** @returns whether it was founded now @throws NOT_FOUND · CONFLICT · INVALID_INPUT where it has more seats than a guild may */
export async function foundGuild(
  tx: DatabaseTransaction,
  { founder, seats, ...guild }: NewGuild,
  settings: GuildSettings,
): Promise<boolean> {
  const { ownerId } = founder;
  await lockActor(tx, founder);
  // Guilds of one founder are counted one after the other.
  await takeLock(tx, 'guilds', ownerId);
  const known = await tx
    .selectFrom('guilds')
    .select(['requestHash', 'ownerId'])
    .where('id', '=', guild.id)
    .executeTakeFirst();
  if (known) {
    if (known.ownerId === ownerId && known.requestHash.equals(guild.requestHash)) return false;
    throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
  }
  refuseSeats(seats, settings);
  const { open } = await tx
    .selectFrom('guilds')
    .select((eb) => eb.fn.countAll<number>().as('open'))
    .where('ownerId', '=', ownerId)
    .where('state', '=', 'open')
    .executeTakeFirstOrThrow();
  if (open >= settings.perFounder)
    throw new DomainError('CONFLICT', `${ownerId} has founded ${open} guilds that are open, and may have no more`);
  await tx
    .insertInto('guilds')
    .values({ ...guild, ownerId, seatLimit: seats })
    .execute();
  const made = { id: guild.id, ownerId, name: guild.name };
  const data = { name: guild.name, seats };
  await recordGuildEvent(tx, made, { action: 'founded', actor: founder, subject: guild.id, data });
  await joinGuild(tx, made, { who: founder, role: 'founder', invite: null });
  return true;
}

interface Asked {
  id: string;
  actor: GuildActor;
  reason?: string | undefined;
}

/** The same name again changes nothing. @throws NOT_FOUND · CONFLICT · FORBIDDEN */
export async function renameGuild(
  tx: DatabaseTransaction,
  { id, actor, reason, name }: Asked & { name: string },
): Promise<void> {
  const { guild } = await lockGuildFor(tx, id, actor, 'rename');
  if (guild.name === name) return;
  await tx.updateTable('guilds').set({ name }).where('id', '=', id).execute();
  const data = { from: guild.name, to: name };
  await recordGuildEvent(tx, guild, { action: 'renamed', actor, subject: id, reason, data });
}

/** @throws NOT_FOUND · CONFLICT where more seats are taken · FORBIDDEN · INVALID_INPUT */
export async function resizeGuild(
  tx: DatabaseTransaction,
  { id, actor, reason, seats }: Asked & { seats: number },
  settings: GuildSettings,
): Promise<void> {
  const { guild } = await lockGuildFor(tx, id, actor, 'resize');
  if (guild.seatLimit === seats) return;
  await setSeats(tx, guild, seats, settings);
  const data = { from: guild.seatLimit, to: seats };
  await recordGuildEvent(tx, guild, { action: 'resized', actor, subject: id, reason, data });
}

/** For whoever holds the guild's lock. @throws CONFLICT where more seats are taken · INVALID_INPUT where there may not be so many */
export async function setSeats(
  tx: DatabaseTransaction,
  { id, seatsUsed }: Pick<GuildRow, 'id' | 'seatsUsed'>,
  seats: number,
  settings: GuildSettings,
): Promise<void> {
  refuseSeats(seats, settings);
  if (seats < seatsUsed)
    throw new DomainError('CONFLICT', `${seatsUsed} seats of ${id} are taken; somebody has to leave first`);
  await tx.updateTable('guilds').set({ seatLimit: seats }).where('id', '=', id).execute();
}

/**
 * Ends every membership and every open invitation. Nothing happens in a closed guild any more.
 * @returns ids of invitations that ended with it @throws NOT_FOUND · CONFLICT · FORBIDDEN
 */
export async function closeGuild(tx: DatabaseTransaction, { id, actor, reason }: Asked): Promise<string[]> {
  const { guild } = await lockGuildFor(tx, id, actor, 'close');
  return endGuild(tx, guild, { actor, reason });
}

/** The same for whoever holds the guild's lock. */
export async function endGuild(
  tx: DatabaseTransaction,
  guild: { id: string; ownerId: string; name: string },
  { actor, reason, ballotId }: { actor: GuildActor | null; reason?: string | undefined; ballotId?: string },
): Promise<string[]> {
  const members = await livingMembers(tx, guild.id);
  await recordGuildEvent(tx, guild, {
    action: 'closed',
    actor,
    subject: guild.id,
    reason,
    data: { members: members.length, ...(ballotId === undefined ? {} : { ballotId }) },
    tells: members.map(({ ownerId }) => ownerId),
  });
  await endMembership(tx, guild.id, members, 'closed');
  const invites = await endInvites(tx, guild, sql`true`, { state: 'revoked', actor, reason: 'the guild was closed' });
  await sql`update guilds set state = 'closed', closed_at = now() where id = ${guild.id}`.execute(tx);
  return invites;
}

/** @param field of the request that said so @throws INVALID_INPUT */
export function refuseSeats(seats: number, settings: GuildSettings, field = 'seats'): void {
  if (seats > settings.seats)
    throw fieldError(
      field,
      `must be at most ${settings.seats}`,
      'Take fewer, or have `guilds.seats` raised in fleet.yaml.',
    );
}
