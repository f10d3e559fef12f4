import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { DomainError, isErrorCode } from '../../domain/errors.ts';
import { idSchema, inviteWorkflowId } from '../../domain/ids.ts';
import { inviteStates } from '../../domain/states.ts';
import { readGuild } from '../../stores/guild-rows.ts';
import { guildSettings } from '../../stores/guilds.ts';
import { momentOfLook } from '../../stores/invite-rows.ts';
import { inviteSecretHash, newInviteSecret } from '../../stores/invite-tokens.ts';
import { openInvite, resendInvite, revokeInvite } from '../../stores/invites.ts';
import { findInvite, inviteBoxes, inviteRequest, type InviteView, listInvites } from '../../stores/queries/invites.ts';
import type { InviteToGuildInput, InviteToGuildResult } from '../../workflows/invite-to-guild.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import { actorOf, asSchema, guildParams, guildReasonSchema } from '../guild-schemas.ts';
import { invitationOf, inviteParams, inviteSchema, newInviteSchema, sentInviteSchema } from '../invite-schemas.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { awaitRow, requiredIdempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'guilds';
/** So long a request waits for its invitation. */
const answerMs = 5_000;

const startedSchema = z
  .object({
    id: idSchema('invite'),
    guildId: idSchema('guild'),
    state: z.literal('pending'),
    token: z.string().optional(),
  })
  .meta({ id: 'StartedInvite' });
const filters = { state: z.enum(inviteStates).optional() };

