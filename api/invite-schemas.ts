import { z } from 'zod';
import { durationSchema, durationSeconds } from '../domain/durations.ts';
import { givenRoles, type GivenRole } from '../domain/guilds.ts';
import { idSchema, slugSchema } from '../domain/ids.ts';
import { inviteAnswerers, inviteLife, inviteMessageChars, inviteTargets, inviteUses } from '../domain/invites.ts';
import { mailAddressSchema } from '../domain/mail-addresses.ts';
import { inviteStates } from '../domain/states.ts';
import type { InviteeInput } from '../stores/invites.ts';
import { asSchema, guildReasonSchema } from './guild-schemas.ts';
import { linksSchema, textSchema, timeSchema } from './schemas.ts';

/** Pieces that the routes of invitations share. */

export const inviteParams = z.strictObject({ id: idSchema('invite') });
export const inviteSecretSchema = z
  .string()
  .regex(/^sfi_[\w-]{43}$/, 'must be the secret of an invitation, sfi_ and 43 characters');

const day = 86_400;
const expiresIn = z
  .union([durationSchema, z.literal('never')])
  .refine(
    (text) =>
      text === 'never' || (durationSeconds(text) >= inviteLife.least && durationSeconds(text) <= inviteLife.most),
    {
      error: `must be between ${inviteLife.least}s and ${inviteLife.most / day}d, or never`,
      params: { mend: `Write ${inviteLife.usual / day}d, for instance.` },
    },
  )
  .default(`${inviteLife.usual / day}d`);

export const newInviteSchema = z
  .strictObject({
    agentId: slugSchema.optional().describe('To an agent: yours, or of a guild that you share'),
    userId: idSchema('user').optional().describe('To a user'),
    address: mailAddressSchema.optional().describe('To whoever has this address, by mail'),
    link: z
      .strictObject({
        uses: z.int().min(inviteUses.least).max(inviteUses.most).optional().describe('Default: without limit'),
      })
      .optional()
      .describe('A secret to pass on'),
    role: z.enum(givenRoles).default('member').describe('Under your own'),
    expiresIn: expiresIn.describe('Such as 7d; `never` for a link alone'),
    message: textSchema(inviteMessageChars).optional(),
    reason: guildReasonSchema,
    as: asSchema,
  })
  .refine((body) => inviteesOf(body).length === 1, {
    error: 'must say one of agentId, userId, address and link',
    params: { mend: 'Say whom it is to, once.' },
  })
  .refine((body) => body.expiresIn !== 'never' || body.link !== undefined, {
    path: ['expiresIn'],
    error: 'may be never for a link alone',
    params: { mend: 'Write 30d, for instance.' },
  });

interface Said {
  agentId?: string | undefined;
  userId?: string | undefined;
  address?: string | undefined;
  link?: { uses?: number | undefined } | undefined;
}

function inviteesOf({ agentId, userId, address, link }: Said): InviteeInput[] {
  return [
    ...(agentId === undefined ? [] : [{ target: 'agent' as const, agentId }]),
    ...(userId === undefined ? [] : [{ target: 'user' as const, userId }]),
    ...(address === undefined ? [] : [{ target: 'address' as const, address }]),
    ...(link === undefined ? [] : [{ target: 'link' as const, uses: link.uses ?? null }]),
  ];
}

/** What the body asks for, in the terms of the store. */
export function invitationOf(
  body: Said & { role: GivenRole; expiresIn: string; message?: string | undefined; reason?: string | undefined },
) {
  const { role, message = '', reason } = body;
  const expiresInSeconds = body.expiresIn === 'never' ? null : durationSeconds(body.expiresIn);
  const why = reason === undefined ? {} : { reason };
  return { invitee: inviteesOf(body)[0]!, role, message, expiresInSeconds, ...why };
}

export const inviteSchema = z
  .object({
    id: idSchema('invite'),
    guildId: idSchema('guild'),
    guildName: z.string(),
    target: z.enum(inviteTargets),
    userId: z.string().nullable(),
    agentId: z.string().nullable(),
    address: z.string().nullable(),
    role: z.enum(givenRoles),
    message: z.string(),
    inviterId: z.string(),
    inviterAgentId: z.string().nullable(),
    inviterName: z.string(),
    state: z.enum(inviteStates),
    reason: z.string().describe('Why it ended'),
    uses: z.int(),
    usesLimit: z.int().nullable().describe('null: without limit'),
    resends: z.int(),
    reminders: z.int(),
    waitsFor: z.enum(inviteAnswerers).nullable().describe('Of an agent: whether it answers itself, or its owner does'),
    answerBy: timeSchema.nullable().describe('Until when it is asked itself'),
    createdAt: timeSchema,
    expiresAt: timeSchema.nullable().describe('null: without an end'),
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'Invite' });

export const sentInviteSchema = inviteSchema
  .extend({
    token: z.string().optional().describe('Of a link: shown this one time; whoever has it may join'),
  })
  .meta({ id: 'SentInvite' });

export const acceptedSchema = z
  .object({
    inviteId: idSchema('invite'),
    guildId: idSchema('guild'),
    memberId: idSchema('guildMember'),
    role: z.string(),
  })
  .meta({ id: 'AcceptedInvite' });
