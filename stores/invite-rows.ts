import { type RawBuilder, sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { deadBecause, type InviteAnswerer, type InviteTarget } from '../domain/invites.ts';
import type { GivenRole } from '../domain/guilds.ts';
import type { InviteState } from '../domain/states.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { type GuildActor, type GuildRow, nameOf } from './guild-rows.ts';
import type { Moment } from './license-rows.ts';

/** When Postgres looks at it, not when its transaction began: who waited for a lock may come too late. */
export const momentOfLook: Moment = sql<Date>`date_trunc('milliseconds', clock_timestamp())`;

export interface InviteRow {
  id: string;
  guildId: string;
  /** Who invites. */
  ownerId: string;
  agentId: string | null;
  target: InviteTarget;
  targetOwnerId: string | null;
  targetAgentId: string | null;
  address: string | null;
  role: GivenRole;
  message: string;
  state: InviteState;
  reason: string;
  usesLimit: number | null;
  uses: number;
  resends: number;
  reminders: number;
  waitsFor: InviteAnswerer | null;
  /** Milliseconds since the epoch. */
  answerBy: number | null;
  createdAt: number;
  /** The last time. */
  sentAt: number;
  expiresAt: number | null;
  /** When it was read, by the database's clock. */
  now: number;
}

interface Selected extends Omit<InviteRow, 'answerBy' | 'createdAt' | 'sentAt' | 'expiresAt' | 'now'> {
  answerBy: Date | null;
  createdAt: Date;
  sentAt: Date;
  expiresAt: Date | null;
  now: Date;
}

async function selectInvites(db: Executor, where: RawBuilder<unknown>, now: Moment): Promise<InviteRow[]> {
  const { rows } = await sql<Selected>`select i.id, i.guild_id, i.owner_id, i.agent_id, i.target, i.target_owner_id,
    i.target_agent_id, i.address, i.role, i.message, i.state, i.reason, i.uses_limit, i.uses, i.resends, i.reminders, i.waits_for,
    i.answer_by, i.sent_at, date_trunc('milliseconds', i.created_at) as created_at, date_trunc('milliseconds', i.expires_at) as expires_at,
    ${now} as now from guild_invites i where ${where}`.execute(db);
  return rows.map((row) => ({
    ...row,
    answerBy: row.answerBy?.getTime() ?? null,
    createdAt: row.createdAt.getTime(),
    sentAt: row.sentAt.getTime(),
    expiresAt: row.expiresAt?.getTime() ?? null,
    now: row.now.getTime(),
  }));
}

/** @throws NOT_FOUND */
export async function readInvite(db: Executor, id: string, now: Moment): Promise<InviteRow> {
  const [row] = await selectInvites(db, sql`i.id = ${id}`, now);
  if (!row) throw new DomainError('NOT_FOUND', `no invitation ${id}`);
  return row;
}

/** Waits for the row and holds it until the transaction ends; the guild's is held already. @throws NOT_FOUND */
export async function lockInvite(tx: DatabaseTransaction, id: string, now: Moment): Promise<InviteRow> {
  await sql`select from guild_invites where id = ${id} for no key update`.execute(tx);
  return readInvite(tx, id, now);
}

/** @throws INVITE_ENDED where it can be used no more */
export function refuseDead(invite: InviteRow, guild: Pick<GuildRow, 'state'>): void {
  const why = guild.state === 'closed' ? 'is to a guild that is closed' : deadBecause(invite, invite.now);
  if (why !== undefined) throw new DomainError('INVITE_ENDED', `${invite.id} ${why}`);
}

/** Of the notice that asks whoever is to answer. */
export function inviteNotice(id: string): string {
  return `invite:${id}`;
}

/**
 * Ends open invitations of a guild without a member, all that `where` names, in one statement under the guild's lock: the audit
 * trail goes on without a gap, notices close, and whom it concerns is told.
 * @param where of `i`, the invitations
 * @returns their ids
 */
export async function endInvites(
  tx: DatabaseTransaction,
  guild: Pick<GuildRow, 'id' | 'ownerId'>,
  where: RawBuilder<unknown>,
  end: { state: 'declined' | 'revoked' | 'expired'; actor: GuildActor | null; reason?: string | undefined },
): Promise<string[]> {
  const { state, actor, reason = '' } = end;
  const { rows } = await sql<{ id: string }>`
    with ended as (update guild_invites i set state = ${state}, reason = ${reason}, ended_at = now()
        where i.guild_id = ${guild.id} and i.state = 'pending' and (${where}) returning i.id, i.owner_id, i.target_owner_id),
      bumped as (update guilds set event_seq = event_seq + (select count(*) from ended) where id = ${guild.id} returning event_seq),
      trail as (insert into guild_events (guild_id, seq, owner_id, action, actor_id, actor_agent_id, subject, reason)
        select ${guild.id}, event_seq - (select count(*) from ended) + row_number() over (order by id), ${guild.ownerId}, ${state},
          ${actor?.ownerId ?? null}, ${actor?.agentId ?? null}, id, ${reason} from ended, bumped),
      asked as (update notices set resolved_at = now() where resolved_at is null
        and key in (select ${inviteNotice('')} || id from ended)),
      told as (insert into events (owner_id, type, subject, data)
        select distinct who.owner_id, ${`guild.${state}`}, ${guild.id},
          jsonb_build_object('of', ended.id, 'by', ${actor === null ? null : nameOf(actor)}::text, 'reason', ${reason}::text)
        from ended, lateral (values (${guild.ownerId}), (ended.owner_id), (ended.target_owner_id)) as who (owner_id)
        where who.owner_id is not null)
    select id from ended order by id`.execute(tx);
  return rows.map(({ id }) => id);
}

/** How an invitation ends whose time is over. */
export const overdue = { state: 'expired', actor: null, reason: 'its time is over' } as const;

export interface InviteWords {
  guild: string;
  /** The agent that invites, or the user. */
  inviter: string;
}

export async function inviteWords(db: Executor, inviteId: string): Promise<InviteWords> {
  const { rows } = await sql<InviteWords>`select g.name as guild, coalesce(a.name, u.name) as inviter
    from guild_invites i join guilds g on g.id = i.guild_id join users u on u.id = i.owner_id
    left join agents a on a.id = i.agent_id where i.id = ${inviteId}`.execute(db);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `no invitation ${inviteId}`);
  return rows[0];
}
