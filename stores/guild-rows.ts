import { type RawBuilder, sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type GuildRule, mayUnder, ruleOf } from '../domain/guild-rules.ts';
import type { GuildAct } from '../domain/guilds.ts';
import type { AgentState, GuildAction, GuildRole, GuildState } from '../domain/states.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';

/** What everything that happens in a guild shares: its row and lock, who acts, and the audit trail. */

/** A user, by one of their agents or themselves. */
export interface GuildActor {
  ownerId: string;
  agentId: string | null;
}

export interface GuildRow {
  id: string;
  ownerId: string;
  name: string;
  purpose: string;
  state: GuildState;
  seatLimit: number;
  seatsUsed: number;
}

export interface MemberRow extends GuildActor {
  id: string;
  role: GuildRole;
  joinedAt: Date;
}

/** Whoever founded it, and whoever is in it, themselves or by an agent; whom a guild closed on still sees it. */
export function guildSeenBy(ownerId: string): RawBuilder<boolean> {
  return sql<boolean>`(g.owner_id = ${ownerId} or exists (select from guild_members s where s.guild_id = g.id
    and s.owner_id = ${ownerId} and (s.ended_at is null or s.ended_by = 'closed')))`;
}

const guildColumns = sql`g.id, g.owner_id, g.name, g.purpose, g.state, g.seat_limit, g.seats_used`;

/** @throws NOT_FOUND where the caller sees no such guild */
export async function readGuild(db: Executor, id: string, ownerId: string): Promise<GuildRow> {
  const { rows } = await sql<GuildRow>`select ${guildColumns} from guilds g
    where g.id = ${id} and ${guildSeenBy(ownerId)}`.execute(db);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `no guild ${id}`);
  return rows[0];
}

/**
 * Waits for the guild's row and holds it until the transaction ends; all that happens in a guild goes through here, so in
 * one order. Users and agents are locked before it, invitations and members after it.
 * @throws NOT_FOUND
 */
export async function lockGuild(tx: DatabaseTransaction, id: string): Promise<GuildRow> {
  const { rows } =
    await sql<GuildRow>`select ${guildColumns} from guilds g where g.id = ${id} for no key update`.execute(tx);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `no guild ${id}`);
  return rows[0];
}

/**
 * The same for somebody who wants to do something in it, with who they are there.
 * @throws NOT_FOUND · CONFLICT where it is closed · FORBIDDEN where they may not · AGENT_RETIRED for one that invites
 */
export async function lockGuildFor(
  tx: DatabaseTransaction,
  id: string,
  actor: GuildActor,
  act?: GuildAct,
): Promise<{ guild: GuildRow; member: MemberRow }> {
  // Before the guild's row: the audit trail names the agent, and whoever joins by it holds it while they wait for the guild.
  const acting = actor.agentId === null ? undefined : await holdAgent(tx, actor.agentId);
  await sql`select from guilds where id = ${id} for no key update`.execute(tx);
  // Read again under the lock: who was expelled while it was waited for sees nothing any more.
  const guild = await readGuild(tx, id, actor.ownerId);
  refuseClosed(guild);
  const member = await findMember(tx, id, actor);
  if (!member) throw new DomainError('FORBIDDEN', `${nameOf(actor)} is no member of ${id}`);
  if (act !== undefined) refuseAct(id, member.role, act, await standingRules(tx, id));
  // A retired agent keeps its seat, and its owner puts its affairs in order; it begins nothing new.
  if (act === 'invite' && acting === 'retired') throw agentRetired(actor.agentId!);
  return { guild, member };
}

function refuseAct(id: string, role: GuildRole, act: GuildAct, rules: readonly StandingRule[]): void {
  if (mayUnder(rules, role, act)) return;
  const rule = ruleOf(act, rules);
  throw new DomainError(
    'FORBIDDEN',
    rule === undefined
      ? `a ${role} of ${id} may not ${act}`
      : `a ${role} of ${id} may not ${act}: ${rule.ballotId} has ruled ${rule.name} ${rule.value}, and another ballot changes it`,
  );
}

type StandingRule = GuildRule & { ballotId: string };

async function standingRules(tx: Executor, id: string): Promise<StandingRule[]> {
  const { rows } = await sql<StandingRule>`select name, value, ballot_id from guild_rules
    where guild_id = ${id} and ended_at is null`.execute(tx);
  return rows;
}

async function holdAgent(tx: DatabaseTransaction, agentId: string): Promise<AgentState | undefined> {
  const { rows } = await sql<{
    state: AgentState;
  }>`select state from agents where id = ${agentId} for key share`.execute(tx);
  return rows[0]?.state;
}

function agentRetired(agentId: string): DomainError {
  return new DomainError('AGENT_RETIRED', `${agentId} is retired`);
}

