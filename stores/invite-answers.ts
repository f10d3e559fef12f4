import { sql } from 'kysely';
import { cleanLine } from '../domain/clean-text.ts';
import { DomainError } from '../domain/errors.ts';
import { guildMemorySource, joinedImportance, joinedMemory, stateAfterUse } from '../domain/invites.ts';
import type { GuildRole } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { joinGuild } from './guild-members.ts';
import { findMember, type GuildActor, type GuildRow, lockActor, lockGuild, nameOf } from './guild-rows.ts';
import {
  endInvites,
  type InviteRow,
  inviteNotice,
  inviteWords,
  lockInvite,
  momentOfLook,
  readInvite,
  refuseDead,
} from './invite-rows.ts';
import { findInviteToken } from './invite-tokens.ts';
import { inviteSeenBy } from './invites.ts';
import type { Moment } from './license-rows.ts';
import { createMemoryStore } from './memories.ts';
import { resolveNotice } from './notices.ts';
import { verifyAddressOf } from './principals.ts';

export interface Accepted {
  inviteId: string;
  guildId: string;
  memberId: string;
  role: GuildRole;
  /** False where it was accepted before. */
  isNew: boolean;
  /** Whether nobody else can use it now: its workflow has nothing left to wait for. */
  hasEnded: boolean;
}

interface BySecret {
  secret: string;
  who: GuildActor;
  reason?: string | undefined;
}

