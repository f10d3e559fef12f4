import { sql } from 'kysely';
import { type AgentAnswer, deadBecause, type InviteAnswerer, type InviteTimes } from '../domain/invites.ts';
import type { GuildSettings } from '../domain/guilds.ts';
import type { InviteState } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { type GuildRow, lockGuild } from './guild-rows.ts';
import { createInviteAnswerStore } from './invite-answers.ts';
import { askToAnswer, queueInviteMail } from './invite-asks.ts';
import {
  endInvites,
  type InviteRow,
  inviteWords,
  lockInvite,
  momentOfLook,
  overdue,
  readInvite,
} from './invite-rows.ts';
import { type NewInvite, openInvite } from './invites.ts';
import type { Moment } from './license-rows.ts';

/** Where an invitation stands, in milliseconds since the epoch. */
export interface InviteStanding extends InviteTimes {
  state: InviteState;
  waitsFor: InviteAnswerer | null;
  answerBy: number | null;
  /** By the database's clock. */
  now: number;
}

/** What an agent is asked, and who it is. */
export interface InvitedAgent {
  agent: { id: string; name: string; persona: string; traits: string[]; modelId: string };
  guild: { name: string; purpose: string; members: number };
  inviter: string;
  role: string;
  message: string;
}

/** What the workflow of an invitation does, each step once however often it is tried. */
export function createInviteStore(db: Database, { now = momentOfLook }: { now?: Moment } = {}) {
  const answers = createInviteAnswerStore(db, { now });

  return {
    open: (invite: NewInvite, settings: GuildSettings): Promise<boolean> =>
      db.transaction().execute((tx) => openInvite(tx, invite, settings, now)),

    async standing(id: string): Promise<InviteStanding> {
      const invite = await readInvite(db, id, now);
      const { target, createdAt, expiresAt, reminders, state, waitsFor, answerBy } = invite;
      return { target, createdAt, expiresAt, reminders, state, waitsFor, answerBy, now: invite.now };
    },

    /** Reminds whoever is to answer; an agent that is asked itself needs none. Done before, it is done. */
    async remind(id: string, reminder: number): Promise<void> {
      await whileOpen(id, async (tx, _guild, invite) => {
        if (invite.reminders >= reminder) return;
        await sql`update guild_invites set reminders = ${reminder} where id = ${id}`.execute(tx);
        const again = { ...invite, reminders: reminder };
        if (invite.target === 'address') await queueInviteMail(tx, again, { unasked: 'left out', reminder: true });
        else if (invite.waitsFor !== 'agent') await askToAnswer(tx, again);
      });
    },

    /** Ends it where its time is over by the database's clock. @returns milliseconds that are left; 0 where it has ended */
    async expire(id: string): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const { guildId } = await readInvite(tx, id, now);
        const guild = await lockGuild(tx, guildId);
        const invite = await lockInvite(tx, id, now);
        if (invite.state !== 'pending') return 0;
        if (invite.expiresAt === null || invite.expiresAt > invite.now)
          return (invite.expiresAt ?? Infinity) - invite.now;
        await endInvites(tx, guild, sql`i.id = ${id}`, overdue);
        return 0;
      });
    },

    /** Who was to answer itself does not: its owner is asked. */
    async askOwner(id: string, why: string): Promise<void> {
      await whileOpen(id, async (tx, _guild, invite) => {
        if (invite.waitsFor !== 'agent') return;
        await sql`update guild_invites set waits_for = 'owner' where id = ${id}`.execute(tx);
        await askToAnswer(tx, { ...invite, waitsFor: 'owner' }, `It did not answer itself: ${why}.`);
      });
    },

    /** @returns undefined where nobody is to be asked any more */
    async invited(id: string): Promise<InvitedAgent | undefined> {
      const invite = await readInvite(db, id, now);
      if (invite.waitsFor !== 'agent' || deadBecause(invite, invite.now) !== undefined) return undefined;
      const agent = await db
        .selectFrom('agents')
        .select(['id', 'name', 'persona', 'traits', 'modelId'])
        .where('id', '=', invite.targetAgentId)
        .where('state', 'not in', ['retired', 'dormant'])
        .executeTakeFirst();
      if (!agent) return undefined;
      const { rows } = await sql<InvitedAgent['guild']>`select name, purpose, seats_used as members from guilds
        where id = ${invite.guildId}`.execute(db);
      const { inviter } = await inviteWords(db, id);
      return { agent, guild: rows[0]!, inviter, role: invite.role, message: invite.message };
    },

    /** Carries out what an agent has answered, as the agent. @throws what accepting throws */
    async settle(id: string, { accepts, reason }: AgentAnswer): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const invite = await readInvite(tx, id, now);
        // Its owner was asked meanwhile, or has answered.
        if (invite.waitsFor !== 'agent' || invite.state !== 'pending') return;
        const who = { ownerId: invite.targetOwnerId!, agentId: invite.targetAgentId };
        if (accepts) await answers.accept(tx, invite, who, reason);
        else await answers.decline(tx, invite, { actor: who, reason });
      });
    },
  };

  /** Under both locks, as long as it can be used. */
  async function whileOpen(
    id: string,
    work: (tx: DatabaseTransaction, guild: GuildRow, invite: InviteRow) => Promise<void>,
  ): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const { guildId } = await readInvite(tx, id, now);
      const guild = await lockGuild(tx, guildId);
      const invite = await lockInvite(tx, id, now);
      if (deadBecause(invite, invite.now) === undefined) await work(tx, guild, invite);
    });
  }
}
export type InviteStore = ReturnType<typeof createInviteStore>;