function refuseClosed({ id, state }: Pick<GuildRow, 'id' | 'state'>): void {
  if (state === 'closed') throw new DomainError('CONFLICT', `${id} is closed`);
}

/** How an error calls who acts. */
export function nameOf({ ownerId, agentId }: GuildActor): string {
  return agentId ?? ownerId;
}

export function isSame(a: GuildActor, b: GuildActor): boolean {
  return a.ownerId === b.ownerId && a.agentId === b.agentId;
}

const memberColumns = sql`id, owner_id, agent_id, role, joined_at`;

/** The living membership of somebody. */
export async function findMember(
  tx: Executor,
  guildId: string,
  { ownerId, agentId }: GuildActor,
): Promise<MemberRow | undefined> {
  const { rows } = await sql<MemberRow>`select ${memberColumns} from guild_members where guild_id = ${guildId}
    and owner_id = ${ownerId} and agent_id is not distinct from ${agentId} and ended_at is null`.execute(tx);
  return rows[0];
}

/** @throws NOT_FOUND where it has ended, or is of another guild */
export async function memberById(tx: Executor, guildId: string, id: string): Promise<MemberRow> {
  const { rows } = await sql<MemberRow>`select ${memberColumns} from guild_members where guild_id = ${guildId}
    and id = ${id} and ended_at is null`.execute(tx);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `${guildId} has no member ${id}`);
  return rows[0];
}

export async function livingMembers(tx: Executor, guildId: string): Promise<MemberRow[]> {
  const { rows } = await sql<MemberRow>`select ${memberColumns} from guild_members where guild_id = ${guildId}
    and ended_at is null order by id`.execute(tx);
  return rows;
}

/**
 * Who acts, their row held until the transaction ends: before the guild's, as everywhere. A user that is being deleted is
 * waited for, and memories are written under the agent's lock.
 * @param options.retired whether a retired agent may
 * @returns the agent's state @throws NOT_FOUND where it is no agent of theirs, or they are gone · AGENT_RETIRED
 */
export async function lockActor(
  tx: DatabaseTransaction,
  { ownerId, agentId }: GuildActor,
  { retired = false }: { retired?: boolean } = {},
): Promise<AgentState | undefined> {
  const users = await sql`select from users where id = ${ownerId} and deleted_at is null for share`.execute(tx);
  if (users.rows.length === 0) throw new DomainError('NOT_FOUND', `no user ${ownerId}`);
  if (agentId === null) return undefined;
  const { rows } = await sql<{
    state: AgentState;
  }>`select state from agents where id = ${agentId} and owner_id = ${ownerId}
    for update`.execute(tx);
  if (!rows[0]) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
  if (rows[0].state === 'retired' && !retired) throw agentRetired(agentId);
  return rows[0].state;
}

/** The same for who speaks on a proposal or thanks for a drop: nothing works for a dormant agent, so none has a word. @throws AGENT_DORMANT */
export async function lockSpeaker(tx: DatabaseTransaction, actor: GuildActor): Promise<void> {
  if ((await lockActor(tx, actor)) === 'dormant')
    throw new DomainError('AGENT_DORMANT', `${actor.agentId} is dormant: it is sold, and has no word here`);
}

export interface GuildEvent {
  action: GuildAction;
  /** null: time did it, or a ballot. */
  actor: GuildActor | null;
  /** Id of the guild, the member or the invitation. */
  subject: string;
  reason?: string | undefined;
  data?: Record<string, unknown>;
  /** Users who are told beside who founded the guild and who acted. */
  tells?: readonly string[];
}

/** Writes down what was done, for good, under the guild's lock; and tells whom it concerns. */
export async function recordGuildEvent(
  tx: DatabaseTransaction,
  { id, ownerId }: Pick<GuildRow, 'id' | 'ownerId'>,
  { action, actor, subject, reason = '', data = {}, tells = [] }: GuildEvent,
): Promise<void> {
  await sql`with next as (update guilds set event_seq = event_seq + 1 where id = ${id} returning event_seq)
    insert into guild_events (guild_id, seq, owner_id, action, actor_id, actor_agent_id, subject, reason, data)
    select ${id}, event_seq, ${ownerId}, ${action}, ${actor?.ownerId ?? null}, ${actor?.agentId ?? null}, ${subject},
      ${reason}, ${JSON.stringify(data)}::jsonb from next`.execute(tx);
  const told = new Set([ownerId, ...(actor === null ? [] : [actor.ownerId]), ...tells]);
  const by = actor === null ? null : nameOf(actor);
  await appendEvents(
    tx,
    [...told].map((owner) => ({
      ownerId: owner,
      type: `guild.${action}`,
      subject: id,
      data: { ...data, of: subject, by, reason },
    })),
  );
}
