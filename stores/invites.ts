import { type RawBuilder, sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type GivenRole, type GuildAct, type GuildSettings, rolesThatMay, standsAbove } from '../domain/guilds.ts';
import { durationSeconds } from '../domain/durations.ts';
import { type InviteTarget, mostResends } from '../domain/invites.ts';
import type { AgentState } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import { findMember, type GuildActor, isSame, lockGuildFor, recordGuildEvent } from './guild-rows.ts';
import { askToAnswer, queueInviteMail } from './invite-asks.ts';
import { endInvites, type InviteRow, lockInvite, overdue, readInvite, refuseDead } from './invite-rows.ts';
import { addInviteToken, revokeInviteTokens } from './invite-tokens.ts';
import type { Moment } from './license-rows.ts';
import { takeLock } from './locks.ts';

export type InviteeInput =
  | { target: 'agent'; agentId: string }
  | { target: 'user'; userId: string }
  | { target: 'address'; address: string }
  | { target: 'link' /** null: without limit. */; uses: number | null };

export interface NewInvite {
  /** Made before it, so that a repeated request means the same invitation. */
  id: string;
  guildId: string;
  inviter: GuildActor;
  invitee: InviteeInput;
  role: GivenRole;
  message: string;
  /** null: a link without an end. */
  expiresInSeconds: number | null;
  /** Of a link's secret. */
  tokenHash: Buffer | null;
  requestHash: Buffer;
  /** Why, for the audit trail. */
  reason?: string | undefined;
}

/** Who invites, who is invited, and who oversees the invitations of the guild. */
export function inviteSeenBy(ownerId: string): RawBuilder<boolean> {
  return sql<boolean>`(i.owner_id = ${ownerId} or i.target_owner_id = ${ownerId}
    or (i.target = 'address' and exists (select from users u where u.id = ${ownerId} and u.address = i.address and u.verified_at is not null))
    or exists (select from guild_members s where s.guild_id = i.guild_id and s.owner_id = ${ownerId} and s.ended_at is null
      and s.role = any(${rolesThatMay('oversee')})))`;
}

/**
 * Sends an invitation: limits judged and counted under the inviter's lock and the guild's row.
 * @returns whether it was sent now
 * @throws NOT_FOUND · FORBIDDEN · CONFLICT for who is a member or invited already · INVITE_LIMIT
 */
export async function openInvite(
  tx: DatabaseTransaction,
  invite: NewInvite,
  settings: GuildSettings,
  now: Moment,
): Promise<boolean> {
  const { id, guildId, inviter, invitee, role, message } = invite;
  // Before anything that may have changed since: what was sent stays sent.
  if (await wasOpened(tx, invite)) return false;
  const whom = await lockPeople(tx, inviter, invitee);
  await takeLock(tx, 'invites', inviter.ownerId);
  // Two requests with one key may have come at once.
  if (await wasOpened(tx, invite)) return false;
  const { guild, member } = await lockGuildFor(tx, guildId, inviter, 'invite');
  if (!standsAbove(member.role, role))
    throw new DomainError('FORBIDDEN', `a ${member.role} of ${guildId} may not invite a ${role}`);
  // What is over its time stands in nobody's way, whether its workflow has said so or not.
  await endInvites(tx, guild, sql`i.expires_at <= ${now}`, overdue);
  await refuseTooMany(tx, inviter, settings);
  await refuseFull(tx, guildId, settings);
  await refuseTwice(tx, guildId, invitee, whom);
  const seconds = invite.expiresInSeconds;
  // No model works for a dormant agent.
  const asksAgent = whom?.agentState !== undefined && whom.agentState !== 'dormant' && settings.agentsAnswer;
  await sql`insert into guild_invites (id, guild_id, owner_id, agent_id, target, target_owner_id, target_agent_id, address, role, message,
      uses_limit, waits_for, answer_by, request_hash, created_at, sent_at, expires_at)
    select ${id}, ${guildId}, ${inviter.ownerId}, ${inviter.agentId}, ${invitee.target}, ${whom?.ownerId ?? null}, ${whom?.agentId ?? null},
      ${invitee.target === 'address' ? invitee.address : null}, ${role}, ${message}, ${invitee.target === 'link' ? invitee.uses : 1},
      ${invitee.target === 'agent' ? (asksAgent ? 'agent' : 'owner') : null},
      ${asksAgent ? sql`at.now + ${Math.min(durationSeconds(settings.answerWithin), seconds ?? Infinity)} * interval '1 second'` : sql`null`},
      ${invite.requestHash}, at.now, at.now, ${seconds === null ? sql`null` : sql`at.now + ${seconds} * interval '1 second'`}
    from (select ${now} as now) at`.execute(tx);
  if (invite.tokenHash !== null) await addInviteToken(tx, id, { hash: invite.tokenHash });
  const row = await readInvite(tx, id, now);
  await recordGuildEvent(tx, guild, {
    action: 'invited',
    actor: inviter,
    subject: id,
    reason: invite.reason,
    data: toldOf(row),
    tells: whom === undefined ? [] : [whom.ownerId],
  });
  await deliver(tx, row);
  return true;
}

