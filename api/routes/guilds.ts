import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson, type CanonicalValue } from '../../domain/canonical-json.ts';
import { DomainError } from '../../domain/errors.ts';
import { idSchema } from '../../domain/ids.ts';
import { guildRoles, guildStates } from '../../domain/states.ts';
import { readGuild } from '../../stores/guild-rows.ts';
import { foundGuild, guildSettings } from '../../stores/guilds.ts';
import {
  findGuild,
  type GuildView,
  listGuildEvents,
  listGuildMembers,
  listGuilds,
} from '../../stores/queries/guilds.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import {
  actorOf,
  asSchema,
  guildEventSchema,
  guildMemberSchema,
  guildNameSchema,
  guildParams,
  guildPurposeSchema,
  guildSchema,
  seatsSchema,
} from '../guild-schemas.ts';
import { listRoute } from '../lists.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, switchSchema, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';
import { idempotencyHeaders, startedId } from '../workflow-starts.ts';

const tag = 'guilds';

export function guildRoutes(app: Api, { db }: ApiContext): void {
  app.route({
    method: 'POST',
    url: '/v1/guilds',
    config: { role: 'member' },
    schema: {
      tags: [tag],
      summary: 'Founds a guild (group); the same Idempotency-Key founds one',
      querystring: writeQuery,
      headers: idempotencyHeaders,
      body: z.strictObject({
        name: guildNameSchema,
        purpose: guildPurposeSchema.optional(),
        seats: seatsSchema,
        as: asSchema,
      }),
      response: { 200: dryRunSchema, 201: guildSchema, ...problemResponses },
    },
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const { name, purpose = '', seats, as } = request.body;
      const { dryRun } = request.query;
      const id = startedId('guild', request);
      const requestHash = createHash('sha256')
        .update(canonicalJson(request.body as CanonicalValue))
        .digest();
      const guild = { id, founder: actorOf(caller, as), name, purpose, seats, requestHash };
      const isNew = await writeOrTry(db, dryRun, async (tx) => foundGuild(tx, guild, await guildSettings(tx)));
      if (dryRun) return { dryRun: true as const, would: `found ${name} with ${seats} seats` };
      if (!isNew) void reply.header('idempotent-replayed', 'true');
      void reply.header('location', `/v1/guilds/${id}`);
      return reply.code(201).send(await existing(caller.ownerId, id));
    },
  });

  listRoute(app, {
    url: '/v1/guilds',
    role: 'reader',
    tag,
    summary: 'Guilds (groups) that you founded or are in, yourself or by an agent; the last founded first',
    item: guildSchema,
    filters: { state: z.enum(guildStates).optional() },
    params: z.object({}),
    key: idSchema('guild'),
    keyOf: ({ id }) => id,
    rows: (page, filters) => listGuilds(db, { ...page, ...filters }),
  });

  app.route({
    method: 'GET',
    url: '/v1/guilds/:id',
    config: { role: 'reader' },
    schema: {
      tags: [tag],
      summary: 'One guild',
      params: guildParams,
      response: { 200: guildSchema, ...problemResponses },
    },
    handler: (request) => existing(callerOf(request).ownerId, request.params.id),
  });

  listRoute(app, {
    url: '/v1/guilds/:id/members',
    role: 'reader',
    tag,
    summary: 'Members of a guild in the order of their coming',
    item: guildMemberSchema,
    filters: {
      role: z.enum(guildRoles).optional(),
      past: switchSchema.optional().describe('Those whose membership has ended in place of those who are there'),
    },
    params: guildParams,
    key: idSchema('guildMember'),
    keyOf: ({ id }) => id,
    rows: async ({ ownerId, ...page }, filters, { id }) => {
      await readGuild(db, id, ownerId);
      return listGuildMembers(db, { ...page, ...filters, guildId: id });
    },
  });

  listRoute(app, {
    url: '/v1/guilds/:id/events',
    role: 'reader',
    tag,
    summary: 'Audit trail of a guild: who did what and why, the last first',
    item: guildEventSchema,
    filters: {},
    params: guildParams,
    key: z.string().regex(/^[1-9]\d{0,8}$/),
    keyOf: ({ seq }) => String(seq),
    rows: async ({ ownerId, ...page }, _filters, { id }) => {
      await readGuild(db, id, ownerId);
      return listGuildEvents(db, { ...page, guildId: id });
    },
  });

  async function existing(ownerId: string, id: string): Promise<GuildView> {
    const found = await findGuild(db, ownerId, id);
    if (!found) throw new DomainError('NOT_FOUND', `no guild ${id}`);
    return found;
  }
}
