import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type GivenRole, heirOf, standsAbove } from '../domain/guilds.ts';
import type { GuildRole, MembershipEnd } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import {
  type GuildActor,
  type GuildRow,
  isSame,
  livingMembers,
  lockGuildFor,
  type MemberRow,
  memberById,
  nameOf,
  recordGuildEvent,
} from './guild-rows.ts';
import { newId } from './ids.ts';
import { endInvites } from './invite-rows.ts';

interface Asked {
  id: string;
  actor: GuildActor;
  reason?: string | undefined;
}
interface AskedOfMember extends Asked {
  memberId: string;
}

/**
 * Takes a seat for somebody who is no member, under the guild's lock. One statement counts and takes: no two get the last one.
 * @returns the membership's id @throws GUILD_FULL
 */
export async function joinGuild(
  tx: DatabaseTransaction,
  guild: Pick<GuildRow, 'id' | 'ownerId' | 'name'>,
  {
    who,
    role,
    invite,
    reason,
  }: {
    who: GuildActor;
    role: GuildRole;
    invite: { id: string; inviterId: string } | null;
    reason?: string | undefined;
  },
): Promise<string> {
  const seat = await sql`update guilds set seats_used = seats_used + 1
    where id = ${guild.id} and state = 'open' and seats_used < seat_limit`.execute(tx);
  if ((seat.numAffectedRows ?? 0n) === 0n) throw new DomainError('GUILD_FULL', `every seat of ${guild.id} is taken`);
  const id = newId('guildMember');
  await tx
    .insertInto('guildMembers')
    .values({ id, guildId: guild.id, ...who, role })
    .execute();
  await recordGuildEvent(tx, guild, {
    action: 'joined',
    actor: who,
    subject: id,
    reason,
    data: { member: nameOf(who), role, ...(invite === null ? {} : { inviteId: invite.id }) },
    tells: invite === null ? [] : [invite.inviterId],
  });
  return id;
}

/** Ends memberships under the guild's lock and gives their seats back; when, is told by the clock, as who waited for the lock came later. */
export async function endMembership(
  tx: DatabaseTransaction,
  guildId: string,
  members: ReadonlyArray<Pick<MemberRow, 'id'>>,
  end: MembershipEnd,
): Promise<void> {
  const ended = await sql`update guild_members set ended_at = clock_timestamp(), ended_by = ${end}
    where guild_id = ${guildId} and id = any(${members.map(({ id }) => id)}) and ended_at is null`.execute(tx);
  await sql`update guilds set seats_used = seats_used - ${ended.numAffectedRows ?? 0n}::integer where id = ${guildId}`.execute(
    tx,
  );
}

/** @throws NOT_FOUND · FORBIDDEN · CONFLICT for the founder, who has to make another one first */
export async function leaveGuild(tx: DatabaseTransaction, { id, actor, reason }: Asked): Promise<void> {
  const { guild, member } = await lockGuildFor(tx, id, actor);
  if (member.role === 'founder')
    throw new DomainError('CONFLICT', `the founder of ${id} makes another member the founder first, or closes it`);
  const data = { member: nameOf(actor), role: member.role };
  await recordGuildEvent(tx, guild, { action: 'left', actor, subject: member.id, reason, data });
  await endMembership(tx, id, [member], 'left');
}

/** @returns ids of invitations that ended with it @throws NOT_FOUND · FORBIDDEN where they stand as high · CONFLICT for oneself */
export async function expelMember(
  tx: DatabaseTransaction,
  { id, actor, memberId, reason }: AskedOfMember,
): Promise<string[]> {
  const { guild, member } = await lockGuildFor(tx, id, actor, 'expel');
  const other = await memberById(tx, id, memberId);
  if (isSame(member, other)) throw new DomainError('CONFLICT', 'nobody expels themselves; leave instead');
  refuseAsHigh(member.role, other.role, 'expel');
  const data = { member: nameOf(other), role: other.role };
  const tells = [other.ownerId];
  await recordGuildEvent(tx, guild, { action: 'expelled', actor, subject: memberId, reason, data, tells });
  await endMembership(tx, id, [other], 'expelled');
  // What they have sent and what was sent to them would bring them, or others in their stead, back. What was sent to an address
  // stays as it is: that it is theirs is nobody's business; it lets them in no more.
  const theirs =
    other.agentId === null
      ? sql`(i.owner_id = ${other.ownerId} and i.agent_id is null) or i.target_owner_id = ${other.ownerId}`
      : sql`i.agent_id = ${other.agentId} or i.target_agent_id = ${other.agentId}`;
  return endInvites(tx, guild, theirs, { state: 'revoked', actor, reason: `${nameOf(other)} was expelled` });
}

