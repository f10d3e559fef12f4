import { z } from 'zod';
import { durationSchema } from './durations.ts';
import { type GuildRole, guildRoles } from './states.ts';

/** Who may do what in a guild. Pure: stores/guilds.ts and stores/guild-members.ts hold to it under the guild's row. */

export const guildActs = [
  'invite',
  /** See, revoke and send again the invitations of others. */
  'oversee',
  'expel',
  /** Give another role. */
  'appoint',
  'rename',
  'resize',
  /** Make another member the founder. */
  'transfer',
  'close',
] as const;
export type GuildAct = (typeof guildActs)[number];

/** The one table of rights; reading and leaving are everybody's, but the founder does not leave before there is another. */
const rights: Readonly<Record<GuildRole, readonly GuildAct[]>> = {
  founder: guildActs,
  elder: ['invite', 'oversee', 'expel', 'rename'],
  member: ['invite'],
  guest: [],
};

const rank: Readonly<Record<GuildRole, number>> = { founder: 3, elder: 2, member: 1, guest: 0 };

export function mayAct(role: GuildRole, act: GuildAct): boolean {
  return rights[role].includes(act);
}

/** Roles with a right, for those who look it up in SQL. */
export function rolesThatMay(act: GuildAct): GuildRole[] {
  return guildRoles.filter((role) => mayAct(role, act));
}

/** Nobody expels, appoints or invites anybody who stands as high as themselves or becomes so. */
export function standsAbove(role: GuildRole, other: GuildRole): boolean {
  return rank[role] > rank[other];
}

/** Roles that may be given; a founder is made by a transfer alone. */
export const givenRoles = ['elder', 'member', 'guest'] as const satisfies readonly GuildRole[];
export type GivenRole = (typeof givenRoles)[number];

export interface Heir {
  id: string;
  role: GuildRole;
  /** Milliseconds since the epoch. */
  joinedAt: number;
}

/** Who is founder when the founder is gone for good: the highest role, among equals who has been there longest. */
export function heirOf<Member extends Heir>(members: readonly Member[]): Member | undefined {
  return members.toSorted(
    (a, b) => rank[b.role] - rank[a.role] || a.joinedAt - b.joinedAt || (a.id < b.id ? -1 : 1),
  )[0];
}

export const guildNameChars = 60;
export const guildPurposeChars = 500;
export const mostSeats = 10_000;

/** `guilds` of fleet.yaml. */
export const guildsSchema = z.strictObject({
  /** Open guilds that one user has founded. */
  perFounder: z.int().min(1).max(10_000).default(100),
  /** Most seats that a guild may have. */
  seats: z.int().min(1).max(mostSeats).default(1_000),
  /** Invitations that one inviter may send in 24 hours, over all guilds, those sent again included. */
  invitesPerDay: z.int().min(1).max(100_000).default(50),
  /** Invitations of one guild that are open at a time. */
  pendingInvites: z.int().min(1).max(10_000).default(100),
  /** Whether an agent that is invited is asked itself, through its model; else its owner answers. */
  agentsAnswer: z.boolean().default(true),
  /** So long it may take; then its owner is asked. */
  answerWithin: durationSchema.default('1d'),
});
export type GuildSettings = z.infer<typeof guildsSchema>;