/** @throws CONFLICT where the key came with something else */
async function wasOpened(tx: DatabaseTransaction, { id, inviter, requestHash }: NewInvite): Promise<boolean> {
  const known = await tx
    .selectFrom('guildInvites')
    .select(['requestHash', 'ownerId'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (!known) return false;
  if (known.ownerId === inviter.ownerId && known.requestHash.equals(requestHash)) return true;
  throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
}

interface Asked {
  id: string;
  actor: GuildActor;
  reason?: string | undefined;
}

/**
 * Takes an open invitation back; one that was taken back is as it was. Who accepts at the same moment waits for the guild's
 * row, or has come first.
 * @throws NOT_FOUND · FORBIDDEN · INVITE_ENDED where it has ended otherwise
 */
export async function revokeInvite(tx: DatabaseTransaction, { id, actor, reason }: Asked, now: Moment): Promise<void> {
  const { guild, invite } = await lockOverseen(tx, { id, actor }, now);
  if (invite.state === 'revoked') return;
  refuseDead(invite, guild);
  await endInvites(tx, guild, sql`i.id = ${id}`, { state: 'revoked', actor, reason });
}

/**
 * Sends an open invitation again: the id stays, what was shown or mailed before opens nothing any more.
 * @throws NOT_FOUND · FORBIDDEN · INVITE_ENDED · INVITE_LIMIT
 */
export async function resendInvite(
  tx: DatabaseTransaction,
  { id, actor, reason, tokenHash }: Asked & { tokenHash: Buffer },
  settings: GuildSettings,
  now: Moment,
): Promise<void> {
  await takeLock(tx, 'invites', actor.ownerId);
  const { guild, member, invite } = await lockOverseen(tx, { id, actor }, now, 'invite');
  refuseDead(invite, guild);
  if (!standsAbove(member.role, invite.role))
    throw new DomainError('FORBIDDEN', `a ${member.role} of ${guild.id} may not invite a ${invite.role}`);
  if (invite.resends >= mostResends)
    throw new DomainError('INVITE_LIMIT', `${id} was sent again ${mostResends} times; revoke it and send another`);
  await refuseTooMany(tx, actor, settings);
  await revokeInviteTokens(tx, id);
  if (invite.target === 'link') await addInviteToken(tx, id, { hash: tokenHash });
  await sql`update guild_invites set resends = resends + 1, sent_at = ${now} where id = ${id}`.execute(tx);
  await recordGuildEvent(tx, guild, { action: 'resent', actor, subject: id, reason, data: toldOf(invite) });
  await deliver(tx, { ...invite, resends: invite.resends + 1 });
}

/** An open invitation that the caller sees and may take back or send again. */
async function lockOverseen(tx: DatabaseTransaction, { id, actor }: Asked, now: Moment, act?: GuildAct) {
  const { rows } = await sql<{ guildId: string }>`select i.guild_id from guild_invites i where i.id = ${id}
    and ${inviteSeenBy(actor.ownerId)}`.execute(tx);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `no invitation ${id}`);
  const { guild, member } = await lockGuildFor(tx, rows[0].guildId, actor, act);
  const invite = await lockInvite(tx, id, now);
  if (!isSame(invite, actor) && !rolesThatMay('oversee').includes(member.role))
    throw new DomainError('FORBIDDEN', `${id} was sent by somebody else, and a ${member.role} may not oversee it`);
  return { guild, member, invite };
}

/** Mails or asks whoever it is to; a link is passed on by who invites. */
async function deliver(tx: DatabaseTransaction, invite: InviteRow): Promise<void> {
  if (invite.target === 'address') await queueInviteMail(tx, invite, { unasked: 'refused' });
  else if (invite.target === 'user' || invite.waitsFor === 'owner') await askToAnswer(tx, invite);
}

/** Whom it is to, where that is known. */
interface Invitee extends GuildActor {
  agentState?: AgentState;
}

/**
 * Users before agents, agents in the order of their ids, all of them before the guild.
 * @returns whom it is to, where that is known @throws NOT_FOUND for who is not there, or not for this inviter · AGENT_RETIRED
 */
async function lockPeople(
  tx: DatabaseTransaction,
  inviter: GuildActor,
  invitee: InviteeInput,
): Promise<Invitee | undefined> {
  const users = [inviter.ownerId, ...(invitee.target === 'user' ? [invitee.userId] : [])];
  const living = await sql<{ id: string }>`select id from users where id = any(${users}) and deleted_at is null
    order by id for share`.execute(tx);
  for (const id of users)
    if (!living.rows.some((row) => row.id === id)) throw new DomainError('NOT_FOUND', `no user ${id}`);
  if (invitee.target === 'user') return { ownerId: invitee.userId, agentId: null };
  if (invitee.target !== 'agent') return undefined;
  const { agentId } = invitee;
  // Ids of agents are easily guessed: one is there for its owner, and for who is in a guild with it.
  const { rows } = await sql<{ ownerId: string; state: AgentState }>`select a.owner_id, a.state from agents a
    where a.id = ${agentId} and (a.owner_id = ${inviter.ownerId} or exists (
      select from guild_members m join guild_members s on s.guild_id = m.guild_id and s.ended_at is null
      where m.agent_id = a.id and m.ended_at is null and s.owner_id = ${inviter.ownerId}))`.execute(tx);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
  if (rows[0].state === 'retired') throw new DomainError('AGENT_RETIRED', `${agentId} is retired`);
  const agents = [agentId, ...(inviter.agentId === null ? [] : [inviter.agentId])];
  await sql`select from agents where id = any(${agents}) order by id for key share`.execute(tx);
  return { ownerId: rows[0].ownerId, agentId, agentState: rows[0].state };
}

async function refuseTooMany(tx: DatabaseTransaction, { ownerId }: GuildActor, settings: GuildSettings): Promise<void> {
  const { rows } = await sql<{ sent: number }>`select count(*) as sent from guild_events where actor_id = ${ownerId}
    and action in ('invited', 'resent') and at > now() - interval '24 hours'`.execute(tx);
  if (rows[0]!.sent >= settings.invitesPerDay)
    throw new DomainError('INVITE_LIMIT', `${rows[0]!.sent} invitations were sent in 24 hours, and no more may be`);
}

async function refuseFull(tx: DatabaseTransaction, guildId: string, settings: GuildSettings): Promise<void> {
  const { rows } = await sql<{ open: number }>`select count(*) as open from guild_invites where guild_id = ${guildId}
    and state = 'pending'`.execute(tx);
  if (rows[0]!.open >= settings.pendingInvites)
    throw new DomainError('INVITE_LIMIT', `${rows[0]!.open} invitations of ${guildId} are open, and no more may be`);
}

async function refuseTwice(
  tx: DatabaseTransaction,
  guildId: string,
  invitee: InviteeInput,
  whom: GuildActor | undefined,
): Promise<void> {
  if (invitee.target === 'link') return;
  if (whom !== undefined && (await findMember(tx, guildId, whom)))
    throw new DomainError('CONFLICT', `${whom.agentId ?? whom.ownerId} is a member of ${guildId} already`);
  const same: Record<Exclude<InviteTarget, 'link'>, RawBuilder<boolean>> = {
    agent: sql`target_agent_id = ${whom?.agentId ?? null}`,
    user: sql`target_owner_id = ${whom?.ownerId ?? null}`,
    address: sql`address = ${invitee.target === 'address' ? invitee.address : null}`,
  };
  const { rows } = await sql<{
    id: string;
  }>`select id from guild_invites where guild_id = ${guildId} and state = 'pending'
    and target = ${invitee.target} and ${same[invitee.target]}`.execute(tx);
  if (rows[0]) throw new DomainError('CONFLICT', `${rows[0].id} is open for them already; send it again or revoke it`);
}

/** Never an address: the audit trail is for good. */
function toldOf({ target, targetAgentId, targetOwnerId, role, usesLimit }: InviteRow): Record<string, unknown> {
  const to = targetAgentId ?? targetOwnerId;
  return { target, role, ...(to === null ? {} : { to }), ...(target === 'link' ? { usesLimit } : {}) };
}