/** The same role again changes nothing. @throws NOT_FOUND · FORBIDDEN · CONFLICT */
export async function appointMember(
  tx: DatabaseTransaction,
  { id, actor, memberId, reason, role }: AskedOfMember & { role: GivenRole },
): Promise<void> {
  const { guild, member } = await lockGuildFor(tx, id, actor, 'appoint');
  const other = await memberById(tx, id, memberId);
  if (other.role === role) return;
  refuseAsHigh(member.role, other.role, 'appoint');
  refuseAsHigh(member.role, role, 'appoint');
  await setRole(tx, memberId, role);
  const data = { member: nameOf(other), from: other.role, to: role };
  await recordGuildEvent(tx, guild, {
    action: 'appointed',
    actor,
    subject: memberId,
    reason,
    data,
    tells: [other.ownerId],
  });
}

/**
 * Makes another member the founder; who was it becomes an elder. Where the founder is a retired agent, whoever would come after it takes
 * over by themselves: its owner may never look again. @throws NOT_FOUND · FORBIDDEN
 */
export async function transferGuild(
  tx: DatabaseTransaction,
  { id, actor, memberId, reason }: AskedOfMember,
): Promise<void> {
  const { guild, member } = await lockGuildFor(tx, id, actor);
  const to = await memberById(tx, id, memberId);
  const from = member.role === 'founder' ? member : await founderToFollow(tx, id, member, to);
  if (to.id !== from.id) await setFounder(tx, guild, { from, to, actor, reason });
}

/** The retired founder whom a member follows by its own word. @throws FORBIDDEN where there is none, or somebody else comes first */
async function founderToFollow(
  tx: DatabaseTransaction,
  guildId: string,
  member: MemberRow,
  to: MemberRow,
): Promise<MemberRow> {
  const members = await livingMembers(tx, guildId);
  const { rows } = await sql<{ id: string }>`select id from agents where state = 'retired'
    and id = any(${members.flatMap(({ agentId }) => agentId ?? [])})`.execute(tx);
  const isRetired = ({ agentId }: MemberRow) => rows.some(({ id }) => id === agentId);
  const founder = members.find(({ role }) => role === 'founder');
  if (founder === undefined || !isRetired(founder))
    throw new DomainError('FORBIDDEN', `a ${member.role} of ${guildId} may not transfer`);
  const others = members.filter((one) => one.id !== founder.id && !isRetired(one));
  const heir = heirOf(others.map((one) => ({ ...one, joinedAt: one.joinedAt.getTime() })));
  if (heir?.id !== member.id || to.id !== member.id)
    throw new DomainError(
      'FORBIDDEN',
      `the founder of ${guildId} is retired: only ${heir?.id ?? 'nobody'}, who comes next, takes over, and for themselves`,
    );
  return founder;
}

export async function setFounder(
  tx: DatabaseTransaction,
  guild: Pick<GuildRow, 'id' | 'ownerId'>,
  change: { from: MemberRow; to: MemberRow; actor: GuildActor | null; reason: string | undefined },
): Promise<void> {
  const { from, to, actor, reason } = change;
  // In this order: there is never more than one.
  await setRole(tx, from.id, 'elder');
  await setRole(tx, to.id, 'founder');
  await recordGuildEvent(tx, guild, {
    action: 'transferred',
    actor,
    subject: to.id,
    reason,
    data: { from: nameOf(from), to: nameOf(to) },
    tells: [from.ownerId, to.ownerId],
  });
}

async function setRole(tx: DatabaseTransaction, memberId: string, role: GuildRole): Promise<void> {
  await tx.updateTable('guildMembers').set({ role }).where('id', '=', memberId).execute();
}

function refuseAsHigh(own: GuildRole, other: GuildRole, act: string): void {
  if (!standsAbove(own, other)) throw new DomainError('FORBIDDEN', `a ${own} may not ${act} a ${other}`);
}
