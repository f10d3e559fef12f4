import { sql } from 'kysely';
import type { GuildRule } from '../../domain/guild-rules.ts';
import type { GuildAction, GuildRole, GuildState, MembershipEnd } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { guildSeenBy } from '../guild-rows.ts';
import { iso, type PageRequest } from './page.ts';

export interface GuildView {
  id: string;
  foundedBy: string;
  name: string;
  purpose: string;
  state: GuildState;
  seats: number;
  seatsUsed: number;
  /** The caller in it: themselves and their agents. */
  own: Array<{ memberId: string; agentId: string | null; role: GuildRole }>;
  /** Given by ballots of its members. */
  rules: Array<GuildRule & { ballotId: string; madeAt: string }>;
  createdAt: string;
  closedAt: string | null;
}
type GuildRow = Omit<GuildView, 'createdAt' | 'closedAt'> & { createdAt: Date; closedAt: Date | null };

function guildQuery(ownerId: string) {
  return sql`select g.id, g.owner_id as founded_by, g.name, g.purpose, g.state, g.seat_limit as seats, g.seats_used, g.created_at,
    g.closed_at, (select coalesce(jsonb_agg(jsonb_build_object('memberId', m.id, 'agentId', m.agent_id, 'role', m.role) order by m.id), '[]')
      from guild_members m where m.guild_id = g.id and m.owner_id = ${ownerId} and m.ended_at is null) as own,
    (select coalesce(jsonb_agg(jsonb_build_object('name', r.name, 'value', r.value, 'ballotId', r.ballot_id,
        'madeAt', to_char(r.made_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by r.name), '[]')
      from guild_rules r where r.guild_id = g.id and r.ended_at is null) as rules
    from guilds g where ${guildSeenBy(ownerId)}`;
}
const guildView = (row: GuildRow): GuildView => ({
  ...row,
  createdAt: iso(row.createdAt),
  closedAt: iso(row.closedAt),
});

/** The last founded first. */
export async function listGuilds(
  db: Executor,
  { ownerId, after, limit, state }: PageRequest & { state?: GuildState | undefined },
): Promise<GuildView[]> {
  const { rows } =
    await sql<GuildRow>`${guildQuery(ownerId)} and (${state ?? null}::text is null or g.state = ${state ?? null})
    and (${after ?? null}::text is null or g.id < ${after ?? null}) order by g.id desc limit ${limit}`.execute(db);
  return rows.map(guildView);
}

export async function findGuild(db: Executor, ownerId: string, id: string): Promise<GuildView | undefined> {
  const { rows } = await sql<GuildRow>`${guildQuery(ownerId)} and g.id = ${id}`.execute(db);
  return rows[0] && guildView(rows[0]);
}

export interface GuildMemberView {
  id: string;
  kind: 'agent' | 'user';
  /** The user, or whose agent it is. */
  userId: string;
  agentId: string | null;
  name: string;
  role: GuildRole;
  joinedAt: string;
  endedAt: string | null;
  endedBy: MembershipEnd | null;
}

/** In the order of their coming. Whether the caller sees the guild is asked before. */
export async function listGuildMembers(
  db: Executor,
  page: Omit<PageRequest, 'ownerId'> & { guildId: string; role?: GuildRole | undefined; past?: boolean | undefined },
): Promise<GuildMemberView[]> {
  const { rows } = await sql<Omit<GuildMemberView, 'joinedAt' | 'endedAt'> & { joinedAt: Date; endedAt: Date | null }>`
    select m.id, case when m.agent_id is null then 'user' else 'agent' end as kind, m.owner_id as user_id, m.agent_id,
      coalesce(a.name, u.name) as name, m.role, m.joined_at, m.ended_at, m.ended_by
    from guild_members m join users u on u.id = m.owner_id left join agents a on a.id = m.agent_id
    where m.guild_id = ${page.guildId} and (${page.role ?? null}::text is null or m.role = ${page.role ?? null})
      and (m.ended_at is not null) = ${page.past === true} and (${page.after ?? null}::text is null or m.id > ${page.after ?? null})
    order by m.id limit ${page.limit}`.execute(db);
  return rows.map((row) => ({ ...row, joinedAt: iso(row.joinedAt), endedAt: iso(row.endedAt) }));
}

export interface GuildEventView {
  seq: number;
  action: GuildAction;
  /** null: time did it, or a ballot. */
  actorId: string | null;
  actorAgentId: string | null;
  /** Of the agent that acted, else of the user. */
  actorName: string | null;
  subject: string;
  /** Of the member that it was done to; null: to none. */
  memberName: string | null;
  reason: string;
  data: Record<string, unknown>;
  at: string;
}

/** Names of who acted and of the member that it was done to. */
export const eventNames = sql`coalesce(aa.name, au.name) as actor_name, coalesce(ma.name, mu.name) as member_name`;
/** Joined to `guild_events e` for them. */
export const eventPeople = sql`left join agents aa on aa.id = e.actor_agent_id left join users au on au.id = e.actor_id
  left join guild_members m on m.id = e.subject left join agents ma on ma.id = m.agent_id left join users mu on mu.id = m.owner_id`;

/** The last first; `after` is a number of one. */
export async function listGuildEvents(
  db: Executor,
  { guildId, after, limit }: Omit<PageRequest, 'ownerId'> & { guildId: string },
): Promise<GuildEventView[]> {
  const { rows } = await sql<Omit<GuildEventView, 'at'> & { at: Date }>`
    select e.seq, e.action, e.actor_id, e.actor_agent_id, e.subject, e.reason, e.data, e.at, ${eventNames} from guild_events e ${eventPeople}
    where e.guild_id = ${guildId} and (${after ?? null}::integer is null or e.seq < ${after ?? null}::integer)
    order by e.seq desc limit ${limit}`.execute(db);
  return rows.map((row) => ({ ...row, at: iso(row.at) }));
}
