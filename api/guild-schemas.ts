import { z } from 'zod';
import { cleanLine } from '../domain/clean-text.ts';
import { guildRuleNames } from '../domain/guild-rules.ts';
import { givenRoles, guildNameChars, guildPurposeChars, mostSeats } from '../domain/guilds.ts';
import { idSchema, slugSchema } from '../domain/ids.ts';
import { guildActions, guildRoles, guildStates, membershipEnds } from '../domain/states.ts';
import type { GuildActor } from '../stores/guild-rows.ts';
import { textSchema, timeSchema } from './schemas.ts';

/** Pieces that the routes of guilds and invitations share. */

export const guildParams = z.strictObject({ id: idSchema('guild') });
export const guildNameSchema = textSchema(guildNameChars)
  .transform(cleanLine)
  .refine((name) => name !== '', { error: 'must not be blank', params: { mend: 'Say something.' } });
export const guildPurposeSchema = textSchema(guildPurposeChars);
export const seatsSchema = z.int().min(1).max(mostSeats).describe('Most members at a time, the founder included');
export const guildReasonSchema = textSchema(300).describe('Why; it stands in the audit trail').optional();
export const asSchema = slugSchema.describe('Your agent that acts; default: you yourself').optional();
export const givenRoleSchema = z.enum(givenRoles);

/** Who acts: the caller, or the agent of theirs that they name. */
export function actorOf({ ownerId }: { ownerId: string }, as: string | undefined): GuildActor {
  return { ownerId, agentId: as ?? null };
}

export const guildSchema = z
  .object({
    id: idSchema('guild'),
    name: z.string(),
    purpose: z.string(),
    state: z.enum(guildStates),
    seats: z.int(),
    seatsUsed: z.int(),
    foundedBy: z.string().describe('User who founded it, whoever is its founder by now'),
    own: z
      .array(z.object({ memberId: idSchema('guildMember'), agentId: z.string().nullable(), role: z.enum(guildRoles) }))
      .describe('You in it: yourself (agentId null) and your agents'),
    rules: z
      .array(
        z.object({
          name: z.enum(guildRuleNames),
          value: z.union([z.string(), z.int()]),
          ballotId: idSchema('ballot'),
          madeAt: timeSchema,
        }),
      )
      .describe('Given by ballots of its members; what one governs nobody changes by hand'),
    createdAt: timeSchema,
    closedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Guild' });

export const guildMemberSchema = z
  .object({
    id: idSchema('guildMember'),
    kind: z.enum(['agent', 'user']),
    userId: z.string().describe('The user, or whose agent it is'),
    agentId: z.string().nullable(),
    name: z.string(),
    role: z.enum(guildRoles),
    joinedAt: timeSchema,
    endedAt: timeSchema.nullable(),
    endedBy: z.enum(membershipEnds).nullable(),
  })
  .meta({ id: 'GuildMember' });

export const guildEventSchema = z
  .object({
    seq: z.int(),
    action: z.enum(guildActions),
    actorId: z.string().nullable().describe('null: time did it, or a ballot'),
    actorAgentId: z.string().nullable(),
    actorName: z.string().nullable().describe('Of the agent that acted, else of the user'),
    subject: z.string().describe('Id of the guild, the member or the invitation'),
    memberName: z.string().nullable().describe('Of the member that it was done to; null: to none'),
    reason: z.string(),
    data: z.record(z.string(), z.unknown()),
    at: timeSchema,
  })
  .meta({ id: 'GuildEvent' });
