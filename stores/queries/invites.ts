import { sql } from 'kysely';
import type { InviteAnswerer, InviteTarget } from '../../domain/invites.ts';
import type { GivenRole } from '../../domain/guilds.ts';
import type { InviteState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { inviteSeenBy } from '../invites.ts';
import { iso, type PageRequest } from './page.ts';

export interface InviteView {
  id: string;
  guildId: string;
  guildName: string;
  target: InviteTarget;
  userId: string | null;
  agentId: string | null;
  /** For who invites and whose it is; null: to none, gone, or somebody else's. */
  address: string | null;
  role: GivenRole;
  message: string;
  inviterId: string;
  inviterAgentId: string | null;
  inviterName: string;
  /** What is over its time is expired, whether its workflow has said so or not. */
  state: InviteState;
  reason: string;
  uses: number;
  usesLimit: number | null;
  resends: number;
  reminders: number;
  waitsFor: InviteAnswerer | null;
  answerBy: string | null;
  createdAt: string;
  expiresAt: string | null;
  endedAt: string | null;
}
type Times = 'answerBy' | 'expiresAt' | 'endedAt';
type Row = Omit<InviteView, Times | 'createdAt'> & Record<Times, Date | null> & { createdAt: Date };

const isOverdue = sql`(i.state = 'pending' and i.expires_at <= clock_timestamp())`;
const stateNow = sql`case when ${isOverdue} then 'expired' else i.state end`;

function inviteQuery(ownerId: string) {
  return sql`select i.id, i.guild_id, g.name as guild_name, i.target, case when i.target = 'user' then i.target_owner_id end as user_id,
      i.target_agent_id as agent_id,
      case when i.owner_id = ${ownerId} or i.address = (select me.address from users me where me.id = ${ownerId}) then i.address end as address, i.role, i.message, i.owner_id as inviter_id, i.agent_id as inviter_agent_id,
      coalesce(a.name, u.name) as inviter_name, ${stateNow} as state, i.reason, i.uses, i.uses_limit, i.resends, i.reminders,
      i.waits_for, i.answer_by, i.created_at, i.expires_at, case when ${isOverdue} then i.expires_at else i.ended_at end as ended_at
    from guild_invites i join guilds g on g.id = i.guild_id join users u on u.id = i.owner_id left join agents a on a.id = i.agent_id
    where ${inviteSeenBy(ownerId)}`;
}

const inviteView = (row: Row): InviteView => ({
  ...row,
  answerBy: iso(row.answerBy),
  createdAt: iso(row.createdAt),
  expiresAt: iso(row.expiresAt),
  endedAt: iso(row.endedAt),
});

export const inviteBoxes = ['received', 'sent'] as const;

/** The last sent first. */
export async function listInvites(
  db: Executor,
  page: PageRequest & {
    guildId?: string | undefined;
    state?: InviteState | undefined;
    box?: (typeof inviteBoxes)[number] | undefined;
  },
): Promise<InviteView[]> {
  const { ownerId, guildId = null, state = null, after = null, box, limit } = page;
  const side = {
    sent: sql`i.owner_id = ${ownerId}`,
    received: sql`(i.target_owner_id = ${ownerId} or i.address = u2.address)`,
  };
  const where = box === undefined ? sql`true` : side[box];
  const { rows } =
    await sql<Row>`${inviteQuery(ownerId)} and exists (select from users u2 where u2.id = ${ownerId} and ${where})
    and (${guildId}::text is null or i.guild_id = ${guildId}) and (${state}::text is null or ${stateNow} = ${state})
    and (${after}::text is null or i.id < ${after}) order by i.id desc limit ${limit}`.execute(db);
  return rows.map(inviteView);
}

export async function findInvite(db: Executor, ownerId: string, id: string): Promise<InviteView | undefined> {
  const { rows } = await sql<Row>`${inviteQuery(ownerId)} and i.id = ${id}`.execute(db);
  return rows[0] && inviteView(rows[0]);
}

/** Hash of the request that sent it, hex; undefined where there is none of the inviter's. */
export async function inviteRequest(db: Executor, ownerId: string, id: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('guildInvites')
    .select('requestHash')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  return row?.requestHash.toString('hex');
}
