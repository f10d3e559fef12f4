import { z } from 'zod';
import { idSchema } from '../../domain/ids.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { appointMember, expelMember, leaveGuild, transferGuild } from '../../stores/guild-members.ts';
import type { GuildActor } from '../../stores/guild-rows.ts';
import { closeGuild, guildSettings, renameGuild, resizeGuild } from '../../stores/guilds.ts';
import { findGuild } from '../../stores/queries/guilds.ts';
import type { ApiContext } from '../context.ts';
import { writeOrTry } from '../dry-run.ts';
import {
  actorOf,
  asSchema,
  givenRoleSchema,
  guildNameSchema,
  guildParams,
  guildReasonSchema,
  guildSchema,
  seatsSchema,
} from '../guild-schemas.ts';
import { callerOf } from '../plugins/roles.ts';
import { dryRunSchema, problemResponses, writeQuery } from '../schemas.ts';
import type { Api } from '../types.ts';

const said = { reason: guildReasonSchema, as: asSchema };
const memberId = idSchema('guildMember');
const bodies = {
  rename: z.strictObject({ ...said, name: guildNameSchema }),
  resize: z.strictObject({ ...said, seats: seatsSchema }),
  leave: z.strictObject(said).nullish(),
  expel: z.strictObject({ ...said, memberId }),
  appoint: z.strictObject({ ...said, memberId, role: givenRoleSchema }),
  transfer: z.strictObject({ ...said, memberId }),
  close: z.strictObject(said).nullish(),
} as const;

interface Asked {
  id: string;
  actor: GuildActor;
  reason: string | undefined;
}

interface Change<Body> {
  summary: string;
  body: z.ZodType<Body>;
  /** @returns ids of invitations that ended with it */
  change: (tx: DatabaseTransaction, asked: Asked, body: Body) => Promise<string[] | void>;
}

/** What members do in a guild. Each is one transaction under its row, and an event of its audit trail. */
export function guildChangeRoutes(app: Api, { db, tellInvites }: ApiContext): void {
  add('rename', {
    summary: 'Gives a guild another name',
    body: bodies.rename,
    change: (tx, asked, { name }) => renameGuild(tx, { ...asked, name }),
  });
  add('resize', {
    summary: 'More or fewer seats, not fewer than are taken',
    body: bodies.resize,
    change: async (tx, asked, { seats }) => resizeGuild(tx, { ...asked, seats }, await guildSettings(tx)),
  });
  add('leave', {
    summary: 'Gives your seat, or your agent’s, back; the founder makes another founder first',
    body: bodies.leave,
    change: (tx, asked) => leaveGuild(tx, asked),
  });
  add('expel', {
    summary: 'Ends the membership of somebody who stands below you',
    body: bodies.expel,
    change: (tx, asked, body) => expelMember(tx, { ...asked, memberId: body.memberId }),
  });
  add('appoint', {
    summary: 'Gives a member another role',
    body: bodies.appoint,
    change: (tx, asked, body) => appointMember(tx, { ...asked, memberId: body.memberId, role: body.role }),
  });
  add('transfer', {
    summary: 'Makes another member the founder; who was it becomes an elder',
    body: bodies.transfer,
    change: (tx, asked, body) => transferGuild(tx, { ...asked, memberId: body.memberId }),
  });
  add('close', {
    summary: 'Ends every membership and every open invitation, for good',
    body: bodies.close,
    change: (tx, asked) => closeGuild(tx, asked),
  });

  function add<Body extends { as?: string | undefined; reason?: string | undefined } | null | undefined>(
    verb: string,
    { summary, body, change }: Change<Body>,
  ): void {
    app.route({
      method: 'POST',
      url: `/v1/guilds/:id/${verb}`,
      config: { role: 'member' },
      schema: {
        tags: ['guilds'],
        summary,
        querystring: writeQuery,
        params: guildParams,
        body,
        response: { 200: guildSchema.or(dryRunSchema), 204: z.null(), ...problemResponses },
      },
      handler: async (request, reply) => {
        const caller = callerOf(request);
        const { id } = request.params;
        // The shape is generic here, so the compiler cannot see that the validator has made it.
        const given = request.body as Body;
        const asked = { id, actor: actorOf(caller, given?.as), reason: given?.reason };
        const ended = await writeOrTry(db, request.query.dryRun, (tx) => change(tx, asked, given));
        if (request.query.dryRun) return { dryRun: true as const, would: `${verb} ${id}` };
        if (ended) await tellInvites(ended);
        // Who has left may see it no more.
        return (await findGuild(db, caller.ownerId, id)) ?? reply.code(204).send(null);
      },
    });
  }
}