/** What whoever is invited says. Each is one transaction: people first, then the guild's row, the invitation's, the membership. */
export function createInviteAnswerStore(db: Database, { now = momentOfLook }: { now?: Moment } = {}) {
  const memories = createMemoryStore(db);

  return {
    /** By the user it is to, or whose agent it is to. @throws NOT_FOUND · FORBIDDEN, and what `accept` throws */
    async acceptById(
      tx: DatabaseTransaction,
      { id, ownerId, reason }: { id: string; ownerId: string; reason?: string | undefined },
    ): Promise<Accepted> {
      const invite = await seenInvite(tx, id, ownerId);
      if (invite.target === 'link') throw new DomainError('FORBIDDEN', `${id} is a link: it is accepted by its secret`);
      return accept(tx, invite, await invitee(tx, invite, ownerId), reason);
    },

    /**
     * By whoever was given the link or the mail, signed in, for themselves or an agent of theirs.
     * @throws NOT_FOUND · FORBIDDEN for a mail to another address, and what `accept` throws
     */
    async acceptByToken(
      tx: DatabaseTransaction,
      { secret, actor, reason }: { secret: string; actor: GuildActor; reason?: string | undefined },
    ): Promise<Accepted> {
      const token = await findInviteToken(tx, secret);
      const invite = await readInvite(tx, token.inviteId, now);
      if (invite.target === 'link') return acceptWith(tx, invite, { secret, who: actor, reason });
      // Whoever brings a mailed secret reads the mailbox, but is it theirs?
      if (invite.address === null || !(await verifyAddressOf(tx, actor.ownerId, invite.address)))
        throw new DomainError('FORBIDDEN', 'this invitation was mailed to an address that is not yours');
      if (actor.agentId !== null)
        throw new DomainError('FORBIDDEN', 'an invitation to an address is to a person, not to an agent');
      return acceptWith(tx, invite, { secret, who: actor, reason });
    },

    /** The same once it is known who they are: by what an agent answered, */
    accept: (tx: DatabaseTransaction, invite: InviteRow, who: GuildActor, reason?: string) =>
      accept(tx, invite, who, reason),
    /** or by the secret that they brought. */
    acceptWith: (tx: DatabaseTransaction, invite: InviteRow, by: BySecret) => acceptWith(tx, invite, by),

    /** Declined again it is as it was. @throws NOT_FOUND · FORBIDDEN · INVITE_ENDED */
    async declineById(
      tx: DatabaseTransaction,
      { id, ownerId, reason }: { id: string; ownerId: string; reason: string | undefined },
    ): Promise<InviteRow> {
      const invite = await seenInvite(tx, id, ownerId);
      if (invite.target === 'link') throw new DomainError('FORBIDDEN', `${id} is a link: leave it alone`);
      return decline(tx, invite, { actor: await invitee(tx, invite, ownerId), reason });
    },

    decline: (tx: DatabaseTransaction, invite: InviteRow, said: { actor: GuildActor; reason: string }) =>
      decline(tx, invite, said),
  };

  async function seenInvite(tx: DatabaseTransaction, id: string, ownerId: string): Promise<InviteRow> {
    const { rows } = await sql`select from guild_invites i where i.id = ${id} and ${inviteSeenBy(ownerId)}`.execute(tx);
    if (rows.length === 0) throw new DomainError('NOT_FOUND', `no invitation ${id}`);
    return readInvite(tx, id, now);
  }

  /**
   * The one way into a guild by invitation: who was let in before is answered the same and nothing is used, whoever comes now
   * takes a seat, a use and a membership or none of them.
   * @throws INVITE_ENDED · GUILD_FULL · CONFLICT for a member · FORBIDDEN for who was expelled · AGENT_RETIRED
   */
  async function accept(
    tx: DatabaseTransaction,
    { id, guildId }: InviteRow,
    who: GuildActor,
    reason?: string,
  ): Promise<Accepted> {
    const agentState = await lockActor(tx, who);
    const guild = await lockGuild(tx, guildId);
    const invite = await lockInvite(tx, id, now);
    const before = await usedBefore(tx, invite, who);
    if (before !== undefined) return before;
    refuseDead(invite, guild);
    if (await findMember(tx, guildId, who))
      throw new DomainError('CONFLICT', `${nameOf(who)} is a member of ${guildId} already`);
    await refuseExpelled(tx, invite, who);
    const memberId = await joinGuild(tx, guild, {
      who,
      role: invite.role,
      invite: { id, inviterId: invite.ownerId },
      reason,
    });
    const { ownerId, agentId } = who;
    await tx.insertInto('guildInviteUses').values({ inviteId: id, memberId, ownerId, agentId }).execute();
    const state = stateAfterUse({ ...invite, uses: invite.uses + 1 });
    const hasEnded = state !== 'pending';
    await sql`update guild_invites set uses = uses + 1, state = ${state}, ended_at = ${hasEnded ? sql`now()` : null}
      where id = ${id}`.execute(tx);
    await resolveNotice(tx, inviteNotice(id));
    await endOthers(tx, guild, invite, who);
    // What a dormant agent remembers is what is sold of it.
    if (agentId !== null && agentState !== 'dormant') await remember(tx, guild, invite, { ownerId, agentId, memberId });
    return { inviteId: id, guildId, memberId, role: invite.role, isNew: true, hasEnded };
  }

  /** What was shown or mailed before it was sent again opens nothing, also for who came with it at that moment. */
  async function acceptWith(
    tx: DatabaseTransaction,
    invite: InviteRow,
    { secret, who, reason }: BySecret,
  ): Promise<Accepted> {
    const accepted = await accept(tx, invite, who, reason);
    await findInviteToken(tx, secret);
    return accepted;
  }

  async function decline(
    tx: DatabaseTransaction,
    { id, guildId }: InviteRow,
    { actor, reason }: { actor: GuildActor; reason: string | undefined },
  ): Promise<InviteRow> {
    // A no may be said for a retired agent, too.
    await lockActor(tx, actor, { retired: true });
    const guild = await lockGuild(tx, guildId);
    const invite = await lockInvite(tx, id, now);
    if (invite.state === 'declined') return invite;
    refuseDead(invite, guild);
    await endInvites(tx, guild, sql`i.id = ${id}`, { state: 'declined', actor, reason });
    return { ...invite, state: 'declined' };
  }

  async function remember(
    tx: DatabaseTransaction,
    guild: GuildRow,
    invite: InviteRow,
    { ownerId, agentId, memberId }: { ownerId: string; agentId: string; memberId: string },
  ): Promise<void> {
    const { inviter } = await inviteWords(tx, invite.id);
    const memory = {
      agentId,
      externalKey: `guild:${memberId}:joined`,
      kind: 'observation' as const,
      text: cleanLine(joinedMemory({ guild: guild.name, role: invite.role, inviter })),
      importance: joinedImportance,
      source: guildMemorySource,
      occurredAt: new Date(invite.now).toISOString(),
    };
    await memories.add(ownerId, [memory], tx);
  }
}
export type InviteAnswerStore = ReturnType<typeof createInviteAnswerStore>;

