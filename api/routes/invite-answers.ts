import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import type { Accepted } from '../../stores/invite-answers.ts';
import { joinByMail, previewInvite } from '../../stores/invite-joins.ts';
import { currentFleet } from '../../stores/fleets.ts';
import { issueToken, sessionSeconds } from '../../stores/principals.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { actorOf, asSchema, guildReasonSchema } from '../guild-schemas.ts';
import { acceptedSchema, inviteParams, inviteSecretSchema } from '../invite-schemas.ts';
import { createLimitCounter } from '../plugins/rate-limit.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, timeSchema, writeQuery } from '../schemas.ts';
import { setSession } from '../sessions.ts';
import type { Api } from '../types.ts';

const tag = 'guilds';
/** Without being signed in, from one address of the network: enough for a household, little for who guesses. */
const openWindowMs = 15 * 60_000;
const mostOpen = 60;

/** What whoever is invited says, and what they see before. */
export function inviteAnswerRoutes(app: Api, { db, inviteAnswers, tellInvites, redis }: ApiContext): void {
  const count = createLimitCounter(redis, { windowMs: openWindowMs });

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
      await limit(request, reply);
      const { token } = request.body;
      const { guild, inviter, expiresAt } = await db.transaction().execute((tx) => previewInvite(tx, token));
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
      await limit(request, reply);
      const { token: secret, session } = request.body;
      const joined = await writeOrTry(db, request.query.dryRun, async (tx) => {
        const signUpOpen = (await currentFleet(tx))?.fleet.people.signUp === 'open';
        const made = await joinByMail(tx, inviteAnswers, { secret, signUpOpen });
        if (!made.isNewUser) return { ...made, issued: undefined };
        const issued = await issueToken(tx, {
          ownerId: made.userId,
          kind: session === 'token' ? 'bearer' : 'session',
          role: 'member',
          name: 'invitation',
          expiresInSeconds: sessionSeconds,
        });
        return { ...made, issued: issued.secret };
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
    // A link that goes on tells its workflow nothing by each use.
    else if (hasEnded) await tellInvites([inviteId]);
    return { inviteId, guildId, memberId, role };
  }

  async function limit(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { current, ttl } = await count(`invite:ip:${request.ip}`);
    if (current <= mostOpen) return;
    void reply.header('retry-after', Math.ceil(ttl / 1000));
    throw new DomainError(
      'RATE_LIMITED',
      `more than ${mostOpen} looks at invitations in ${openWindowMs / 60_000} minutes`,
    );
  }
}