export function inviteRoutes(app: Api, { db, starter, linksTo, tellInvites }: ApiContext): void {
  const linked = (invite: InviteView) => ({ ...invite, links: linksTo(inviteWorkflowId(invite.id)) });

  app.route({
    method: 'POST',
    url: '/v1/guilds/:id/invites',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Invites an agent, a user or an address, or makes a link; the same Idempotency-Key invites once',
      querystring: writeQuery,
      headers: requiredIdempotencyHeaders,
      params: guildParams,
      body: newInviteSchema,
      response: {
        200: dryRunSchema,
        201: sentInviteSchema,
        202: {
          description: 'Not sent yet; Location has it',
          content: { 'application/json': { schema: startedSchema } },
        },
        ...problemResponses,
      },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { ownerId } = caller;
      const { id: guildId } = request.params;
      const { dryRun } = request.query;
      const id = startedId('invite', request);
      const requestHash = createHash('sha256')
        .update(canonicalJson({ guildId, ...request.body } as CanonicalValue))
        .digest('hex');
      const asked = { guildId, inviter: actorOf(caller, request.body.as), ...invitationOf(request.body) };
      const secret = asked.invitee.target === 'link' ? newInviteSecret() : undefined;
      const tokenHash = secret === undefined ? null : inviteSecretHash(secret);
      const known = await inviteRequest(db, ownerId, id);
      if (known !== undefined && known !== requestHash)
        throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
      void reply.header('location', `/v1/invites/${id}`);
      let shown = {};
      if (known === undefined) {
        // What can be refused is refused here; the workflow judges again, under the same locks.
        const hashes = { tokenHash, requestHash: Buffer.from(requestHash, 'hex') };
        await writeOrTry(db, true, async (tx) =>
          openInvite(tx, { id, ...asked, ...hashes }, await guildSettings(tx), momentOfLook),
        );
        if (dryRun)
          return { dryRun: true as const, would: `invite ${asked.invitee.target} to ${guildId} as ${asked.role}` };
        const input: InviteToGuildInput = {
          inviteId: id,
          ...asked,
          tokenHash: tokenHash?.toString('hex') ?? null,
          requestHash,
        };
        const isNew = await starter.start({
          type: 'inviteToGuild',
          ownerId,
          workflowId: inviteWorkflowId(id),
          args: [{ ...input }],
          again: 'never',
          summary: guildId,
          content: requestHash,
        });
        // The secret of a request that was sent again is another one, and opens nothing: it was shown to the first.
        if (isNew && secret !== undefined) shown = { token: secret };
        if (!isNew) void reply.header('idempotent-replayed', 'true');
      } else {
        if (dryRun) return { dryRun: true as const, would: `answer with ${id}` };
        void reply.header('idempotent-replayed', 'true');
      }
      const invite = await awaitRow(() => sentOrRefused(ownerId, id), answerMs);
      if (invite === undefined) return reply.code(202).send({ id, guildId, state: 'pending' as const, ...shown });
      return reply.code(201).send({ ...linked(invite), ...shown });
    },
  });

  listRoute(app, {
    url: '/v1/guilds/:id/invites',
    role: 'reader',
    tag,
    summary: 'Invitations to a guild that you sent or oversee, the last sent first',
    item: inviteSchema,
    filters,
    params: guildParams,
    key: idSchema('invite'),
    keyOf: ({ id }) => id,
    rows: async (page, given, { id }) => {
      await readGuild(db, id, page.ownerId);
      return (await listInvites(db, { ...page, ...given, guildId: id })).map(linked);
    },
  });

  listRoute(app, {
    url: '/v1/invites',
    role: 'reader',
    tag,
    summary: 'Invitations to you and your agents, those you sent, and those you oversee; the last sent first',
    item: inviteSchema,
    filters: { ...filters, box: z.enum(inviteBoxes).optional().describe('Only those to you, or by you') },
    params: z.object({}),
    key: idSchema('invite'),
    keyOf: ({ id }) => id,
    rows: async (page, given) => (await listInvites(db, { ...page, ...given })).map(linked),
  });

  app.route({
    method: 'GET',
    url: '/v1/invites/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One invitation',
      params: inviteParams,
      response: { 200: inviteSchema, ...problemResponses },
    },
    handler: async (request) => linked(await existing(callerOf(request).ownerId, request.params.id)),
  });

  app.route({
    method: 'POST',
    url: '/v1/invites/:id/revoke',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Takes an open invitation back; members who came by it stay',
      querystring: writeQuery,
      params: inviteParams,
      body: z.strictObject({ reason: guildReasonSchema, as: asSchema }).nullish(),
      response: { 200: inviteSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { id } = request.params;
      const asked = { id, actor: actorOf(caller, request.body?.as), reason: request.body?.reason };
      await writeOrTry(db, request.query.dryRun, (tx) => revokeInvite(tx, asked, momentOfLook));
      if (request.query.dryRun) return { dryRun: true as const, would: `revoke ${id}` };
      await tellInvites([id]);
      return linked(await existing(caller.ownerId, id));
    },
  });

  app.route({
    method: 'POST',
    url: '/v1/invites/:id/resend',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Sends an open invitation again: the id stays, earlier secrets of it open nothing any more',
      querystring: writeQuery,
      params: inviteParams,
      body: z.strictObject({ reason: guildReasonSchema, as: asSchema }).nullish(),
      response: { 200: sentInviteSchema.or(dryRunSchema), ...problemResponses },
    },
    handler: async (request) => {
      const caller = callerOf(request);
      const { id } = request.params;
      const secret = newInviteSecret();
      const tokenHash = inviteSecretHash(secret);
      const asked = { id, actor: actorOf(caller, request.body?.as), reason: request.body?.reason, tokenHash };
      await writeOrTry(db, request.query.dryRun, async (tx) =>
        resendInvite(tx, asked, await guildSettings(tx), momentOfLook),
      );
      if (request.query.dryRun) return { dryRun: true as const, would: `send ${id} again` };
      const invite = linked(await existing(caller.ownerId, id));
      return invite.target === 'link' ? { ...invite, token: secret } : invite;
    },
  });

  /** @throws what it was refused for, where somebody was first */
  async function sentOrRefused(ownerId: string, id: string): Promise<InviteView | undefined> {
    const invite = await findInvite(db, ownerId, id);
    if (invite) return invite;
    const answer = await starter.answerOf<InviteToGuildResult>(inviteWorkflowId(id));
    if (answer?.state === 'refused')
      throw new DomainError(isErrorCode(answer.code) ? answer.code : 'INTERNAL', answer.reason);
    return undefined;
  }

  async function existing(ownerId: string, id: string): Promise<InviteView> {
    const found = await findInvite(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no invitation ${id}`);
    return found;
  }
}