/** Whom an invitation that is not a link is to. @throws FORBIDDEN for somebody else who sees it */
async function invitee(tx: DatabaseTransaction, invite: InviteRow, ownerId: string): Promise<GuildActor> {
  if (invite.targetOwnerId === ownerId) return { ownerId, agentId: invite.targetAgentId };
  if (invite.address !== null) {
    const { rows } = await sql`select from users where id = ${ownerId} and address = ${invite.address}
      and verified_at is not null`.execute(tx);
    if (rows.length > 0) return { ownerId, agentId: null };
  }
  throw new DomainError('FORBIDDEN', `${invite.id} is to somebody else`);
}

/** @throws CONFLICT where they were let in by it and are gone again: a use is one coming */
async function usedBefore(
  tx: DatabaseTransaction,
  { id, guildId, state }: InviteRow,
  { ownerId, agentId }: GuildActor,
): Promise<Accepted | undefined> {
  const { rows } = await sql<{ memberId: string; role: GuildRole; gone: boolean }>`
    select m.id as member_id, m.role, m.ended_at is not null as gone from guild_invite_uses u join guild_members m on m.id = u.member_id
    where u.invite_id = ${id} and u.owner_id = ${ownerId} and u.agent_id is not distinct from ${agentId}`.execute(tx);
  if (!rows[0]) return undefined;
  const { memberId, role, gone } = rows[0];
  if (gone) throw new DomainError('CONFLICT', `${id} was accepted before as ${memberId}, which has ended since`);
  return { inviteId: id, guildId, memberId, role, isNew: false, hasEnded: state !== 'pending' };
}

/** Whoever was expelled comes back, themselves or by an agent of theirs, only by an invitation that was sent to them afterwards. */
async function refuseExpelled(tx: DatabaseTransaction, invite: InviteRow, who: GuildActor): Promise<void> {
  const { rows } = await sql<{ endedAt: Date }>`select ended_at from (select distinct on (agent_id) ended_by, ended_at
      from guild_members where guild_id = ${invite.guildId} and owner_id = ${who.ownerId}
        and (agent_id is null or agent_id = ${who.agentId}) order by agent_id, id desc) last
    where ended_by = 'expelled'`.execute(tx);
  if (rows.some(({ endedAt }) => invite.target === 'link' || invite.sentAt <= endedAt.getTime()))
    throw new DomainError(
      'FORBIDDEN',
      `${nameOf(who)} was expelled from ${invite.guildId}; only an invitation to them brings them back`,
    );
}

/**
 * Other invitations of the same guild to whoever has joined now: nobody is to answer them any more. Those to their address stay:
 * whose it is, is not told to who invited.
 */
async function endOthers(tx: DatabaseTransaction, guild: GuildRow, invite: InviteRow, who: GuildActor): Promise<void> {
  const same =
    who.agentId === null
      ? sql`i.target = 'user' and i.target_owner_id = ${who.ownerId}`
      : sql`i.target = 'agent' and i.target_agent_id = ${who.agentId}`;
  const reason = `joined by ${invite.id}`;
  await endInvites(tx, guild, sql`i.id <> ${invite.id} and (${same})`, { state: 'revoked', actor: who, reason });
}
