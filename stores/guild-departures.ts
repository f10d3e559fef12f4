import { sql } from 'kysely';
import { heirOf } from '../domain/guilds.ts';
import type { DatabaseTransaction } from './database.ts';
import { endMembership, setFounder } from './guild-members.ts';
import { type GuildRow, livingMembers, lockGuild, nameOf, recordGuildEvent } from './guild-rows.ts';
import { endGuild } from './guilds.ts';
import { endInvites } from './invite-rows.ts';

const reason = 'the user was deleted';

/**
 * A user who is deleted leaves every guild, and so do their agents, for whom nobody can speak any more; what they sent and what
 * was sent to them ends. Under the user's row lock, and the guilds' in the order of their ids.
 * @param address as it was
 */
export async function leaveEveryGuild(tx: DatabaseTransaction, userId: string, address: string | null): Promise<void> {
  const { rows } = await sql<{
    id: string;
  }>`select guild_id as id from guild_members where owner_id = ${userId} and ended_at is null
    union select guild_id from guild_invites where state = 'pending'
      and (owner_id = ${userId} or target_owner_id = ${userId} or address = ${address}) order by id`.execute(tx);
  for (const { id } of rows) {
    const guild = await lockGuild(tx, id);
    const theirs = sql`i.owner_id = ${userId} or i.target_owner_id = ${userId} or i.address = ${address}`;
    await endInvites(tx, guild, theirs, { state: 'revoked', actor: null, reason });
    await leaveGuildFor(tx, guild, userId);
  }
  await sql`update guild_invites set address = null where address = ${address}`.execute(tx);
}

/** A guild that loses its founder gets another by rule; one that nobody is left in is closed. */
async function leaveGuildFor(tx: DatabaseTransaction, guild: GuildRow, userId: string): Promise<void> {
  const members = await livingMembers(tx, guild.id);
  const going = members.filter(({ ownerId }) => ownerId === userId);
  const staying = members.filter(({ ownerId }) => ownerId !== userId);
  const founder = going.find(({ role }) => role === 'founder');
  if (founder !== undefined) {
    const heir = heirOf(staying.map((member) => ({ ...member, joinedAt: member.joinedAt.getTime() })));
    const to = staying.find(({ id }) => id === heir?.id);
    if (to === undefined) return void (await endGuild(tx, guild, { actor: null, reason }));
    await setFounder(tx, guild, { from: founder, to, actor: null, reason });
  }
  for (const member of going) {
    const data = { member: nameOf(member), role: member.role };
    await recordGuildEvent(tx, guild, { action: 'left', actor: null, subject: member.id, reason, data });
  }
  await endMembership(tx, guild.id, going, 'left');
}
