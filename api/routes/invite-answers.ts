import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Accepted } from '../../stores/invite-answers.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { actorOf, asSchema, guildReasonSchema } from '../guild-schemas.ts';
import { createInviteJoining } from '../invite-joining.ts';
import { acceptedSchema, inviteParams, inviteSecretSchema } from '../invite-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import { setSession } from '../sessions.ts';
import type { Api } from '../types.ts';

const tag = 'guilds';

/** What whoever is invited says, and what they see before. */
export function inviteAnswerRoutes(app: Api, context: ApiContext): void {
  const { db, inviteAnswers, tellInvites } = context;
  const joining = createInviteJoining(context);

  app.route({
    method: 'POST',
    url: '/v1/invites/:id/accept',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Joins by an invitation to you or to an agent of yours; accepted again it is answered the same',
      querystring: writeQuery,
      params: inviteParams,
      body: z.strictObject({ reason: guildReasonSchema }).nullish(),
      response: { 200: acceptedSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request, reply) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const accepted = await writeOrTry(db, request.query.dryRun, (tx) =>
        inviteAnswers.acceptById(tx, { id, ownerId, reason: request.body?.reason }),
      );
      if (request.query.dryRun) return { dryRun: true as const, would: `join ${accepted.guildId} by ${id}` };
      return answered(reply, accepted);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/invites/:id/decline',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Says no to an invitation to you or to an agent of yours',
      querystring: writeQuery,
      params: inviteParams,
      body: z.strictObject({ reason: guildReasonSchema }).nullish(),
      response: { 200: z.object({ inviteId: z.string(), state: z.string() }).or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const { ownerId } = callerOf(request);
      const { id } = request.params;
      const said = { id, ownerId, reason: request.body?.reason };
      const { state } = await writeOrTry(db, request.query.dryRun, (tx) => inviteAnswers.declineById(tx, said));
      if (request.query.dryRun) return { dryRun: true as const, would: `decline ${id}` };
      await tellInvites([id]);
      return { inviteId: id, state };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/invites/accept',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Joins by the secret of a link or of a mail to your address, yourself or by an agent of yours',
      querystring: writeQuery,
      body: z.strictObject({ token: inviteSecretSchema, reason: guildReasonSchema, as: asSchema }),
      response: { 200: acceptedSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { token, reason, as } = request.body;
      const accepted = await writeOrTry(db, request.query.dryRun, (tx) =>
        inviteAnswers.acceptByToken(tx, { secret: token, actor: actorOf(caller, as), reason }),
      );
      if (request.query.dryRun) return { dryRun: true as const, would: `join ${accepted.guildId}` };
      return answered(reply, accepted);
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/invites/preview',
    config: { role: 'none', reads: true },
    schema: {
      tags: [tag],
      summary: 'What the secret of a link or of a mail invites to; nothing is used by looking',
      body: z.strictObject({ token: inviteSecretSchema }),
      response: {
        200: z
          .object({ guild: z.string(), inviter: z.string(), expiresAt: timeSchema.nullable() })
          .meta({ id: 'InvitePreview' }),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      await joining.limit(request, reply);
      const { guild, inviter, expiresAt } = await joining.preview(request.body.token);
      return { guild, inviter, expiresAt: expiresAt === null ? null : new Date(expiresAt).toISOString() };
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/invites/join',
    config: { role: 'none' },
    schema: {
      tags: [tag],
      summary: 'Joins by the secret of a mail, without being signed in',
      description:
        'The secret shows whose mailbox it is: who has the address joins; whom nobody knows becomes a user of role member first, where sign-up is open or an operator invites, and is signed in. Who was a user before signs in as ever.',
      querystring: writeQuery,
      body: z.strictObject({
        token: inviteSecretSchema,
        session: z.enum(['cookie', 'token']).default('cookie').describe('token: for a program, in the answer'),
      }),
      response: {
        200: acceptedSchema
          .extend({ isNewUser: z.boolean(), token: z.string().optional() })
          .meta({ id: 'JoinedByMail' })
          .or(dryRunSchema),
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      await joining.limit(request, reply);
      const { token: secret, session } = request.body;
      const joined = await joining.byMail(secret, {
        kind: session === 'token' ? 'bearer' : 'session',
        dryRun: request.query.dryRun,
      });
      if (request.query.dryRun) return { dryRun: true as const, would: `join ${joined.guildId}` };
      const { isNewUser, issued } = joined;
      if (issued !== undefined && session === 'cookie') setSession(request, reply, issued);
      const told = { ...(await answered(reply, joined)), isNewUser };
      return issued !== undefined && session === 'token' ? { ...told, token: issued } : told;
    },
  });

  async function answered(reply: FastifyReply, { inviteId, guildId, memberId, role, isNew, hasEnded }: Accepted) {
    if (!isNew) void reply.header('idempotent-replayed', 'true');
    await joining.told({ inviteId, isNew, hasEnded });
    return { inviteId, guildId, memberId, role };
  }
}
